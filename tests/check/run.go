package check

import "time"

// Run is what a run of a cluster left behind.
type Run struct {
	Logs []ReplicaLog
	Ops  []Operation // as History.Operations gives them
	// States are what replicas held at some index, those of their snapshots.
	States []State
	// Began is when the run's clock stood at 0, by the replicas' wall clocks.
	Began time.Time
	// Lived is for how long the cluster has lived, from before its first process
	// started; 0 is unknown.
	Lived time.Duration
	// Search bounds porcupine; 0 is one minute.
	Search time.Duration
}

// Report is what the checks found.
type Report struct {
	Violations []Violation
	Counters   Counters
	// Undecided are the cursors for which porcupine had no time.
	Undecided int
	Log       Log
	Facts     *Facts
}

// All runs all checks but that for leaks.
func All(r Run) Report {
	var out Report
	out.Log, out.Violations = Merge(r.Logs...)
	ops, found := Fold(r.Ops)
	out.Violations = append(out.Violations, found...)
	facts, found := Replay(out.Log, ops)
	out.Facts = facts
	out.Violations = append(out.Violations, found...)
	out.Violations = append(out.Violations, facts.Cursors(ops)...)
	compared, found := States(out.Log, r.States)
	out.Violations = append(out.Violations, found...)
	out.Violations = append(out.Violations, facts.Clock(ops, r.Lived)...)
	resolved, _, _ := facts.Resolve(ops)
	search := r.Search
	if search == 0 {
		search = time.Minute
	}
	found, out.Undecided = facts.Linearizable(resolved, search)
	out.Violations = append(out.Violations, found...)
	out.Counters = facts.Count(ops, r.Began)
	out.Counters.StatesCompared = compared
	return out
}
