package client

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/hashicorp/raft"

	"github.com/rota-registry/rota/fsm"
	"github.com/rota-registry/rota/fsm/combine"
	"github.com/rota-registry/rota/registry"
)

// stepLog is what Raft gives: a log that all agree on, and leaders whose entries
// under way may be kept or lost when they are.
type stepLog struct {
	w     *stepWorld
	log   []*raft.Log
	term  uint64
	reign *stepReign // of who leads in truth; nil for a while
}

// stepReign is a leadership. Who leads may believe in it after it is over.
type stepReign struct {
	leader  *stepReplica
	term    uint64
	pending []*stepEntry // not committed yet, in order
	over    bool
	began   time.Duration
	base    registry.Millis // the log clock when it began
	leapt   registry.Millis
	stalled time.Duration // until when it commits nothing
	memory  registry.Memory
	broken  []registry.Life     // hints of which nothing has been made yet
	thaw    []registry.NodeType // an operator's word, likewise
}

// stepEntry is an entry under way; done is called once.
type stepEntry struct {
	data []byte
	done func(fsm.Outcome, error)
}

func (e *stepEntry) tell(out fsm.Outcome, err error) {
	if done := e.done; done != nil {
		e.done = nil
		done(out, err)
	}
}

func (r *stepReign) clock(now time.Duration) registry.Millis {
	return r.base + registry.Millis((now - r.began).Milliseconds()) + r.leapt
}

// elect makes one of the replicas that are up the leader.
func (l *stepLog) elect() {
	var up []*stepReplica
	for _, r := range l.w.replicas {
		if r.up && (r.reign == nil || r.reign.over) {
			up = append(up, r)
		}
	}
	if l.reign != nil || len(up) == 0 {
		return
	}
	r := up[l.w.rnd.IntN(len(up))]
	if r.reign != nil {
		r.dethrone()
	}
	l.term++
	r.apply(len(l.log))
	view, _ := r.machine.View()
	reign := &stepReign{leader: r, term: l.term, began: l.w.now, base: view.Clock()}
	l.reign = reign
	l.w.note("%s leads in term %d at %d", r.name, l.term, len(l.log))
	l.commit(&stepEntry{data: l.w.encode(reign, registry.TermStart{Leader: r.name})})
	r.apply(len(l.log))
	r.reign, r.knows = reign, r
	for _, other := range l.w.replicas {
		l.w.after(l.w.soon(), func() {
			if l.reign == reign {
				other.knows = r
			}
		})
	}
}

// depose ends the leadership. What of its entries is kept is decided now; that
// it is over the leader hears later.
func (l *stepLog) depose() {
	reign := l.reign
	if reign == nil {
		return
	}
	l.reign, reign.over = nil, true
	if len(reign.pending) > 0 {
		l.w.count("leader lost with entries under way")
	}
	keep := l.w.rnd.IntN(len(reign.pending) + 1)
	for i, e := range reign.pending {
		if i < keep {
			l.commit(e)
			l.w.count("entry of a lost leader kept")
		} else {
			l.w.count("entry of a lost leader gone")
		}
	}
	l.w.note("%s is deposed, %d of %d entries are kept", reign.leader.name, keep, len(reign.pending))
	l.w.after(l.w.soon()/2, func() {
		if reign.leader.reign == reign {
			reign.leader.dethrone()
		}
	})
	l.w.after(20*time.Millisecond+l.w.soon(), l.elect)
	l.w.after(time.Second, l.elect) // should nobody have been up
}

// commit puts an entry behind the log.
func (l *stepLog) commit(e *stepEntry) {
	entry := &raft.Log{Index: uint64(len(l.log) + 1), Term: l.term, Type: raft.LogCommand, Data: e.data}
	l.log = append(l.log, entry)
	l.w.audit.committed(entry)
	for _, r := range l.w.replicas {
		to := len(l.log)
		l.w.after(l.w.soon(), func() {
			if r.up {
				r.apply(to)
			}
		})
	}
}

// propose adds an entry to those under way, and commits them in order, a moment
// later each.
func (r *stepReign) propose(w *stepWorld, e *stepEntry) {
	r.pending = append(r.pending, e)
	w.at(max(w.now, r.stalled)+time.Millisecond+w.soon()/4, func() {
		if r.over || len(r.pending) == 0 {
			return
		}
		first := r.pending[0]
		r.pending = r.pending[1:]
		w.commit(first)
		out := r.leader.apply(len(w.log))
		first.tell(*out[len(out)-1].(*fsm.Outcome), nil)
	})
}

func (w *stepWorld) encode(r *stepReign, cmd registry.Command) []byte {
	b, err := fsm.EncodeEntry(fsm.Entry{Clock: r.clock(w.now), Wall: registry.Millis(w.now.Milliseconds()), Command: cmd})
	if err != nil {
		w.fatalf("%T cannot be encoded: %v", cmd, err)
	}
	return b
}

// stepReplica is what decides of a replica.
type stepReplica struct {
	w       *stepWorld
	name    registry.ReplicaName
	at      int
	up      bool
	life    int
	machine *fsm.Machine
	applied int
	kept    []byte        // the snapshot that it comes back from; nil for none
	reign   *stepReign    // while it believes that it leads
	knows   *stepReplica  // who leads, as far as it knows
	writes  *stepCombiner // of turns asked for here
	gate    *stepCombiner // of the turns of all, while it leads
	inbound map[int]func(error)
	shown   map[registry.NodeName]registry.BootID // what its gossip shows
}

func newStepReplica(w *stepWorld, at int) *stepReplica {
	r := &stepReplica{w: w, at: at, name: registry.ReplicaName(fmt.Sprintf("r%d", at+1)), shown: map[registry.NodeName]registry.BootID{}}
	r.begin()
	return r
}

// begin starts a life: with what is on the disk.
func (r *stepReplica) begin() {
	r.up, r.machine, r.applied, r.knows = true, r.fresh(r.kept), 0, nil
	r.applied = int(r.machine.At().Index)
	r.inbound = map[int]func(error){}
	r.writes = newStepCombiner(r.w, false, r.send)
	r.gate = newStepCombiner(r.w, true, r.enter)
	if r.life > 0 && r.kept != nil {
		r.w.count("came back from a snapshot")
	}
}

func (r *stepReplica) fresh(from []byte) *fsm.Machine {
	m := fsm.NewMachine(func(err error) { r.w.fatalf("%s halts: %v", r.name, err) })
	if from != nil {
		if err := m.Restore(io.NopCloser(bytes.NewReader(from))); err != nil {
			r.w.fatalf("%s does not restore: %v", r.name, err)
		}
	}
	return m
}

// apply applies the log up to an index, and gives the responses.
func (r *stepReplica) apply(to int) (out []any) {
	if to <= r.applied {
		return nil
	}
	out = r.machine.ApplyBatch(r.w.log[r.applied:to])
	r.applied = to
	if r.w.rnd.IntN(10) == 0 {
		r.w.audit.compare(r)
	}
	return out
}

// keep writes a snapshot to its disk.
func (r *stepReplica) keep() {
	if r.up {
		r.kept = r.w.audit.compare(r)
	}
}

// install gives it another one's snapshot, in place of entries.
func (r *stepReplica) install(from *stepReplica) {
	if !r.up || r.reign != nil || from.applied < r.applied {
		return
	}
	r.kept = r.w.audit.compare(from)
	r.machine, r.applied = r.fresh(r.kept), from.applied
	r.w.audit.compare(r)
	r.w.count("snapshot installed")
	r.w.note("%s takes the snapshot of %s at %d", r.name, from.name, r.applied)
}

// crash ends it for a while. Who waits for it finds the connection broken.
func (r *stepReplica) crash() {
	if !r.up {
		return
	}
	r.w.count("crash")
	r.w.note("%s crashes at %d", r.name, r.applied)
	if r.w.reign != nil && r.w.reign.leader == r {
		r.w.depose()
	}
	r.reign, r.up = nil, false
	r.writes.dead, r.gate.dead = true, true
	r.life++
	for _, id := range sortedKeys(r.inbound) {
		r.inbound[id](nil)
	}
	r.inbound = map[int]func(error){}
	r.w.after(100*time.Millisecond+r.w.soon(), func() {
		r.begin()
		r.w.note("%s is back at %d", r.name, r.applied)
		to := len(r.w.log)
		r.w.after(r.w.soon(), func() {
			if r.up {
				r.apply(to)
			}
		})
		r.w.elect()
	})
}

func sortedKeys(m map[int]func(error)) (keys []int) {
	for k := range m { // any order
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// dethrone tells it that its leadership is over: what is under way is unknown.
func (r *stepReplica) dethrone() {
	reign := r.reign
	r.reign, r.knows = nil, nil
	for _, e := range reign.pending {
		e.tell(fsm.Outcome{}, unknown("the leadership was lost"))
	}
}

func unknown(why string) error { return registry.Errorf(registry.OutcomeUnknown, "%s", why) }

func unavailable(why string) error { return registry.Errorf(registry.Unavailable, "%s", why) }

// enter makes a batch of the gate an entry.
func (r *stepReplica) enter(b combine.Batch, done func(fsm.Outcome, error)) {
	if b.Deadline <= r.w.now {
		r.w.fatalf("%s proposes a batch %s after its deadline", r.name, r.w.now-b.Deadline)
	}
	if r.reign == nil {
		done(fsm.Outcome{}, unavailable("nobody leads here"))
		return
	}
	r.w.note("%s proposes a batch of %d turns", r.name, len(b.Turns))
	if r.reign.over {
		r.w.count("deposed leader asked")
	}
	e := &stepEntry{data: r.w.encode(r.reign, registry.RoundRobin{Turns: b.Turns}), done: done}
	r.reign.propose(r.w, e)
	r.w.at(b.Deadline, func() { e.tell(fsm.Outcome{}, unknown("not in time")) })
}

// send brings a batch of its own to the leader's gate.
func (r *stepReplica) send(b combine.Batch, done func(fsm.Outcome, error)) {
	if b.Deadline <= r.w.now {
		r.w.fatalf("%s sends a batch %s after its deadline", r.name, r.w.now-b.Deadline)
	}
	r.toLeader(b.Deadline, done, func(leader *stepReplica, reply func(fsm.Outcome, error)) {
		leader.gate.join(b.Turns, b.Deadline, reply)
	})
}

// toLeader does something at the leader, which may be this one.
func (r *stepReplica) toLeader(deadline time.Duration, done func(fsm.Outcome, error), do func(*stepReplica, func(fsm.Outcome, error))) {
	leader := r.knows
	switch {
	case r.reign != nil:
		do(r, done)
		return
	case leader == nil || leader == r:
		done(fsm.Outcome{}, unavailable("no leader is known"))
		return
	}
	r.w.ask(leader, deadline, func(lost bool) {
		if lost {
			done(fsm.Outcome{}, unknown("broken off"))
		} else {
			done(fsm.Outcome{}, unavailable("no connection"))
		}
	}, func(reply func(func())) {
		back := func(out fsm.Outcome, err error) { reply(func() { done(out, err) }) }
		if leader.reign == nil {
			back(fsm.Outcome{}, unavailable("it does not lead"))
			return
		}
		do(leader, back)
	})
}

// ask is one exchange with a replica: arrive is called there, and what it replies
// with is called here; or else failed is, once, with whether the request may have
// arrived.
func (w *stepWorld) ask(to *stepReplica, deadline time.Duration, failed func(lost bool), arrive func(reply func(func()))) {
	over := false
	once := func(do func()) {
		if !over {
			over = true
			do()
		}
	}
	w.made++
	id := w.made
	w.at(deadline, func() { once(func() { failed(true) }) })
	w.after(w.soon(), func() {
		switch {
		case !to.up || w.odds(100):
			once(func() { failed(false) })
			return
		case w.odds(40): // silence; now and then somebody resets the connection
			w.count("request lost")
			if w.odds(2) {
				once(func() { failed(true) })
			}
			return
		}
		life := to.life
		to.inbound[id] = func(error) { once(func() { failed(true) }) }
		arrive(func(do func()) {
			if to.life != life {
				return
			}
			delete(to.inbound, id)
			if w.odds(25) {
				w.count("answer lost")
				if w.odds(2) {
					w.after(w.soon(), func() { once(func() { failed(true) }) })
				}
				return
			}
			w.after(w.soon(), func() { once(do) })
		})
	})
}

// propose commits any other command, here or through the leader, and looks for one
// until the deadline.
func (r *stepReplica) propose(cmd registry.Command, deadline time.Duration, done func(fsm.Outcome, error)) {
	life := r.life
	r.toLeader(deadline, func(out fsm.Outcome, err error) {
		if again := r.w.now + 20*time.Millisecond; registry.CodeOf(err) == registry.Unavailable && err != nil && again < deadline && r.life == life {
			r.w.at(again, func() { r.propose(cmd, deadline, done) })
			return
		}
		done(out, err)
	}, func(leader *stepReplica, reply func(fsm.Outcome, error)) {
		e := &stepEntry{data: r.w.encode(leader.reign, cmd), done: reply}
		leader.reign.propose(r.w, e)
		r.w.at(deadline, func() { e.tell(fsm.Outcome{}, unknown("not in time")) })
	})
}

// stepCombiner drives a combiner as a replica does.
type stepCombiner struct {
	w       *stepWorld
	c       combine.Combiner
	dead    bool // its replica has crashed
	last    combine.RequestID
	waiting map[combine.RequestID]func(fsm.Outcome, error)
	carry   func(combine.Batch, func(fsm.Outcome, error))
}

func newStepCombiner(w *stepWorld, gate bool, carry func(combine.Batch, func(fsm.Outcome, error))) *stepCombiner {
	return &stepCombiner{w: w, c: combine.New(gate), waiting: map[combine.RequestID]func(fsm.Outcome, error){}, carry: carry}
}

func (d *stepCombiner) join(turns []registry.Turn, deadline time.Duration, reply func(fsm.Outcome, error)) {
	if deadline <= d.w.now {
		reply(fsm.Outcome{}, registry.ErrDeadline)
		return
	}
	d.last++
	id := d.last
	d.waiting[id] = func(out fsm.Outcome, err error) {
		if d.w.now > deadline+combine.Grace {
			d.w.fatalf("a request is answered %s after its deadline", d.w.now-deadline)
		}
		reply(out, err)
	}
	d.do(d.c.Arrive(d.w.now, id, turns, deadline))
	d.w.at(deadline, func() {
		if d.waiting[id] == nil {
			return
		}
		d.do(d.c.Leave(id))
		d.w.after(combine.Grace, func() {
			if d.waiting[id] != nil {
				d.w.count("gave up in a batch")
				d.do(d.c.GiveUp(id))
			}
		})
	})
}

func (d *stepCombiner) do(s combine.Step) {
	if d.dead {
		return
	}
	for _, a := range s.Answer {
		reply := d.waiting[a.ID]
		if reply == nil {
			d.w.fatalf("request %d is answered twice", a.ID)
		}
		delete(d.waiting, a.ID)
		d.w.after(0, func() { reply(a.Out, a.Err) })
	}
	for _, b := range s.Propose {
		d.w.after(0, func() {
			d.carry(b, func(out fsm.Outcome, err error) { d.do(d.c.Finish(d.w.now, b.ID, out, err)) })
		})
	}
	if s.Pause {
		d.w.after(20*time.Millisecond, func() { d.do(d.c.Resume(d.w.now)) })
	}
	if s.Wake > 0 {
		d.w.at(s.Wake, func() { d.do(d.c.Wake(d.w.now)) })
	}
}
