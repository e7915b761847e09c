package chaos_test

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/rota-registry/rota/tests/check"
)

// summary is what all rounds of a run came to.
type summary struct {
	seed       uint64
	began      time.Time
	rounds     int
	counters   check.Counters
	undecided  int
	cursors    int
	refused    int // reads
	ground     string
	violations []check.Violation
	faults     map[string]*faultSummary
}

// faultSummary is one kind of fault.
type faultSummary struct {
	fault    fault
	times    int
	took     int           // effect
	why      string        // the last time that it took none
	silence  time.Duration // the longest time without an answered round robin
	recovery time.Duration // the longest from healed to recovered
}

// add takes a round in.
func (s *summary) add(r *round) {
	s.rounds++
	s.counters.Add(r.report.Counters)
	s.undecided += r.report.Undecided
	s.cursors += cursorsOf(r.load.history.Operations())
	s.refused += len(r.load.mu.refused)
	s.violations = append(s.violations, r.mu.violations...)
	answered := answersOf(r.load.history.Operations())
	for _, f := range r.possible {
		if s.faults[f.name] == nil {
			s.faults[f.name] = &faultSummary{fault: f}
		}
	}
	for _, w := range r.windows {
		f := s.faults[w.fault.name]
		if f.times++; w.vain == "" {
			f.took++
		} else {
			f.why = w.vain
		}
		f.silence = max(f.silence, silence(answered, w.from, w.end))
		f.recovery = max(f.recovery, w.end-w.healed)
	}
}

const (
	// provesMin is how long a run is in which each fault that was tried must have
	// taken effect.
	provesMin = 10 * time.Minute
	// allMin is how long a run is in which each fault must have that can be on its
	// ground: there is time for nine in a minute, and for six on a busy machine, of
	// which every other one is to be new. Three tries for each of about fifty fit.
	allMin = 30 * time.Minute
)

// honest says what the run of that length does not show, though it passed.
func (s *summary) honest(d time.Duration) error {
	var missing []error
	if s.undecided*20 > s.cursors {
		missing = append(missing, fmt.Errorf("porcupine had no time for %d of %d cursors, more than one in twenty", s.undecided, s.cursors))
	}
	for _, f := range s.faults {
		switch {
		case f.took > 0:
		case f.times > 0 && d >= provesMin:
			missing = append(missing, fmt.Errorf("%q was tried %d times and never took effect: %s", f.fault.name, f.times, f.why))
		case f.times == 0 && d >= allMin:
			missing = append(missing, fmt.Errorf("%q was never tried", f.fault.name))
		}
	}
	return errors.Join(append(missing, s.counters.Require(required(d)))...)
}

// cursorsOf counts the cursors that callers turned.
func cursorsOf(ops []check.Operation) int {
	turned := map[string]bool{}
	for i := range ops {
		if ops[i].Kind == check.RoundRobin {
			turned[ops[i].Key] = true
		}
	}
	return len(turned)
}

// groundOf names a ground, and what cannot be done on it.
func groundOf(g ground, why string) string {
	if g.isolated() {
		return "a network namespace for each process"
	}
	without := 0
	for _, f := range faults() {
		if f.isolated || f.ownDisk {
			without++
		}
	}
	return fmt.Sprintf("loopback (%s), without the %d faults of networks and full disks", why, without)
}

// answersOf gives when round robins were answered, in order.
func answersOf(ops []check.Operation) (at []time.Duration) {
	for i := range ops {
		if ops[i].Kind == check.RoundRobin && ops[i].Outcome == check.OK {
			at = append(at, ops[i].Returned)
		}
	}
	slices.Sort(at)
	return at
}

// silence is the longest time between two answers that overlaps a window.
func silence(answered []time.Duration, from, to time.Duration) (longest time.Duration) {
	i, _ := slices.BinarySearch(answered, from)
	for i = max(i, 1); i < len(answered) && answered[i-1] < to; i++ {
		longest = max(longest, answered[i]-answered[i-1])
	}
	return longest
}

// String gives the table.
func (s *summary) String() string {
	var b strings.Builder
	c := s.counters
	fmt.Fprintf(&b, "chaos: seed %d, %d rounds, %s, on %s\n\n", s.seed, s.rounds, time.Since(s.began).Round(time.Second), s.ground)
	fmt.Fprintf(&b, "| fault | numbers | times | took effect | longest without a turn | slowest recovery |\n|---|---|---|---|---|---|\n")
	total, took := 0, 0
	for _, f := range slices.SortedFunc(maps.Values(s.faults), func(a, b *faultSummary) int { return cmp.Compare(a.fault.name, b.fault.name) }) {
		total, took = total+f.times, took+f.took
		fmt.Fprintf(&b, "| %s | %s | %d | %d | %.2f s | %.2f s |\n", f.fault.name, f.fault.numbers, f.times, f.took, f.silence.Seconds(), f.recovery.Seconds())
	}
	fmt.Fprintf(&b, "\n| | |\n|---|---|\n")
	for _, row := range []struct {
		what string
		n    int
	}{
		{"faults", total},
		{"… that took effect", took},
		{"operations", c.Operations},
		{"… answered", c.OK},
		{"… not done", c.Failed},
		{"… unknown", c.Unknown},
		{"unknown that the log has", c.UnknownCommitted},
		{"unknown that the log has not", c.UnknownNot},
		{"leader changes", c.LeaderChanges},
		{"… with round robins under way", c.ChangesInFlight},
		{"retries answered from the table after a change", c.RetriesAfterChange},
		{"snapshots installed under load", c.SnapshotsUnderLoad},
		{"snapshots compared with the log", c.StatesCompared},
		{"follower reads within 10 ms of a change", c.FollowerReadsAtChange},
		{"reads without an answer, in faults", s.refused},
		{"cursors", s.cursors},
		{"… that porcupine had no time for", s.undecided},
		{"violations", len(s.violations)},
	} {
		fmt.Fprintf(&b, "| %s | %d |\n", row.what, row.n)
	}
	return b.String()
}
