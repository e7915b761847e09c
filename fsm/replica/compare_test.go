package replica_test

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/rota-registry/rota/fsm"
	"github.com/rota-registry/rota/fsm/replica"
	"github.com/rota-registry/rota/registry"
)

// tampering lets some replicas apply another byte than the others, each its own,
// in the entry that registers the pool "poison".
func (c *cluster) tampering(by map[registry.ReplicaName]registry.Millis) {
	c.tune = func(o *replica.Options) {
		endsProcess(o)
		o.Tamper(8, func(l *raft.Log) *raft.Log {
			if by[o.Name] == 0 || !bytes.Contains(l.Data, []byte("poison")) {
				return l
			}
			e, err := fsm.DecodeEntry(l.Data)
			if err != nil {
				c.t.Error(err)
				return l
			}
			e.Wall += by[o.Name]
			other := *l
			if other.Data, err = fsm.EncodeEntry(e); err != nil {
				c.t.Error(err)
			}
			return &other
		})
	}
}

// pass puts enough entries in the log that all pass a checkpoint behind it.
func (c *cluster) pass(r *running) {
	c.t.Helper()
	for i := range 9 {
		c.put(r, registry.PoolName(fmt.Sprintf("pass-%d-%d", r.Self().Applied, i)))
	}
}

// TestAReplicaThatAppliedAnotherByteHalts, and never comes back; the others go
// on.
func TestAReplicaThatAppliedAnotherByteHalts(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	c.tampering(map[registry.ReplicaName]registry.Millis{"r2": 1})
	rs := c.startAll(3)
	bad := rs[1]
	c.pass(rs[0])
	c.eventually(20*time.Second, func() error { // a follower applies after the leader has answered
		for _, r := range rs {
			if len(r.Self().Checkpoints) == 0 {
				return fmt.Errorf("%s has passed no checkpoint", r.name)
			}
		}
		return nil
	})
	c.holds(6*time.Second, func() error { // a round of greetings
		for _, r := range rs {
			if len(r.halted) > 0 || r.Disagrees() {
				return fmt.Errorf("%s halted %d times, disagrees %t", r.name, len(r.halted), r.Disagrees())
			}
		}
		return nil
	})
	c.put(rs[0], "poison")
	c.pass(rs[0])
	err := c.haltOf(bad)
	for _, want := range []string{"replica r2", "r1, r3", "hash", registry.LeaveOffAdvice} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q says nothing of %q", err, want)
		}
	}
	c.kill(bad)
	if _, err := c.tryStart("r2", bad.api, []string{rs[0].api, bad.api, rs[2].api}); !errors.Is(err, registry.ErrConflict) || !strings.Contains(err.Error(), "refused before") {
		t.Errorf("it started again: %v", err)
	}
	c.leader()
	for _, r := range []*running{rs[0], rs[2]} {
		c.put(r, registry.PoolName("by-"+r.name))
		if len(r.halted) > 0 || r.Disagrees() {
			t.Errorf("%s halted %d times, disagrees %t", r.name, len(r.halted), r.Disagrees())
		}
	}
}

// TestNoMajorityAgrees: each says so, and all go on, for nobody knows who is
// right.
func TestNoMajorityAgrees(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	c.tampering(map[registry.ReplicaName]registry.Millis{"r2": 1, "r3": 2})
	rs := c.startAll(3)
	c.put(rs[0], "poison")
	c.pass(rs[0])
	c.eventually(20*time.Second, func() error {
		for _, r := range rs {
			if !r.Disagrees() {
				return fmt.Errorf("%s does not disagree", r.name)
			}
		}
		return nil
	})
	for _, r := range rs {
		c.put(r, registry.PoolName("by-"+r.name))
		if len(r.halted) > 0 {
			t.Errorf("%s halted: %v", r.name, <-r.halted)
		}
	}
}

// TestTheChainSurvivesARestart: a replica that comes back from its snapshot, and
// one that is sent one, pass the same checkpoints as the rest.
func TestTheChainSurvivesARestart(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	c.tune = func(o *replica.Options) {
		o.Tamper(8, nil)
		o.Compact(4, 1024)
	}
	rs := c.startAll(3)
	list := []string{rs[0].api, rs[1].api, rs[2].api}
	_, others := c.leader()
	again, sent := others[0], others[1]
	c.pass(rs[0])
	c.kill(sent)
	for range 3 {
		c.pass(again)
	}
	for _, r := range c.running() { // so that the log has nothing more for the one that is away
		if err := r.Raft().Snapshot().Error(); err != nil {
			t.Fatal(err)
		}
	}
	c.kill(again)
	again, sent = c.start(again.name, again.api, list), c.start(sent.name, sent.api, list)
	c.ready(again)
	c.ready(sent)
	c.pass(sent)
	c.eventually(20*time.Second, func() error {
		var want []registry.Checkpoint
		for _, r := range c.running() {
			checks := r.Self().Checkpoints
			if len(checks) == 0 {
				return fmt.Errorf("%s has passed no checkpoint", r.name)
			}
			if want = append(want, checks[len(checks)-1]); want[0] != want[len(want)-1] || want[0].From != 0 {
				return fmt.Errorf("%s is at %v, another at %v", r.name, want[len(want)-1], want[0])
			}
		}
		return nil
	})
}
