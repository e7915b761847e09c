package check_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/rota-registry/rota/registry"
	"github.com/rota-registry/rota/tests/check"
)

// marked are changes that the log keeps a word of their caller's of.
func marked(word string) map[string]registry.Command {
	return map[string]registry.Command{
		"drain":    registry.DrainNode{Name: "w3", Draining: true, Reason: word},
		"forget":   registry.ForgetNode{Name: "w3", Reason: word},
		"register": registry.RegisterPool{Spec: registry.Spec{Name: "side", Topic: registry.Topic(word), NodeType: registry.Worker}},
	}
}

func failed(o *check.Operation) { o.Outcome, o.Err = check.Failed, "no leader" }

func says(r check.Report, by string) bool {
	return slices.ContainsFunc(r.Violations, func(v check.Violation) bool { return v.Check == by })
}

// TestFailedChangesAreNotInTheLog claims that a change which its caller was told
// had failed, and which the log has, is found if a mark tells it from all others.
func TestFailedChangesAreNotInTheLog(t *testing.T) {
	for name, c := range marked("one/of/a/kind") {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			failed(w.write(c))
			if r := w.report(); !says(r, "failed") {
				t.Errorf("found %v", r.Violations)
			}
		})
	}
}

// TestChangesThatAreNotTold claims that nothing is said where the log cannot tell:
// of changes without a mark, of those that share one, of unknown ones, and of one
// whose last attempt was refused.
func TestChangesThatAreNotTold(t *testing.T) {
	for name, history := range map[string]func(*world){
		"no mark": func(w *world) { failed(w.write(registry.DrainNode{Name: "w3", Draining: true})) },
		"two of one mark": func(w *world) {
			c := registry.DrainNode{Name: "w3", Draining: true, Reason: "the same"}
			w.write(c)
			failed(w.record(check.Operation{Kind: check.Write, Command: c}))
		},
		"unknown": func(w *world) {
			w.write(registry.DrainNode{Name: "w3", Draining: true, Reason: "once"}).Outcome = check.Unknown
		},
		"not in the log": func(w *world) {
			failed(w.record(check.Operation{Kind: check.Write, Command: registry.DrainNode{Name: "w3", Draining: true, Reason: "once"}}))
		},
		"refused": func(w *world) {
			c := registry.DrainNode{Name: "w9", Draining: true, Reason: "once"}
			w.commit(c)
			failed(w.record(check.Operation{Kind: check.Write, Command: c}))
		},
		"done, and refused when it was asked for again": func(w *world) {
			c := registry.DrainNode{Name: "w3", Draining: true, Reason: "once"}
			w.commit(c)
			w.write(registry.ForgetNode{Name: "w3"})
			w.commit(c)
			failed(w.record(check.Operation{Kind: check.Write, Command: c}))
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			history(w)
			if r := w.report(); len(r.Violations) != 0 {
				t.Errorf("found %v", r.Violations)
			}
		})
	}
}

// A change that was refused is not one that was done, whoever was told so.
func TestARefusedChangeIsNotDone(t *testing.T) {
	w := newWorld(t)
	c := registry.DrainNode{Name: "w9", Draining: true}
	out := w.commit(c)
	w.record(check.Operation{Kind: check.Write, Command: c, Position: out.At, Outcome: check.OK})
	if r := w.report(); !says(r, "witness") {
		t.Errorf("found %v", r.Violations)
	}
}

// TestUnknownChangesAreResolved claims that a change whose outcome is unknown is
// counted as what the log has of it, and not at all where it cannot tell.
func TestUnknownChangesAreResolved(t *testing.T) {
	w := newWorld(t)
	unknown := func(c registry.Command) {
		w.record(check.Operation{Kind: check.Write, Command: c, Outcome: check.Unknown})
	}
	w.write(registry.DrainNode{Name: "w1", Draining: true, Reason: "done"}).Outcome = check.Unknown
	unknown(registry.DrainNode{Name: "w1", Draining: true, Reason: "not done"})
	unknown(registry.UnregisterPool{Name: "nowhere"}) // has no mark, and the log none like it
	w.write(registry.DrainNode{Name: "w1"})
	unknown(registry.DrainNode{Name: "w1"}) // may be that one, or another
	r := w.report()
	if c := r.Counters; c.UnknownCommitted != 1 || c.UnknownNot != 2 || len(r.Violations) != 0 {
		t.Errorf("counters %+v; %v", c, r.Violations)
	}
}

// TestOneHotCursor claims that a cursor which the search is lost in costs no other
// its verdict, and that the verdicts come in an order of their own.
func TestOneHotCursor(t *testing.T) {
	w := newWorld(t)
	crowd := func(key string, n int) { // all at once, and one of them is told another's answer
		first := len(w.ops)
		for range n {
			w.anonymous(key, 1)
		}
		for i := range w.ops[first:] {
			w.ops[first+i].Called, w.ops[first+i].Returned = w.ops[first].Called, w.ops[len(w.ops)-1].Returned
		}
		w.ops[first].Answers = w.ops[first+1].Answers
	}
	cold := []string{"g", "c", "e", "a", "h", "b", "f", "d"}
	crowd("0-hot", 42)
	for _, key := range cold {
		crowd(key, 9)
	}
	facts, _ := check.Replay(w.log, w.ops)
	found, undecided := facts.Linearizable(w.ops, 800*ms)
	slices.Sort(cold)
	if undecided != 1 || len(found) != len(cold) {
		t.Fatalf("%d were not decided, and of %d wrong ones %d were found: %v", undecided, len(cold), len(found), found)
	}
	for i, key := range cold {
		if !strings.Contains(found[i].Text, `cursor "`+key+`"`) {
			t.Errorf("verdict %d is %q, want cursor %q", i, found[i].Text[:40], key)
		}
	}
}
