package replica_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/rota-registry/rota/registry"
)

// TestUnusedCursorsAreForgotten when nobody has used them for 30 days of log clock,
// those of one entry and one more; one that was used meanwhile stays, and when
// nothing is due the leader writes nothing.
func TestUnusedCursorsAreForgotten(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	r := c.start("one", freePort(t), nil)
	c.ready(r)
	c.joined(r, "w", bootA)
	turn := func(keys ...string) {
		t.Helper()
		var rr registry.RoundRobin
		for _, key := range keys {
			rr.Turns = append(rr.Turns, registry.Turn{Pool: "worker", Key: key, Count: 1})
		}
		res, _, err := r.Propose(within(t, 5*time.Second), rr)
		if err != nil || res.Turns[0].Count() != 1 {
			t.Fatalf("turns: %+v, %v", res.Turns, err)
		}
	}
	cursors := func() (keys []string) {
		t.Helper()
		list, _, _, err := r.Cursors(within(t, 5*time.Second), registry.ReadOptions{}, "worker")
		if err != nil {
			t.Fatal(err)
		}
		for _, one := range list {
			keys = append(keys, one.Key)
		}
		return keys
	}
	old := make([]string, registry.ForgetMax+1)
	for i := range old {
		old[i] = fmt.Sprint(i)
	}
	turn(append(old, "used")...)
	r.Age(registry.CursorRetention / 2)
	turn("used")
	c.staysQuiet(r)
	r.Age(registry.CursorRetention/2 + 1000)
	c.eventually(20*time.Second, func() error {
		if got := cursors(); !slices.Equal(got, []string{"used"}) {
			return fmt.Errorf("there are %d: %.100q", len(got), got)
		}
		return nil
	})
	c.staysQuiet(r)
}

// staysQuiet wakes the leader's reconciler over and over, and it writes nothing.
func (c *cluster) staysQuiet(r *running) {
	c.t.Helper()
	quiet := c.settled()
	c.holds(time.Second, func() error {
		r.Age(1)
		if now := r.Self().Committed; now != quiet {
			return fmt.Errorf("the idle log has grown from %d to %d", quiet, now)
		}
		return nil
	})
}
