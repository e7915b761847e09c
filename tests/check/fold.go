package check

import (
	"cmp"
	"slices"
	"time"
)

// Fold makes one operation of all that have the same request: it was called with
// the first of them, and answered with the first answer. Answers to one request
// that differ are violations.
func Fold(ops []Operation) ([]Operation, []Violation) {
	var f faults
	var folded []Operation
	at := map[request]int{}
	for _, o := range ops {
		i, known := at[o.request()]
		switch {
		case o.Kind != RoundRobin || o.Session == "":
			folded = append(folded, o)
		case !known:
			at[o.request()] = len(folded)
			folded = append(folded, o)
		default:
			first := &folded[i]
			if first.Outcome == OK && o.Outcome == OK && (first.Position != o.Position || same("", first.Answers, o.Answers) != nil) {
				f.add("cursor", "one request was answered twice, and not alike: %s; %s", first, &o)
			}
			*first = joined(*first, o)
		}
	}
	slices.SortStableFunc(folded, func(a, b Operation) int { return cmp.Compare(a.Called, b.Called) })
	return folded, f.list
}

// joined is one operation of two under one request. That one attempt was not
// done says nothing of the other.
func joined(a, b Operation) Operation {
	if b.Outcome == OK && (a.Outcome != OK || b.Returned < a.Returned) || a.Outcome == Failed && b.Outcome == Unknown {
		a, b = b, a
	}
	a.Doubted = firstDoubt(&a, &b)
	a.Called = min(a.Called, b.Called)
	if a.Outcome == Failed {
		a.Returned = max(a.Returned, b.Returned)
	}
	return a
}

func firstDoubt(of ...*Operation) (at time.Duration) {
	for _, o := range of {
		d := o.Doubted
		if d == 0 && o.Outcome == Unknown {
			d = o.Called
		}
		if d != 0 && (at == 0 || d < at) {
			at = d
		}
	}
	return at
}
