package replica

import (
	"time"

	"github.com/hashicorp/raft"
	"github.com/rota-registry/rota/fsm"
	"github.com/rota-registry/rota/registry"
)

// Raft lets a test hurry an election.
func (r *Replica) Raft() *raft.Raft { return r.raft.Load() }

// Flying tells a test how many entries of round-robin turns are on their way.
func (r *Replica) Flying() int {
	r.gate.mu.Lock()
	defer r.gate.mu.Unlock()
	return r.gate.mu.combiner.Flying()
}

// Waiting tells a test how many round-robin requests are unanswered.
func (r *Replica) Waiting() int {
	r.writes.mu.Lock()
	defer r.writes.mu.Unlock()
	return len(r.writes.mu.waiting)
}

// WarmedUp tells a test whether this replica leads and may declare nodes failed.
func (r *Replica) WarmedUp() bool {
	lives, replicas := r.lives()
	began := r.lead.told().began
	return !began.IsZero() && time.Since(began) > 2*r.opts.GossipProfile.Suspicion(len(lives)+replicas)
}

// FailStore lets a test fail or hold up the calls of the store, of which none
// may take longer than callMax; 0 is what it is otherwise.
func (o *Options) FailStore(fault func(call string) error, callMax time.Duration) {
	o.disk.callMax = callMax
	o.disk.around = func(call string, do func() error) error {
		if err := fault(call); err != nil {
			return err
		}
		return do()
	}
}

// Compact lets a test see compactions of few entries.
func (o *Options) Compact(trailing, chunk uint64) { o.Timings.Trailing, o.disk.chunk = trailing, chunk }

// FreeSpace lets a test say how many bytes are free, and how many there are.
func (o *Options) FreeSpace(is func(dir string) (free, total uint64)) {
	o.disk.free = func(dir string) (s space, err error) {
		s.free, s.total = is(dir)
		return s, nil
	}
}

// Tamper lets a test change what a replica's machine applies, before it does,
// and have checkpoints more often.
func (o *Options) Tamper(every registry.Index, change func(*raft.Log) *raft.Log) {
	o.machine.every = every
	if change != nil {
		o.machine.wrap = func(m *fsm.Machine) raft.FSM { return tampered{m, change} }
	}
}

type tampered struct {
	*fsm.Machine
	change func(*raft.Log) *raft.Log
}

func (t tampered) ApplyBatch(entries []*raft.Log) []any {
	out := make([]*raft.Log, len(entries))
	for i, l := range entries {
		out[i] = t.change(l)
	}
	return t.Machine.ApplyBatch(out)
}

// Report lets a test report what a leader that knows less than the log would.
func (r *Replica) Report(cmd registry.ReportLiveness) { r.report(cmd) }

// LogAt reads an entry of this replica's own log.
func (r *Replica) LogAt(index uint64) (l raft.Log, err error) {
	err = r.store.logs.GetLog(index, &l)
	return l, err
}

// HasHeard tells a test whether another replica's last greeting says that it is
// ready.
func (r *Replica) HasHeard(name registry.ReplicaName) (ready bool) {
	if heard := r.heard.Load(); heard != nil {
		for _, a := range *heard {
			ready = ready || a.err == nil && a.Name == name && a.Ready
		}
	}
	return ready
}

// Age lets a test have the log clock of a leader run ahead, and the reconciler look.
func (r *Replica) Age(by registry.Millis) {
	r.lead.mu.Lock()
	r.lead.mu.base += by
	r.lead.mu.Unlock()
	r.lead.poke()
}
