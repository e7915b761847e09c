package check

import (
	"github.com/rota-registry/rota/fsm"
	"github.com/rota-registry/rota/registry"
)

// wrote is where a command stands in the log.
type wrote struct{ done, refused []registry.Position }

// wrote notes where a command stands, and whether it did what it says.
func (r *replay) wrote(c registry.Command, out *fsm.Outcome) {
	key := subject(c)
	w := r.commands[key]
	if out.Err == nil {
		w.done = append(w.done, r.last)
	} else {
		w.refused = append(w.refused, r.last)
	}
	r.commands[key] = w
}

// mark is what a command keeps in the log of its caller's own words: a reason,
// or the topic that somebody has given to a pool. A caller who never uses one
// twice has his changes told apart from all others. Empty is none.
func mark(c registry.Command) string {
	switch own := c.(type) {
	case registry.DrainNode:
		return own.Reason
	case registry.ForgetNode:
		return own.Reason
	case registry.LeaveNode:
		return own.Reason
	case registry.RegisterPool:
		return string(own.Spec.Topic)
	}
	return ""
}

// marks gives the changes that are told apart by their mark: no other change of
// the run has it. Of the others the log cannot say whose an entry is, and the
// checks say nothing.
func marks(ops []Operation) map[*Operation]bool {
	of := map[string]*Operation{}
	for i := range ops {
		o := &ops[i]
		if o.Kind != Write {
			continue
		}
		if m := mark(o.Command); m != "" {
			if _, twice := of[m]; twice {
				o = nil
			}
			of[m] = o
		}
	}
	marked := map[*Operation]bool{}
	for _, o := range of {
		if o != nil {
			marked[o] = true
		}
	}
	return marked
}

// doneAs gives where the log has a change that is told apart by its mark.
func (f *Facts) doneAs(o *Operation, marked map[*Operation]bool) (at registry.Position, done bool) {
	if !marked[o] {
		return at, false
	}
	all := f.commands[subject(o.Command)].done
	if len(all) == 0 {
		return at, false
	}
	return all[0], true
}

// refusedLater reports whether the change stands in the log once more behind what
// was done, and was refused: a call that may run twice hears what its last attempt
// came to.
func (f *Facts) refusedLater(o *Operation) bool {
	w := f.commands[subject(o.Command)]
	return len(w.refused) > 0 && w.refused[len(w.refused)-1].Index > w.done[0].Index
}

// resolveWrite makes an unknown change what the log says of it, if it does: one
// that is told apart by its mark is there or not, and one that is nowhere was not
// done.
func (f *Facts) resolveWrite(o *Operation, marked map[*Operation]bool) (committed, not int) {
	at, done := f.doneAs(o, marked)
	switch {
	case done:
		o.Outcome, o.Returned, o.Position = OK, Never, at
		return 1, 0
	case marked[o] || len(f.commands[subject(o.Command)].done) == 0:
		o.Outcome, o.Err = Failed, "the log does not have it"
		return 0, 1
	}
	return 0, 0
}
