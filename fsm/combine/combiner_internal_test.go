package combine

import (
	"errors"
	"fmt"
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
func filled(t *testing.T, n int, deadline time.Duration) *Combiner {
	t.Helper()
	c := New(false)
	for id := range RequestID(FlightsMax + n) {
		s := c.Arrive(0, id+1, one(), deadline)
		if len(s.Answer) != 0 || (len(s.Propose) == 1) != (id < FlightsMax) {
			t.Fatalf("request %d: %d answers, %d batches", id+1, len(s.Answer), len(s.Propose))
		}
	}
	return &c
}

// TestAFullQueueRefusesAtOnce: the last one that may wait does, the next one is
// refused, and there is room again when somebody is gone.
func TestAFullQueueRefusesAtOnce(t *testing.T) {
	t.Parallel()
	c := filled(t, registry.WaitingMax-FlightsMax, time.Hour)
	s := c.Arrive(0, 90_000, one(), time.Hour)
	if len(s.Answer) != 1 || s.Answer[0].ID != 90_000 || !errors.Is(s.Answer[0].Err, registry.ErrOverloaded) {
		t.Fatalf("one too many: %+v, want overloaded", s.Answer)
	}
	c.Leave(5_000)
	if s := c.Arrive(0, 90_001, one(), time.Hour); len(s.Answer) != 0 {
		t.Errorf("with room again: %+v", s.Answer)
	}
	long := slices.Repeat([]registry.Turn{{Pool: "p", Key: strings.Repeat("k", registry.RRKeyMax), Count: 1}}, registry.BatchTurnsMax)
	c, taken := filled(t, 0, time.Hour), 0
	for ; ; taken++ {
		if s := c.Arrive(0, RequestID(100_000+taken), long, time.Hour); len(s.Answer) == 1 {
			if !errors.Is(s.Answer[0].Err, registry.ErrOverloaded) {
				t.Errorf("too many bytes: %v, want overloaded", s.Answer[0].Err)
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
	s := c.Finish(time.Second, 1, fsm.Outcome{Result: registry.Result{Turns: make([]registry.TurnResult, 1)}}, nil)
	if len(s.Propose) != 1 || len(s.Propose[0].Turns) != 4 || len(s.Answer) != 1 || s.Answer[0].ID != 1 {
		t.Fatalf("%d answers, batches %+v", len(s.Answer), s.Propose)
	}
	out := fsm.Outcome{At: registry.Position{Index: 7, Term: 2}}
	for i := range 4 {
		out.Result.Turns = append(out.Result.Turns, registry.TurnResult{Epoch: registry.Epoch(i)})
	}
	out.Result.Turns[2].Answers = []registry.Answer{{Node: "n"}}
	s = c.Finish(time.Second, s.Propose[0].ID, out, nil)
	for i, a := range s.Answer {
		own := a.ID == RequestID(FlightsMax+1+i) && a.Err == nil && a.Out.At == out.At && len(a.Out.Result.Turns) == 1
		if !own || a.Out.Result.Turns[0].Epoch != registry.Epoch(i) || a.Out.Result.Changed != (i == 2) {
			t.Errorf("answer %d is %+v", i, a)
		}
	}
}

// TestWhoGaveUpKeepsItsPlace: the answers in a batch of who does not wait for it
// any longer go to nobody, and everybody else still gets its own.
func TestWhoGaveUpKeepsItsPlace(t *testing.T) {
	t.Parallel()
	for gone := range RequestID(4) {
		c := filled(t, 4, time.Second)
		s := c.Finish(0, 1, fsm.Outcome{Result: registry.Result{Turns: make([]registry.TurnResult, 1)}}, nil)
		c.Leave(FlightsMax + 1 + gone)
		if left := c.GiveUp(FlightsMax + 1 + gone); len(left.Answer) != 1 || len(s.Propose) != 1 {
			t.Fatalf("%d answers to who gave up in one of %d batches", len(left.Answer), len(s.Propose))
		}
		var out fsm.Outcome
		for i := range 4 {
			out.Result.Turns = append(out.Result.Turns, registry.TurnResult{Epoch: registry.Epoch(i)})
		}
		s = c.Finish(time.Second, s.Propose[0].ID, out, nil)
		if len(s.Answer) != 3 {
			t.Errorf("%d answers to the three who are left", len(s.Answer))
		}
		for _, a := range s.Answer {
			if at := registry.Epoch(a.ID) - FlightsMax - 1; a.Err != nil || a.Out.Result.Turns[0].Epoch != at {
				t.Errorf("without %d, request %d got %+v, want answer %d", gone, a.ID, a.Out.Result, at)
			}
		}
	}
}

// TestAHotCursorHoldsUpNoColdPool: while one cursor is asked for as often as the
// queue takes, a thousand pools are asked for once each. Each of these is in the
// next batch but one at the latest: the queue knows no pools.
func TestAHotCursorHoldsUpNoColdPool(t *testing.T) {
	t.Parallel()
	c, now := New(true), time.Duration(0)
	var flying []Batch
	came := map[RequestID]int{} // of the cold: how many batches had gone
	var id RequestID
	batches, met, hot := 0, 0, []registry.Turn{{Pool: "hot", Key: "k", Count: 1}}
	gone := func(s Step) {
		for _, b := range s.Propose {
			batches++
			flying = append(flying, b)
			for _, r := range b.requests {
				if was, cold := came[r.id]; cold {
					met++
					if batches-was > 2 {
						t.Errorf("cold request %d waited for %d batches", r.id, batches-was)
					}
				}
			}
		}
	}
	arrive := func(turns []registry.Turn) {
		id++
		gone(c.Arrive(now, id, turns, now+time.Second))
	}
	for cold := range 1000 {
		for range 200 {
			arrive(hot)
		}
		came[id+1] = batches
		arrive([]registry.Turn{{Pool: registry.PoolName(fmt.Sprintf("cold-%d", cold)), Count: 1}})
		now += time.Millisecond
		gone(c.Wake(now)) // the batch before waited for who comes back
		b := flying[0]
		flying = flying[1:]
		gone(c.Finish(now, b.ID, fsm.Outcome{Result: registry.Result{Turns: make([]registry.TurnResult, len(b.Turns))}}, nil))
	}
	if met < 990 {
		t.Errorf("of a thousand cold requests %d were in a batch", met)
	}
}

// TestWhoWaitsInVainHearsWhy: without a leader a request goes into one batch
// after another until its deadline and hears then why nothing was done; behind
// batches that hang it hears that its time was over.
func TestWhoWaitsInVainHearsWhy(t *testing.T) {
	t.Parallel()
	c := New(false)
	s := c.Arrive(0, 1, one(), time.Second)
	why := registry.Errorf(registry.Unavailable, "no leader")
	for range 5 {
		now := s.Propose[0].Deadline / 2
		if s = c.Finish(now, s.Propose[0].ID, fsm.Outcome{}, why); !s.Pause || len(s.Answer)+len(s.Propose) != 0 {
			t.Fatalf("after a refusal: %+v", s)
		}
		s = c.Resume(now)
	}
	c.Finish(0, s.Propose[0].ID, fsm.Outcome{}, why)
	if s = c.Resume(time.Second); len(s.Propose) != 0 || len(s.Answer) != 1 || s.Answer[0].Err != error(why) {
		t.Errorf("at its deadline: %+v, want %v", s, why)
	}
	c = *filled(t, 1, time.Second)
	if s = c.Leave(FlightsMax + 1); len(s.Answer) != 1 || !errors.Is(s.Answer[0].Err, registry.ErrDeadline) {
		t.Errorf("behind batches that hang: %+v, want deadline", s.Answer)
	}
	if s = c.Leave(1); len(s.Answer) != 0 {
		t.Errorf("in a batch that may still tell: %+v, want no answer yet", s.Answer)
	}
	if s = c.GiveUp(1); len(s.Answer) != 1 || !errors.Is(s.Answer[0].Err, registry.ErrOutcomeUnknown) {
		t.Errorf("in a batch that hangs: %+v, want outcome_unknown", s.Answer)
	}
}

// TestTheGateTriesOnce: what was not done for want of a leader is said at once,
// and while a batch is on its way the others wait for it, for a time.
func TestTheGateTriesOnce(t *testing.T) {
	t.Parallel()
	c := New(true)
	s := c.Arrive(0, 1, one(), time.Hour)
	if len(s.Propose) != 1 {
		t.Fatalf("a lone request: %+v", s)
	}
	first := s.Propose[0].ID
	if s = c.Arrive(time.Millisecond, 2, one(), time.Hour); len(s.Propose) != 0 || s.Wake != pace.Slow {
		t.Errorf("behind one on its way: %d batches, woken at %s", len(s.Propose), s.Wake)
	}
	if s = c.Wake(pace.Slow); len(s.Propose) != 1 {
		t.Errorf("behind a slow one: %d batches", len(s.Propose))
	}
	why := registry.Errorf(registry.Unavailable, "no leader")
	s = c.Finish(time.Second, first, fsm.Outcome{}, why)
	if len(s.Answer) != 1 || s.Answer[0].Err != error(why) || s.Pause || len(s.Propose) != 0 {
		t.Errorf("of a batch that was refused: %+v", s)
	}
}

// TestTheEndAnswersAll: who waits was not done, who flies is told by its batch.
func TestTheEndAnswersAll(t *testing.T) {
	t.Parallel()
	c := filled(t, 10, time.Hour)
	why := registry.Errorf(registry.Unavailable, "closed")
	if s := c.Close(why); len(s.Answer) != 10 || s.Answer[9].Err != error(why) {
		t.Errorf("%d answers at the end, want those of the ten who wait", len(s.Answer))
	}
	if s := c.Arrive(0, 99, one(), time.Hour); len(s.Answer) != 1 || s.Answer[0].Err != error(why) {
		t.Errorf("after the end: %+v", s)
	}
	s := c.Finish(0, 1, fsm.Outcome{}, registry.ErrOutcomeUnknown)
	if len(s.Answer) != 1 || !errors.Is(s.Answer[0].Err, registry.ErrOutcomeUnknown) {
		t.Errorf("a batch that the end broke off: %+v, want outcome_unknown", s)
	}
	if s := c.Finish(0, 2, fsm.Outcome{}, why); len(s.Answer) != 1 || s.Pause || s.Answer[0].Err != error(why) {
		t.Errorf("a batch that the end kept from being sent: %+v, want unavailable", s)
	}
}
