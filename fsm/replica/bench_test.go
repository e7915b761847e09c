package replica_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rota-registry/rota/registry"
)

// BenchmarkRoundRobin is what a round robin costs three replicas in one process
// with one disk, asked in equal parts of each replica, or of the leader alone.
// Entries is how many log entries a request took.
func BenchmarkRoundRobin(b *testing.B) {
	c := newCluster(b)
	all := c.startAll(3)
	leader, followers := c.leader()
	if _, _, err := leader.Propose(within(b, 5*time.Second), node("w", bootA)); err != nil {
		b.Fatal(err)
	}
	for _, of := range []struct {
		name string
		rs   []*running
	}{{"all", all}, {"leader", []*running{leader}}, {"followers", followers}} {
		for _, callers := range []int{1, 64, 1024} {
			b.Run(fmt.Sprintf("%s-%d", of.name, callers), func(b *testing.B) { takeTurns(b, leader, of.rs, callers) })
		}
	}
}

func takeTurns(b *testing.B, leader *running, rs []*running, callers int) {
	before := leader.Self().Committed
	var left atomic.Int64
	left.Store(int64(b.N))
	var wg sync.WaitGroup
	b.ResetTimer()
	for i := range callers {
		wg.Go(func() {
			for left.Add(-1) >= 0 {
				ctx, cancel := context.WithTimeout(b.Context(), 10*time.Second)
				_, _, err := rs[i%len(rs)].Propose(ctx, registry.RoundRobin{Turns: []registry.Turn{{Pool: "worker", Count: 1}}})
				cancel()
				if err != nil {
					b.Error(err)
				}
			}
		})
	}
	wg.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "rr/s")
	b.ReportMetric(float64(leader.Self().Committed-before)/float64(b.N), "entries/op")
}
