package check

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"time"

	"github.com/rota-registry/rota/registry"
)

// Counters say how often a run saw what it is there to see: a run that never
// did proves nothing, however little it found.
type Counters struct {
	Operations, OK, Failed, Unknown int
	// LeaderChanges are the terms that began, but for the first one.
	LeaderChanges int
	// ChangesInFlight are the terms that began, but for the first one, while a
	// round robin was on its way of which nobody could say then what it would come
	// to: one that an older term had committed, and whose caller was answered, or
	// never was, by a repetition that a newer term took; or one that was sent while
	// older terms still gave answers, and that was given up as unknown after the
	// term began, or was left in doubt and sent again, and committed by the term or
	// a later one. One that only waited for a leader was sent later.
	ChangesInFlight int
	// RetriesAfterChange are requests that were answered with what an earlier
	// leader's term had taken; each counts once, however often it was repeated.
	RetriesAfterChange int
	// SnapshotsUnderLoad are snapshots that a replica got from another one while
	// the load went on. The log does not show them: the run counts them.
	SnapshotsUnderLoad int
	// FollowerReadsAtChange are linearizable reads that a follower answered
	// within 10 ms of the first entry of a term: it may have waited for longer.
	FollowerReadsAtChange int
	// UnknownCommitted and UnknownNot are the calls whose outcome was unknown, by
	// what the log says. Of some it says nothing: see Facts.Resolve.
	UnknownCommitted, UnknownNot int
	// StatesCompared are the snapshots of replicas that were compared with what
	// the log gives.
	StatesCompared int
}

// Add adds another run's.
func (c *Counters) Add(o Counters) {
	to, from := reflect.ValueOf(c).Elem(), reflect.ValueOf(o)
	for i := range to.NumField() {
		to.Field(i).SetInt(to.Field(i).Int() + from.Field(i).Int())
	}
}

// Require says which of the counters are lower than they must be.
func (c Counters) Require(least Counters) error {
	var missing []error
	have, want := reflect.ValueOf(c), reflect.ValueOf(least)
	for i := range have.NumField() {
		if h, w := have.Field(i).Int(), want.Field(i).Int(); h < w {
			missing = append(missing, fmt.Errorf("%s: %d, and at least %d are wanted: the run proves nothing of it", have.Type().Field(i).Name, h, w))
		}
	}
	return errors.Join(missing...)
}

// nearChange is how close to a change of leader a read must be.
const nearChange = 10 * time.Millisecond

// Count counts what the operations and the log show. The run began at that wall
// time, by the clocks of the replicas.
func (f *Facts) Count(ops []Operation, began time.Time) Counters {
	c := Counters{Operations: len(ops)}
	for i := range ops {
		switch ops[i].Outcome {
		case OK:
			c.OK++
		case Failed:
			c.Failed++
		case Unknown:
			c.Unknown++
		}
	}
	c.LeaderChanges = max(len(f.Starts)-1, 0)
	c.ChangesInFlight = f.inFlight(ops, began)
	c.RetriesAfterChange = f.retries()
	c.FollowerReadsAtChange = f.nearReads(ops, began)
	_, c.UnknownCommitted, c.UnknownNot = f.Resolve(ops)
	return c
}

func (f *Facts) inFlight(ops []Operation, began time.Time) (n int) {
	repeated := map[request]registry.Index{} // the last repetition that the log has
	for i := range f.Turns {
		if t := &f.Turns[i]; t.Result.Taken != (registry.Position{}) {
			repeated[t.request()] = t.Index
		}
	}
	for i := 1; i < len(f.Starts); i++ {
		s := f.Starts[i]
		if s.Term == f.Starts[i-1].Term {
			continue
		}
		at := startedAt(s, ops, began)
		sent := min(at, lastHeard(s, ops, repeated))
		if slices.ContainsFunc(ops, func(o Operation) bool { return f.over(&o, s, at, sent, repeated) }) {
			n++
		}
	}
	return n
}

// lastHeard is when the last turn of the terms before was answered, and not by a
// repetition.
func lastHeard(s Start, ops []Operation, repeated map[request]registry.Index) (last time.Duration) {
	for i := range ops {
		o := &ops[i]
		if o.Kind == RoundRobin && o.Outcome == OK && o.Index < s.Index && repeated[o.request()] == 0 {
			last = max(last, o.Returned)
		}
	}
	return last
}

// over reports whether a turn was on its way, and in doubt, when a term began at
// that time; who was sent before the other was sent to one that lived.
func (f *Facts) over(o *Operation, s Start, at, sent time.Duration, repeated map[request]registry.Index) bool {
	if o.Kind != RoundRobin || o.Outcome == Failed {
		return false
	}
	if moved, done := f.moved[o.request()]; done && o.Session != "" {
		taken, again := f.Turns[moved].Index, repeated[o.request()]
		if taken < s.Index && s.Index <= again && o.Returned > at {
			return true
		}
	}
	if o.Outcome == Unknown {
		return o.Called < sent && at < o.Returned
	}
	return o.Doubted > 0 && o.Doubted < sent && o.Index > s.Index
}

// startedAt is when a term began: by its leader's clock, if that is between the
// call of whoever was answered with an entry before it and the return of whoever
// was answered with one behind it, and else whichever of the two is nearer.
func startedAt(s Start, ops []Operation, began time.Time) time.Duration {
	from, to := time.Duration(0), Never
	for i := range ops {
		o := &ops[i]
		switch {
		case o.Outcome != OK:
		case o.Index >= s.Index:
			to = min(to, o.Returned)
		case o.Kind == RoundRobin:
			from = max(from, o.Called)
		}
	}
	return min(max(time.UnixMilli(int64(s.Wall)).Sub(began), from), to)
}

func (f *Facts) retries() int {
	leader := map[registry.Term]registry.ReplicaName{}
	for _, s := range f.Starts {
		leader[s.Term] = s.Leader
	}
	repeated := map[request]bool{}
	for i := range f.Turns {
		t := &f.Turns[i]
		if first := t.Result.Taken; first != (registry.Position{}) && leader[first.Term] != leader[t.Term] {
			repeated[t.request()] = true
		}
	}
	return len(repeated)
}

func (f *Facts) nearReads(ops []Operation, began time.Time) (n int) {
	for i := range ops {
		o := &ops[i]
		if o.Outcome != OK || o.Kind == RoundRobin || o.Kind == Write || !o.linearizable() {
			continue
		}
		for i := 1; i < len(f.Starts); i++ {
			before, s := f.Starts[i-1], f.Starts[i]
			after := o.Returned - time.UnixMilli(int64(s.Wall)).Sub(began)
			led := after < 0 && o.ServedBy == before.Leader || o.ServedBy == s.Leader
			if !led && after.Abs() <= nearChange {
				n++
				break
			}
		}
	}
	return n
}
