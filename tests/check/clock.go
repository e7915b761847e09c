package check

import (
	"maps"
	"slices"
	"time"

	"github.com/rota-registry/rota/fsm"
	"github.com/rota-registry/rota/registry"
)

// clockGrain is what the log clock counts in: a stamp may be so much lower than
// the time that it stands for.
const clockGrain = time.Millisecond

// logClock is the log clock on the way through the log.
type logClock struct {
	highest registry.Millis // that any entry carried
	term    registry.Term   // of the last TermStart
	carried registry.Millis // the highest when that term began
}

// clocked holds the stamp of the entry under way against those before it. A stamp
// alone may be lower than the one before it, of two that were proposed at once,
// and of a TermStart, whose leader may have applied no more of the log yet: the
// state keeps the highest. No term begins again where the one before it began.
func (r *replay) clocked(e *fsm.Entry) {
	c := &r.clock
	_, start := e.Command.(registry.TermStart)
	if !start && c.term == r.last.Term && e.Clock < c.carried {
		r.faults.add("clock", "index %d: its leader's log clock is at %d ms, and was at %d ms when term %d began", r.last.Index, e.Clock, c.carried, c.term)
	}
	c.highest = max(c.highest, e.Clock)
	if start {
		c.term, c.carried = r.last.Term, c.highest
	}
	if view, _ := r.machine.View(); view.Clock() != c.highest {
		r.faults.add("clock", "index %d: the state's log clock is at %d ms, and the entries' came to %d ms", r.last.Index, view.Clock(), c.highest)
	}
	r.stamps[r.last.Index] = e.Clock
}

// Clock holds the log clock against the time of the run. An entry of turns was
// stamped after they were asked for, and any entry before it was answered with: so
// each answer bounds how far the log clock was behind the run. In one term that
// stays as it is; from term to term the log clock loses what an election takes,
// and gains nothing. It believes no wall clock, and has run for no longer than the
// cluster has lived, if that is known.
func (f *Facts) Clock(ops []Operation, lived time.Duration) []Violation {
	var out faults
	for _, i := range slices.Sorted(maps.Keys(f.stamps)) {
		if at := time.Duration(f.stamps[i]) * time.Millisecond; lived > 0 && at > lived {
			out.add("clock", "index %d: the log clock is at %s, and the cluster has lived for %s", i, at, lived)
			break
		}
	}
	type bounds struct {
		most, least     time.Duration // log clock less run
		mostBy, leastBy *Operation
	}
	of := map[registry.Term]*bounds{}
	for i := range ops {
		o := &ops[i]
		stamp, stamped := f.stamps[o.Index]
		if o.Outcome != OK || !stamped {
			continue
		}
		b := of[o.Term]
		if b == nil {
			b = &bounds{}
			of[o.Term] = b
		}
		at := time.Duration(stamp) * time.Millisecond
		if least := at - o.Returned; o.Returned != Never && (b.leastBy == nil || least > b.least) {
			b.least, b.leastBy = least, o
		}
		if most := at - o.Called; o.Kind == RoundRobin && (b.mostBy == nil || most < b.most) {
			b.most, b.mostBy = most, o
		}
	}
	var low bounds
	for _, s := range f.Starts {
		b := of[s.Term]
		if b == nil {
			continue
		}
		if b.mostBy != nil && (low.mostBy == nil || b.most < low.most) {
			low = *b
		}
		if b.leastBy != nil && low.mostBy != nil && b.least > low.most+clockGrain {
			out.add("clock", "the log clock is at %d ms for %s, and at %d ms for %s: it is %s off the time of the run at the least",
				f.stamps[low.mostBy.Index], low.mostBy, f.stamps[b.leastBy.Index], b.leastBy, b.least-low.most)
		}
	}
	return out.list
}
