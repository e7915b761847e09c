package client_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rota-registry/rota/registry"
	"github.com/rota-registry/rota/registry/hrw"
	"github.com/rota-registry/rota/rpc/client"
	"github.com/rota-registry/rota/rpc/server"
)

// voter is a replica of a cluster as package server meets it: the API before it
// is the real one.
type voter struct {
	server.Replica // nil: what the test does not use
	cluster        *cluster
	leads          string // API address that it takes for the leader's
	// before and after, if set, run around each proposal; an error is what the
	// caller hears in place of what was done.
	before, after func(ctx context.Context) error
}

func (v *voter) Propose(ctx context.Context, cmd registry.Command) (registry.Result, registry.Position, error) {
	if v.before != nil {
		if err := v.before(ctx); err != nil {
			return registry.Result{}, registry.Position{}, err
		}
	}
	result, at := v.cluster.do(cmd)
	if v.after != nil {
		if err := v.after(ctx); err != nil {
			return registry.Result{}, registry.Position{}, err
		}
	}
	return result, at, nil
}

func (v *voter) Leader() string { return v.leads }

func (v *voter) Read(context.Context, registry.ReadOptions) (*registry.View, registry.ReadInfo, error) {
	v.cluster.mu.Lock()
	defer v.cluster.mu.Unlock()
	view := v.cluster.state.View
	return &view, registry.ReadInfo{Position: v.cluster.at}, nil
}

// apiOf gives the server of a replica.
func apiOf(t *testing.T, r server.Replica, name registry.ReplicaName) *server.Server {
	t.Helper()
	s, err := server.New(server.Options{Replica: r, Name: name})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// weather is what the storm does to the replicas a, b and c; it is drawn from a
// seed, though which calls it hits is not.
type weather struct {
	e     *edge
	hosts map[string]func(net.Conn)

	mu         sync.Mutex
	random     *rand.Rand
	noLeader   bool
	lost, cuts int
}

// roll reports one of n.
func (w *weather) roll(n int) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.random.IntN(n) == 0
}

func (w *weather) before(ctx context.Context) error {
	w.mu.Lock()
	leaderless := w.noLeader
	w.mu.Unlock()
	if leaderless {
		return registry.Errorf(registry.Unavailable, "no leader")
	}
	if w.roll(10) { // it takes a while, perhaps more than the caller has
		select {
		case <-time.After(2 * time.Second):
		case <-ctx.Done():
		}
	}
	return nil
}

func (w *weather) after(ctx context.Context) error {
	if !w.roll(4) {
		return nil
	}
	w.mu.Lock()
	w.lost++
	w.mu.Unlock()
	if w.roll(3) {
		<-ctx.Done()
	}
	return registry.Errorf(registry.OutcomeUnknown, "leadership was lost")
}

// blow goes on until done: a replica dies with all its connections and comes
// back, or there is no leader for a while.
func (w *weather) blow(done <-chan struct{}) {
	for i := 0; ; i++ {
		address := []string{"a:1", "b:1", "c:1"}[i%3]
		if i%2 == 0 {
			w.e.down(address)
			w.cuts++
		} else {
			w.set(true)
		}
		select {
		case <-time.After(300 * time.Millisecond):
		case <-done:
			return
		}
		w.e.up(address, w.hosts[address])
		w.set(false)
		select {
		case <-time.After(500 * time.Millisecond):
		case <-done:
			return
		}
	}
}

func (w *weather) set(leaderless bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.noLeader = leaderless
}

// TestAStormMovesEachCursorOncePerCall: many callers of several cursors at real
// servers, while replicas die and come back, leaders are missing and answers get
// lost after the turns were taken: each answer is given once, and the cursors
// stand where the answers say.
func TestAStormMovesEachCursorOncePerCall(t *testing.T) {
	const cursors, callers, each = 5, 40, 10
	for seed := range uint64(3) {
		synctest.Test(t, func(t *testing.T) {
			e, c := newEdge(t), newCluster(t)
			w := &weather{e: e, hosts: map[string]func(net.Conn){}, random: rand.New(rand.NewPCG(seed, 0))}
			for _, address := range []string{"a:1", "b:1", "c:1"} {
				v := &voter{cluster: c, leads: "b:1", before: w.before, after: w.after}
				w.hosts[address] = e.host(apiOf(t, v, registry.ReplicaName(address[:1])))
				e.up(address, w.hosts[address])
			}
			cl := e.client(client.Options{Timeout: 30 * time.Second}, "a:1", "b:1", "c:1")
			done, taken := make(chan struct{}), make(chan [2]string, 10*callers*each)
			var storm, all sync.WaitGroup
			storm.Go(func() { w.blow(done) })
			for i := range callers {
				all.Go(func() {
					key := fmt.Sprint(i % cursors)
					for n := range each {
						many, err := cl.Pool("p").RRN(t.Context(), key, 1+n%3)
						if err != nil || len(many.Each) != 1+n%3 {
							t.Errorf("%d answers, %v", len(many.Each), err)
						}
						for _, one := range many.Each {
							taken <- [2]string{key, string(one.Node)}
						}
					}
				})
			}
			all.Wait()
			close(done)
			storm.Wait()
			close(taken)
			took := map[[2]string]int{}
			for one := range taken {
				if took[one]++; took[one] > 1 {
					t.Errorf("node %s was answered twice of cursor %s", one[1], one[0])
				}
			}
			want := callers / cursors * (each/3*6 + 1) // 1, 2, 3, 1, 2, 3, 1, 2, 3, 1
			for _, cursor := range c.cursors(t) {
				if cursor.Next != want {
					t.Errorf("seed %d: cursor %s stands at %d, want %d", seed, cursor.Key, cursor.Next, want)
				}
			}
			if w.lost == 0 || w.cuts == 0 || len(took) != want*cursors {
				t.Errorf("seed %d: %d answers; %d were lost, replicas died %d times", seed, len(took), w.lost, w.cuts)
			}
			key := hrw.String("after the storm")
			if _, err := cl.Pool("p").HRW(t.Context(), key); err != nil {
				t.Error(err)
			}
		})
	}
}
