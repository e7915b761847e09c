package sim

import (
	"time"

	"github.com/rota-registry/rota/registry"
	"github.com/rota-registry/rota/tests/check"
)

// searchMax is for porcupine, in virtual time, which stands still while it
// computes: it is not a bound on anything but its own timers.
const searchMax = time.Hour

// Judge checks all that the users saw, and gives what the run saw. The users
// have stopped.
func (w *Workload) Judge() check.Counters {
	w.c.t.Helper()
	for _, f := range w.c.Log.Faults() {
		w.c.t.Error(f)
	}
	for _, f := range w.late.all() {
		w.c.t.Error(f)
	}
	run := check.Run{Ops: w.history.Operations(), Began: w.began, Lived: w.now(), Search: searchMax}
	for _, r := range w.c.replicas {
		states, err := check.Snapshots(r.Name, r.dir)
		w.c.must("read the snapshots of "+string(r.Name), err)
		run.States = append(run.States, states...)
	}
	run.Logs = w.c.Log.logs() // it reaches at least as far as the snapshots
	report := check.All(run)
	for _, v := range report.Violations {
		w.c.t.Error(v)
	}
	if report.Undecided > 0 {
		w.c.t.Errorf("%d cursors were not decided", report.Undecided)
	}
	report.Counters.SnapshotsUnderLoad = w.c.Log.Installed()
	return report.Counters
}

// logs gives what each replica applied. The log has indexes that no replica
// applies, which are Raft's own no-ops: they are filled in.
func (a *Applied) logs() []check.ReplicaLog {
	a.mu.Lock()
	defer a.mu.Unlock()
	one := check.ReplicaLog{Name: "all", Applied: a.mu.last}
	for i := registry.Index(1); i <= a.mu.last; i++ {
		e := check.Entry{Position: registry.Position{Index: i}}
		if l := a.mu.entries[i]; l != nil {
			e.Term = registry.Term(l.Term)
			e.Data = l.Data
			if l.Type != 0 { // Raft's own, which the checks do not read
				e.Data = nil
			}
		} else if i > 1 {
			e.Term = one.Entries[i-2].Term
		}
		one.Entries = append(one.Entries, e)
	}
	return []check.ReplicaLog{one}
}
