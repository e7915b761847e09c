package check

import (
	"slices"

	"github.com/rota-registry/rota/registry"
)

// Cursors counts the turns that moved each cursor: they are those that were
// answered, and some of those whose outcome is unknown. It counts requests by
// their ids, in what the log says and not in what registry made of it.
func (f *Facts) Cursors(ops []Operation) []Violation {
	var out faults
	byCursor := map[cursor]*tally{}
	at := func(c cursor) *tally {
		if byCursor[c] == nil {
			byCursor[c] = &tally{answered: map[request]*Operation{}, unknown: map[request]*Operation{}}
		}
		return byCursor[c]
	}
	for i := range ops {
		if o := &ops[i]; o.Kind == RoundRobin {
			at(o.cursor()).add(o)
		}
	}
	done := map[request]bool{}
	for i := range f.Turns {
		t := &f.Turns[i]
		if !t.Moved() {
			continue
		}
		c, id := at(t.cursor()), t.request()
		_, answered := c.answered[id]
		_, unknown := c.unknown[id]
		if answered || unknown {
			done[id] = true
			continue
		}
		c.moves += t.Result.Count()
	}
	var sorted []cursor
	for c, t := range byCursor {
		sorted = append(sorted, c)
		for id, o := range t.answered {
			if len(o.Answers) > 0 && o.Answers[0].Node != "" && !done[id] {
				out.add("cursor", "%s: was answered, and the log has no turn of it", o)
			}
		}
	}
	slices.SortFunc(sorted, func(a, b cursor) int {
		return slices.Compare([]string{string(a.pool), a.key}, []string{string(b.pool), b.key})
	})
	for _, c := range sorted {
		t := byCursor[c]
		if rest := t.moves - t.taken; rest < 0 || !sums(t.open, rest) {
			out.add("cursor", "%s: callers that name no request were answered %d turns, %d more are unknown in calls of %v, and the log has %d",
				c, t.taken, total(t.open), clipped(t.open), t.moves)
		}
	}
	return out.list
}

// tally is what is known of one cursor. Calls with a request are told apart by
// it; of the others there are sums.
type tally struct {
	answered, unknown map[request]*Operation
	taken             int   // answers without a request
	open              []int // counts of unknown calls without a request
	moves             int   // turns in the log without a request that anyone knows
}

func (t *tally) add(o *Operation) {
	named := o.Session != ""
	switch {
	case o.Outcome == OK && named:
		t.answered[o.request()] = o
	case o.Outcome == Unknown && named:
		t.unknown[o.request()] = o
	case o.Outcome == OK && len(o.Answers) > 0 && o.Answers[0].Node != "":
		t.taken += len(o.Answers)
	case o.Outcome == Unknown:
		t.open = append(t.open, o.Count)
	}
}

// sums reports whether some of the parts are the whole.
func sums(parts []int, whole int) bool {
	if whole > total(parts) {
		return false
	}
	reached := make([]bool, whole+1)
	reached[0] = true
	for _, p := range parts {
		for i := whole; i >= p; i-- {
			reached[i] = reached[i] || reached[i-p]
		}
	}
	return reached[whole]
}

func total(parts []int) (sum int) {
	for _, p := range parts {
		sum += p
	}
	return sum
}

func clipped(parts []int) []int { return parts[:min(len(parts), perCheck)] }

// Resolve gives the operations with what the log says of those whose outcome is
// unknown: a request that is in the log is OK and returns never, one that is not
// was not done. Unknown calls without a request are not in the log if nothing is
// left there that nobody has claimed; else they stay unknown. So do changes that
// no mark tells apart, unless the log has none like them.
func (f *Facts) Resolve(ops []Operation) (resolved []Operation, committed, not int) {
	left := f.unclaimed(ops)
	resolved = slices.Clone(ops)
	marked := marks(resolved)
	for i := range resolved {
		o := &resolved[i]
		if o.Outcome != Unknown {
			continue
		}
		switch o.Kind {
		case RoundRobin:
			at, done := f.moved[o.request()]
			switch {
			case o.Session != "" && done:
				committed++
				o.resolve(&f.Turns[at])
			case o.Session != "" || left[o.cursor()] == 0:
				not++
				o.Outcome, o.Err = Failed, "the log does not have it"
			}
		case Write:
			done, gone := f.resolveWrite(o, marked)
			committed, not = committed+done, not+gone
		case HRW, Pool, Nodes: // A read that was not answered says nothing.
		}
	}
	return resolved, committed, not
}

// resolve makes the operation what its turn came to, of which its caller never
// heard.
func (o *Operation) resolve(t *Taken) {
	o.Outcome, o.Returned = OK, Never
	o.Answers, o.Epoch, o.Position = t.answers(), t.Result.Epoch, t.Position
}

// unclaimed counts, by cursor, the turns that no known request and no answer
// account for.
func (f *Facts) unclaimed(ops []Operation) map[cursor]int {
	named, left := map[request]bool{}, map[cursor]int{}
	for i := range ops {
		o := &ops[i]
		switch {
		case o.Kind != RoundRobin:
		case o.Session != "":
			named[o.request()] = true
		case o.Outcome == OK && len(o.Answers) > 0 && o.Answers[0].Node != "":
			left[o.cursor()] -= len(o.Answers)
		}
	}
	for i := range f.Turns {
		if t := &f.Turns[i]; t.Moved() && !named[t.request()] {
			left[t.cursor()] += t.Result.Count()
		}
	}
	return left
}

// Last is the position of the log's last entry.
func (f *Facts) Last() registry.Position { return f.last }
