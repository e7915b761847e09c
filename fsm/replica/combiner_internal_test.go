package replica

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rota-registry/rota/fsm"
	"github.com/rota-registry/rota/registry"
	"github.com/rota-registry/rota/registry/pace"
	"pgregory.net/rapid"
)

// TestWhateverHappensToTheCombiner holds it against the model; see watched.
func TestWhateverHappensToTheCombiner(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		newWatched(t, rapid.Bool().Draw(t, "gate")).run(rapid.SliceOfN(rapid.Custom(func(t *rapid.T) happening {
			return happening{
				kind:  rapid.IntRange(0, 9).Draw(t, "kind"),
				which: rapid.IntRange(0, 1<<20).Draw(t, "which"),
				size:  rapid.IntRange(0, 1<<20).Draw(t, "size"),
				wait:  rapid.IntRange(0, 300).Draw(t, "wait"),
			}
		}), 0, 60).Draw(t, "script"))
	})
}

// TestATurnTakesNoMoreThanItsBound: what the combiner counts is never less than
// what the entry takes, whatever the turn.
func TestATurnTakesNoMoreThanItsBound(t *testing.T) {
	t.Parallel()
	empty := len(entryOf(t))
	rapid.Check(t, func(t *rapid.T) {
		text := func(name string) string {
			return strings.Repeat("x", rapid.IntRange(0, registry.RRKeyMax).Draw(t, name))
		}
		turn := registry.Turn{
			Pool: registry.PoolName(text("pool")), Key: text("key"), LogID: text("log"),
			Count: rapid.IntRange(0, registry.BatchAnswersMax).Draw(t, "count"),
		}
		if rapid.Bool().Draw(t, "in a session") {
			turn.Request = registry.RequestID{
				Session: registry.SessionID(strings.Repeat("a", registry.SessionIDLen)),
				Serial:  rapid.Uint64().Draw(t, "serial"), FirstUnacked: rapid.Uint64().Draw(t, "first unacked"),
			}
		}
		if takes := len(entryOf(t, turn)) - empty; takes > bytesOf(&turn) {
			t.Fatalf("it takes %d bytes and was counted as %d", takes, bytesOf(&turn))
		}
	})
}

func entryOf(t fataler, turns ...registry.Turn) []byte {
	b, err := fsm.EncodeEntry(fsm.Entry{Command: registry.RoundRobin{Turns: turns}})
	if err != nil {
		t.Fatalf("encode: %v", err)
	}
	return b
}

func one() []registry.Turn { return []registry.Turn{{Pool: "p", Count: 1}} }

// filled gives a combiner whose slots are taken by a request each, the first
// ones, and in whose queue the next n wait until the deadline.
func filled(t *testing.T, n int, deadline time.Duration) *combiner {
	t.Helper()
	c := newCombiner(false)
	for id := range requestID(flightsMax + n) {
		s := c.arrive(0, id+1, one(), deadline)
		if len(s.answer) != 0 || (len(s.propose) == 1) != (id < flightsMax) {
			t.Fatalf("request %d: %d answers, %d batches", id+1, len(s.answer), len(s.propose))
		}
	}
	return &c
}

// TestAFullQueueRefusesAtOnce: the last one that may wait does, the next one is
// refused, and there is room again when somebody is gone.
func TestAFullQueueRefusesAtOnce(t *testing.T) {
	t.Parallel()
	c := filled(t, registry.WaitingMax-flightsMax, time.Hour)
	s := c.arrive(0, 90_000, one(), time.Hour)
	if len(s.answer) != 1 || s.answer[0].id != 90_000 || !errors.Is(s.answer[0].err, registry.ErrOverloaded) {
		t.Fatalf("one too many: %+v, want overloaded", s.answer)
	}
	c.leave(5_000)
	if s := c.arrive(0, 90_001, one(), time.Hour); len(s.answer) != 0 {
		t.Errorf("with room again: %+v", s.answer)
	}
	long := slices.Repeat([]registry.Turn{{Pool: "p", Key: strings.Repeat("k", registry.RRKeyMax), Count: 1}}, registry.BatchTurnsMax)
	c, taken := filled(t, 0, time.Hour), 0
	for ; ; taken++ {
		if s := c.arrive(0, requestID(100_000+taken), long, time.Hour); len(s.answer) == 1 {
			if !errors.Is(s.answer[0].err, registry.ErrOverloaded) {
				t.Errorf("too many bytes: %v, want overloaded", s.answer[0].err)
			}
			break
		}
	}
	each := len(long) * bytesOf(&long[0])
	if c.bytes > registry.WaitingBytesMax || c.bytes+each <= registry.WaitingBytesMax {
		t.Errorf("%d requests of %d bytes were taken", taken, each)
	}
}

// TestWhatWaitsGoesTogether: four who wait for a slot are one batch, and each
// gets its own.
func TestWhatWaitsGoesTogether(t *testing.T) {
	t.Parallel()
	c := filled(t, 4, time.Hour)
	s := c.finish(time.Second, 1, fsm.Outcome{Result: registry.Result{Turns: make([]registry.TurnResult, 1)}}, nil)
	if len(s.propose) != 1 || len(s.propose[0].turns) != 4 || len(s.answer) != 1 || s.answer[0].id != 1 {
		t.Fatalf("%d answers, batches %+v", len(s.answer), s.propose)
	}
	out := fsm.Outcome{At: registry.Position{Index: 7, Term: 2}}
	for i := range 4 {
		out.Result.Turns = append(out.Result.Turns, registry.TurnResult{Epoch: registry.Epoch(i)})
	}
	out.Result.Turns[2].Answers = []registry.Answer{{Node: "n"}}
	s = c.finish(time.Second, s.propose[0].id, out, nil)
	for i, a := range s.answer {
		own := a.id == requestID(flightsMax+1+i) && a.err == nil && a.out.At == out.At && len(a.out.Result.Turns) == 1
		if !own || a.out.Result.Turns[0].Epoch != registry.Epoch(i) || a.out.Result.Changed != (i == 2) {
			t.Errorf("answer %d is %+v", i, a)
		}
	}
}

// TestWhoGaveUpKeepsItsPlace: the answers in a batch of who does not wait for it
// any longer go to nobody, and everybody else still gets its own.
func TestWhoGaveUpKeepsItsPlace(t *testing.T) {
	t.Parallel()
	for gone := range requestID(4) {
		c := filled(t, 4, time.Second)
		s := c.finish(0, 1, fsm.Outcome{Result: registry.Result{Turns: make([]registry.TurnResult, 1)}}, nil)
		c.leave(flightsMax + 1 + gone)
		if left := c.giveUp(flightsMax + 1 + gone); len(left.answer) != 1 || len(s.propose) != 1 {
			t.Fatalf("%d answers to who gave up in one of %d batches", len(left.answer), len(s.propose))
		}
		var out fsm.Outcome
		for i := range 4 {
			out.Result.Turns = append(out.Result.Turns, registry.TurnResult{Epoch: registry.Epoch(i)})
		}
		s = c.finish(time.Second, s.propose[0].id, out, nil)
		if len(s.answer) != 3 {
			t.Errorf("%d answers to the three who are left", len(s.answer))
		}
		for _, a := range s.answer {
			if at := registry.Epoch(a.id) - flightsMax - 1; a.err != nil || a.out.Result.Turns[0].Epoch != at {
				t.Errorf("without %d, request %d got %+v, want answer %d", gone, a.id, a.out.Result, at)
			}
		}
	}
}

// TestWhoWaitsInVainHearsWhy: without a leader a request goes into one batch
// after another until its deadline and hears then why nothing was done; behind
// batches that hang it hears that its time was over.
func TestWhoWaitsInVainHearsWhy(t *testing.T) {
	t.Parallel()
	c := newCombiner(false)
	s := c.arrive(0, 1, one(), time.Second)
	why := registry.Errorf(registry.Unavailable, "no leader")
	for range 5 {
		now := s.propose[0].deadline / 2
		if s = c.finish(now, s.propose[0].id, fsm.Outcome{}, why); !s.pause || len(s.answer)+len(s.propose) != 0 {
			t.Fatalf("after a refusal: %+v", s)
		}
		s = c.resume(now)
	}
	c.finish(0, s.propose[0].id, fsm.Outcome{}, why)
	if s = c.resume(time.Second); len(s.propose) != 0 || len(s.answer) != 1 || s.answer[0].err != error(why) {
		t.Errorf("at its deadline: %+v, want %v", s, why)
	}
	c = *filled(t, 1, time.Second)
	if s = c.leave(flightsMax + 1); len(s.answer) != 1 || !errors.Is(s.answer[0].err, registry.ErrDeadline) {
		t.Errorf("behind batches that hang: %+v, want deadline", s.answer)
	}
	if s = c.leave(1); len(s.answer) != 0 {
		t.Errorf("in a batch that may still tell: %+v, want no answer yet", s.answer)
	}
	if s = c.giveUp(1); len(s.answer) != 1 || !errors.Is(s.answer[0].err, registry.ErrOutcomeUnknown) {
		t.Errorf("in a batch that hangs: %+v, want outcome_unknown", s.answer)
	}
}

// TestTheGateTriesOnce: what was not done for want of a leader is said at once,
// and while a batch is on its way the others wait for it, for a time.
func TestTheGateTriesOnce(t *testing.T) {
	t.Parallel()
	c := newCombiner(true)
	s := c.arrive(0, 1, one(), time.Hour)
	if len(s.propose) != 1 {
		t.Fatalf("a lone request: %+v", s)
	}
	first := s.propose[0].id
	if s = c.arrive(time.Millisecond, 2, one(), time.Hour); len(s.propose) != 0 || s.wake != pace.Slow {
		t.Errorf("behind one on its way: %d batches, woken at %s", len(s.propose), s.wake)
	}
	if s = c.wake(pace.Slow); len(s.propose) != 1 {
		t.Errorf("behind a slow one: %d batches", len(s.propose))
	}
	why := registry.Errorf(registry.Unavailable, "no leader")
	s = c.finish(time.Second, first, fsm.Outcome{}, why)
	if len(s.answer) != 1 || s.answer[0].err != error(why) || s.pause || len(s.propose) != 0 {
		t.Errorf("of a batch that was refused: %+v", s)
	}
}

// TestTheEndAnswersAll: who waits was not done, who flies is told by its batch.
func TestTheEndAnswersAll(t *testing.T) {
	t.Parallel()
	c := filled(t, 10, time.Hour)
	why := registry.Errorf(registry.Unavailable, "closed")
	if s := c.close(why); len(s.answer) != 10 || s.answer[9].err != error(why) {
		t.Errorf("%d answers at the end, want those of the ten who wait", len(s.answer))
	}
	if s := c.arrive(0, 99, one(), time.Hour); len(s.answer) != 1 || s.answer[0].err != error(why) {
		t.Errorf("after the end: %+v", s)
	}
	s := c.finish(0, 1, fsm.Outcome{}, registry.ErrOutcomeUnknown)
	if len(s.answer) != 1 || !errors.Is(s.answer[0].err, registry.ErrOutcomeUnknown) {
		t.Errorf("a batch that the end broke off: %+v, want outcome_unknown", s)
	}
	if s := c.finish(0, 2, fsm.Outcome{}, why); len(s.answer) != 1 || s.pause || s.answer[0].err != error(why) {
		t.Errorf("a batch that the end kept from being sent: %+v, want unavailable", s)
	}
}
