package client

import (
	"time"

	"github.com/rota-registry/rota/registry"
	"github.com/rota-registry/rota/registry/pace"
)

const (
	// flightsMax is how many batches of one kind are on their way at once, when
	// they are slow: see package pace. One alone would have everybody wait behind
	// a batch whose answer was lost.
	flightsMax = 2
	// endGrace is how long past its deadline a call waits for the word of a
	// batch that ends about then, before its outcome is unknown. It is part of
	// the second that a call may take beyond its deadline.
	endGrace = 250 * time.Millisecond
	// renewalsMax bounds how often one call is asked for under another session:
	// a server that forgets each at once is a server at fault.
	renewalsMax = 3
)

// stage is how far a call has come.
type stage uint8

const (
	queued  stage = iota // in no batch: nothing was done
	flying               // in a batch that may have been sent
	settled              // settled; its err stays
)

// caller is one call that waits to go with others. A is what it asks.
type caller[A any] struct {
	ask      A
	deadline time.Duration

	// The combiner's. number counts arrivals, from 1.
	number        uint64
	stage         stage
	left          bool // it is in a batch and does not want to be in another
	renewals      int
	batch         *batch[A] // while flying
	before, after *caller[A]
	err           error

	// The gatherer's: done gets one value when the caller is answered by
	// another goroutine than its own.
	done  chan struct{}
	timer *time.Timer
}

// settle answers a caller; what it asked for is in ask when err is nil.
func (c *caller[A]) settle(err error) { c.stage, c.batch, c.err = settled, nil, err }

// cargo is what a batch carries.
type cargo[A any] interface {
	// add takes what a call asks if there is room for it. It notes in it where
	// the answer will be.
	add(ask *A) bool
	// seal is called once, behind the last add.
	seal()
}

// batch is the calls that go in one request.
type batch[A any] struct {
	cargo    cargo[A]
	callers  []*caller[A]
	departed time.Duration
	deadline time.Duration // the latest of its callers'
	waiting  int           // callers who have not given up

	cancel func() // the gatherer's
}

// combiner gathers calls into batches. It is a function of its events: each is
// a method that is told the time, where it matters, and gives what is to be
// done now. It has no goroutine, clock or channel, and one caller at a time.
// Times are since any one moment.
//
// Every call that arrives is settled exactly once. A flight is launched when
// package pace says; it boards what waits when it departs, from the oldest call
// on, as much as fits. At most one flight is boarding, because whoever arrives
// while one is can go with it.
type combiner[A any] struct {
	kind        kind   // of its calls
	last        uint64 // number of the latest arrival
	first, tail *caller[A]
	waiting     int       // in the queue
	pace        pace.Pace // of its flights, from launch to end
	boarding    bool      // one of them has not departed
	// What the boarding flight has to do first ends by until; those up to
	// number upTo hear of it. Zero when it has nothing to do.
	until time.Duration
	upTo  uint64
}

func newCombiner[A any](of kind) *combiner[A] {
	return &combiner[A]{kind: of, pace: pace.Pace{Max: flightsMax, Slow: pace.Slow}}
}

// arrive takes a call, before the next launch.
func (m *combiner[A]) arrive(c *caller[A]) {
	m.last++
	c.number, c.stage = m.last, queued
	m.insert(m.tail, c)
}

// launch says whether a flight begins now. If not, at is when to ask again, if
// it is not 0.
func (m *combiner[A]) launch(now time.Duration) (begins bool, at time.Duration) {
	if m.boarding {
		return false, 0
	}
	begins, at = m.pace.Next(now, m.waiting)
	if begins {
		m.pace.Begin(now)
		m.boarding = true
	}
	return begins, at
}

// prepare is told that the boarding flight has something to do first. It gives
// the time that there is: until the latest deadline of those who wait, and 0 if
// nobody does any longer.
func (m *combiner[A]) prepare() time.Duration {
	m.until, m.upTo = 0, m.last
	for c := m.first; c != nil; c = c.after {
		m.until = max(m.until, c.deadline)
	}
	return m.until
}

// refuse ends a boarding in vain: those who waited when it was prepared hear
// err. Who came since waits for the next one.
func (m *combiner[A]) refuse(err error) (told []*caller[A]) {
	m.boarding, m.until = false, 0
	for m.first != nil && m.first.number <= m.upTo {
		c := m.first
		m.remove(c)
		c.settle(err)
		told = append(told, c)
	}
	return told
}

// depart gives the batch of the flight that boards; nil if nobody can go, and
// the flight must end. Whoever is too late is settled.
func (m *combiner[A]) depart(now time.Duration, load cargo[A]) (b *batch[A], late []*caller[A]) {
	m.boarding, m.until = false, 0
	b = &batch[A]{cargo: load, callers: make([]*caller[A], 0, m.waiting), departed: now}
	for m.first != nil {
		c := m.first
		if c.deadline <= now {
			m.remove(c)
			c.settle(tooLate())
			late = append(late, c)
			continue
		}
		if !load.add(&c.ask) {
			break
		}
		m.remove(c)
		c.stage, c.batch = flying, b
		b.callers = append(b.callers, c)
		b.deadline = max(b.deadline, c.deadline)
	}
	load.seal()
	m.pace.Depart(now, m.waiting)
	b.waiting = len(b.callers)
	if b.waiting == 0 {
		return nil, late
	}
	return b, late
}

// land settles the calls of a batch with what became of it; who has given up
// is settled already. The flight goes on until it ends.
func (m *combiner[A]) land(now time.Duration, b *batch[A], err error) (told []*caller[A]) {
	m.pace.Arrive(now, b.departed, b.waiting, m.waiting)
	told = b.callers[:0]
	for _, c := range b.callers {
		if c.batch == b {
			c.settle(err)
			told = append(told, c)
		}
	}
	return told
}

// takeBack puts the calls of a batch of which nothing was done, because of err,
// back to the head of the queue. Who has left, or has come back too often, is
// settled with err.
func (m *combiner[A]) takeBack(b *batch[A], err error) (told []*caller[A]) {
	var at *caller[A] // the one behind which the next one goes
	for _, c := range b.callers {
		switch {
		case c.batch != b: // it has given up
		case c.left || c.renewals == renewalsMax:
			c.settle(err)
			told = append(told, c)
		default:
			c.renewals++
			c.stage, c.batch = queued, nil
			m.insert(at, c)
			at = c
		}
	}
	return told
}

// end ends a flight, before the next launch.
func (m *combiner[A]) end() { m.pace.End() }

// leave is told of a call whose time is over, or that was cancelled. In no
// batch, it is settled: nothing was done. In a batch that goes on without it,
// the outcome of a write is unknown. If patience is not 0, it is to wait so long for the
// word of what ends about now, and then to give up. A batch that has nobody else
// is to be cancelled: alone.
func (m *combiner[A]) leave(now time.Duration, c *caller[A]) (patience time.Duration, alone *batch[A]) {
	over := m.until - now // of what may settle it
	if c.stage == flying {
		over = c.batch.deadline - now
	}
	switch {
	case c.stage == settled:
		return 0, nil
	case c.deadline <= now && over <= endGrace && (c.stage == flying || c.number <= m.upTo && m.until > 0):
		c.left = true
		return max(over, 0) + endGrace, nil
	case c.stage == flying && c.batch.waiting == 1:
		c.left = true
		return endGrace, c.batch
	}
	m.giveUp(c)
	return 0, nil
}

// giveUp is told of a call that has left and does not wait any longer.
func (m *combiner[A]) giveUp(c *caller[A]) {
	switch c.stage {
	case queued:
		m.remove(c)
		c.settle(tooLate())
	case flying:
		c.batch.waiting--
		c.settle(leftBehind(m.kind))
	case settled:
	}
}

// close settles all who wait; batches go on until they land.
func (m *combiner[A]) close() (told []*caller[A]) {
	for m.first != nil {
		c := m.first
		m.giveUp(c)
		told = append(told, c)
	}
	return told
}

// idle reports that nobody waits or flies.
func (m *combiner[A]) idle() bool { return m.first == nil && m.pace.Trips() == 0 }

// insert puts a call into the queue behind another, or at its head if that is
// nil.
func (m *combiner[A]) insert(at, c *caller[A]) {
	c.before = at
	if at == nil {
		c.after, m.first = m.first, c
	} else {
		c.after, at.after = at.after, c
	}
	if c.after == nil {
		m.tail = c
	} else {
		c.after.before = c
	}
	m.waiting++
}

func (m *combiner[A]) remove(c *caller[A]) {
	if c.before == nil {
		m.first = c.after
	} else {
		c.before.after = c.after
	}
	if c.after == nil {
		m.tail = c.before
	} else {
		c.after.before = c.before
	}
	c.before, c.after = nil, nil
	m.waiting--
}

// tooLate is for a call that was in no batch when its time was over.
func tooLate() error {
	return &givenUp{code: registry.Deadline, why: "not asked, nothing was done: its deadline had passed, or it was cancelled, while it waited for earlier calls or for a session; see \"rota status\", or give it more time"}
}

// leftBehind is for a call that does not wait for its batch.
func leftBehind(k kind) error {
	if k == read {
		return &givenUp{code: registry.Deadline, why: "no answer: its deadline passed, or it was cancelled, while it was under way with other calls; see \"rota status\", or give it more time"}
	}
	return &givenUp{code: registry.OutcomeUnknown, why: "it may or may not have been done (its deadline passed, or it was cancelled, while it was under way with other calls): look before you ask again"}
}
