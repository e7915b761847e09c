package replica_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/rota-registry/rota/registry"
)

// TestAStopFindsAnHeirThatAnswers: the voter that is the first choice hangs, Raft and
// all, and the last greetings do not know it yet. The leader that stops tries another
// one then, while it drains; else it would go on with its heartbeats, so that nobody
// misses it, and nobody would take writes.
func TestAStopFindsAnHeirThatAnswers(t *testing.T) {
	t.Parallel()
	for name, named := range map[string]bool{"chosen by Raft": false, "chosen by what it said": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newCluster(t)
			c.raft = newLinks(t)
			free := c.rooms()
			c.startAll(3)
			old, others := c.leader()
			hung, heir := others[0], others[1]
			if named { // the other one is not ready, and takes over if it must
				free[heir.name].Store(10 * mib)
				c.short(heir)
			}
			c.eventually(20*time.Second, func() error {
				if !old.HasHeard(hung.name) || old.HasHeard(heir.name) == named {
					return fmt.Errorf("%s has not heard how %s and %s are", old.name, hung.name, heir.name)
				}
				return nil
			})
			c.set(func() { c.hung[hung.api] = true })
			c.raft.freeze(c, old.api, hung.api)
			began := time.Now()
			old.StepDown(within(t, 5*time.Second))
			t.Logf("it was handed over after %s", time.Since(began))
			c.eventually(10*time.Second, func() error {
				if heir.Self().Role != "leader" {
					return errors.New("nobody leads who can")
				}
				return nil
			})
			for _, r := range []*running{heir, old} { // the old one drains
				c.put(r, registry.PoolName("by-"+r.name))
			}
		})
	}
}

// TestAStopGoesOnLookingForAnHeir while the leader drains, when StepDown's time was
// over before one was found.
func TestAStopGoesOnLookingForAnHeir(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	c.raft = newLinks(t)
	c.startAll(3)
	old, others := c.leader()
	c.set(func() { c.hung[others[0].api] = true })
	c.raft.freeze(c, old.api, others[0].api)
	over, end := context.WithCancel(t.Context())
	end()
	old.StepDown(over)
	c.put(others[1], "while-it-drains")
}
