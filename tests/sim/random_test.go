package sim_test

import (
	"flag"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/rota-registry/rota/tests/check"
	"github.com/rota-registry/rota/tests/sim"
)

var (
	seed = flag.Uint64("seed", 1, "of the first random simulation; the others have the next ones")
	runs = flag.Int("runs", 10, "how many random simulations")
)

const (
	// someFrom is how many runs see something of what they are there to see, whatever
	// the seed; provesFrom is how many see it all.
	someFrom   = 8
	provesFrom = 100
)

// required is what so many runs must have seen, or they prove nothing.
func required(runs int) check.Counters {
	switch {
	case runs < someFrom:
		return check.Counters{}
	case runs < provesFrom:
		return check.Counters{OK: 100 * runs, LeaderChanges: runs / 4, StatesCompared: runs / 4}
	}
	return check.Counters{
		ChangesInFlight: 20, RetriesAfterChange: 20, SnapshotsUnderLoad: 5, FollowerReadsAtChange: 2,
		UnknownCommitted: 1, UnknownNot: 5, StatesCompared: 100,
	}
}

// Random faults under a random workload: nothing is answered that one correct
// registry would not have answered, and what is promised after faults holds.
func TestRandomSimulations(t *testing.T) {
	var mu sync.Mutex
	var sum check.Counters
	t.Run("runs", func(t *testing.T) {
		for i := range uint64(*runs) {
			t.Run(fmt.Sprintf("seed=%d", *seed+i), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					c := sim.Random(t, *seed+i)
					mu.Lock()
					defer mu.Unlock()
					sum.Add(c)
				})
			})
		}
	})
	t.Logf("%d runs: %+v", *runs, sum)
	least := required(*runs)
	if least == (check.Counters{}) {
		t.Log("so few runs need not have seen anything: what they saw was right, and that is all")
	}
	if err := sum.Require(least); err != nil && !t.Failed() {
		t.Error(err)
	}
}
