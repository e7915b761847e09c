package check_test

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/raft"
	"github.com/rota-registry/rota/fsm"
	"github.com/rota-registry/rota/registry"
	"github.com/rota-registry/rota/registry/hrw"
	"github.com/rota-registry/rota/tests/check"
)

const ms = time.Millisecond

// session is the one that the world's callers share.
const session = registry.SessionID("0123456789abcdef0123456789abcdef")

// world is a correct registry whose callers come one after another, each 10 ms
// after the one before: its history has nothing wrong, until a test changes it.
type world struct {
	t       *testing.T
	term    registry.Term
	now     time.Duration
	born    time.Duration // how long before the run the cluster was
	skew    time.Duration // of the log clock, which should go as now does
	wall    time.Duration // of the leader's clock
	serial  uint64
	machine *fsm.Machine
	log     []check.Entry
	ops     []check.Operation
	// states are some of the replicas', beside that of the end.
	states []check.State
}

// newWorld has workers w1 to w3, alive, and an open session.
func newWorld(t *testing.T) *world { return newWorldAt(t, 0) }

// newWorldAt is newWorld with a log clock that begins so far ahead.
func newWorldAt(t *testing.T, ahead time.Duration) *world {
	w := &world{t: t, term: 1, skew: ahead, machine: fsm.NewMachine(func(err error) { t.Fatal(err) })}
	w.start("r1")
	for i := range 3 {
		w.write(registry.JoinNode{
			Name: registry.NodeName(fmt.Sprintf("w%d", i+1)), Type: registry.Worker,
			Address: "10.0.0.1:1", Boot: registry.BootID(fmt.Sprintf("%016x", i+1)),
		})
	}
	w.commit(registry.OpenSession{ID: session})
	return w
}

// commit makes a command the next entry.
func (w *world) commit(c registry.Command) *fsm.Outcome {
	w.t.Helper()
	data, err := fsm.EncodeEntry(fsm.Entry{Clock: registry.Millis((w.now + w.skew) / ms), Wall: registry.Millis((w.now + w.wall) / ms), Command: c})
	if err != nil {
		w.t.Fatal(err)
	}
	at := registry.Position{Index: registry.Index(len(w.log) + 1), Term: w.term}
	w.log = append(w.log, check.Entry{Position: at, Data: data})
	return w.machine.Apply(&raft.Log{Index: uint64(at.Index), Term: uint64(at.Term), Type: raft.LogCommand, Data: data}).(*fsm.Outcome)
}

// start begins a term.
func (w *world) start(leader registry.ReplicaName) {
	w.log = append(w.log, check.Entry{Position: registry.Position{Index: registry.Index(len(w.log) + 1), Term: w.term}})
	w.commit(registry.TermStart{Leader: leader})
}

// record notes an operation that took 5 ms, and gives it to be changed.
func (w *world) record(o check.Operation) *check.Operation {
	o.Called, o.Returned = w.now, w.now+5*ms
	w.now += 10 * ms
	w.ops = append(w.ops, o)
	return &w.ops[len(w.ops)-1]
}

func (w *world) write(c registry.Command) *check.Operation {
	w.t.Helper()
	out := w.commit(c)
	if out.Err != nil {
		w.t.Fatal(out.Err)
	}
	return w.record(check.Operation{Kind: check.Write, Command: c, Position: out.At, Outcome: check.OK, ServedBy: "r1"})
}

// rr takes turns of the pool worker under the next request of the session.
func (w *world) rr(key string, count int) *check.Operation {
	w.t.Helper()
	w.serial++
	return w.take(key, count, w.serial)
}

// anonymous takes turns without a request.
func (w *world) anonymous(key string, count int) *check.Operation {
	w.t.Helper()
	return w.take(key, count, 0)
}

func (w *world) take(key string, count int, serial uint64) *check.Operation {
	w.t.Helper()
	turn := registry.Turn{Pool: "worker", Key: key, Count: count}
	o := check.Operation{Kind: check.RoundRobin, Pool: "worker", Key: key, Count: count, Outcome: check.OK, ServedBy: "r1"}
	if serial != 0 {
		turn.Request = registry.RequestID{Session: session, Serial: serial}
		o.Session, o.Serial = session, serial
	}
	out := w.commit(registry.RoundRobin{Turns: []registry.Turn{turn}})
	res := out.Result.Turns[0]
	if res.Err != nil {
		w.t.Fatal(res.Err)
	}
	for i := range res.Count() {
		o.Answers = append(o.Answers, res.At(i))
	}
	o.Position, o.Epoch, o.Reason = out.At, res.Epoch, res.Reason
	if res.Taken != (registry.Position{}) {
		o.Position = res.Taken
	}
	return w.record(o)
}

func (w *world) hrw(key string) *check.Operation {
	w.t.Helper()
	view, at := w.machine.View()
	c, err := view.HRW("worker", hrw.String(key))
	if err != nil {
		w.t.Fatal(err)
	}
	return w.record(check.Operation{
		Kind: check.HRW, Pool: "worker", Key: key, Answers: []registry.Answer{c.Answer}, Epoch: c.Epoch,
		Position: at, Outcome: check.OK, ServedBy: "r2",
	})
}

func (w *world) pool() *check.Operation {
	w.t.Helper()
	view, at := w.machine.View()
	p, err := view.Pool("worker")
	if err != nil {
		w.t.Fatal(err)
	}
	o := check.Operation{Kind: check.Pool, Pool: "worker", Members: p.Members, Epoch: p.Epoch, Position: at, Outcome: check.OK, ServedBy: "r2"}
	w.machine.State(func(s *registry.State) { o.Cursors, err = s.Cursors("worker") })
	if err != nil {
		w.t.Fatal(err)
	}
	return w.record(o)
}

// nodes reads the layout, as the API tells it.
func (w *world) nodes() *check.Operation {
	w.t.Helper()
	view, at := w.machine.View()
	o := check.Operation{Kind: check.Nodes, Nodes: slices.Clone(view.Nodes()), Position: at, Outcome: check.OK, ServedBy: "r2"}
	for i := range o.Nodes {
		o.Nodes[i].Replaced, o.Nodes[i].SinceClock, o.Nodes[i].Joined = "", 0, 0
	}
	return w.record(o)
}

// logs are those of two replicas that have applied everything.
func (w *world) logs() []check.ReplicaLog {
	last := registry.Index(len(w.log))
	return []check.ReplicaLog{
		{Name: "r1", Entries: slices.Clone(w.log), Applied: last},
		{Name: "r2", Entries: slices.Clone(w.log), Applied: last},
	}
}

func (w *world) report() check.Report {
	return check.All(check.Run{Logs: w.logs(), Ops: w.ops, States: append(w.states, w.state()), Began: time.UnixMilli(0), Lived: w.now + w.born})
}

// state gives what the replicas hold now.
func (w *world) state() check.State { return w.tampered(func(*registry.Snapshot) {}) }

// tampered gives what a replica would hold on which something had changed.
func (w *world) tampered(change func(*registry.Snapshot)) check.State {
	w.t.Helper()
	var held registry.Snapshot
	w.machine.State(func(s *registry.State) { held = s.Snapshot() })
	change(&held)
	var chained, b bytes.Buffer
	frozen, err := w.machine.Snapshot()
	if err == nil {
		err = frozen.Persist(sink{&chained})
	}
	if err != nil {
		w.t.Fatal(err)
	}
	_, at, chain, err := fsm.ReadSnapshot(&chained)
	if err == nil {
		err = fsm.WriteSnapshot(&b, held, at, chain)
	}
	if err != nil {
		w.t.Fatal(err)
	}
	return check.State{Name: "r2", Bytes: b.Bytes()}
}

// sink is Raft's, in memory.
type sink struct{ *bytes.Buffer }

func (sink) ID() string    { return "sink" }
func (sink) Cancel() error { return nil }
func (sink) Close() error  { return nil }

// busy is a world in which everything happens that the checks look at.
func busy(t *testing.T) *world {
	w := newWorld(t)
	for range 4 {
		w.rr("a", 1)
		w.anonymous("b", 2)
		w.hrw("k1")
	}
	w.write(registry.DrainNode{Name: "w2", Draining: true})
	w.rr("a", 5)
	w.hrw("k1")
	w.term = 3
	w.start("r2")
	w.write(registry.DrainNode{Name: "w2"})
	w.write(registry.ForgetNode{Name: "w1"})
	w.write(registry.SetCursor{Pool: "worker", Key: "c"})
	w.write(registry.DeleteCursor{Pool: "worker", Key: "c"})
	for range 4 {
		w.rr("a", 1)
		w.anonymous("b", 1)
		w.hrw("k1")
	}
	w.pool()
	w.nodes()
	return w
}

// TestCorrect claims that a history of a correct registry passes, calls that
// nobody heard of and calls that overlap included.
func TestCorrect(t *testing.T) {
	w := busy(t)
	w.term++
	w.now += 3000 * ms
	w.skew -= 3000 * ms // the log clock stands still while nobody leads
	w.start("r1")
	lost := w.rr("a", 1)
	lost.Outcome, lost.Answers = check.Unknown, nil
	w.rr("a", 1)
	dropped := w.record(check.Operation{Kind: check.RoundRobin, Pool: "worker", Key: "a", Count: 1, Session: session, Serial: 999, Outcome: check.Unknown})
	dropped.Returned += 50 * ms
	vague := w.anonymous("b", 1)
	vague.Outcome, vague.Answers = check.Unknown, nil
	w.anonymous("b", 1)
	w.record(check.Operation{Kind: check.RoundRobin, Pool: "worker", Key: "b", Count: 3, Outcome: check.Unknown})
	r := w.report()
	for _, v := range r.Violations {
		t.Error(v)
	}
	if r.Undecided != 0 || r.Counters.UnknownCommitted != 1 || r.Counters.UnknownNot != 1 || r.Counters.Unknown != 4 {
		t.Errorf("%d undecided, counters %+v", r.Undecided, r.Counters)
	}
}

// A write is answered with what was read back, which may be the state of a later
// index; that is no fault.
func TestAWriteMayBeAnsweredFromALaterIndex(t *testing.T) {
	w := newWorld(t)
	w.write(registry.DrainNode{Name: "w3", Draining: true})
	w.write(registry.SetSettings{})
	n := len(w.ops)
	w.ops[n-2].Position, w.ops[n-2].Returned = w.ops[n-1].Position, w.ops[n-1].Returned
	if _, found := check.Replay(w.log, w.ops); len(found) > 0 {
		t.Errorf("found %v", found)
	}
}

// TestUnusedCursor claims that a cursor which is first used when members have come
// before the first one begins with whoever is first then, and one that was used
// before stays on its member.
func TestUnusedCursor(t *testing.T) {
	w := &world{t: t, term: 1, machine: fsm.NewMachine(func(err error) { t.Fatal(err) })}
	w.start("r1")
	for i, name := range []registry.NodeName{"w2", "w3", "w1"} {
		w.write(registry.JoinNode{Name: name, Type: registry.Worker, Address: "10.0.0.1:1", Boot: registry.BootID(fmt.Sprintf("%016x", i+1))})
		if i == 1 {
			w.anonymous("early", 1)
		}
	}
	w.anonymous("early", 2)
	w.anonymous("late", 2)
	for _, v := range w.report().Violations {
		t.Error(v)
	}
	if late := w.ops[len(w.ops)-1].Answers; late[0].Node != "w1" {
		t.Errorf("a new cursor began with %v: this test tests nothing", late)
	}
}

// TestRejected claims that each check rejects what it is there for: a correct
// history with one thing wrong.
func TestRejected(t *testing.T) {
	for name, test := range map[string]struct {
		by    string // the check that must say so
		wrong func(*world)
	}{
		"stale read": {"order", func(w *world) {
			w.hrw("k1")
			old := w.ops[len(w.ops)-1]
			w.rr("a", 1)
			w.record(old)
		}},
		"stale read that lies about its index": {"porcupine", func(w *world) {
			old := *w.hrw("k1")
			w.write(registry.DrainNode{Name: old.Answers[0].Node, Draining: true})
			w.record(old)
		}},
		"local read older than it says": {"age", func(w *world) {
			old := *w.hrw("k1")
			w.rr("a", 1)
			w.now += 100 * ms
			o := w.record(old)
			o.Consistency, o.Age = registry.Local, 80*ms
		}},
		"wrong node of hrw": {"witness", func(w *world) { w.hrw("k1").Answers[0].Node = "w3x" }},
		"wrong epoch":       {"witness", func(w *world) { w.hrw("k1").Epoch-- }},
		"wrong term":        {"witness", func(w *world) { w.hrw("k1").Term-- }},
		"double advance": {"cursor", func(w *world) {
			o := *w.rr("a", 1)
			w.anonymous("a", 1)
			w.ops[len(w.ops)-1] = o // it heard one answer, and its cursor moved twice
		}},
		"double advance, seen by the model": {"porcupine", func(w *world) {
			w.rr("fresh", 1)
			w.rr("fresh", 1)
			w.ops = slices.Delete(w.ops, len(w.ops)-1, len(w.ops))
			w.rr("fresh", 1)
		}},
		"one request taken twice": {"cursor", func(w *world) {
			o := *w.rr("a", 1)
			again := *w.rr("a", 1)
			again.Serial = o.Serial
			w.ops[len(w.ops)-1] = again
		}},
		"one turn given to two": {"witness", func(w *world) {
			o := *w.anonymous("b", 1)
			o.Client = 7
			w.record(o)
		}},
		"lost write": {"lost", func(w *world) {
			w.rr("a", 1)
			w.log = w.log[:len(w.log)-1]
		}},
		"write that the log does not have": {"witness", func(w *world) {
			o := w.write(registry.DrainNode{Name: "w3", Draining: true})
			o.Command = registry.DrainNode{Name: "w2", Draining: true}
		}},
		"failed and done": {"failed", func(w *world) {
			o := w.rr("a", 1)
			o.Outcome, o.Answers = check.Failed, nil
		}},
		"failed and done, without a request": {"cursor", func(w *world) {
			o := w.anonymous("b", 1)
			o.Outcome, o.Answers = check.Failed, nil
		}},
		"answers in another order": {"witness", func(w *world) {
			o := w.rr("a", 2)
			o.Answers[0], o.Answers[1] = o.Answers[1], o.Answers[0]
		}},
		"calls in another order": {"order", func(w *world) {
			w.rr("a", 1)
			w.rr("a", 1)
			a, b := &w.ops[len(w.ops)-2], &w.ops[len(w.ops)-1]
			a.Answers, b.Answers = b.Answers, a.Answers
			a.Position, b.Position, a.Serial, b.Serial = b.Position, a.Position, b.Serial, a.Serial
		}},
		"wrong time of a node": {"witness", func(w *world) { w.nodes().Nodes[0].SinceWall++ }},
		"node that is gone":    {"witness", func(w *world) { o := w.nodes(); o.Nodes = o.Nodes[1:] }},
		"wrong cursor":         {"witness", func(w *world) { w.pool().Cursors[0].Next++ }},
		"less than asked for": {"order", func(w *world) {
			o := w.hrw("k1")
			o.Consistency, o.AtLeast = registry.AtLeast, o.Index+1
		}},
		"log clock that begins again": {"clock", func(w *world) {
			w.term++
			w.start("r1")
			w.skew = -w.now
			w.rr("a", 1)
		}},
		"log clock that falls": {"clock", func(w *world) {
			w.rr("a", 1)
			w.skew = -15 * ms
			w.rr("a", 1)
		}},
		"log clock that runs ahead": {"clock", func(w *world) {
			w.skew = 7 * ms // an answer takes 5
			w.rr("a", 1)
		}},
		"log clock that runs ahead with a new leader": {"clock", func(w *world) {
			w.term++
			w.skew = 7 * ms
			w.start("r1")
			w.rr("a", 1)
		}},
		"log clock that stands still": {"clock", func(w *world) {
			for range 3 {
				w.skew -= 10 * ms
				w.rr("a", 1)
			}
		}},
		"changed bytes": {"log", func(w *world) { w.log[len(w.log)-1].Data[9]++ }},
		"another state at an index": {"state", func(w *world) {
			w.states = append(w.states, w.tampered(func(s *registry.Snapshot) { s.Nodes[0].SinceWall++ }))
			w.rr("a", 1)
		}},
		"state without its sessions": {"state", func(w *world) {
			w.states = append(w.states, w.tampered(func(s *registry.Snapshot) { s.Sessions = nil }))
		}},
		"state of another chain": {"state", func(w *world) {
			s := w.state()
			held, at, chain, _ := fsm.ReadSnapshot(bytes.NewReader(s.Bytes))
			chain.Hash++
			var b bytes.Buffer
			if err := fsm.WriteSnapshot(&b, held, at, chain); err != nil {
				w.t.Fatal(err)
			}
			w.states = append(w.states, check.State{Name: "r2", Bytes: b.Bytes()})
		}},
		"state that the log does not reach": {"state", func(w *world) {
			w.rr("a", 1)
			w.states = append(w.states, w.state())
			w.log, w.ops = w.log[:len(w.log)-1], w.ops[:len(w.ops)-1]
		}},
		"state that is cut off": {"state", func(w *world) {
			s := w.state()
			w.states = append(w.states, check.State{Name: "r2", Bytes: s.Bytes[:len(s.Bytes)/2]})
		}},
	} {
		t.Run(name, func(t *testing.T) {
			w := busy(t)
			test.wrong(w)
			r := w.report()
			if !slices.ContainsFunc(r.Violations, func(v check.Violation) bool { return v.Check == test.by }) {
				t.Errorf("%s does not say so; found was %v", test.by, r.Violations)
			}
		})
	}
}

// TestMergeDiffers claims that replicas which applied different bytes at an index
// are found, that what was not applied does not count, and that a gap does.
func TestMergeDiffers(t *testing.T) {
	w := busy(t)
	other := w.logs()
	last := len(w.log) - 1
	other[1].Entries[last].Data = append(slices.Clone(w.log[last].Data), 1)
	if _, found := check.Merge(other...); len(found) != 1 || !strings.Contains(found[0].Text, "differ") {
		t.Errorf("another entry at %d: %v", last+1, found)
	}
	other[1].Applied = registry.Index(last)
	if _, found := check.Merge(other...); len(found) != 0 {
		t.Errorf("another entry that was not applied: %v", found)
	}
	gap := w.logs()
	gap[0].Entries, gap[1].Entries = gap[0].Entries[:3], gap[1].Entries[4:]
	if _, found := check.Merge(gap...); len(found) != 1 || !strings.Contains(found[0].Text, "no replica's log has it") {
		t.Errorf("a gap: %v", found)
	}
	front := w.logs()
	front[1].Entries = append(slices.Clone(front[1].Entries[5:7]), front[1].Entries[6:]...)
	if log, found := check.Merge(front...); len(found) != 0 || len(log) != len(w.log) {
		t.Errorf("a compacted log with an entry that was written twice: %d entries, %v", len(log), found)
	}
}

// TestFold claims that several answers to one request are one operation, and that
// they must be alike.
func TestFold(t *testing.T) {
	w := newWorld(t)
	first := *w.rr("a", 1)
	again := first
	again.Client, again.Returned = 2, first.Returned+time.Second
	w.record(again)
	lost := first
	lost.Outcome, lost.Answers = check.Unknown, nil
	w.record(lost)
	if r := w.report(); len(r.Violations) != 0 || r.Counters.Unknown != 0 {
		t.Errorf("counters %+v, %v", r.Counters, r.Violations)
	}
	again.Answers = []registry.Answer{{Node: "w9", Topic: "t"}}
	w.record(again)
	if r := w.report(); len(r.Violations) == 0 {
		t.Error("two answers to one request were found alike")
	}
}
