package replica

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/raft"
	"github.com/rota-registry/rota/registry"
)

const (
	// roundTimeout bounds one confirmation; who waits longer joins another.
	roundTimeout = time.Second
	// confirmHedge is when the other voters are asked, too: some times what an
	// answer takes.
	confirmHedge = 5 * time.Millisecond
	// confirmEvery is how long a replica goes without knowing how old its state is, as
	// long as a leader and a majority answer.
	confirmEvery = 500 * time.Millisecond
	// unknownAge is that of a state of which no leader has said yet how old it is.
	unknownAge = 365 * 24 * time.Hour
)

// Read gives a view that is as fresh as opts ask, and takes no lock to do so. A
// deadline that passes is an error, never a weaker answer.
func (r *Replica) Read(ctx context.Context, opts registry.ReadOptions) (*registry.View, registry.ReadInfo, error) {
	if err := r.untilFresh(ctx, opts); err != nil {
		return nil, registry.ReadInfo{}, err
	}
	var info registry.ReadInfo
	if opts.Consistency == registry.Local {
		info.Age = r.age()
	}
	view, at := r.machine.View()
	if at.Index == 0 {
		return nil, info, r.appliedNothing()
	}
	info.Position = at
	return view, info, nil
}

func (r *Replica) appliedNothing() error {
	return registry.Errorf(registry.Unavailable, "replica %s has applied nothing since its start: only a leader can tell it what is committed", r.opts.Name)
}

// Cursors is Read with the cursors of a pool, as they are beside that view. The
// error may be the state's own.
func (r *Replica) Cursors(ctx context.Context, opts registry.ReadOptions, pool registry.PoolName) (cursors []registry.Cursor, view *registry.View, info registry.ReadInfo, err error) {
	if view, info, err = r.Read(ctx, opts); err != nil {
		return nil, nil, info, err
	}
	r.machine.State(func(s *registry.State) {
		view, info.Position = r.machine.View() // the state's own, as nothing is applied now
		cursors, err = s.Cursors(pool)
	})
	return cursors, view, info, err
}

// untilFresh returns once this replica's machine is as fresh as opts ask.
func (r *Replica) untilFresh(ctx context.Context, opts registry.ReadOptions) error {
	index := opts.AtLeastIndex
	if opts.Consistency == registry.Linearizable {
		safe, err := r.readIndex(ctx)
		if err != nil {
			return err
		}
		index = max(index, safe)
	}
	return r.wait(ctx, index)
}

// wait waits until this replica's machine has an index.
func (r *Replica) wait(ctx context.Context, index registry.Index) error {
	if r.machine.Wait(ctx, index) == nil {
		return nil
	}
	return registry.Errorf(registry.Deadline, "replica %s has applied index %d and was asked for %d: ask again with a longer deadline, or another replica", r.opts.Name, r.machine.At().Index, index)
}

// age is how long ago this replica was certainly up to date: it had then, or got
// since, all that a leader confirmed by a majority had committed. Neither that it leads
// says so, for one that was deposed may be the last to know, nor that it hears from a
// leader, whose heartbeats get through while the log does not, nor when the snapshot was
// taken that it came up with.
func (r *Replica) age() registry.Millis {
	age := unknownAge
	if c := r.confirmed.Load(); c != nil {
		age = min(age, time.Since(*c))
	}
	return registry.Millis(age.Milliseconds())
}

// noteConfirmed says that this replica has all that was acknowledged before that time:
// no other one led then, for a majority answered to what was sent later, or took an
// entry that was made later; or the leader said so of itself, asked later.
func (r *Replica) noteConfirmed(at time.Time) {
	for {
		was := r.confirmed.Load()
		if was != nil && !at.After(*was) || r.confirmed.CompareAndSwap(was, &at) {
			return
		}
	}
}

// stayConfirmed finds out how old this replica's state is when nothing else does, for
// who reads locally or watches.
func (r *Replica) stayConfirmed() {
	for {
		left := confirmEvery - time.Duration(r.age())*time.Millisecond
		if pause(r.life.ctx, max(left, confirmEvery/10)) != nil {
			return
		}
		if r.age() < registry.Millis(confirmEvery.Milliseconds()) {
			continue
		}
		if err := r.learnAge(); err != nil {
			r.log.Debug("this replica does not know itself up to date", "error", err)
		}
	}
}

// learnAge finds out once. It waits for as long as this replica lags.
func (r *Replica) learnAge() error {
	began := time.Now()
	ctx, cancel := context.WithTimeout(r.life.ctx, roundTimeout)
	index, err := r.readIndex(ctx)
	cancel()
	if err != nil {
		return err
	}
	if err := r.machine.Wait(r.life.ctx, index); err != nil {
		return err
	}
	r.noteConfirmed(began)
	return nil
}

// readIndex gives an index such that a state that has it has everything that
// was acknowledged before the call.
func (r *Replica) readIndex(ctx context.Context) (index registry.Index, err error) {
	err = r.untilLeader(ctx, func(ctx context.Context) (err error) {
		if r.leading() != 0 {
			index, err = r.confirms.join(ctx)
		} else {
			index, err = r.follows.join(ctx)
		}
		return err
	})
	return index, err
}

// ReadIndex answers a follower; only the leader does.
func (r *Replica) ReadIndex(ctx context.Context) (registry.Index, error) { return r.confirms.join(ctx) }

// CurrentTerm tells this replica's term to a leader that confirms itself.
func (r *Replica) CurrentTerm(_ context.Context, name registry.ReplicaName) (registry.Term, error) {
	rf := r.raft.Load()
	if name != r.opts.Name {
		return 0, registry.Errorf(registry.Conflict, "this is replica %s, not %s", r.opts.Name, name)
	}
	if rf == nil {
		return 0, registry.Errorf(registry.Unavailable, "replica %s has not started Raft", r.opts.Name)
	}
	return registry.Term(rf.CurrentTerm()), nil
}

// follow asks the leader for an index. Whatever kept the leader from answering,
// nothing was done, and who waits may ask the next one.
func (r *Replica) follow(ctx context.Context) (registry.Index, error) {
	name, api := r.leader()
	if api == "" || api == r.opts.API {
		return 0, r.noLeader()
	}
	index, err := r.opts.Caller.ReadIndex(ctx, api)
	if err != nil {
		return 0, registry.Errorf(registry.Unavailable, "replica %s: the leader %s at %s gave no index to read at: %v", r.opts.Name, name, api, err)
	}
	return index, nil
}

// confirm gives the commit index of a leader that a majority of the voters
// still knows no successor of. The index is taken before they are asked. It asks
// no more of them than it needs, those first that answered last time, and all
// when that is not quick: an answer costs both sides a call. One round at a time.
func (r *Replica) confirm(ctx context.Context) (registry.Index, error) {
	term := r.leading()
	if term == 0 {
		return 0, r.noLeader()
	}
	rf, began := r.raft.Load(), time.Now()
	index := registry.Index(rf.CommitIndex())
	others, need := r.electors(rf)
	ctx, cancel := context.WithTimeout(ctx, roundTimeout)
	defer cancel()
	answers := make(chan elector, len(others))
	asked := 0
	ask := func(n int) {
		for n = min(n, len(others)); asked < n; asked++ {
			name := others[asked]
			r.spawn(func() { answers <- elector{name, r.askTerm(ctx, name, term)} })
		}
	}
	ask(need)
	slow := time.NewTimer(confirmHedge)
	defer slow.Stop()
	var faults []string
	for heard := 0; need > 0 && heard < len(others); {
		select {
		case a := <-answers:
			heard++
			if a.err != nil {
				faults = append(faults, a.err.Error())
				ask(len(others))
				continue
			}
			need--
			r.swift = append([]registry.ReplicaName{a.name}, slices.DeleteFunc(r.swift, func(n registry.ReplicaName) bool { return n == a.name })...)
		case <-slow.C:
			ask(len(others))
		case <-ctx.Done():
			faults = append(faults, "time-out")
			heard = len(others)
		}
	}
	if need > 0 {
		return 0, registry.Errorf(registry.Unavailable, "leader %s was not confirmed by a majority: %s", r.opts.Name, strings.Join(faults, "; "))
	}
	if r.machine.At().Index >= index {
		r.noteConfirmed(began)
	}
	return index, nil
}

// elector is what a voter said of this leader.
type elector struct {
	name registry.ReplicaName
	err  error
}

// electors gives the other voters, those first that answered last, and of how
// many of them a majority is made. A leader that is no voter any more needs one
// more.
func (r *Replica) electors(rf *raft.Raft) (others []registry.ReplicaName, need int) {
	all := voters(rf)
	need = len(all)/2 + 1
	for _, name := range all {
		if name == r.opts.Name {
			need--
		} else {
			others = append(others, name)
		}
	}
	rank := func(n registry.ReplicaName) int {
		if i := slices.Index(r.swift, n); i >= 0 {
			return i
		}
		return len(r.swift)
	}
	slices.SortStableFunc(others, func(a, b registry.ReplicaName) int { return cmp.Compare(rank(a), rank(b)) })
	return others, need
}

// askTerm is nil when a voter knows no term above ours.
func (r *Replica) askTerm(ctx context.Context, name registry.ReplicaName, ours registry.Term) error {
	of, ok := r.book.lookup(name)
	if !ok {
		return fmt.Errorf("replica %s has not been met", name)
	}
	term, err := r.opts.Caller.CurrentTerm(ctx, of.API, name)
	if err != nil {
		return fmt.Errorf("replica %s: %w", name, err)
	}
	if term > ours {
		return fmt.Errorf("replica %s is in term %d, after %d", name, term, ours)
	}
	return nil
}

// rounds lets many callers share one answer: one round is under way, the next
// gathers those who came since it began, because an answer is only good for
// who asked before it was looked for.
type rounds struct {
	run   func(context.Context) (registry.Index, error)
	spawn func(func()) bool // false: it is too late for another goroutine

	mu      sync.Mutex
	running bool
	next    *round
}

type round struct {
	done  chan struct{}
	index registry.Index
	err   error
}

// join waits for a round that begins after the call.
func (rs *rounds) join(ctx context.Context) (registry.Index, error) {
	rs.mu.Lock()
	if rs.next == nil {
		rs.next = &round{done: make(chan struct{})}
	}
	mine := rs.next
	start := !rs.running
	rs.running = true
	rs.mu.Unlock()
	if start && !rs.spawn(rs.loop) {
		rs.fail()
	}
	select {
	case <-mine.done:
		return mine.index, mine.err
	case <-ctx.Done():
		return 0, registry.Errorf(registry.Unavailable, "no leader confirmed itself before the deadline")
	}
}

// fail ends the wait of all who joined, when no round can be run any more.
func (rs *rounds) fail() {
	rs.mu.Lock()
	now := rs.next
	rs.next, rs.running = nil, false
	rs.mu.Unlock()
	now.err = registry.Errorf(registry.Unavailable, "this replica is closed: ask another")
	close(now.done)
}

// loop runs rounds until nobody waits.
func (rs *rounds) loop() {
	for {
		rs.mu.Lock()
		now := rs.next
		rs.next = nil
		if now == nil {
			rs.running = false
			rs.mu.Unlock()
			return
		}
		rs.mu.Unlock()
		ctx, cancel := context.WithTimeout(context.Background(), roundTimeout)
		now.index, now.err = rs.run(ctx)
		cancel()
		close(now.done)
	}
}
