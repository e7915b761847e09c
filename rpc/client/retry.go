package client

import (
	"time"

	"github.com/rota-registry/rota/registry"
)

// kind says what a second execution of a method would do.
type kind uint8

const (
	// read changes nothing.
	read kind = iota
	// repeatable is a write that leaves the state as one execution leaves it.
	repeatable
	// once is any other write.
	once
	// counted is such a write under a request of a session: the server takes it
	// once, however often it arrives.
	counted
)

// outcome is what became of one attempt.
type outcome uint8

const (
	// answered: a result, or an error that any replica would give.
	answered outcome = iota
	// unreached: no connection, or the stream was refused unprocessed. Nothing
	// was done.
	unreached
	// unopened: the attempt's time was over before there was a connection.
	// Nothing was done.
	unopened
	// declined: the replica said unavailable. Nothing was done.
	declined
	// crowded: the replica said overloaded. Nothing was done.
	crowded
	// late: the replica said deadline. Nothing was done.
	late
	// strange: the server is not rota's, or not of this release. Nothing was
	// done.
	strange
	// broken: the exchange ended, after the request may have arrived, without
	// an answer that rota's server gives.
	broken
	// silent: the attempt's time was over before an answer came.
	silent
	// unsure: the replica said outcome_unknown.
	unsure
	// sessionless: the session is not known, or not any more. Nothing was done
	// by this attempt; what an earlier one did is forgotten.
	sessionless
)

// mayHaveRun reports whether the request may have been executed.
func (o outcome) mayHaveRun() bool { return o == broken || o == silent || o == unsure }

// The budget of one call, and its waits.
const (
	attemptsMax   = 64
	crowdedMax    = 3
	waitFirst     = 25 * time.Millisecond
	waitMax       = time.Second
	attemptMinMax = 250 * time.Millisecond
	attemptMinDiv = 5
)

// tally is what became of a call's attempts so far.
type tally struct {
	attempts int
	crowded  int
	strange  int
	// silent: some replica took the request and let its time pass.
	silent bool
	// doubt: some attempt may have been executed.
	doubt bool
}

// add counts one more attempt.
func (t tally) add(o outcome) tally {
	t.attempts++
	switch o {
	case crowded:
		t.crowded++
	case strange:
		t.strange++
	default:
	}
	t.silent = t.silent || o == silent || o == late
	t.doubt = t.doubt || o.mayHaveRun()
	return t
}

// situation is all that the decision after an attempt is made from.
type situation struct {
	kind    kind
	last    outcome
	tally   tally // the last attempt included
	servers int
	total   time.Duration // that the call had at its start
	left    time.Duration // until its deadline
	stopped bool          // by the caller's context, or by Close
	jitter  float64       // random in [0, 1)
}

type verb uint8

const (
	// deliver what the last attempt brought.
	deliver verb = iota
	// again: wait, then ask the next replica.
	again
	// fail with code.
	fail
	// renew: ask anew under another session.
	renew
)

// action is what to do after an attempt.
type action struct {
	verb verb
	wait time.Duration
	code registry.Code
}

// decide says what to do after an attempt. A once-only write is never asked for
// again after an attempt that may have run, nor a counted one under another
// session; nothing else in this package repeats a request (package transport
// keeps net/http from it).
func decide(s situation) action {
	if s.last == answered || s.last == sessionless && s.kind != counted || s.allStrange() {
		return action{verb: deliver}
	}
	if s.last == sessionless {
		return s.withoutSession()
	}
	if s.stopped || !s.mayRepeat() || s.spent() {
		return action{verb: fail, code: s.verdict()}
	}
	// An attempt that can hardly end in time would turn "not done" into
	// "unknown"; the first one has the whole time.
	room := s.left - min(attemptMinMax, s.total/attemptMinDiv)
	if room <= 0 {
		return action{verb: fail, code: s.verdict()}
	}
	return action{verb: again, wait: min(s.backoff(), room)}
}

// allStrange: every server was asked, and none was rota's.
func (s situation) allStrange() bool {
	return s.tally.strange == s.tally.attempts && s.tally.attempts >= s.servers
}

// withoutSession is decide for a counted write whose session is gone, and with
// it what is known of its earlier attempts.
func (s situation) withoutSession() action {
	if s.tally.doubt || s.stopped || s.left <= 0 {
		return action{verb: fail, code: s.verdict()}
	}
	return action{verb: renew}
}

func (s situation) mayRepeat() bool {
	if s.kind == once {
		// late: its replica had the whole time of the call.
		return !s.last.mayHaveRun() && s.last != late
	}
	return true
}

func (s situation) spent() bool {
	return s.tally.attempts >= attemptsMax || s.tally.crowded > crowdedMax
}

// backoff is nothing while there are replicas that this call has not asked,
// else full jitter (Brooker, "Exponential Backoff And Jitter"): uniform between
// nothing and a bound that doubles with each round.
func (s situation) backoff() time.Duration {
	round := s.tally.attempts / max(s.servers, 1)
	if s.last == crowded {
		round = max(round, s.tally.crowded)
	} else if s.tally.attempts%max(s.servers, 1) != 0 {
		return 0
	}
	bound := waitMax
	if doublings := round - 1; doublings < 10 {
		bound = min(waitMax, waitFirst<<max(doublings, 0))
	}
	return time.Duration(s.jitter * float64(bound))
}

// verdict is the code of a call that is given up.
func (s situation) verdict() registry.Code {
	switch {
	case s.kind != read && s.tally.doubt:
		return registry.OutcomeUnknown
	case s.last == crowded:
		return registry.Overloaded
	case s.stopped, s.tally.silent:
		return registry.Deadline
	case s.last == unopened && s.tally.attempts == 1:
		return registry.Deadline // so short a time says nothing of the replicas
	default:
		return registry.Unavailable
	}
}
