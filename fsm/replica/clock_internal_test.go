package replica

import (
	"runtime"
	"testing"
	"testing/synctest"
	"time"
)

// bubble runs f in virtual time, and on one processor, as that of package gossip does
// and says why. No test that calls it is parallel: so none of those runs meanwhile,
// which are to have all processors.
func bubble(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	synctest.Test(t, f)
}

// TestTheLogClockRunsOnFromTheTermBefore: a leader's clock begins with what the log
// has, and grows by the time for which it leads, whatever the wall clock shows.
func TestTheLogClockRunsOnFromTheTermBefore(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var l leadership
		l.begin(0, 1, 5_000)
		if got := l.clock(); got != 5_000 {
			t.Errorf("at its beginning a leader's clock is %d ms, want 5000", got)
		}
		time.Sleep(1234 * time.Millisecond)
		if got := l.clock(); got != 6_234 {
			t.Errorf("1234 ms after its beginning a leader's clock is %d ms, want 6234", got)
		}
		l.begin(0, 2, 9_000)
		if got := l.clock(); got != 9_000 {
			t.Errorf("at the beginning of another term the clock is %d ms, want 9000", got)
		}
	})
}
