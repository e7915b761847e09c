package replica_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/rota-registry/rota/fsm"
	"github.com/rota-registry/rota/fsm/replica"
	"github.com/rota-registry/rota/registry"
)

// settled waits until nothing is being committed, and gives the index.
func (c *cluster) settled() (index registry.Index) {
	c.t.Helper()
	leader, _ := c.leader()
	var since time.Time
	c.eventually(20*time.Second, func() error {
		if now := leader.Self().Committed; now != index {
			index, since = now, time.Now()
		}
		if quiet := time.Since(since); quiet < time.Second {
			return fmt.Errorf("index %d is %s old", index, quiet)
		}
		return nil
	})
	return index
}

func node(name registry.NodeName, boot registry.BootID) registry.JoinNode {
	return registry.JoinNode{Name: name, Type: registry.Worker, Address: "127.0.0.1:9", Boot: boot}
}

// TestARefusalIsTheSameThroughAFollower: same code, same text, on the leader
// and on both followers, and none takes a place in the log.
func TestARefusalIsTheSameThroughAFollower(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	c.tune = calm
	c.startAll(3)
	leader, others := c.leader()
	c.put(leader, "there")
	c.sees(c.joined(others[0], "w", "0000000000000001"), true)
	c.settled()
	two := uint32(2)
	for _, tt := range []struct {
		cmd  registry.Command
		want error
	}{
		{registry.UnregisterPool{Name: "nothing"}, registry.ErrNotFound},
		{registry.RegisterPool{Spec: registry.Spec{Name: "there", NodeType: registry.Proxy}}, registry.ErrConflict},
		{registry.RegisterPool{Spec: registry.Spec{Name: "x", NodeType: registry.Proxy, MaxNodes: &two, Exclusive: true}, RequireNodes: true}, registry.ErrConflict},
		{registry.SetCursor{Pool: "there", Next: 99}, registry.ErrConflict},
		{node("w", "0000000000000002"), registry.ErrConflict},
		{registry.LeaveNode{Name: "w", Boot: "0000000000000002"}, registry.ErrConflict},
		{registry.DrainNode{Name: "nobody", Draining: true}, registry.ErrNotFound},
	} {
		_, first, want := leader.Propose(within(t, 5*time.Second), tt.cmd)
		if !errors.Is(want, tt.want) || first.Index == 0 {
			t.Errorf("%T at the leader: index %d, %v, want code %s", tt.cmd, first.Index, want, tt.want)
			continue
		}
		for _, r := range others {
			_, at, err := r.Propose(within(t, 5*time.Second), tt.cmd)
			if err == nil || err.Error() != want.Error() || registry.CodeOf(err) != registry.CodeOf(want) || at.Index != first.Index {
				t.Errorf("%T at %s: index %d, %v; the leader said %v at %d", tt.cmd, r.name, at.Index, err, want, first.Index)
			}
		}
	}
}

// TestBadInputNeverEntersTheLog: not by a follower, not by the leader, and not
// as forwarded bytes.
func TestBadInputNeverEntersTheLog(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	c.tune = calm
	rs := c.startAll(3)
	leader, _ := c.leader()
	before := c.settled()
	long := strings.Repeat("x", 300)
	for _, r := range rs {
		for _, cmd := range []registry.Command{
			registry.RegisterPool{Spec: registry.Spec{Name: "no good", NodeType: registry.Worker}},
			registry.RegisterPool{Spec: registry.Spec{Name: "good", NodeType: "manager"}},
			registry.UnregisterPool{Name: "worker"},
			registry.DeleteCursor{Pool: "worker", Key: long},
			registry.RoundRobin{Turns: []registry.Turn{{Pool: "worker", Count: registry.BatchAnswersMax + 1}}},
			node("n", "not-a-boot-id"),
			registry.SetReplica{Replica: registry.Replica{Name: "r1", StoreID: "short"}},
		} {
			if _, at, err := r.Propose(within(t, 5*time.Second), cmd); err == nil || at.Index != 0 || registry.CodeOf(err) == registry.OutcomeUnknown {
				t.Errorf("%T at %s: index %d, %v", cmd, r.name, at.Index, err)
			}
		}
		if _, _, err := r.Join(within(t, 5*time.Second), node("n", "not-a-boot-id")); !errors.Is(err, registry.ErrInvalid) {
			t.Errorf("join at %s: %v, want invalid", r.name, err)
		}
		for _, bytes := range []string{"", "x", long} {
			if _, _, err := r.Forward(within(t, 5*time.Second), []byte(bytes)); !errors.Is(err, registry.ErrInvalid) {
				t.Errorf("forward of %d bytes to %s: %v, want invalid", len(bytes), r.name, err)
			}
		}
		bad := registry.Greeting{Replica: registry.Replica{Name: "r2", StoreID: r.Self().StoreID[1:] + "0", API: long}}
		if _, err := r.Hello(t.Context(), bad); !errors.Is(err, registry.ErrInvalid) {
			t.Errorf("a malformed greeting to %s: %v, want invalid", r.name, err)
		}
	}
	if now := leader.Self().Committed; now != before {
		t.Errorf("the log has grown from index %d to %d", before, now)
	}
}

// TestUnavailableAndUnknownAreNotConfused: what a leader without its majority
// took into its log may yet be committed; what it never took was not done.
func TestUnavailableAndUnknownAreNotConfused(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	c.raft = newLinks(t)
	c.tune = func(o *replica.Options) {
		o.Timings = replica.Timings{Heartbeat: time.Second, Election: time.Second, Lease: time.Second}
	}
	c.startAll(3)
	leader, others := c.leader()
	for _, r := range others {
		c.raft.isolate(r.api)
	}
	c.set(func() {
		for _, r := range others {
			c.cut[r.api] = true
		}
	})
	spec := registry.Spec{Name: "in-the-log", NodeType: registry.Worker}
	if _, _, err := leader.Propose(within(t, 5*time.Second), registry.RegisterPool{Spec: spec}); !errors.Is(err, registry.ErrOutcomeUnknown) {
		t.Errorf("proposed, and leadership lost: %v, want outcome_unknown", err)
	}
	spec.Name = "nowhere"
	for _, r := range append(others, leader) {
		c.failsInTime(registry.ErrUnavailable, func(ctx context.Context) error {
			_, _, err := r.Propose(ctx, registry.RegisterPool{Spec: spec})
			return err
		})
		c.failsInTime(registry.ErrUnavailable, func(ctx context.Context) error {
			_, _, err := r.Read(ctx, registry.ReadOptions{})
			return err
		})
		if c.shows(r, "nowhere", registry.ReadOptions{Consistency: registry.Local}) {
			t.Errorf("%s shows what it refused", r.name)
		}
	}
	for _, r := range others {
		c.raft.rejoin(r.api)
	}
	c.set(func() { clear(c.cut) })
	c.put(others[0], "healed")
	for _, r := range append(others, leader) {
		if !c.shows(r, "healed", registry.ReadOptions{}) || c.shows(r, "nowhere", registry.ReadOptions{}) {
			t.Errorf("after the heal %s shows what was refused, or not what was acknowledged", r.name)
		}
	}
}

// failsInTime is for a call with a deadline of 500 ms that must fail with a
// code, not later than 1 s after it.
func (c *cluster) failsInTime(want error, call func(context.Context) error) {
	c.t.Helper()
	began := time.Now()
	err := call(within(c.t, 500*time.Millisecond))
	if took := time.Since(began); !errors.Is(err, want) || took > 1500*time.Millisecond {
		c.t.Errorf("after %s: %v, want %s within 1.5 s", took, err, want)
	}
}

// TestALeaderThatHangsCostsNoMoreThanTheDeadline: it takes calls and does not
// answer. A write that was sent is unknown, a read is not done; a reader with
// time left is answered when the leader is back, because asking again is safe.
func TestALeaderThatHangsCostsNoMoreThanTheDeadline(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	c.startAll(3)
	leader, others := c.leader()
	c.put(leader, "before")
	r := others[0]
	if !c.shows(r, "before", registry.ReadOptions{}) { // r knows what it is asked to remove
		t.Fatal("a follower does not show what the leader acknowledged")
	}
	c.set(func() { c.hung[leader.api] = true })
	c.failsInTime(registry.ErrOutcomeUnknown, func(ctx context.Context) error {
		_, _, err := r.Propose(ctx, registry.UnregisterPool{Name: "before"})
		return err
	})
	c.failsInTime(registry.ErrUnavailable, func(ctx context.Context) error {
		_, _, err := r.Read(ctx, registry.ReadOptions{})
		return err
	})
	c.failsInTime(registry.ErrUnavailable, func(ctx context.Context) error {
		_, _, err := r.Join(ctx, node("n", "0000000000000001"))
		return err
	})
	answered := make(chan error, 1)
	go func() {
		_, _, err := r.Read(within(t, 10*time.Second), registry.ReadOptions{})
		answered <- err
	}()
	c.holds(1500*time.Millisecond, func() error { // longer than one question to the leader takes
		select {
		case err := <-answered:
			return fmt.Errorf("the read ended while the leader hung: %w", err)
		default:
			return nil
		}
	})
	c.set(func() { delete(c.hung, leader.api) })
	if err := <-answered; err != nil {
		t.Errorf("the read after the leader came back: %v", err)
	}
	done, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := r.Propose(done, registry.UnregisterPool{Name: "before"}); !errors.Is(err, registry.ErrDeadline) {
		t.Errorf("a deadline that has passed already: %v, want deadline", err)
	}
	if !c.shows(r, "before", registry.ReadOptions{}) {
		t.Error("what was never looked at was done")
	}
}

// TestOnlyTheLeaderTakesForwards: a follower does not send them on, so that a
// command cannot go round.
func TestOnlyTheLeaderTakesForwards(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	c.startAll(3)
	_, others := c.leader()
	command, err := fsm.EncodeCommand(registry.UnregisterPool{Name: "nothing"})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range others {
		if _, _, err := r.Forward(within(t, 5*time.Second), command); !errors.Is(err, registry.ErrUnavailable) {
			t.Errorf("forward to the follower %s: %v, want unavailable", r.name, err)
		}
		if index, err := r.ReadIndex(within(t, 5*time.Second)); !errors.Is(err, registry.ErrUnavailable) {
			t.Errorf("read index of the follower %s: %d, %v, want unavailable", r.name, index, err)
		}
		if term, err := r.CurrentTerm(t.Context(), "somebody-else"); !errors.Is(err, registry.ErrConflict) {
			t.Errorf("the term of somebody else at %s: %d, %v, want conflict", r.name, term, err)
		}
	}
}
