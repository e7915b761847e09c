package replica_test

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/raft"
	"github.com/rota-registry/rota/registry"
)

// TestStepDownHandsOver: another one leads before anybody missed the old one,
// who is not ready any more; who belongs to the cluster is what it was.
func TestStepDownHandsOver(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	c.startAll(3)
	old, others := c.leader()
	c.put(old, "before")
	began := time.Now()
	old.StepDown(within(t, 5*time.Second))
	c.eventually(10*time.Second, func() error {
		for _, r := range others {
			if g := r.Self(); g.Role == "leader" && g.Leader == r.name {
				return nil
			}
		}
		return errors.New("nobody else leads")
	})
	t.Logf("handed over in %s", time.Since(began))
	if g := old.Self(); g.Ready || g.Role == "leader" || !strings.Contains(g.NotReadyReason, "stopping") {
		t.Errorf("the old leader is %s, ready %v: %q", g.Role, g.Ready, g.NotReadyReason)
	}
	if _, _, err := old.Propose(within(t, 5*time.Second), registry.UnregisterPool{Name: "before"}); err != nil {
		t.Errorf("a write at the old leader while it drains: %v", err)
	}
	c.kill(old)
	for _, r := range others {
		c.put(r, registry.PoolName("by-"+r.name))
		for _, g := range r.Status(within(t, 5*time.Second)).Replicas {
			if !r.hasVoter(g.Name) {
				t.Errorf("%s is no voter any more", g.Name)
			}
		}
		if n := len(r.Raft().GetConfiguration().Configuration().Servers); n != 3 {
			t.Errorf("the configuration has %d replicas, it had 3", n)
		}
	}
}

// TestAStoppingReplicaThatIsElectedHandsOver: it drains for seconds, and would
// keep the cluster from writing if it were elected meanwhile.
func TestAStoppingReplicaThatIsElectedHandsOver(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	c.startAll(3)
	leader, others := c.leader()
	stopping := others[0]
	stopping.StepDown(within(t, 5*time.Second))
	to := stopping.Self()
	if err := leader.Raft().LeadershipTransferToServer(raft.ServerID(to.Name), raft.ServerAddress(to.Raft)).Error(); err != nil {
		t.Fatal(err)
	}
	for _, r := range others[1:] {
		c.put(r, registry.PoolName("by-"+r.name))
	}
	c.eventually(10*time.Second, func() error {
		if g := stopping.Self(); g.Role == "leader" || g.Leader == "" || g.Leader == g.Name {
			return fmt.Errorf("%s is stopping, and a %s; %q leads", g.Name, g.Role, g.Leader)
		}
		return nil
	})
}

func (r *running) hasVoter(name registry.ReplicaName) bool {
	for _, s := range r.Raft().GetConfiguration().Configuration().Servers {
		if registry.ReplicaName(s.ID) == name {
			return true
		}
	}
	return false
}

// TestStepDownOfALoneReplica does not wait for a successor that cannot be.
func TestStepDownOfALoneReplica(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	r := c.start("one", freePort(t), nil)
	c.ready(r)
	began := time.Now()
	r.StepDown(within(t, 20*time.Second))
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("it took %s", took)
	}
}

// TestCloseAtAnyTime: a replica is closed while it starts, again and from many
// sides; each Close returns the same, when all has ended, and the directory is
// free for the next.
func TestCloseAtAnyTime(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	api := freePort(t)
	for i := range 12 {
		r := c.start("one", api, nil)
		if i%2 == 0 {
			c.eventually(10*time.Second, func() error { // as early as there is something to end
				if r.Raft() == nil && i%4 == 0 {
					return errors.New("no Raft yet")
				}
				return nil
			})
		}
		var wg sync.WaitGroup
		for range 3 {
			wg.Go(func() {
				if err := r.Close(); err != nil {
					t.Errorf("close %d: %v", i, err)
				}
				if _, _, err := r.Read(t.Context(), registry.ReadOptions{}); !errors.Is(err, registry.ErrUnavailable) {
					t.Errorf("read after close %d: %v, want unavailable", i, err)
				}
			})
		}
		wg.Wait()
	}
	r := c.start("one", api, nil)
	c.ready(r)
}

// TestCloseLeavesNoGoroutine, though it comes in the middle of reads and
// writes, which all end. It does not run beside others: their goroutines would
// count.
func TestCloseLeavesNoGoroutine(t *testing.T) {
	c := newCluster(t)
	rs := c.startAll(3)
	var users sync.WaitGroup
	for _, r := range rs {
		users.Go(func() {
			for i := 0; ; i++ {
				_, _, err := r.Propose(within(t, 3*time.Second), registry.RoundRobin{Turns: []registry.Turn{{Pool: "worker", Count: 1}}})
				if _, _, also := r.Read(within(t, 3*time.Second), registry.ReadOptions{}); err != nil && also != nil {
					return
				}
			}
		})
	}
	leader, others := c.leader()
	c.put(others[0], "in-the-middle")
	for _, r := range append(others, leader) {
		c.kill(r)
	}
	users.Wait()
	c.eventually(10*time.Second, func() error {
		if left := ofReplicas(); len(left) > 0 {
			return fmt.Errorf("%d goroutines are left:\n%s", len(left), strings.Join(left, "\n\n"))
		}
		return nil
	})
}

// ofReplicas gives the stacks of goroutines that are in a replica, Raft, gossip
// or the store, or were started there; not those of tests.
func ofReplicas() (stacks []string) {
	b := make([]byte, 4<<20)
	for _, stack := range strings.Split(string(b[:runtime.Stack(b, true)]), "\n\n") {
		if strings.Contains(stack, "created by testing.") || strings.Contains(stack, "testing.(*M).Run") {
			continue
		}
		for _, by := range []string{"rota/fsm/replica.", "rota/gossip.", "hashicorp/raft", "hashicorp/memberlist", "bbolt"} {
			if strings.Contains(stack, by) {
				stacks = append(stacks, stack)
				break
			}
		}
	}
	return stacks
}
