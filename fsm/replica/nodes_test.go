package replica_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/rota-registry/rota/fsm/replica"
	"github.com/rota-registry/rota/gossip"
	"github.com/rota-registry/rota/registry"
)

// life is one life of a node: its gossip, and what it joins with.
type life struct {
	*gossip.Gossip
	join registry.JoinNode
}

// newLife starts the gossip of one life of a worker; it joins no cluster yet.
func (c *cluster) newLife(name registry.NodeName, boot registry.BootID) *life {
	c.t.Helper()
	return c.newLifeAs(name, boot, nil)
}

// newLifeAs does so with a configuration that tune has changed, unless it is nil.
func (c *cluster) newLifeAs(name registry.NodeName, boot registry.BootID, tune func(*gossip.Config)) *life {
	c.t.Helper()
	running := c.running()
	cfg := gossip.Config{
		Name: string(name), Boot: string(boot), Label: string(running[0].Self().ClusterID), Role: gossip.Node,
		Bind: "127.0.0.1:0", Profile: gossip.Local, Rejoin: 300 * time.Millisecond,
		Seeds: func() (seeds []string) {
			for _, r := range c.running() {
				seeds = append(seeds, r.Self().Gossip)
			}
			return seeds
		},
	}
	if tune != nil {
		tune(&cfg)
	}
	g, err := gossip.Start(cfg)
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() {
		if err := g.Close(); err != nil {
			c.t.Errorf("close %s: %v", name, err)
		}
	})
	return &life{g, registry.JoinNode{Name: name, Type: registry.Worker, Address: g.Addr(), Boot: boot}}
}

// joined starts a life and lets it join through a replica.
func (c *cluster) joined(r *running, name registry.NodeName, boot registry.BootID) *life {
	c.t.Helper()
	l := c.newLife(name, boot)
	if _, _, err := r.Join(within(c.t, 5*time.Second), l.join); err != nil {
		c.t.Fatalf("join of %s: %v", name, err)
	}
	return l
}

// die ends a life as kill -9 does: without a word.
func (l *life) die(t testing.TB) {
	t.Helper()
	if err := l.Close(); err != nil {
		t.Error(err)
	}
}

func (c *cluster) nodeAt(r *running, name registry.NodeName) (n registry.NodeInfo) {
	c.t.Helper()
	view, _, err := r.Read(within(c.t, 10*time.Second), registry.ReadOptions{})
	if err != nil {
		c.t.Fatalf("node %s at %s: %v", name, r.name, err)
	}
	n, _ = view.Node(name)
	return n
}

// becomes waits until a node is in a state, and gives its record.
func (c *cluster) becomes(r *running, name registry.NodeName, want registry.NodeState, limit time.Duration) (n registry.NodeInfo) {
	c.t.Helper()
	c.eventually(limit, func() error {
		if n = c.nodeAt(r, name); n.State != want {
			return fmt.Errorf("%s is %s (%s), want %s", name, n.State, n.Reason, want)
		}
		return nil
	})
	return n
}

// sees waits until every replica's gossip shows a life, or none does.
func (c *cluster) sees(l *life, want bool) {
	c.t.Helper()
	c.eventually(20*time.Second, func() error {
		for _, r := range c.running() {
			if got := shownAt(r, l.join.Name, l.join.Boot); got != want {
				return fmt.Errorf("%s sees %s: %v, want %v", r.name, l.join.Name, got, want)
			}
		}
		return nil
	})
}

// shownAt reports whether a replica's gossip shows a life.
func shownAt(r *running, name registry.NodeName, boot registry.BootID) bool {
	return r.SeesNodes(context.Background(), []registry.Life{{Name: name, Boot: boot}}, false)[0] == registry.Sees
}

// untouched holds when a node's record has not changed since it was was.
func (c *cluster) untouched(r *running, was registry.NodeInfo) func() error {
	return func() error {
		if n := c.nodeAt(r, was.Name); n.Since != was.Since || n.State != was.State || n.Boot != was.Boot {
			return fmt.Errorf("%s became %s (%s) at index %d, it was %s at %d", was.Name, n.State, n.Reason, n.Since, was.State, was.Since)
		}
		return nil
	}
}

const (
	bootA = registry.BootID("aaaaaaaaaaaaaaaa")
	bootB = registry.BootID("bbbbbbbbbbbbbbbb")
	bootC = registry.BootID("cccccccccccccccc")
)

// errLost is when gossip no longer shows a life that a test needs it to show still.
var errLost = errors.New("gossip had lost the life already")

// deathMax is how long gossip takes to report a death among n members, and three
// seconds for the commit on a busy machine.
func deathMax(n int) time.Duration {
	return gossip.Local.Suspicion(n) + gossip.Local.Rumor(n) + 3*time.Second
}

// TestALifeFromJoinToDeath: a node that joined is alive at once on every
// replica and is told how to reach them; it stays alive, and the log quiet,
// while gossip shows it; its silent death makes it failed in time; a node that
// the layout does not know changes nothing.
func TestALifeFromJoinToDeath(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	rs := c.startAll(3)
	w := c.newLife("w", bootA)
	told, at, err := rs[1].Join(within(t, 5*time.Second), w.join)
	if err != nil || len(told.Seeds) != 3 || len(told.Servers) != 3 || told.ClusterID != rs[0].Self().ClusterID || at.Index == 0 {
		t.Fatalf("join: %+v at %+v: %v", told, at, err)
	}
	stranger := c.newLife("stranger", bootB)
	c.sees(w, true)
	c.sees(stranger, true)
	was := c.becomes(rs[0], "w", registry.Alive, 5*time.Second)
	if again, at2, err := rs[2].Join(within(t, 5*time.Second), w.join); err != nil || at2.Index < at.Index || len(again.Seeds) != 3 {
		t.Errorf("joining again: %+v at %+v: %v", again, at2, err)
	}
	quiet := c.settled()
	c.holds(3*time.Second, func() error {
		if now := rs[0].Self().Committed; now != quiet {
			return fmt.Errorf("the idle log has grown from %d to %d", quiet, now)
		}
		return c.untouched(rs[0], was)()
	})
	if n := c.nodeAt(rs[0], "stranger"); n.Name != "" {
		t.Errorf("gossip alone has put %+v into the layout", n)
	}

	w.die(t)
	for _, r := range rs {
		if n := c.becomes(r, "w", registry.Failed, deathMax(5)); n.Reason != "lost by gossip" || n.Boot != bootA {
			t.Errorf("%s has %+v", r.name, n)
		}
	}
}

// TestAStaticNodeFollowsGossip: it was added without a process; it is failed
// until gossip shows one of its name, then alive, then failed again.
func TestAStaticNodeFollowsGossip(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	rs := c.startAll(3)
	if _, _, err := rs[2].Propose(within(t, 5*time.Second), registry.AddNode{Name: "s", Type: registry.Worker}); err != nil {
		t.Fatal(err)
	}
	if n := c.becomes(rs[0], "s", registry.Failed, 5*time.Second); n.Reason != registry.NeverSeen {
		t.Errorf("an added node is failed because %q", n.Reason)
	}
	s := c.newLife("s", bootA)
	if n := c.becomes(rs[0], "s", registry.Alive, 5*time.Second); n.Boot != bootA || !n.Static {
		t.Errorf("seen by gossip it is %+v", n)
	}
	c.sees(s, true)
	s.die(t)
	c.becomes(rs[0], "s", registry.Failed, 2*deathMax(4)) // the leader may still warm up
}

// TestAGoodbyeIsTheLogs: who leaves gossip alone is failed, because memberlist
// cannot tell a goodbye from a death; LeaveNode makes left, for that life for
// ever, also while gossip shows it.
func TestAGoodbyeIsTheLogs(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	rs := c.startAll(3)
	polite, quits := c.joined(rs[0], "polite", bootA), c.joined(rs[1], "quits", bootB)
	c.sees(polite, true)
	c.sees(quits, true)
	if err := polite.Leave(within(t, 5*time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, _, err := rs[2].Propose(within(t, 5*time.Second), registry.LeaveNode{Name: "quits", Boot: bootB, Reason: "stopped"}); err != nil {
		t.Fatal(err)
	}
	left := c.becomes(rs[0], "quits", registry.Left, time.Second)
	c.becomes(rs[0], "polite", registry.Failed, 20*time.Second)
	c.holds(time.Second, c.untouched(rs[0], left)) // gossip shows it still
	if _, _, err := rs[0].Join(within(t, 5*time.Second), quits.join); !errors.Is(err, registry.ErrConflict) {
		t.Errorf("the life that left joins again: %v, want conflict", err)
	}
	quits.die(t)
	c.joined(rs[0], "quits", bootC)
	c.becomes(rs[0], "quits", registry.Alive, time.Second)
}

// TestARestartedNodeIsTakenAtOnce: same name, new life, new address, while
// gossip still holds the old one for alive; nothing takes it back when gossip
// finds out. A second living one is refused, with both addresses.
func TestARestartedNodeIsTakenAtOnce(t *testing.T) {
	t.Parallel()
	again(t, func(t *testing.T, c *cluster) error {
		rs := c.startAll(3)
		first := c.joined(rs[0], "w", bootA)
		c.sees(first, true)
		first.die(t)
		began := time.Now()
		second := c.joined(rs[1], "w", bootB)
		took := time.Since(began)
		if !shownAt(rs[0], "w", bootA) {
			return fmt.Errorf("%w; the new life was taken after %s", errLost, took)
		}
		if took > 2*time.Second {
			t.Errorf("the new life was taken after %s", took)
		}
		n := c.becomes(rs[2], "w", registry.Alive, time.Second)
		if n.Boot != bootB || n.Address != second.Addr() {
			t.Errorf("the layout has %s at %s, want %s at %s", n.Boot, n.Address, bootB, second.Addr())
		}
		third := c.newLife("w", bootC)
		for _, r := range rs {
			_, _, err := r.Join(within(t, 5*time.Second), third.join)
			if !errors.Is(err, registry.ErrConflict) || !strings.Contains(err.Error(), second.Addr()) || !strings.Contains(err.Error(), third.Addr()) {
				t.Errorf("a second living one at %s: %v, want a conflict with %s and %s", r.name, err, second.Addr(), third.Addr())
			}
		}
		if _, _, err := rs[0].Join(within(t, 5*time.Second), first.join); !errors.Is(err, registry.ErrConflict) {
			t.Errorf("the replaced life joins again: %v, want conflict", err)
		}
		third.die(t)
		c.sees(first, false)
		c.sees(second, true)
		if err := c.untouched(rs[2], n)(); err != nil {
			t.Error(err)
		}
		return nil
	})
}

// TestAPortThatIsTakenIsNoDeath: the life on record is silent, and something takes
// connections where it was; it may be that life, with UDP lost or standing still. While
// gossip shows it, a newcomer elsewhere is told to ask again, at every replica; not a
// newcomer there, however it spells the address, which has that port itself.
func TestAPortThatIsTakenIsNoDeath(t *testing.T) {
	t.Parallel()
	again(t, func(t *testing.T, c *cluster) error {
		rs := c.startAll(3)
		w := c.joined(rs[0], "w", bootA)
		c.sees(w, true)
		w.die(t)
		taken, err := net.Listen("tcp", w.Addr())
		if err != nil {
			return err // somebody was faster
		}
		defer taken.Close()
		there := registry.JoinNode{Name: "w", Type: registry.Worker, Address: strings.Replace(w.Addr(), "127.0.0.1", "localhost", 1), Boot: bootB}
		elsewhere := registry.JoinNode{Name: "w", Type: registry.Worker, Address: "127.0.0.1:9", Boot: bootC}
		for _, r := range rs {
			_, _, err := r.Join(within(t, 5*time.Second), elsewhere)
			if !shownAt(r, "w", bootA) {
				return errLost
			}
			if !errors.Is(err, registry.ErrUnavailable) || !strings.Contains(err.Error(), w.Addr()) {
				t.Errorf("a newcomer elsewhere at %s: %v, want unavailable, and where the life may be", r.name, err)
			}
		}
		if _, _, err := rs[0].Join(within(t, 5*time.Second), there); err != nil {
			t.Errorf("a newcomer at the same address: %v", err)
		}
		return nil
	})
}

// TestWhoGossipShowsAndNobodyCanAsk is not displaced: a newcomer is told to ask
// again until gossip has lost the life. (The replicas gossip over IPv4 alone.) Whom
// gossip does not show is displaced at once.
func TestWhoGossipShowsAndNobodyCanAsk(t *testing.T) {
	t.Parallel()
	again(t, func(t *testing.T, c *cluster) error {
		rs := c.startAll(3)
		const unreachable = "[fd00::1]:7702"
		w := c.newLifeAs("w", bootA, func(cfg *gossip.Config) { cfg.Advertise = unreachable })
		if _, _, err := rs[0].Join(within(t, 5*time.Second), w.join); err != nil {
			t.Fatal(err)
		}
		newcomer := registry.JoinNode{Name: "w", Type: registry.Worker, Address: "127.0.0.1:9", Boot: bootB}
		ghost := registry.JoinNode{Name: "ghost", Type: registry.Worker, Address: unreachable, Boot: bootA}
		for _, boot := range []registry.BootID{bootA, bootB} {
			ghost.Boot = boot
			if _, _, err := rs[0].Join(within(t, 5*time.Second), ghost); err != nil {
				t.Errorf("life %s of a node that gossip never showed: %v", boot, err)
			}
		}
		c.eventually(20*time.Second, func() error {
			if !shownAt(rs[0], "w", bootA) {
				return errors.New("gossip does not show it")
			}
			return nil
		})
		_, _, err := rs[0].Join(within(t, 5*time.Second), newcomer)
		if !shownAt(rs[0], "w", bootA) {
			return errLost
		}
		if !errors.Is(err, registry.ErrUnavailable) || !strings.Contains(err.Error(), unreachable) {
			t.Errorf("the newcomer got %v, want unavailable, and where the life may be", err)
		}
		w.die(t)
		c.eventually(20*time.Second, func() error {
			_, _, err := rs[0].Join(within(t, 5*time.Second), newcomer)
			return err
		})
		return nil
	})
}

// TestANewLeaderDeclaresNobodyFailed that lives: neither the next leader, nor
// the first one after all replicas came back on new addresses, whose gossip
// shows nobody at first.
func TestANewLeaderDeclaresNobodyFailed(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	rs := c.startAll(3)
	w := c.joined(rs[0], "w", bootA)
	c.sees(w, true)
	was := c.nodeAt(rs[0], "w")

	leader, others := c.leader()
	c.kill(leader)
	c.put(others[0], "next-leader")
	c.holds(time.Second, c.untouched(others[0], was))
	for _, r := range others {
		c.kill(r)
	}
	list := addresses(t, 3)
	for i := range rs {
		rs[i] = c.start(rs[i].name, list[i], list)
	}
	for _, r := range rs {
		c.ready(r)
	}
	c.holds(2*gossip.Local.Suspicion(4)+time.Second, c.untouched(rs[0], was)) // the warm-up, and beyond
	c.sees(w, true)
	w.die(t)
	c.becomes(rs[0], "w", registry.Failed, deathMax(4))
}

func nodeName(i int) registry.NodeName { return registry.NodeName(fmt.Sprintf("w%d", i)) }
func bootID(i int) registry.BootID     { return registry.BootID(fmt.Sprintf("%016x", i)) }

// TestManyJoinAtOnce through all replicas, each is admitted, and one pool shows
// them all.
func TestManyJoinAtOnce(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	rs := c.startAll(3)
	const many = 30
	faults := make(chan error, many)
	for i := range many {
		go func() {
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			_, _, err := rs[i%3].Join(ctx, node(nodeName(i), bootID(i)))
			faults <- err
		}()
	}
	for range many {
		if err := <-faults; err != nil {
			t.Error(err)
		}
	}
	for _, r := range rs {
		view, _, err := r.Read(within(t, 5*time.Second), registry.ReadOptions{})
		if err != nil {
			t.Errorf("%s: %v", r.name, err)
			continue
		}
		// Gossip shows none of them: how many are alive is a matter of time.
		if p, err := view.Pool("worker"); err != nil || len(p.Members) != many {
			t.Errorf("%s shows %d members, want %d: %v", r.name, len(p.Members), many, err)
		}
		for i := range many {
			if n, err := view.Node(nodeName(i)); err != nil || n.Boot != bootID(i) {
				t.Errorf("%s has %+v of node %d, want the life that joined: %v", r.name, n, i, err)
			}
		}
	}
}

// TestOnlyWhatHappenedToNodesIsSaid: of a report that comes late for some of its
// nodes, the log names the others alone.
func TestOnlyWhatHappenedToNodesIsSaid(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	said := &logBuffer{}
	c.tune = func(o *replica.Options) {
		o.Logger = hclog.New(&hclog.LoggerOptions{Level: hclog.Info, Output: said})
	}
	r := c.startAll(1)[0]
	late := registry.ReportLiveness{By: "r1"}
	for _, name := range []registry.NodeName{"w-1", "w-2", "w-3"} {
		join := registry.JoinNode{Name: name, Type: registry.Worker, Address: "127.0.0.1:1", Boot: "00000000000000a1"}
		_, at, err := r.Propose(within(t, 10*time.Second), join)
		if err != nil {
			t.Fatal(err)
		}
		late.Changes = append(late.Changes, registry.Liveness{Name: name, Boot: join.Boot, State: registry.Failed, Since: at.Index, Reason: "told late"})
	}
	late.Changes[0].Since--                    // its record has changed since
	late.Changes[2].State = registry.Forgotten // too early
	r.Report(late)
	if s := said.String(); strings.Count(s, "told late") != 1 || !strings.Contains(s, "node is failed: node=w-2") {
		t.Errorf("it said %q, want that w-2 is failed, and of w-1 and w-3 nothing", s)
	}
}
