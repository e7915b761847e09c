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

// provesFrom is how many runs must have seen what they are there to see.
const provesFrom = 100

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
	if *runs < provesFrom {
		return
	}
	if err := sum.Require(check.Counters{
		ChangesInFlight: 20, RetriesAfterChange: 20, SnapshotsUnderLoad: 5, FollowerReadsAtChange: 2,
		UnknownCommitted: 1, UnknownNot: 5, StatesCompared: 100,
	}); err != nil {
		t.Error(err)
	}
}
