package replica_test

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rota-registry/rota/fsm/replica"
	"github.com/rota-registry/rota/registry"
)

// TestALeaderWithASlowDiskHandsOver to one whose disk is not; and when all are as
// slow, to nobody.
func TestALeaderWithASlowDiskHandsOver(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	slow := map[registry.ReplicaName]*atomic.Int64{"r1": {}, "r2": {}, "r3": {}}
	c.tune = func(o *replica.Options) {
		name := o.Name
		o.FailStore(func(call string) error {
			if call == "StoreLogs" {
				// It is the disk that takes this long; nobody waits for a condition.
				<-time.After(time.Duration(slow[name].Load()))
			}
			return nil
		}, 0)
		o.Timings = replica.Timings{Heartbeat: 2 * time.Second, Election: 2 * time.Second, Lease: 2 * time.Second}
	}
	c.startAll(3)
	leader, others := c.leader()
	i := 0
	write := func() {
		c.put(others[0], registry.PoolName(fmt.Sprintf("p%d", i%500)))
		i++
	}
	for _, s := range slow {
		s.Store(int64(500 * time.Millisecond)) // ten times what a busy disk takes
	}
	term := leader.Self().Term
	for began := time.Now(); time.Since(began) < 20*time.Second; write() {
		if g := leader.Self(); g.Role != "leader" || g.Term != term {
			t.Fatalf("all disks are as slow, and %s is %s in term %d", leader.name, g.Role, g.Term)
		}
	}
	for _, o := range others {
		slow[o.name].Store(0)
	}
	c.eventually(60*time.Second, func() error {
		write()
		for _, o := range others {
			if g := o.Self(); g.Role == "leader" && g.Ready {
				return nil
			}
		}
		return fmt.Errorf("%s leads on with a slow disk: %v", leader.name, leader.Self().AppendTime)
	})
}
