package client

import (
	"fmt"
	"testing"
	"time"

	"github.com/rota-registry/rota/registry"
	"github.com/rota-registry/rota/registry/hrw"
)

// copyOf is a watch that nobody feeds, of a pool of so many workers.
func copyOf(info registry.PoolInfo) *WatchedPool {
	clock := &coarseClock{began: time.Now()}
	w := &WatchedPool{pool: &Pool{client: &Client{}, name: info.Spec.Name}, clock: clock, done: make(chan struct{})}
	w.mu.trails = make(map[*trail]struct{})
	w.now.Store(&snapshot{view: newView(info)})
	return w
}

// workers is a pool of n, all eligible.
func workers(n int) registry.PoolInfo {
	info := registry.PoolInfo{Spec: registry.Spec{Name: "worker"}, Epoch: 5}
	for i := range n {
		name := fmt.Sprintf("worker-%d", i)
		alias := hrw.Alias(name, 0)
		info.Members = append(info.Members, registry.MemberInfo{
			Name: registry.NodeName(name), Alias: alias, SiteID: hrw.SiteID(hrw.Zeek71, alias),
			Topic: "zeek/cluster/node/" + name + "/", Alive: true, Eligible: true, State: registry.Alive,
		})
	}
	return info
}

// keys are strings of 16 bytes.
func keys() []hrw.Key {
	all := make([]hrw.Key, 256)
	for i := range all {
		all[i] = hrw.String(fmt.Sprintf("connection-%05d", i))
	}
	return all
}

func BenchmarkWatchedHRW(b *testing.B) {
	for _, members := range []int{10, 100, 1_000, 5_000} {
		b.Run(fmt.Sprint(members), func(b *testing.B) {
			w, keys := copyOf(workers(members)), keys()
			b.ReportAllocs()
			b.ResetTimer()
			for i := range b.N {
				if a, err := w.HRW(keys[i%len(keys)]); err != nil || a.Node == "" {
					b.Fatal(a, err)
				}
			}
		})
	}
}

func BenchmarkWatchedIsMine(b *testing.B) {
	n, keys := copyOf(workers(10)).As("worker-3"), keys()
	b.ReportAllocs()
	b.ResetTimer()
	for i := range b.N {
		if _, epoch := n.IsMine(keys[i%len(keys)]); epoch != 5 {
			b.Fatal(epoch)
		}
	}
}

// BenchmarkWatchedShares is what one death costs a node that follows its share.
func BenchmarkWatchedShares(b *testing.B) {
	for _, members := range []int{10, 5_000} {
		b.Run(fmt.Sprint(members), func(b *testing.B) {
			info := workers(members)
			before := newView(info)
			info.Members = append([]registry.MemberInfo(nil), info.Members...)
			info.Members[7].Eligible = false
			after, was := newView(info), newOwners(before)
			b.ResetTimer()
			for range b.N {
				transit(before, was, after).flows(3, 3)
			}
		})
	}
}
