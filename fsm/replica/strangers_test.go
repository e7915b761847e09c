package replica_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/rota-registry/rota/registry"
)

func storeID(n int) registry.StoreID { return registry.StoreID(fmt.Sprintf("%032x", n)) }

// TestStrangersAreNotRemembered: whoever says hello under an invented name is
// answered, and neither kept, nor greeted, nor told to nodes.
func TestStrangersAreNotRemembered(t *testing.T) {
	c := newCluster(t)
	rs := c.startAll(3)
	for i := range 2 * registry.ReplicasMax {
		invented := registry.Replica{Name: registry.ReplicaName(fmt.Sprintf("evil-%d", i)), StoreID: storeID(i + 1), API: "127.0.0.1:1", Raft: "127.0.0.1:2", Gossip: "127.0.0.1:3"}
		answer, err := rs[0].Hello(t.Context(), registry.Greeting{Replica: invented})
		if err != nil || len(answer.Roster) != 3 {
			t.Fatalf("the stranger is told of %d replicas, want the cluster's 3: %v", len(answer.Roster), err)
		}
	}
	node := registry.JoinNode{Name: "worker-1", Type: registry.Worker, Address: "127.0.0.1:9", Boot: "0123456789abcdef"}
	admission, _, err := rs[0].Join(within(t, 5*time.Second), node)
	if err != nil || len(admission.Servers) != 3 || len(admission.Seeds) != 3 {
		t.Errorf("a node is told of servers %v and seeds %v, want those of 3 replicas: %v", admission.Servers, admission.Seeds, err)
	}
	if s := rs[0].Status(within(t, 5*time.Second)); len(s.Replicas) != 3 {
		t.Errorf("status shows %d replicas", len(s.Replicas))
	}
}

// TestListsThatDifferFoundNothing: three replicas whose lists overlap in one of
// them must not found two clusters; each says whose list differs.
func TestListsThatDifferFoundNothing(t *testing.T) {
	c := newCluster(t)
	a := addresses(t, 3)
	r1 := c.start("r1", a[0], []string{a[0], a[2]})
	r2 := c.start("r2", a[1], []string{a[1], a[2]})
	r3 := c.start("r3", a[2], a)
	for _, r := range []*running{r1, r2, r3} {
		c.eventually(10*time.Second, func() error {
			if why := r.Self().NotReadyReason; !strings.Contains(why, "the same --replicas") {
				return fmt.Errorf("%s says %q", r.name, why)
			}
			return nil
		})
	}
	c.holds(2*time.Second, func() error {
		for _, r := range []*running{r1, r2, r3} {
			if g := r.Self(); len(g.Roster) > 0 || g.Role != "waiting" {
				return fmt.Errorf("%s founded something: %+v", r.name, g)
			}
		}
		return nil
	})
}

// TestRefusalsStayOutOfTheLog: what the state refuses is refused before it is
// proposed, on the leader and on a follower.
func TestRefusalsStayOutOfTheLog(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	c.tune = calm
	c.startAll(3)
	leader, others := c.leader()
	c.put(leader, "p")
	if _, _, err := leader.Propose(within(t, 5*time.Second), registry.AddNode{Name: "n", Type: registry.Worker}); err != nil {
		t.Fatal(err)
	}
	c.settled()
	two := uint32(2)
	for _, refused := range []struct {
		cmd  registry.Command
		code registry.Code
	}{
		{registry.RoundRobin{Turns: []registry.Turn{{Pool: "nope", Count: 1}}}, registry.NotFound},
		{registry.RegisterPool{Spec: registry.Spec{Name: "p", NodeType: registry.Proxy}}, registry.Conflict},
		{registry.RegisterPool{Spec: registry.Spec{Name: "q", NodeType: registry.Worker, MaxNodes: &two, Exclusive: true}, RequireNodes: true}, registry.Conflict},
		{registry.UnregisterPool{Name: "nope"}, registry.NotFound},
		{registry.SetCursor{Pool: "p", Next: 7}, registry.Conflict},
		{registry.DeleteCursor{Pool: "p", Key: "unused"}, registry.NotFound},
		{registry.DrainNode{Name: "nobody", Draining: true}, registry.NotFound},
		{registry.ForgetNode{Name: "nobody"}, registry.NotFound},
		{registry.AddNode{Name: "n", Type: registry.Proxy}, registry.Conflict},
	} {
		for _, r := range []*running{leader, others[0]} {
			before := leader.Self().Committed
			_, _, err := r.Propose(within(t, 5*time.Second), refused.cmd)
			if registry.CodeOf(err) != refused.code {
				t.Errorf("%T at %s: %v, want %v", refused.cmd, r.name, err, refused.code)
			}
			if after := leader.Self().Committed; after != before {
				t.Errorf("%T at %s entered the log: committed %d, then %d", refused.cmd, r.name, before, after)
			}
		}
	}
}
