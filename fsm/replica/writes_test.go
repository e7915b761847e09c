package replica_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rota-registry/rota/registry"
)

// given is what one request came to.
type given struct {
	err  error
	at   registry.Position
	took time.Duration
	registry.TurnResult
}

// turn asks a replica for one turn, with a deadline.
func (r *running) turn(deadline time.Duration, t registry.Turn) (g given) {
	ctx, cancel := context.WithTimeout(context.Background(), deadline)
	defer cancel()
	began := time.Now()
	res, at, err := r.Propose(ctx, registry.RoundRobin{Turns: []registry.Turn{t}})
	g = given{err: err, at: at, took: time.Since(began)}
	if err == nil {
		g.TurnResult = res.Turns[0]
	}
	return g
}

// workers joins n live workers, and gives their names in the pool's order.
func (c *cluster) workers(n int) (names []registry.NodeName) {
	c.t.Helper()
	r := c.running()[0]
	for i := range n {
		c.joined(r, nodeName(i+1), bootID(i+1))
	}
	c.eventually(20*time.Second, func() error {
		names = nil
		view, _, err := r.Read(within(c.t, 5*time.Second), registry.ReadOptions{})
		if err != nil {
			return err
		}
		pool, err := view.Pool("worker")
		for _, m := range pool.Members {
			names = append(names, m.Name)
		}
		if err != nil || pool.EligibleCount != n {
			return fmt.Errorf("%d of %d workers: %w", pool.EligibleCount, n, err)
		}
		return nil
	})
	return names
}

// TestAThousandTurnsAreOneRotation: a thousand requests of one to three
// answers, at once, at three replicas, take far fewer entries, and what these
// answered, in the log's order, is the rotation without a repeat or a gap.
func TestAThousandTurnsAreOneRotation(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	rs := c.startAll(3)
	names := c.workers(4)
	leader, _ := c.leader()
	before := c.settled()
	answers := make([]given, 1000)
	var wg sync.WaitGroup
	for i := range answers {
		wg.Go(func() {
			answers[i] = rs[i%3].turn(10*time.Second, registry.Turn{Pool: "worker", Key: "k", Count: 1 + i%3})
		})
	}
	wg.Wait()
	if grown := leader.Self().Committed - before; grown > 250 {
		t.Errorf("1,000 requests took %d entries", grown)
	}
	entries := map[registry.Index][]given{}
	for i, g := range answers {
		if g.err != nil || len(g.Answers) != 1+i%3 {
			t.Fatalf("request %d: %d answers, %v", i, len(g.Answers), g.err)
		}
		entries[g.at.Index] = append(entries[g.at.Index], g)
	}
	next := c.oneRotation(entries, names)
	for _, r := range rs {
		if stands := c.cursors(r)["k"]; stands != next {
			t.Errorf("%s: the cursor stands at %d, want %d", r.name, stands, next)
		}
	}
}

// oneRotation holds the answers of each entry against the stretch of the
// rotation that was its turn, and gives who is next after the last.
func (c *cluster) oneRotation(entries map[registry.Index][]given, names []registry.NodeName) (next int) {
	c.t.Helper()
	var indices []registry.Index
	for index := range entries {
		indices = append(indices, index)
	}
	slices.Sort(indices)
	for _, index := range indices {
		count := make([]int, len(names))
		for _, g := range entries[index] {
			first := slices.Index(names, g.Answers[0].Node)
			for i, a := range g.Answers {
				if want := names[(first+i)%len(names)]; a.Node != want {
					c.t.Fatalf("entry %d: one request got %v, which is not in rotation", index, g.Answers)
				}
				count[(first+i)%len(names)]++
			}
		}
		for _, g := range entries[index] {
			for range g.Answers {
				count[next]--
				next = (next + 1) % len(names)
			}
		}
		if slices.ContainsFunc(count, func(n int) bool { return n != 0 }) {
			c.t.Fatalf("entry %d: more or fewer answers than the rotation has: %v", index, count)
		}
	}
	return next
}

// cursors reads where the cursors of the pool worker stand, by key.
func (c *cluster) cursors(r *running) map[string]int {
	c.t.Helper()
	out := map[string]int{}
	cursors, _, _, err := r.Cursors(within(c.t, 10*time.Second), registry.ReadOptions{}, "worker")
	for _, cur := range cursors {
		out[cur.Key] = cur.Next
	}
	if err != nil {
		c.t.Fatalf("cursors at %s: %v", r.name, err)
	}
	return out
}

// storm asks three replicas, from many callers and each time for a cursor of
// its own, until told to stop; it gives what each key came to.
func storm(rs []*running, stop <-chan struct{}, answered *atomic.Int64) map[string]given {
	var mu sync.Mutex
	all := map[string]given{}
	var wg sync.WaitGroup
	for caller := range 120 {
		wg.Go(func() {
			for i := 0; ; i++ {
				key := fmt.Sprintf("%d-%d", caller, i)
				g := rs[caller%len(rs)].turn(8*time.Second, registry.Turn{Pool: "worker", Key: key, Count: 1})
				mu.Lock()
				all[key] = g
				mu.Unlock()
				if g.err == nil {
					answered.Add(1)
				}
				select {
				case <-stop:
					return
				default:
				}
				if errors.Is(g.err, registry.ErrUnavailable) && g.took < time.Second {
					return // its replica is closed
				}
			}
		})
	}
	wg.Wait()
	return all
}

// TestTheLeaderDiesInAStorm: every request is answered in time, and its answer
// is true: done is done once, not done is not done, and only what was on its
// way is unknown.
func TestTheLeaderDiesInAStorm(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	disks := c.onDisks("StoreLogs", 0)
	rs := c.startAll(3)
	c.workers(2)
	leader, others := c.leader()
	stop := make(chan struct{})
	result := make(chan map[string]given, 1)
	var answered atomic.Int64
	go func() { result <- storm(rs, stop, &answered) }()
	more := func(n int64) {
		from := answered.Load()
		c.eventually(20*time.Second, func() error {
			if now := answered.Load(); now < from+n {
				return fmt.Errorf("%d answers since, want %d", now-from, n)
			}
			return nil
		})
	}
	more(500)
	hold := make(chan struct{}) // no entry is stored by another one, until the leader is gone
	for _, other := range others {
		disks[other.name].hang.Store(&hold)
	}
	c.eventually(5*time.Second, func() error {
		for _, other := range others {
			if disks[other.name].held.Load() == 0 {
				return fmt.Errorf("no entry is on its way to %s", other.name)
			}
		}
		if leader.Flying() == 0 {
			return errors.New("no batch is on its way")
		}
		return nil
	})
	c.kill(leader)
	for _, other := range others {
		disks[other.name].hang.Store(nil)
	}
	close(hold)
	more(500)
	close(stop)
	heard := <-result
	codes := map[string]int{}
	done := c.cursors(others[0])
	for key, g := range heard {
		if g.took > 9*time.Second {
			t.Errorf("%s took %s", key, g.took)
		}
		code := "done"
		if g.err != nil {
			code = registry.CodeOf(g.err).String()
		}
		codes[code]++
		_, moved := done[key]
		switch code {
		case "done", registry.Unavailable.String(), registry.Deadline.String():
			if moved != (code == "done") {
				t.Errorf("%s heard %s (%v), and its cursor moved: %v", key, code, g.err, moved)
			}
		case registry.OutcomeUnknown.String():
		default:
			t.Errorf("%s: %v", key, g.err)
		}
	}
	t.Logf("what they heard: %v", codes)
	if codes[registry.OutcomeUnknown.String()] == 0 {
		t.Error("no batch was on its way when the leader died: this shows nothing")
	}
}

// waits waits until n round-robin requests are unanswered at a replica.
func (c *cluster) waits(r *running, n int) {
	c.t.Helper()
	c.eventually(5*time.Second, func() error {
		if now := r.Waiting(); now != n {
			return fmt.Errorf("%d requests wait at %s, want %d", now, r.name, n)
		}
		return nil
	})
}

// TestAFullReplicaRefusesAtOnce: the leader is cut off, or hangs, and as many
// wait at a follower as may. One more is refused at once; each who waits is
// told at its deadline, and when the leader is back, turns are taken again.
func TestAFullReplicaRefusesAtOnce(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	c.startAll(3)
	leader, others := c.leader()
	c.set(func() { c.cut[leader.api] = true })
	c.full(others[0], registry.ErrUnavailable)
	c.set(func() { delete(c.cut, leader.api) })
	c.takesTurns(others[0])
	c.set(func() { c.hung[leader.api] = true })
	c.full(others[0], registry.ErrOutcomeUnknown, registry.ErrDeadline)
	c.set(func() { delete(c.hung, leader.api) })
	c.takesTurns(others[0])
}

// full fills the queue of a replica that reaches no leader, and holds what some
// who wait there are told at their deadline against what it may be. The others
// wait as long as they may, and ask again, so that it is full however long it
// takes to fill it.
func (c *cluster) full(r *running, may ...error) {
	c.t.Helper()
	const deadline = 3 * time.Second
	turn := registry.Turn{Pool: "worker", Count: 1}
	told := make([]given, 32)
	var waiting, filling sync.WaitGroup
	for i := range told {
		waiting.Go(func() { told[i] = r.turn(deadline, turn) })
	}
	ctx, leave := context.WithCancel(c.t.Context())
	for range registry.WaitingMax + 8 {
		filling.Go(func() {
			for ctx.Err() == nil {
				if _, _, err := r.Propose(ctx, registry.RoundRobin{Turns: []registry.Turn{turn}}); errors.Is(err, registry.ErrOverloaded) {
					<-time.After(20 * time.Millisecond) // some are too many
				}
			}
		})
	}
	c.eventually(30*time.Second, func() error {
		if n := r.Waiting(); n != registry.WaitingMax {
			return fmt.Errorf("%d requests wait, want %d", n, registry.WaitingMax)
		}
		g := r.turn(100*time.Millisecond, turn)
		if !errors.Is(g.err, registry.ErrOverloaded) || g.took > 500*time.Millisecond {
			return fmt.Errorf("one too many after %s: %w, want overloaded at once", g.took, g.err)
		}
		return nil
	})
	waiting.Wait() // before the others go: eight thousand at once are a storm of their own
	leave()
	filling.Wait()
	for i, g := range told {
		is := func(want error) bool { return errors.Is(g.err, want) }
		if !slices.ContainsFunc(may, is) || g.took > 2*deadline {
			c.t.Fatalf("request %d after %s: %v, want one of %v", i, g.took, g.err, may)
		}
	}
}

func (c *cluster) takesTurns(r *running) {
	c.t.Helper()
	if g := r.turn(5*time.Second, registry.Turn{Pool: "worker", Count: 1}); g.err != nil {
		c.t.Errorf("after %s, with the leader back: %v", g.took, g.err)
	}
}

// TestATurnEndsAtItsDeadline, with what is known: without a leader to be
// reached nothing was done, in a leader that hangs something may have been.
func TestATurnEndsAtItsDeadline(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	c.startAll(3)
	leader, others := c.leader()
	take := func(ctx context.Context) error {
		_, _, err := others[0].Propose(ctx, registry.RoundRobin{Turns: []registry.Turn{{Pool: "worker", Count: 1}}})
		return err
	}
	c.set(func() { c.cut[leader.api] = true })
	c.failsInTime(registry.ErrUnavailable, take)
	c.set(func() { delete(c.cut, leader.api); c.hung[leader.api] = true })
	c.failsInTime(registry.ErrOutcomeUnknown, take)
	c.set(func() { delete(c.hung, leader.api) })
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if err := take(gone); !errors.Is(err, registry.ErrDeadline) {
		t.Errorf("a caller who is gone already: %v, want deadline", err)
	}
	if err := take(t.Context()); err != nil {
		t.Errorf("a caller without a deadline: %v", err)
	}
}

// TestCloseAnswersWhoWaits: of a replica whose leader hangs, those on their way
// are unknown, all others were not done; none waits for its deadline.
func TestCloseAnswersWhoWaits(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	c.startAll(3)
	leader, others := c.leader()
	r := others[0]
	c.set(func() { c.hung[leader.api] = true })
	answers := make(chan given, 200)
	for range cap(answers) {
		go func() { answers <- r.turn(30*time.Second, registry.Turn{Pool: "worker", Count: 1}) }()
	}
	c.waits(r, cap(answers))
	c.kill(r)
	codes := map[registry.Code]int{}
	for range cap(answers) {
		select {
		case g := <-answers:
			codes[registry.CodeOf(g.err)]++
		case <-time.After(15 * time.Second):
			t.Fatalf("only %v were answered", codes)
		}
	}
	if len(codes) != 2 || codes[registry.OutcomeUnknown] == 0 || codes[registry.Unavailable] < cap(answers)/2 {
		t.Errorf("they heard %v", codes)
	}
}
