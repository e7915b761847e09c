package check_test

import (
	"testing"
	"time"
)

// TestTheLogClockRunsNoLongerThanTheCluster claims that a log clock which is ahead of
// the cluster's whole life is found, though it runs as the run's time does, and that
// the cluster may be older than the run.
func TestTheLogClockRunsNoLongerThanTheCluster(t *testing.T) {
	for _, c := range []struct {
		ahead, born time.Duration
		wrong       bool
	}{
		{0, 0, false},
		{time.Hour, time.Hour, false},
		{time.Hour, time.Hour - time.Second, true},
	} {
		w := newWorldAt(t, c.ahead)
		w.born = c.born
		w.rr("a", 1)
		found := w.report().Violations
		if c.wrong && len(found) == 1 && found[0].Check == "clock" {
			continue
		}
		if c.wrong || len(found) > 0 {
			t.Errorf("%s ahead in a cluster of %s before the run: %v", c.ahead, c.born, found)
		}
	}
}
