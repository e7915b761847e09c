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
			for i := range b.N {
				if a, err := w.HRW(keys[i%len(keys)]); err != nil || a.Node == "" {
					b.Fatal(a, err)
				}
			}
		})
	}
}
