package combine

import (
	"container/list"
	"errors"
	"slices"
	"time"

	"github.com/rota-registry/rota/fsm"
	"github.com/rota-registry/rota/registry"
	"github.com/rota-registry/rota/registry/pace"
)

const (
	// FlightsMax is how many batches are on their way at once. More would not make
	// it faster, and one that is lost in a hung leader keeps its slot for
	// FlightTime.
	FlightsMax = 3
	// FlightTime bounds how long one batch may take. It is not the longest
	// deadline of its requests, because a batch that is lost in a hung leader
	// keeps its slot, and after a fault heals writes must go on within 5 s.
	FlightTime = 4 * time.Second
	// batchBytesMax leaves room for the head of a log entry and its CRC.
	batchBytesMax = registry.EntryMax - 64
	// turnOverhead is what a turn takes in an entry beside its texts, at most:
	// its tag and length, those of four texts, the count and two serials.
	turnOverhead = 44
	// Grace is how long past its deadline a request that has left waits for the
	// batch that it is in, before it gives up: the batch has a deadline, too, and
	// mostly knows. It is part of the second that a call may take beyond its
	// deadline.
	Grace = 250 * time.Millisecond
)

type (
	// RequestID numbers requests by their arrival: a smaller one came first.
	RequestID uint64
	// BatchID numbers the batches of one combiner.
	BatchID uint64
)

// Combiner gathers round-robin requests into batches. It is a function of its
// events: each is a method that is told the time, where it matters, and gives
// what is to be done now. It has no goroutine, clock or channel, and one caller
// at a time. Times are since any one moment.
//
// Every request that arrives is answered exactly once. A batch is what waited,
// from the oldest on, as much as fits; when it goes, package pace says, unless a
// leader was missing.
type Combiner struct {
	held   map[RequestID]*request // those not answered yet
	queue  list.List              // of *request, by id: held and in no batch
	bytes  int                    // of all that is held
	flying map[BatchID]Batch      // at most FlightsMax
	pace   pace.Pace
	last   BatchID

	// refusal is what the last batch that ended heard when nothing was done
	// for want of a leader; nil since one went through. Who waits in vain is
	// told it.
	refusal error
	paused  bool // batches wait for Resume, for that reason
	final   bool // they do not: who is in one hears that nothing was done
	closed  error
}

// request is some turns that belong together.
type request struct {
	id       RequestID
	turns    []registry.Turn
	deadline time.Duration

	answers, bytes int
	place          *list.Element // nil while in a batch
	left           bool          // it does not want to be in another batch
}

// Batch is one RoundRobin: the turns of its requests, one behind the other.
type Batch struct {
	ID       BatchID
	Turns    []registry.Turn
	Deadline time.Duration

	departed time.Duration
	requests []*request
}

// Step is what one event asks for.
type Step struct {
	Propose []Batch // each ends in Finish
	Answer  []Answer
	Pause   bool          // call Resume after a short time
	Wake    time.Duration // call Wake then, if not 0
}

// Answer is the one that a request gets.
type Answer struct {
	ID  RequestID
	Out fsm.Outcome
	Err error
}

// New makes that of the leader's gate, whose batches are entries, one at a time
// while it is quick; or that of a replica, whose batches are on their way to the
// gate, where they meet others.
func New(gate bool) Combiner {
	c := Combiner{held: make(map[RequestID]*request), flying: make(map[BatchID]Batch), pace: pace.Pace{Max: FlightsMax}}
	if gate {
		c.final, c.pace.Slow = true, pace.Slow
	}
	return c
}

// Arrive takes a request; its id is larger than all before it, and its turns
// have been checked and stay as they are until it is answered.
func (c *Combiner) Arrive(now time.Duration, id RequestID, turns []registry.Turn, deadline time.Duration) (s Step) {
	r := &request{id: id, turns: turns, deadline: deadline}
	for i := range turns {
		r.answers += answersOf(&turns[i])
		r.bytes += bytesOf(&turns[i])
	}
	switch {
	case c.closed != nil:
		s.refuse(id, c.closed)
	case len(c.held) >= registry.WaitingMax || c.bytes+r.bytes > registry.WaitingBytesMax:
		s.refuse(id, registry.Errorf(registry.Overloaded, "round robin: %d requests of %d bytes wait at this replica, at most %d of %d may, and nothing was done: ask again later, or another replica",
			len(c.held), c.bytes, registry.WaitingMax, registry.WaitingBytesMax))
	default:
		c.held[id], c.bytes = r, c.bytes+r.bytes
		r.place = c.queue.PushBack(r)
		c.fill(now, &s)
	}
	return s
}

// Finish ends a batch: out is what it was answered, unless err says why not.
func (c *Combiner) Finish(now time.Duration, id BatchID, out fsm.Outcome, err error) (s Step) {
	b := c.flying[id]
	delete(c.flying, id)
	c.pace.End()
	if err == nil && out.Err == nil && len(out.Result.Turns) != len(b.Turns) {
		err = registry.Errorf(registry.OutcomeUnknown, "round robin: the leader gave %d answers to %d turns, and what was done is not known: look before you ask again", len(out.Result.Turns), len(b.Turns))
	}
	if nothingDone(err) && !c.final {
		c.takeBack(b, err, &s)
	} else {
		c.refusal = nil
		c.tell(b, out, err, &s)
		c.pace.Arrive(now, b.departed, len(s.Answer), c.queue.Len())
	}
	c.fill(now, &s)
	return s
}

// nothingDone says that a batch may be proposed again. Other refusals would
// come again.
func nothingDone(err error) bool {
	return errors.Is(err, registry.ErrUnavailable) || errors.Is(err, registry.ErrDeadline)
}

// Flying is how many batches are on their way.
func (c *Combiner) Flying() int { return len(c.flying) }

// takeBack puts a batch's requests where they were in the queue.
func (c *Combiner) takeBack(b Batch, why error, s *Step) {
	c.refusal = why
	if c.closed != nil {
		c.tell(b, fsm.Outcome{}, why, s)
		return
	}
	at := c.queue.Front()
	for _, r := range b.requests {
		if c.held[r.id] == nil {
			continue // it did not wait for the end
		}
		if r.left {
			c.settle(r, Answer{ID: r.id, Err: why}, s)
			continue
		}
		for at != nil && at.Value.(*request).id < r.id {
			at = at.Next()
		}
		if at == nil {
			r.place = c.queue.PushBack(r)
		} else {
			r.place = c.queue.InsertBefore(r, at)
		}
	}
	s.Pause = !c.paused
	c.paused = true
}

// tell gives each request of a batch its own part of what the batch came to.
func (c *Combiner) tell(b Batch, out fsm.Outcome, err error, s *Step) {
	from := 0
	for _, r := range b.requests {
		to := from + len(r.turns)
		if c.held[r.id] != nil {
			part := out
			if err == nil && out.Err == nil {
				part.Result = out.Result.Part(from, to)
			}
			c.settle(r, Answer{ID: r.id, Out: part, Err: err}, s)
		}
		from = to
	}
}

// Resume ends a pause.
func (c *Combiner) Resume(now time.Duration) (s Step) {
	c.paused = false
	c.fill(now, &s)
	return s
}

// Wake is told that the time has come which a Step asked for.
func (c *Combiner) Wake(now time.Duration) (s Step) {
	c.fill(now, &s)
	return s
}

// Leave is told of a request whose time is over. In no batch, it is answered
// that nothing was done; what its batch comes to will be its answer otherwise.
func (c *Combiner) Leave(id RequestID) (s Step) {
	switch r := c.held[id]; {
	case r == nil: // it was answered meanwhile
	case r.place == nil:
		r.left = true
	default:
		c.settle(r, Answer{ID: id, Err: c.late()}, &s)
	}
	return s
}

// GiveUp is told of a request that has left and does not wait for its batch
// any longer.
func (c *Combiner) GiveUp(id RequestID) (s Step) {
	if r := c.held[id]; r != nil {
		c.settle(r, Answer{ID: id, Err: registry.Errorf(registry.OutcomeUnknown, "round robin: the deadline passed while the request was being committed, and it may or may not have been done: look before you ask again")}, &s)
	}
	return s
}

// Close ends the wait of all who are in no batch, and of all who come later.
// Batches go on until their end is told.
func (c *Combiner) Close(why error) (s Step) {
	c.closed = why
	for c.queue.Len() > 0 {
		r := c.queue.Front().Value.(*request)
		c.settle(r, Answer{ID: r.id, Err: why}, &s)
	}
	return s
}

// fill proposes what is to go now.
func (c *Combiner) fill(now time.Duration, s *Step) {
	for c.closed == nil && !c.paused {
		goes, at := c.pace.Next(now, c.queue.Len())
		if !goes {
			s.Wake = at
			return
		}
		b := c.gather(now, s)
		if len(b.requests) == 0 {
			return
		}
		c.pace.Begin(now)
		c.pace.Depart(now, c.queue.Len())
		b.departed = now
		c.last++
		b.ID = c.last
		c.flying[b.ID] = b
		s.Propose = append(s.Propose, b)
	}
}

// gather takes the oldest off the queue, as many as fit into one entry. A
// request that alone is too long goes alone: the encoding refuses it.
func (c *Combiner) gather(now time.Duration, s *Step) (b Batch) {
	answers, bytes := 0, 0
	for c.queue.Len() > 0 {
		r := c.queue.Front().Value.(*request)
		if r.deadline <= now {
			c.settle(r, Answer{ID: r.id, Err: c.late()}, s)
			continue
		}
		answers, bytes = answers+r.answers, bytes+r.bytes
		full := len(b.Turns)+len(r.turns) > registry.BatchTurnsMax || answers > registry.BatchAnswersMax || bytes > batchBytesMax
		if full && len(b.requests) > 0 {
			break
		}
		c.queue.Remove(r.place)
		r.place = nil
		b.Turns = append(b.Turns, r.turns...)
		b.requests = append(b.requests, r)
		b.Deadline = min(max(b.Deadline, r.deadline), now+FlightTime)
	}
	b.Turns = slices.Clip(b.Turns)
	return b
}

// late is for a request that was in no batch when its time was over.
func (c *Combiner) late() error {
	if c.refusal != nil {
		return c.refusal
	}
	return registry.Errorf(registry.Deadline, "round robin: the deadline passed before the request was proposed, and nothing was done: ask again with a longer one")
}

// settle answers a request and forgets it.
func (c *Combiner) settle(r *request, a Answer, s *Step) {
	delete(c.held, r.id)
	c.bytes -= r.bytes
	if r.place != nil {
		c.queue.Remove(r.place)
		r.place = nil
	}
	s.Answer = append(s.Answer, a)
}

func (s *Step) refuse(id RequestID, err error) { s.Answer = append(s.Answer, Answer{ID: id, Err: err}) }

func answersOf(t *registry.Turn) int {
	if t.LogID != "" {
		return 1
	}
	return t.Count
}

// bytesOf is no less than what a turn takes in a log entry.
func bytesOf(t *registry.Turn) int {
	return len(t.Pool) + len(t.Key) + len(t.LogID) + len(t.Request.Session) + turnOverhead
}
