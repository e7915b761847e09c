package client

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/rota-registry/rota/registry"
	"github.com/rota-registry/rota/registry/pace"
)

// happening is one thing that may happen to a combiner: a number that says
// what, and others that say to whom. Any numbers make sense.
type happening struct{ kind, which, size, wait int }

// watched drives a combiner of turns, with the cargo and the session that it
// has in a Client, and holds all that it gives against a model: the list of
// calls in order of arrival, and a cluster that counts the turns of each cursor.
type watched struct {
	t       fataler
	m       combiner[turnAsk]
	session *session
	now     time.Duration
	alarm   time.Duration // when to ask again for a flight, if that is not past
	asked   []*asked
	waiting []*asked // in no batch, first to fly first
	flying  []*batch[turnAsk]
	landed  int // flights that have landed and not ended
	preps   bool
	taken   map[cursor]int
	serials map[string]bool // that were drawn

	transcript strings.Builder
}

type fataler interface {
	Helper()
	Fatalf(format string, args ...any)
}

// asked is what the model knows of one call.
type asked struct {
	c       *caller[turnAsk]
	settled int
	back    int  // how often it was taken back
	patient bool // it has left, and has not given up
}

func newWatched(t fataler) *watched {
	return &watched{t: t, m: *newCombiner[turnAsk](counted), now: time.Hour, session: newSession("s"), taken: map[cursor]int{}, serials: map[string]bool{}}
}

// run lets things happen, ends all that is left, and gives the story, word for
// word.
func (w *watched) run(script []happening) string {
	for _, h := range script {
		w.pass(time.Duration(h.wait) * time.Millisecond)
		w.happen(h)
		w.check()
	}
	w.told(w.m.close(), tooLate())
	for w.m.boarding {
		w.departs(0)
	}
	for len(w.flying) > 0 {
		w.lands(0, 0)
	}
	for w.landed > 0 {
		w.ends()
	}
	for i, a := range w.asked {
		if a.settled != 1 {
			w.t.Fatalf("call %d was settled %d times", i+1, a.settled)
		}
	}
	if !w.m.idle() || w.m.waiting != 0 || w.m.tail != nil || w.session.room() != registry.OutstandingMax {
		w.t.Fatalf("at the end %d wait in %d flights, and the session has room for %d", w.m.waiting, w.m.pace.Trips(), w.session.room())
	}
	return w.transcript.String()
}

// pass lets time pass, and asks again for a flight when that is due.
func (w *watched) pass(span time.Duration) {
	end := w.now + span
	for w.alarm > w.now && w.alarm <= end {
		w.now = w.alarm
		w.launch()
	}
	w.now = end
}

func (w *watched) launch() {
	if _, at := w.m.launch(w.now); at > 0 && (w.alarm <= w.now || at < w.alarm) {
		w.alarm = at
	}
}

func (w *watched) end() {
	w.m.end()
	w.launch()
}

func (w *watched) happen(h happening) {
	switch {
	case h.kind < 5:
		w.arrives(h)
	case h.kind == 5 && w.m.boarding:
		w.departs(h.size % 8)
	case h.kind < 8 && len(w.flying) > 0:
		w.lands(h.which%len(w.flying), h.size)
	case h.kind == 8 && w.landed > 0:
		w.ends()
	case h.kind == 9:
		if may := w.mayLeave(); len(may) > 0 {
			w.leaves(may[h.which%len(may)], h.size)
		}
	}
}

func (w *watched) mayLeave() []*asked {
	return slices.DeleteFunc(slices.Clone(w.asked), func(a *asked) bool { return a.settled > 0 || a.patient })
}

// check: who waits while a flight is free is looked at again soon, and there are
// never too many.
func (w *watched) check() {
	flights, n := w.m.pace.Trips(), len(w.flying)+w.landed
	if flights > flightsMax || flights < n || w.m.boarding != (flights > n) {
		w.t.Fatalf("%d flights, of which %d fly or have landed; boarding: %v", flights, n, w.m.boarding)
	}
	soon := pace.Slow
	if flights == 0 {
		soon = time.Millisecond
	}
	if len(w.waiting) > 0 && !w.m.boarding && flights < flightsMax && (w.alarm <= w.now || w.alarm > w.now+soon) {
		w.t.Fatalf("%d calls wait at %s though a flight is free, and that is looked at again at %s", len(w.waiting), w.now, w.alarm)
	}
}

// arrives makes a call of h.size: mostly one answer of one of few cursors.
func (w *watched) arrives(h happening) {
	turn := registry.Turn{Pool: "p", Key: fmt.Sprint(h.which % 3), Count: 1}
	switch h.size % 8 {
	case 0:
		turn.Count = 1 + h.size%registry.BatchAnswersMax
	case 1:
		turn = registry.Turn{LogID: "l"}
	case 2:
		turn.Key = fmt.Sprint(h.which)
	}
	c := &caller[turnAsk]{deadline: w.now + time.Duration(h.which%2000-50)*time.Millisecond}
	c.ask.turn[0] = turn
	a := &asked{c: c}
	w.asked, w.waiting = append(w.asked, a), append(w.waiting, a)
	w.m.arrive(c)
	w.launch()
}

// departs lets the boarding flight go; how 1 and 2 prepare it first, which may
// fail.
func (w *watched) departs(how int) {
	if how == 1 && !w.preps {
		w.preps = true
		if until, any := w.m.prepare(), len(w.waiting) > 0; any != (until > 0) && any {
			w.t.Fatalf("%d wait and there is no time", len(w.waiting))
		}
		return
	}
	if how == 2 && w.preps {
		w.preps = false
		w.told(w.m.refuse(registry.ErrUnavailable), registry.ErrUnavailable)
		w.end() // at once, and the same flight takes who is left
		return
	}
	w.preps = false
	load := newTurnCargo(w.session)
	b, late := w.m.depart(w.now, load)
	w.told(late, tooLate())
	if b == nil {
		defer w.end()
		if load.serial != 0 && len(load.turns) > 0 || len(w.waiting) > 0 && load.room > 0 {
			w.t.Fatalf("nobody went, of %d, with room for %d turns", len(w.waiting), load.room)
		}
	} else {
		w.departed(b, load)
	}
	w.launch()
}

// departed: a batch is the first of those who wait, as many as fit, each with
// a part of a turn of its cursor, in order.
func (w *watched) departed(b *batch[turnAsk], load *turnCargo) {
	fmt.Fprintf(&w.transcript, "batch of %d in %d turns\n", len(b.callers), len(load.turns))
	turns, deadline := make([]turn, 0, len(load.turns)), time.Duration(0)
	for i, c := range b.callers {
		if w.waiting[i].c != c || c.deadline <= w.now {
			w.t.Fatalf("call %d flew and it was not its turn, or too late", c.number)
		}
		deadline = max(deadline, c.deadline)
		if c.ask.at == len(turns) {
			turns = append(turns, turn{cursor: c.ask.cursor()})
		}
		t := &turns[c.ask.at]
		if t.cursor != c.ask.cursor() || t.count != c.ask.from || t.cursor.log != "" && t.count > 0 {
			w.t.Fatalf("call %d has answers from %d of turn %d, which is %+v", c.number, c.ask.from, c.ask.at, *t)
		}
		t.count += c.ask.count()
	}
	w.waiting = w.waiting[len(b.callers):]
	if !slices.Equal(turns, load.turns) || b.deadline != deadline || b.waiting != len(b.callers) {
		w.t.Fatalf("a batch of %v until %s, want %v until %s", load.turns, b.deadline, turns, deadline)
	}
	if load.count > registry.BatchAnswersMax || len(turns) > turnsMax {
		w.t.Fatalf("a batch of %d answers in %d turns", load.count, len(turns))
	}
	if len(w.waiting) > 0 {
		w.isFull(load, w.waiting[0].c)
	}
	for i := range turns {
		serial := fmt.Sprint(load.serial + uint64(i))
		if w.serials[serial] || load.serial < load.firstUnacked {
			w.t.Fatalf("serial %s is another one's, or behind %d", serial, load.firstUnacked)
		}
		w.serials[serial] = true
	}
	w.flying = append(w.flying, b)
}

// isFull: whoever was left waiting would not have fitted.
func (w *watched) isFull(load *turnCargo, next *caller[turnAsk]) {
	shares := next.ask.cursor().log == "" && slices.ContainsFunc(load.turns, func(t turn) bool { return t.cursor == next.ask.cursor() })
	if load.count+next.ask.count() <= registry.BatchAnswersMax && (shares || len(load.turns) < load.room) && next.deadline > w.now {
		w.t.Fatalf("call %d was left behind by %d answers in %d turns", next.number, load.count, len(load.turns))
	}
}

// lands ends a batch: mostly with its answers, or with an error, or with the
// word that it is to fly again.
func (w *watched) lands(i, how int) {
	b := w.flying[i]
	load := b.cargo.(*turnCargo)
	w.flying = slices.Delete(w.flying, i, i+1)
	w.landed++
	load.finish()
	switch {
	case how%5 == 3:
		w.told(w.m.land(w.now, b, registry.ErrOutcomeUnknown), registry.ErrOutcomeUnknown)
	case how%5 == 4:
		w.cameBack(b)
	default:
		load.answers = make([]turnAnswer, len(load.turns))
		for i, t := range load.turns {
			load.answers[i] = turnAnswer{count: t.count, lap: w.take(t)}
		}
		told := w.m.land(w.now, b, nil)
		w.told(told, nil)
		w.handOut(load, told)
	}
}

// take gives the next answers of a cursor, each another.
func (w *watched) take(t turn) []registry.Answer {
	lap := make([]registry.Answer, t.count)
	for i := range lap {
		w.taken[t.cursor]++
		lap[i].Topic = fmt.Sprint(w.taken[t.cursor])
	}
	return lap
}

// handOut: the answers of a turn go to its calls in the order in which they
// came; only those of calls that have given up go to nobody.
func (w *watched) handOut(load *turnCargo, told []*caller[turnAsk]) {
	next := make([]int, len(load.turns))
	for _, c := range told {
		(&rounds{}).deliver(load, &c.ask)
		if c.ask.from < next[c.ask.at] {
			w.t.Fatalf("call %d gets answer %d, which another has", c.number, c.ask.from)
		}
		next[c.ask.at] = c.ask.from + c.ask.count()
		first, last := c.ask.answer.one(c.ask.from), c.ask.answer.at(next[c.ask.at]-1)
		if first.Topic != load.answers[c.ask.at].lap[c.ask.from].Topic || last != load.answers[c.ask.at].lap[next[c.ask.at]-1] {
			w.t.Fatalf("call %d gets %s to %s", c.number, first.Topic, last.Topic)
		}
	}
}

// cameBack: who is not done waiting is at the head of the queue again.
func (w *watched) cameBack(b *batch[turnAsk]) {
	var again []*asked
	for _, c := range b.callers {
		a := w.of(c)
		if a.settled == 0 && !a.patient && a.back < renewalsMax {
			a.back++
			again = append(again, a)
		}
	}
	w.waiting = append(again, w.waiting...)
	w.told(w.m.takeBack(b, registry.ErrSessionUnknown), registry.ErrSessionUnknown)
	w.ends() // at once, and the same flight takes them
}

func (w *watched) ends() {
	w.landed--
	w.end()
}

// leaves: in no batch, it hears that nothing was done; in one that others wait
// for, that it is not known. Who is the last waits for the batch's end, and so
// does who has only its own time to blame if that is near.
func (w *watched) leaves(a *asked, size int) {
	if size%2 == 0 {
		w.pass(max(0, a.c.deadline-w.now))
	}
	queued, b := slices.Contains(w.waiting, a), a.c.batch
	soon := a.c.deadline <= w.now && (queued && w.preps || !queued && b.deadline <= w.now+endGrace)
	last := !queued && !soon && !slices.ContainsFunc(b.callers, func(o *caller[turnAsk]) bool { return o != a.c && o.batch == b })
	patience, alone := w.m.leave(w.now, a.c)
	if (alone == b && b != nil) != last || patience > 2*endGrace || (last || soon && !queued) != (patience > 0) && !(soon && queued) {
		w.t.Fatalf("call %d left, in the queue: %v, soon: %v, as the last: %v, and is to wait %s; alone: %v", a.c.number, queued, soon, last, patience, alone != nil)
	}
	if patience > 0 {
		a.patient = true
		if size%3 > 0 {
			return
		}
		w.m.giveUp(a.c)
	}
	if queued {
		w.told([]*caller[turnAsk]{a.c}, tooLate())
	} else {
		w.told([]*caller[turnAsk]{a.c}, leftBehind(counted))
	}
}

// told: calls were settled, for the first time, with that error.
func (w *watched) told(calls []*caller[turnAsk], want error) {
	for _, c := range calls {
		a := w.of(c)
		a.settled++
		a.patient = false
		w.waiting = slices.DeleteFunc(w.waiting, func(o *asked) bool { return o == a })
		if c.stage != settled || c.batch != nil || textOf(c.err) != textOf(want) {
			w.t.Fatalf("call %d is at stage %d with %v, want %v", c.number, c.stage, c.err, want)
		}
		fmt.Fprintf(&w.transcript, "%d: %s\n", c.number, textOf(c.err))
	}
}

func textOf(err error) string {
	if given, ok := errors.AsType[*givenUp](err); ok {
		return given.code.String()
	}
	return fmt.Sprint(err)
}

func (w *watched) of(c *caller[turnAsk]) *asked { return w.asked[c.number-1] }

// Whatever happens, every call is settled once, with what is its own.
func TestWhateverHappensToTheCombiner(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		newWatched(t).run(rapid.SliceOfN(rapid.Custom(func(t *rapid.T) happening {
			return happening{
				kind:  rapid.IntRange(0, 9).Draw(t, "kind"),
				which: rapid.IntRange(0, 1<<20).Draw(t, "which"),
				size:  rapid.IntRange(0, 1<<20).Draw(t, "size"),
				wait:  rapid.IntRange(0, 300).Draw(t, "wait"),
			}
		}), 0, 80).Draw(t, "script"))
	})
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

// Equal events, equal steps, to the word.
func TestTheCombinerReplaysFromASeed(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for seed := range uint64(25) {
		script := scriptOf(seed, 120)
		first, second := newWatched(t).run(script), newWatched(t).run(script)
		if first != second {
			t.Fatalf("seed %d went two ways:\n%s\nand\n%s", seed, first, second)
		}
		seen[first] = true
	}
	all := ""
	for story := range seen {
		all += story
	}
	for _, what := range []string{": <nil>", ": deadline", ": unavailable", ": outcome_unknown", ": session_unknown", "batch of 1 in 1", "batch of 9 in"} {
		if !strings.Contains(all, what) {
			t.Errorf("in none of %d stories there is %q: they show too little", len(seen), what)
		}
	}
}
