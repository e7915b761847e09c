package client

import (
	"testing"
	"time"

	"github.com/rota-registry/rota/registry"
)

var (
	kinds    = []kind{read, repeatable, once, counted}
	outcomes = []outcome{answered, unreached, unopened, declined, crowded, late, strange, broken, silent, unsure, sessionless}
)

// after is the situation of a call to three replicas with 5 s, 4 s of them
// left, after these outcomes.
func after(k kind, past ...outcome) situation {
	s := situation{kind: k, servers: 3, total: 5 * time.Second, left: 4 * time.Second, jitter: 0.5}
	for _, o := range past {
		s.tally, s.last = s.tally.add(o), o
	}
	return s
}

func TestAfterOneAttempt(t *testing.T) {
	type want struct {
		verb verb
		code registry.Code
	}
	retried, delivered := want{verb: again}, want{verb: deliver}
	unknown, lateCode := want{fail, registry.OutcomeUnknown}, want{fail, registry.Deadline}
	renewed := want{verb: renew}
	for _, test := range []struct {
		last                             outcome
		read, repeatable, twice, counted want
	}{
		{answered, delivered, delivered, delivered, delivered},
		{unreached, retried, retried, retried, retried},
		{unopened, retried, retried, retried, retried},
		{declined, retried, retried, retried, retried},
		{crowded, retried, retried, retried, retried},
		{late, retried, retried, lateCode, retried},
		{strange, retried, retried, retried, retried},
		{broken, retried, retried, unknown, retried},
		{silent, retried, retried, unknown, retried},
		{unsure, retried, retried, unknown, retried},
		{sessionless, delivered, delivered, delivered, renewed},
	} {
		for k, w := range map[kind]want{read: test.read, repeatable: test.repeatable, once: test.twice, counted: test.counted} {
			got := decide(after(k, test.last))
			if got.verb != w.verb || w.verb == fail && got.code != w.code {
				t.Errorf("kind %d, outcome %d: got %+v, want %+v", k, test.last, got, w)
			}
		}
	}
}

// A session that is gone has forgotten what it answered: what may have run under
// it is unknown for good, and only what certainly has not runs under another.
func TestWhatMayHaveRunIsNeverRepeatedInAnotherSession(t *testing.T) {
	for _, before := range outcomes[1:] {
		got := decide(after(counted, before, unreached, sessionless))
		if before.mayHaveRun() && (got.verb != fail || got.code != registry.OutcomeUnknown) {
			t.Errorf("after %d: %+v, want outcome_unknown", before, got)
		}
		if !before.mayHaveRun() && got.verb != renew {
			t.Errorf("after %d: %+v, want another session", before, got)
		}
	}
	s := after(counted, sessionless)
	s.left = 0
	if got := decide(s); got.verb != fail || got.code != registry.Unavailable {
		t.Errorf("with no time left: %+v, want unavailable", got)
	}
}

// The rule that everything else rests on, in every situation there is.
func TestWhatMayHaveRunIsNeverRepeatedUnlessItMay(t *testing.T) {
	for _, before := range outcomes {
		for _, last := range outcomes {
			for _, left := range []time.Duration{0, time.Millisecond, 5 * time.Second} {
				s := after(once, before, last)
				s.left = left
				got := decide(s)
				if last.mayHaveRun() && (got.verb != fail || got.code != registry.OutcomeUnknown) {
					t.Errorf("after %d, %d with %v left: %+v, want outcome_unknown", before, last, left, got)
				}
			}
		}
	}
}

func TestVerdicts(t *testing.T) {
	for _, test := range []struct {
		name string
		past []outcome
		want [4]registry.Code // by kind
	}{
		{"nobody there", []outcome{unreached, unreached}, [4]registry.Code{registry.Unavailable, registry.Unavailable, registry.Unavailable, registry.Unavailable}},
		{"no connection in time", []outcome{unopened}, [4]registry.Code{registry.Deadline, registry.Deadline, registry.Deadline, registry.Deadline}},
		{"no connection, in time after time", []outcome{unopened, unopened}, [4]registry.Code{registry.Unavailable, registry.Unavailable, registry.Unavailable, registry.Unavailable}},
		{"no leader", []outcome{declined, declined}, [4]registry.Code{registry.Unavailable, registry.Unavailable, registry.Unavailable, registry.Unavailable}},
		{"one hung, the others gone", []outcome{silent, unreached}, [4]registry.Code{registry.Deadline, registry.OutcomeUnknown, registry.OutcomeUnknown, registry.OutcomeUnknown}},
		{"broken, then no leader", []outcome{broken, declined}, [4]registry.Code{registry.Unavailable, registry.OutcomeUnknown, registry.OutcomeUnknown, registry.OutcomeUnknown}},
		{"too late, says a replica", []outcome{late}, [4]registry.Code{registry.Deadline, registry.Deadline, registry.Deadline, registry.Deadline}},
		{"overloaded", []outcome{crowded}, [4]registry.Code{registry.Overloaded, registry.Overloaded, registry.Overloaded, registry.Overloaded}},
		{"unknown, then overloaded", []outcome{unsure, crowded}, [4]registry.Code{registry.Overloaded, registry.OutcomeUnknown, registry.OutcomeUnknown, registry.OutcomeUnknown}},
	} {
		for _, k := range kinds {
			s := after(k, test.past...)
			s.left = 0
			if got := decide(s); got.verb != fail || got.code != test.want[k] {
				t.Errorf("%s, kind %d: got %+v, want %s", test.name, k, got, test.want[k])
			}
		}
	}
}

// A server that is not rota's says nothing of the others: its answer is the call's
// only when all have been asked and none of them was.
func TestThatNoServerIsRotasIsSaidWhenAllHaveBeenAsked(t *testing.T) {
	for _, k := range kinds {
		for _, past := range [][]outcome{{strange}, {strange, strange}, {unreached, strange, strange}, {strange, strange, unreached}, {declined, strange, strange, strange}} {
			if got := decide(after(k, past...)); got.verb != again {
				t.Errorf("kind %d, after %v: %+v, want another attempt", k, past, got)
			}
		}
		if got := decide(after(k, strange, strange, strange)); got.verb != deliver {
			t.Errorf("kind %d: %+v, want the answer", k, got)
		}
	}
	if got := decide(after(counted, broken, strange, strange)); got.verb != again {
		t.Errorf("after what may have been done: %+v, want another attempt", got)
	}
}

func TestACallThatTheCallerEndedIsNotRepeated(t *testing.T) {
	for _, k := range kinds {
		for _, last := range outcomes[1:] {
			if last == sessionless && k != counted {
				continue // is an answer
			}
			s := after(k, last)
			s.stopped = true
			if got := decide(s); got.verb != fail {
				t.Errorf("kind %d, outcome %d: got %+v", k, last, got)
			}
		}
	}
	s := after(read, unreached)
	s.stopped = true
	if got := decide(s); got.code != registry.Deadline {
		t.Errorf("a cancelled read is %s, want deadline", got.code)
	}
}

func TestEveryReplicaIsAskedAtOnceAndThenWithWaits(t *testing.T) {
	var past []outcome
	bounds := []time.Duration{0, 0, 25, 0, 0, 50, 0, 0, 100, 0, 0, 200, 0, 0, 400, 0, 0, 800, 0, 0, 1000, 0, 0, 1000}
	for i, bound := range bounds {
		past = append(past, unreached)
		for _, jitter := range []float64{0, 0.5, 0.999} {
			s := after(read, past...)
			s.jitter = jitter
			want := time.Duration(jitter * float64(bound*time.Millisecond))
			if got := decide(s); got.verb != again || got.wait != want {
				t.Errorf("attempt %d, jitter %v: got %+v, want a wait of %v", i+1, jitter, got, want)
			}
		}
	}
}

func TestAnOverloadedReplicaIsAlwaysWaitedFor(t *testing.T) {
	want := []time.Duration{12500 * time.Microsecond, 25 * time.Millisecond, 50 * time.Millisecond}
	var past []outcome
	for i := range crowdedMax {
		past = append(past, crowded)
		if got := decide(after(once, past...)); got.verb != again || got.wait != want[i] {
			t.Errorf("overloaded %d times: got %+v, want a wait of %v", i+1, got, want[i])
		}
	}
	if got := decide(after(once, append(past, crowded)...)); got.verb != fail || got.code != registry.Overloaded {
		t.Errorf("overloaded %d times: got %+v, want overloaded", crowdedMax+1, got)
	}
}

func TestTheBudgetOfAttempts(t *testing.T) {
	s := after(read, unreached)
	s.jitter = 0
	s.tally.attempts = attemptsMax - 1
	if got := decide(s); got.verb != again {
		t.Errorf("after %d attempts: got %+v, want another", attemptsMax-1, got)
	}
	s.tally.attempts = attemptsMax
	if got := decide(s); got.verb != fail || got.code != registry.Unavailable {
		t.Errorf("after %d attempts: got %+v, want unavailable", attemptsMax, got)
	}
}

func TestNoAttemptIsBegunThatCanHardlyEnd(t *testing.T) {
	for _, test := range []struct{ total, least time.Duration }{
		{5 * time.Second, 250 * time.Millisecond},
		{time.Second, 200 * time.Millisecond},
		{50 * time.Millisecond, 10 * time.Millisecond},
	} {
		s := after(once, unreached)
		s.total, s.left = test.total, test.least+1
		if got := decide(s); got.verb != again {
			t.Errorf("more than %v of %v left: got %+v, want another attempt", test.least, test.total, got)
		}
		s.left = test.least
		if got := decide(s); got.verb != fail || got.code != registry.Unavailable {
			t.Errorf("%v of %v left: got %+v, want unavailable", test.least, test.total, got)
		}
	}
}

func TestAWaitLeavesTimeForTheAttempt(t *testing.T) {
	s := after(read, unreached, unreached, unreached) // a wait of 12.5 ms
	s.left = 255 * time.Millisecond
	if got := decide(s); got.verb != again || got.wait != 5*time.Millisecond {
		t.Errorf("got %+v, want a wait of 5 ms", got)
	}
}
