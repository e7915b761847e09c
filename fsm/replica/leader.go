package replica

import (
	"context"
	"sync"
	"time"

	"github.com/hashicorp/raft"
	"github.com/rota-registry/rota/registry"
)

// leadership is what this replica knows of its own.
type leadership struct {
	woken chan struct{} // one slot: something to look at

	mu struct {
		sync.Mutex
		leading bool
		seq     uint64 // one a notification: tells two leaderships apart
		// term is the one in which a TermStart was applied here; until then a
		// leader neither reads nor proposes.
		term registry.Term
		// The log clock: base when the term began, and what passed since.
		base  registry.Millis
		since time.Time
		// look is what the reconciler's last decision left, for who asks; thaws is
		// what its next one is to thaw.
		look  look
		thaws []registry.NodeType
	}
}

func (l *leadership) init() { l.woken = make(chan struct{}, 1) }

// drain takes Raft's notifications for as long as Raft may send them, which it
// does with its main loop waiting: so it only notes them and never calls Raft.
func (l *leadership) drain(ctx context.Context, notify <-chan bool) {
	for {
		select {
		case leading := <-notify:
			l.mu.Lock()
			l.mu.leading, l.mu.term = leading, 0
			l.mu.seq++
			l.mu.Unlock()
			l.poke()
		case <-ctx.Done():
			return
		}
	}
}

func (l *leadership) poke() {
	select {
	case l.woken <- struct{}{}:
	default:
	}
}

// current gives the leadership under way, if there is one.
func (l *leadership) current() (seq uint64, leading bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.mu.seq, l.mu.leading
}

func (l *leadership) begin(seq uint64, term registry.Term, clock registry.Millis) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.mu.seq == seq {
		l.mu.term, l.mu.base, l.mu.since = term, clock, time.Now()
	}
}

// readyTerm gives the term that has begun, 0 for none.
func (l *leadership) readyTerm() registry.Term {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.mu.term
}

// clock reads the log clock: monotonic, and carried on from the term before.
func (l *leadership) clock() registry.Millis {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.mu.base + registry.Millis(time.Since(l.mu.since).Milliseconds())
}

// leadWhenElected waits for elections and leads while they last. A replica that
// is stopping does not lead, and is a voter yet: it may be elected while it drains.
func (r *Replica) leadWhenElected() {
	var done uint64 // the leadership that was served last
	for {
		switch seq, leading := r.lead.current(); {
		case leading && r.stopping.Load():
			r.passOn(r.life.ctx)
		case leading && seq != done:
			done = seq
			if r.startTerm(seq) {
				r.reconcile(seq)
			}
			continue
		}
		select {
		case <-r.lead.woken:
		case <-r.life.ctx.Done():
			return
		}
	}
}

// startTerm commits the term's first command: once it is applied here, all
// that was committed before is, and a commit index can be waited for.
func (r *Replica) startTerm(seq uint64) bool {
	rf := r.raft.Load()
	for r.leads(seq) {
		term := registry.Term(rf.CurrentTerm())
		ctx, cancel := context.WithTimeout(r.life.ctx, raftIOTimeout)
		out, err := r.apply(ctx, rf, registry.TermStart{Leader: r.opts.Name}, r.stateClock())
		cancel()
		if err == nil {
			if out.At.Term == term {
				r.lead.begin(seq, term, r.stateClock())
				r.log.Info("this replica leads", "term", term, "index", out.At.Index)
				return true
			}
			continue
		}
		r.log.Debug("term not begun", "term", term, "error", err)
		if pause(r.life.ctx, retryEvery) != nil {
			return false
		}
	}
	return false
}

// leads reports whether the leadership seq lasts and should.
func (r *Replica) leads(seq uint64) bool {
	now, leading := r.lead.current()
	return leading && now == seq && !r.stopping.Load() && r.life.ctx.Err() == nil
}

// leading gives the term in which this replica may read and propose, 0 if it
// may not.
func (r *Replica) leading() registry.Term {
	rf := r.raft.Load()
	if rf == nil || rf.State() != raft.Leader || r.stopping.Load() {
		return 0
	}
	if term := r.lead.readyTerm(); term == registry.Term(rf.CurrentTerm()) {
		return term
	}
	return 0
}

func (r *Replica) stateClock() registry.Millis {
	view, _ := r.machine.View()
	return view.Clock()
}

// Leader is the API address of who leads, as far as this replica knows.
func (r *Replica) Leader() string {
	_, api := r.leader()
	return api
}

// leader gives the leader's name and API address as far as they are known.
func (r *Replica) leader() (registry.ReplicaName, string) {
	rf := r.raft.Load()
	if rf == nil {
		return "", ""
	}
	_, id := rf.LeaderWithID()
	name := registry.ReplicaName(id)
	if of, ok := r.book.lookup(name); ok {
		return name, of.API
	}
	_, of, _ := r.known(name)
	return name, of.API
}

// voters gives the voters of Raft's latest configuration.
func voters(rf *raft.Raft) []registry.ReplicaName {
	conf := rf.GetConfiguration()
	if conf.Error() != nil {
		return nil
	}
	var out []registry.ReplicaName
	for _, s := range conf.Configuration().Servers {
		if s.Suffrage == raft.Voter {
			out = append(out, registry.ReplicaName(s.ID))
		}
	}
	return out
}
