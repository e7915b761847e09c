package combine

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rota-registry/rota/fsm"
	"github.com/rota-registry/rota/registry"
	"github.com/rota-registry/rota/registry/pace"
)

// happening is one thing that may happen to a combiner: a number that says
// what, and others that say to whom. Any numbers make sense.
type happening struct{ kind, which, size, wait int }

// watched drives a combiner and holds all that it asks for against a model: the
// list of requests in order of arrival.
type watched struct {
	t          fataler
	gate       bool // it tries once
	c          Combiner
	now        time.Duration
	alarm      time.Duration // when it wants to be woken, if that is not past
	asked      map[RequestID]*asked
	waiting    []*asked // held and in no batch, oldest first
	flying     map[BatchID]Batch
	paused     bool
	closed     bool
	heard      error // what the last batch that ended heard
	refusal    error // the same, if nothing was done and others wait in vain for it
	leaving    RequestID
	transcript strings.Builder
}

type fataler interface {
	Helper()
	Fatalf(format string, args ...any)
}

// asked is what the model knows of one request.
type asked struct {
	id       RequestID
	turns    []registry.Turn
	deadline time.Duration
	flown    int    // batches that it was in
	mayBe    string // "done" or "unknown" when it must not fly again
	answers  int
	left     bool
	gaveUp   bool
}

func newWatched(t fataler, gate bool) *watched {
	return &watched{t: t, gate: gate, c: New(gate), asked: map[RequestID]*asked{}, flying: map[BatchID]Batch{}}
}

// run lets things happen and ends all that is left; it gives what was asked
// for, word for word.
func (w *watched) run(script []happening) string {
	for _, h := range script {
		w.pass(time.Duration(h.wait) * time.Millisecond)
		w.happen(h)
	}
	for _, id := range slices.Sorted(maps.Keys(w.flying)) {
		w.land(id, id%3 != 0, nil)
	}
	w.took(w.c.Close(registry.ErrUnavailable), func() { w.closed = true })
	for len(w.flying) > 0 {
		w.land(slices.Min(slices.Collect(maps.Keys(w.flying))), false, registry.ErrOutcomeUnknown)
	}
	for _, a := range w.asked {
		if a.answers != 1 {
			w.t.Fatalf("request %d was answered %d times", a.id, a.answers)
		}
	}
	if len(w.c.held) != 0 || w.c.bytes != 0 || w.c.queue.Len() != 0 {
		w.t.Fatalf("the combiner still holds %d requests, %d bytes, %d in its queue", len(w.c.held), w.c.bytes, w.c.queue.Len())
	}
	return w.transcript.String()
}

// pass lets time pass, and wakes the combiner when it wants to be woken.
func (w *watched) pass(span time.Duration) {
	end := w.now + span
	for w.alarm > w.now && w.alarm <= end {
		w.now = w.alarm
		w.took(w.c.Wake(w.now), func() {})
	}
	w.now = end
}

func (w *watched) happen(h happening) {
	flying := slices.Sorted(maps.Keys(w.flying))
	switch {
	case h.kind < 5:
		w.arrives(h)
	case h.kind < 8 && len(flying) > 0:
		errs := []error{nil, nil, nil, registry.ErrUnavailable, registry.ErrDeadline, registry.ErrOutcomeUnknown, registry.ErrLimit}
		w.land(flying[h.which%len(flying)], h.size%11 != 0, errs[h.size%len(errs)])
	case h.kind == 8 && w.paused:
		w.took(w.c.Resume(w.now), func() { w.paused = false })
	case h.kind == 9 && len(w.asked) > 0:
		w.leaves(RequestID(1+h.which%len(w.asked)), h.size%3 == 0)
	}
}

// arrives makes a request of h.size: mostly one turn, now and then many turns,
// answers or bytes.
func (w *watched) arrives(h happening) {
	a := &asked{id: RequestID(len(w.asked) + 1), deadline: w.now + time.Duration(h.which%2000-100)*time.Millisecond}
	turns, count, key := 1, 1+h.size%3, ""
	switch h.size % 8 {
	case 0:
		turns, count = 1+h.size%registry.BatchTurnsMax, 1
	case 1:
		turns, count = 1, 1+h.size%registry.BatchAnswersMax
	case 2:
		turns, key = 1+h.size%900, strings.Repeat("k", registry.RRKeyMax-20)
	}
	for i := range turns {
		a.turns = append(a.turns, registry.Turn{Pool: "p", Key: fmt.Sprintf("%d/%d/%s", a.id, i, key), Count: count})
	}
	if h.size%16 == 15 {
		a.turns = []registry.Turn{{LogID: fmt.Sprint(a.id)}}
	}
	w.asked[a.id] = a
	w.waiting = append(w.waiting, a)
	w.took(w.c.Arrive(w.now, a.id, a.turns, a.deadline), func() {})
}

// land ends a batch: with an error, with the answers of its turns, or with one
// answer too few.
func (w *watched) land(id BatchID, whole bool, err error) {
	b := w.flying[id]
	out := fsm.Outcome{At: registry.Position{Index: registry.Index(id)}}
	for _, t := range b.Turns {
		out.Result.Turns = append(out.Result.Turns, registry.TurnResult{Answers: []registry.Answer{{Topic: t.Key + t.LogID}}})
	}
	if !whole {
		out.Result.Turns = out.Result.Turns[1:]
	}
	refused := nothingDone(err)
	w.took(w.c.Finish(w.now, id, out, err), func() {
		delete(w.flying, id)
		w.heard, w.refusal = err, nil
		if refused && !w.gate {
			w.refusal = err
		}
		w.paused = w.paused || refused && !w.closed && !w.gate
		for _, r := range b.requests {
			if a := w.asked[r.id]; a.answers > 0 {
				continue
			} else if refused && (a.left || w.gate) && !w.closed {
				a.mayBe = "refused"
			} else if refused {
				w.waiting = append(w.waiting, a)
			} else {
				a.mayBe = "done"
				if err != nil || !whole {
					a.mayBe = "unknown"
				}
			}
		}
		slices.SortFunc(w.waiting, func(a, b *asked) int { return int(a.id) - int(b.id) })
	})
}

// leaves lets a request leave, and perhaps give up at once: who is in no batch
// is answered then, who is in one when it gives up.
func (w *watched) leaves(id RequestID, gives bool) {
	a := w.asked[id]
	was, queued := a.answers, slices.Contains(w.waiting, a)
	w.leaving, a.left = id, true
	s := w.c.Leave(id)
	if len(s.Answer) != 0 != queued {
		w.t.Fatalf("request %d left, in the queue: %v, and got %d answers", id, queued, len(s.Answer))
	}
	w.took(s, func() {})
	w.leaving = 0
	if !gives {
		return
	}
	a.gaveUp = was == 0
	w.took(w.c.GiveUp(id), func() {})
	if a.answers != 1 {
		w.t.Fatalf("request %d gave up and has %d answers", id, a.answers)
	}
}

// took checks one step against the model, which is moved first.
func (w *watched) took(s Step, move func()) {
	move()
	for _, a := range s.Answer {
		w.answered(a)
	}
	for _, b := range s.Propose {
		w.proposed(b)
	}
	if s.Pause && !w.paused {
		w.t.Fatalf("a pause was asked for, and no batch was refused")
	}
	if len(w.flying) > FlightsMax {
		w.t.Fatalf("%d batches fly", len(w.flying))
	}
	if s.Wake > 0 && (w.alarm <= w.now || s.Wake < w.alarm) {
		w.alarm = s.Wake
	}
	if !w.closed && !w.paused && len(w.waiting) > 0 && len(w.flying) < FlightsMax {
		w.goesSoon()
	}
}

// goesSoon: whoever waits while a slot is free is looked at again soon, at once
// if nothing is under way.
func (w *watched) goesSoon() {
	soon := pace.Slow
	if len(w.flying) == 0 {
		soon = time.Millisecond
	}
	if w.alarm <= w.now || w.alarm > w.now+soon {
		w.t.Fatalf("request %d waits at %s though %d of %d slots are free, and is looked at again at %s", w.waiting[0].id, w.now, FlightsMax-len(w.flying), FlightsMax, w.alarm)
	}
}

// answered holds an answer against what happened to the request.
func (w *watched) answered(got Answer) {
	a := w.asked[got.ID]
	code := "done"
	if got.Err != nil {
		code = registry.CodeOf(got.Err).String()
	}
	fmt.Fprintf(&w.transcript, "%d: %s\n", a.id, code)
	if a.answers++; a.answers > 1 {
		w.t.Fatalf("request %d was answered again", a.id)
	}
	inBatch := !slices.Contains(w.waiting, a)
	w.waiting = slices.DeleteFunc(w.waiting, func(o *asked) bool { return o == a })
	switch {
	case got.Err == nil:
		w.itsOwn(a, got.Out)
	case a.mayBe == "refused":
		if registry.CodeOf(got.Err) != registry.CodeOf(w.heard) {
			w.t.Fatalf("request %d, which does not fly again, heard %s from its batch, want %v", a.id, code, w.heard)
		}
	case a.mayBe == "done":
		w.t.Fatalf("request %d was done and heard %s", a.id, code)
	case inBatch && a.mayBe == "" && !a.gaveUp:
		w.t.Fatalf("request %d heard %s before its batch ended", a.id, code)
	case inBatch && code != registry.OutcomeUnknown.String() && code != registry.Limit.String():
		w.t.Fatalf("request %d was in a batch and heard %s", a.id, code)
	case !inBatch && !w.closed:
		w.inVain(a, got.Err)
	}
}

// inVain: who is told that nothing was done has left, or its time is over, and
// it hears the leader's refusal, if that is what it waited for.
func (w *watched) inVain(a *asked, err error) {
	want := error(registry.ErrDeadline)
	if w.refusal != nil {
		want = w.refusal
	}
	if err == nil || registry.CodeOf(err) != registry.CodeOf(want) || a.deadline > w.now && a.id != w.leaving {
		w.t.Fatalf("request %d, whose deadline is %s, heard %v at %s, want %v", a.id, a.deadline, err, w.now, want)
	}
}

// itsOwn: the answers are those of the request's own turns, in order.
func (w *watched) itsOwn(a *asked, out fsm.Outcome) {
	if a.mayBe != "done" || len(out.Result.Turns) != len(a.turns) {
		w.t.Fatalf("request %d of %d turns, which is %q, got %d answers", a.id, len(a.turns), a.mayBe, len(out.Result.Turns))
	}
	for i, t := range a.turns {
		if got := out.Result.Turns[i].Answers[0].Topic; got != t.Key+t.LogID {
			w.t.Fatalf("turn %d of request %d got the answer of %q", i, a.id, got)
		}
	}
}

// proposed: a batch is the oldest of those who wait, as many as fit, whole.
func (w *watched) proposed(b Batch) {
	var turns []registry.Turn
	answers, latest := 0, time.Duration(0)
	for i, r := range b.requests {
		if i >= len(w.waiting) || w.waiting[i].id != r.id {
			w.t.Fatalf("batch %d has request %d at %d, which is not whose turn it is", b.ID, r.id, i)
		}
		a := w.waiting[i]
		if a.deadline <= w.now || a.mayBe != "" || a.answers != 0 {
			w.t.Fatalf("request %d was proposed at %s: its deadline is %s, it is %q and was answered %d times", a.id, w.now, a.deadline, a.mayBe, a.answers)
		}
		a.flown++
		latest = max(latest, a.deadline)
		turns = append(turns, a.turns...)
	}
	fmt.Fprintf(&w.transcript, "batch %d of %d from %d\n", b.ID, len(b.requests), b.requests[0].id)
	if !slices.Equal(turns, b.Turns) {
		w.t.Fatalf("batch %d is not its requests' turns in order", b.ID)
	}
	if b.Deadline != min(latest, w.now+FlightTime) {
		w.t.Fatalf("batch %d ends at %s", b.ID, b.Deadline)
	}
	for i := range turns {
		answers += answersOf(&turns[i])
	}
	entry := w.encoded(turns)
	if len(b.requests) > 1 && (len(turns) > registry.BatchTurnsMax || answers > registry.BatchAnswersMax || entry > registry.EntryMax) {
		w.t.Fatalf("batch %d has %d turns, %d answers, %d bytes", b.ID, len(turns), answers, entry)
	}
	w.waiting = w.waiting[len(b.requests):]
	if len(w.waiting) > 0 && w.waiting[0].deadline > w.now {
		w.isFull(b, w.waiting[0].turns, answers, entry)
	}
	w.flying[b.ID] = b
}

// isFull: whoever was left waiting would not have fitted.
func (w *watched) isFull(b Batch, next []registry.Turn, answers, entry int) {
	for i := range next {
		answers += answersOf(&next[i])
	}
	all := len(b.Turns) + len(next)
	if all <= registry.BatchTurnsMax && answers <= registry.BatchAnswersMax && entry+w.encoded(next) < batchBytesMax-all*turnOverhead {
		w.t.Fatalf("batch %d of %d turns and %d bytes left out a request of %d turns", b.ID, len(b.Turns), entry, len(next))
	}
}

// encoded is the length of the longest entry of these turns; too long is any
// number past the bound.
func (w *watched) encoded(turns []registry.Turn) int {
	const latest = 1<<63 - 1
	b, err := fsm.EncodeEntry(fsm.Entry{Clock: latest, Wall: latest, Command: registry.RoundRobin{Turns: turns}})
	if err != nil {
		return registry.EntryMax + 1
	}
	return len(b)
}

func scriptOf(seed uint64, length int) (script []happening) {
	r := rand.New(rand.NewPCG(seed, 0))
	for range length {
		h := happening{kind: r.IntN(10), which: r.IntN(1 << 20), size: r.IntN(1 << 20)}
		if r.IntN(4) == 0 {
			h.wait = r.IntN(700)
		}
		script = append(script, h)
	}
	return script
}

// TestTheCombinerReplaysFromASeed: equal events, equal steps, to the word.
func TestTheCombinerReplaysFromASeed(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for seed := range uint64(60) {
		script := scriptOf(seed, 80)
		first, second := newWatched(t, seed%4 == 3).run(script), newWatched(t, seed%4 == 3).run(script)
		if first != second {
			t.Fatalf("seed %d went two ways:\n%s\nand\n%s", seed, first, second)
		}
		seen[first] = true
	}
	if len(seen) != 60 {
		t.Errorf("60 seeds gave %d stories", len(seen))
	}
	all := strings.Join(slices.Collect(maps.Keys(seen)), "")
	for _, what := range []string{": done", ": deadline", ": unavailable", ": outcome_unknown", ": limit", " of 1 from", " of 9 from"} {
		if !strings.Contains(all, what) {
			t.Errorf("in none of the stories there is %q: they show too little", what)
		}
	}
}
