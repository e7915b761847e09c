package chaos_test

import (
	"fmt"
	"slices"
	"time"

	"github.com/rota-registry/rota/fsm"
	"github.com/rota-registry/rota/registry"
	"github.com/rota-registry/rota/tests/check"
)

// promises checks what needs to know when faults were: that no call outlasts its
// deadline, that no read fails when nothing is broken, and that nobody is called
// dead who lived.
func (r *round) promises(ops []check.Operation) (found []check.Violation) {
	add := func(name, format string, args ...any) {
		found = append(found, check.Violation{Check: name, Text: fmt.Sprintf(format, args...)})
	}
	for _, text := range r.load.mu.late {
		add("deadline", "%s", text)
	}
	found = append(found, r.load.mu.told...)
	for _, f := range r.load.mu.refused {
		if !r.broken(f.called, f.returned) {
			add("read", "failed while nothing was broken, from %.3f s to %.3f s: %s", f.called.Seconds(), f.returned.Seconds(), f.what)
		}
	}
	for _, e := range r.report.Log {
		decoded, err := fsm.DecodeEntry(e.Data)
		if err != nil {
			continue // a no-op
		}
		report, ok := decoded.Command.(registry.ReportLiveness)
		if !ok {
			continue
		}
		for _, c := range report.Changes {
			if c.State != registry.Failed {
				continue
			}
			from, to, known := when(ops, e.Index)
			if known && !r.mayBeDead(string(c.Name), from, to) {
				add("death", "%s was called failed (%s) at index %d, between %.3f s and %.3f s, and ran all the time, never cut off",
					c.Name, c.Reason, e.Index, from.Seconds(), to.Seconds())
			}
		}
	}
	return found
}

// broken reports whether a fault, or the recovery from one, overlaps a span.
func (r *round) broken(from, to time.Duration) bool {
	return slices.ContainsFunc(r.windows, func(w *window) bool { return from <= w.end && w.from <= to })
}

// mayBeDead reports whether a fault of which a node could be taken for dead
// overlaps a span, or ended shortly before it.
func (r *round) mayBeDead(name string, from, to time.Duration) bool {
	return slices.ContainsFunc(r.windows, func(w *window) bool {
		return slices.Contains(w.hidden, name) && from <= w.end+deadMax && w.from <= to
	})
}

// when bounds the time at which an entry of the log was committed by what callers
// saw, since clocks are among the faults: after the call of whoever had an entry
// before it, and before the return of whoever had one behind it. Known it is only
// for entries while there were calls.
func when(ops []check.Operation, at registry.Index) (from, to time.Duration, known bool) {
	for i := range ops {
		o := &ops[i]
		if o.Outcome != check.OK || o.Index == 0 {
			continue
		}
		if o.Index >= at && (!known || o.Returned < to) {
			to, known = o.Returned, true
		}
		// A storm asks for what was done before.
		if o.Index <= at && o.Kind == check.RoundRobin && o.Client < stormClients {
			from = max(from, o.Called)
		}
	}
	return from, to, known
}
