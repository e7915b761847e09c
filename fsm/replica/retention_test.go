package replica_test

import (
	"errors"
	"testing"
	"time"

	"github.com/rota-registry/rota/registry"
)

// TestWhoHasLeftIsForgotten when left_retention is over, though nothing is written
// meanwhile; a static node is not.
func TestWhoHasLeftIsForgotten(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	r := c.start("one", freePort(t), nil)
	c.ready(r)
	soon := registry.RetentionMin
	do := func(cmd registry.Command) {
		t.Helper()
		if _, _, err := r.Propose(within(t, 5*time.Second), cmd); err != nil {
			t.Fatal(err)
		}
	}
	do(registry.SetSettings{Change: registry.SettingsChange{LeftRetention: &soon, FailedRetention: &soon}})
	do(registry.AddNode{Name: "static", Type: registry.Worker, Address: "127.0.0.1:1"})
	gone := c.joined(r, "gone", bootA)
	do(registry.LeaveNode{Name: "gone", Boot: bootA})
	gone.die(t)
	c.eventually(40*time.Second, func() error {
		view, _, err := r.Read(within(t, time.Second), registry.ReadOptions{Consistency: registry.Local})
		if err != nil {
			return err
		}
		if _, err := view.Node("gone"); !errors.Is(err, registry.ErrNotFound) {
			return errors.New("it is in the layout yet")
		}
		if _, err := view.Node("static"); err != nil {
			t.Errorf("the static node: %v", err)
		}
		return nil
	})
}
