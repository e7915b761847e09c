package client

import (
	"fmt"
	"time"

	"github.com/rota-registry/rota/fsm"
	"github.com/rota-registry/rota/registry"
	rotav1 "github.com/rota-registry/rota/rpc/gen/rota/v1"
	"github.com/rota-registry/rota/rpc/wire"
)

// stepAttemptTimeout is shorter than a Client's, so that more is repeated.
const stepAttemptTimeout = 400 * time.Millisecond

// stepID names a request.
type stepID struct {
	session registry.SessionID
	serial  uint64
}

// stepCall is one call of a client.
type stepCall struct {
	number  int
	client  *stepClient
	c       *caller[turnAsk]
	settled time.Duration
	floor   registry.Index // the largest index that anybody had been answered at when it began
	parts   []stepPart     // of the requests that it was in, one after the other
	answer  *turnAnswer
}

// stepPart is a call's part of a request: its answers begin at from.
type stepPart struct {
	id   stepID
	from int
}

// stepClient is what decides of a client, driven as its gatherer, rounds and call
// do.
type stepClient struct {
	w       *stepWorld
	m       *combiner[turnAsk]
	session *session
	at      int // the replica that is asked
	lead    int // who leads, as far as it was told; -1
	calls   map[*caller[turnAsk]]*stepCall
	cancel  map[*batch[turnAsk]]func()
}

func newStepClient(w *stepWorld, at int) *stepClient {
	return &stepClient{
		w: w, m: newCombiner[turnAsk](counted), at: at, lead: -1,
		calls: map[*caller[turnAsk]]*stepCall{}, cancel: map[*batch[turnAsk]]func(){},
	}
}

// someCall is one more call of some client: mostly for one answer, of few cursors.
func (w *stepWorld) someCall() {
	turn := registry.Turn{Pool: "proxy", Key: fmt.Sprint(w.rnd.IntN(2)), Count: 1}
	switch w.rnd.IntN(8) {
	case 0:
		turn.Pool = "worker"
	case 1:
		turn.Pool = "lone"
	case 2:
		turn.Count = 1 + w.rnd.IntN(20)
	case 3:
		turn = registry.Turn{LogID: "Conn::LOG"}
	case 4:
		turn.Pool = "nowhere"
	}
	span := 50*time.Millisecond + time.Duration(w.rnd.Int64N(int64(3*time.Second)))
	w.clients[w.rnd.IntN(len(w.clients))].call(turn, span)
}

func (c *stepClient) call(turn registry.Turn, span time.Duration) {
	call := &stepCall{number: len(c.w.calls), client: c, c: &caller[turnAsk]{deadline: c.w.now + span}, floor: c.w.audit.heard}
	call.c.ask.turn[0] = turn
	c.w.calls = append(c.w.calls, call)
	c.calls[call.c] = call
	c.m.arrive(call.c)
	c.launch()
	leave := span
	if c.w.rnd.IntN(10) == 0 { // cancelled
		leave = time.Duration(c.w.rnd.Int64N(int64(span)))
	}
	c.w.after(leave, func() { c.leave(call) })
}

// leave is what becomes of a call whose time is over, or that is cancelled.
func (c *stepClient) leave(call *stepCall) {
	if call.c.stage == settled {
		return
	}
	patience, alone := c.m.leave(c.w.now, call.c)
	if call.c.stage == settled {
		c.told(call.c)
		return
	}
	if alone != nil {
		c.cancel[alone]()
	}
	c.w.after(patience, func() {
		if call.c.stage != settled {
			c.m.giveUp(call.c)
			c.told(call.c)
		}
	})
}

// told takes calls that are settled.
func (c *stepClient) told(calls ...*caller[turnAsk]) {
	for _, settledOne := range calls {
		call := c.calls[settledOne]
		if call.settled != 0 || settledOne.stage != settled {
			c.w.fatalf("call %d is settled twice, or not at all", call.number)
		}
		call.settled = c.w.now
		if late := c.w.now - settledOne.deadline; late > time.Second {
			c.w.fatalf("call %d is settled %s after its deadline", call.number, late)
		}
		c.w.audit.settled(call)
	}
}

func (c *stepClient) launch() {
	begins, at := c.m.launch(c.w.now)
	if at > 0 {
		c.w.at(at, c.launch)
	}
	if begins {
		c.w.after(0, c.depart)
	}
}

func (c *stepClient) end() {
	c.m.end()
	c.launch()
}

// depart sends the flight that boards, when there is a session with room.
func (c *stepClient) depart() {
	if c.session == nil || c.session.room() == 0 {
		c.prepare()
		return
	}
	load := newTurnCargo(c.session)
	b, late := c.m.depart(c.w.now, load)
	c.told(late...)
	c.launch()
	if b == nil {
		c.end()
		return
	}
	load.answers = make([]turnAnswer, len(load.turns))
	for _, one := range b.callers {
		if one.deadline <= c.w.now {
			c.w.fatalf("call %d goes %s after its deadline", c.calls[one].number, c.w.now-one.deadline)
		}
		id := stepID{registry.SessionID(load.session.id), load.serial + uint64(one.ask.at)}
		call := c.calls[one]
		call.parts = append(call.parts, stepPart{id, one.ask.from})
	}
	req := load.request(0, len(load.turns))
	var answer *rotav1.RrBatchResponse
	run := c.begin(counted, b.deadline, func(to *stepReplica, deadline time.Duration, reply func(func() error)) {
		to.rrBatch(req, deadline, func(res *rotav1.RrBatchResponse, err error) {
			reply(func() error {
				if err == nil {
					answer = res
					err = sessionLost(res)
				}
				return err
			})
		})
	}, func(err error) {
		if err == nil {
			load.read(answer, 0)
			c.follow(answer.GetLeader())
		}
		c.land(b, load, err)
	})
	c.cancel[b] = run.stop
}

// prepare opens a session for those who wait.
func (c *stepClient) prepare() {
	until := c.m.prepare()
	if until == 0 {
		c.told(c.m.refuse(nil)...)
		c.end()
		return
	}
	c.w.made++
	id := registry.SessionID(fmt.Sprintf("%032x", c.w.made))
	c.begin(read, until, func(to *stepReplica, deadline time.Duration, reply func(func() error)) {
		to.propose(registry.OpenSession{ID: id}, deadline, func(out fsm.Outcome, err error) {
			if err == nil && out.Err != nil {
				err = out.Err
			}
			reply(func() error { return err })
		})
	}, func(err error) {
		if err != nil {
			c.told(c.m.refuse(err)...)
			c.end()
			return
		}
		c.session = newSession(string(id))
		c.depart()
	})
}

// land is told what became of a batch.
func (c *stepClient) land(b *batch[turnAsk], load *turnCargo, err error) {
	load.finish()
	delete(c.cancel, b)
	if registry.CodeOf(err) == registry.SessionUnknown && err != nil {
		if c.session == load.session {
			c.session = nil
		}
		c.w.count("session renewed")
		c.told(c.m.takeBack(b, err)...)
	} else {
		told := c.m.land(c.w.now, b, err)
		if err == nil {
			for _, one := range told {
				(&rounds{}).deliver(load, &one.ask)
				c.calls[one].answer = one.ask.answer
			}
		}
		c.told(told...)
	}
	c.end()
}

func (c *stepClient) follow(leader string) {
	c.lead = -1
	for i, r := range c.w.replicas {
		if string(r.name) == leader {
			c.lead = i
		}
	}
}

// stepRun is one request under way, however often it is sent.
type stepRun struct {
	c               *stepClient
	kind            kind
	start, deadline time.Duration
	at, attempt     int
	tally           tally
	stopped, over   bool
	// send brings it to a replica; what it replies with is called when that comes in.
	send func(to *stepReplica, deadline time.Duration, reply func(func() error))
	done func(error)
}

func (c *stepClient) begin(k kind, deadline time.Duration, send func(*stepReplica, time.Duration, func(func() error)), done func(error)) *stepRun {
	run := &stepRun{c: c, kind: k, start: c.w.now, deadline: deadline, at: c.at, send: send, done: done}
	if k != read && c.lead >= 0 {
		run.at = c.lead
	}
	run.ask()
	return run
}

// stop is for a batch that nobody waits for.
func (run *stepRun) stop() {
	if !run.over {
		run.stopped = true
		run.came(run.attempt, silent, nil)
	}
}

// ask makes an attempt.
func (run *stepRun) ask() {
	w := run.c.w
	run.attempt++
	this := run.attempt
	span := min(run.deadline-w.now, stepAttemptTimeout)
	promised := w.now + span - min(span/10, 100*time.Millisecond)
	end := w.now + span
	to := w.replicas[run.at]
	w.ask(to, end, func(lost bool) {
		switch {
		case w.now >= end:
			run.came(this, silent, nil)
		case lost:
			run.came(this, broken, nil)
		default:
			run.came(this, unreached, nil)
		}
	}, func(reply func(func())) {
		run.send(to, promised, func(read func() error) {
			reply(func() {
				if run.over || this != run.attempt {
					return
				}
				err, last := read(), answered
				if coded, ok := err.(*registry.Error); ok { //nolint:errorlint // as it comes
					last, _ = classifyCoded(coded, string(to.name))
				}
				run.came(this, last, err)
			})
		})
	})
}

// came is told what an attempt brought, and does what decide says.
func (run *stepRun) came(attempt int, last outcome, err error) {
	if run.over || attempt != run.attempt {
		return
	}
	w := run.c.w
	run.tally = run.tally.add(last)
	s := situation{
		kind: run.kind, last: last, tally: run.tally, servers: len(w.replicas),
		total: run.deadline - run.start, left: run.deadline - w.now, stopped: run.stopped, jitter: w.rnd.Float64(),
	}
	todo := decide(s)
	if last == sessionless && todo.verb == fail {
		w.count("doubt in a forgotten session")
	}
	if last != answered && last != sessionless {
		if run.c.lead == run.at {
			run.c.lead = -1
		}
		run.at = (run.at + 1) % len(w.replicas)
	}
	run.c.at = run.at
	switch todo.verb {
	case deliver, renew:
		run.over = true
		run.done(err)
	case fail:
		run.over = true
		run.done(&givenUp{code: todo.code, why: "given up"})
	case again:
		run.attempt++ // what comes of this one any later is not heard
		w.after(todo.wait, func() {
			if !run.over {
				run.ask()
			}
		})
	}
}

// rrBatch answers as the API does.
func (r *stepReplica) rrBatch(req *rotav1.RrBatchRequest, deadline time.Duration, reply func(*rotav1.RrBatchResponse, error)) {
	turns, err := wire.FromTurns(req)
	if err == nil {
		err = registry.Check(registry.RoundRobin{Turns: turns})
	}
	if err != nil {
		r.w.fatalf("a request is refused: %v", err)
	}
	r.writes.join(turns, deadline, func(out fsm.Outcome, err error) {
		if err != nil {
			reply(nil, err)
			return
		}
		res := &rotav1.RrBatchResponse{Index: uint64(out.At.Index), Term: uint64(out.At.Term), ServedBy: string(r.name)}
		if r.knows != nil {
			res.Leader = string(r.knows.name)
		}
		for i := range out.Result.Turns {
			r.w.audit.answered(&turns[i], &out.Result.Turns[i], out.At)
			res.Turns = append(res.Turns, stepTurn(res, &out.Result.Turns[i], out.At))
		}
		reply(res, nil)
	})
}

func stepTurn(res *rotav1.RrBatchResponse, turn *registry.TurnResult, at registry.Position) *rotav1.RrBatchResponse_Turn {
	if turn.Taken != (registry.Position{}) {
		at = turn.Taken
	}
	out := &rotav1.RrBatchResponse_Turn{
		Count: uint32(turn.Count()), EmptyReason: turn.Reason.String(), Epoch: uint64(turn.Epoch), Index: uint64(at.Index), Term: uint64(at.Term),
	}
	if turn.Err != nil {
		out.Code, out.Error = turn.Err.Code.String(), turn.Err.Text
	}
	for _, a := range turn.Answers {
		out.Lap = append(out.Lap, uint32(len(res.Chosen)))
		res.Chosen = append(res.Chosen, &rotav1.Chosen{Topic: a.Topic, Node: string(a.Node)})
	}
	return out
}

// stepStorms are requests of clients that are not ours: each is sent to several
// replicas at once, and again and again.
type stepStorms struct {
	w       *stepWorld
	session registry.SessionID
	serial  uint64
}

func (s *stepStorms) storm() {
	w := s.w
	if s.session == "" || w.rnd.IntN(60) == 0 {
		w.made++
		id := registry.SessionID(fmt.Sprintf("%032x", w.made))
		w.replicas[w.rnd.IntN(len(w.replicas))].propose(registry.OpenSession{ID: id}, w.now+time.Second, func(_ fsm.Outcome, err error) {
			if err == nil {
				s.session, s.serial = id, 0
			}
		})
		return
	}
	if s.serial == 0 || w.rnd.IntN(3) == 0 {
		s.serial++
	}
	turn := registry.Turn{Pool: "proxy", Key: "storm", Count: 1 + w.rnd.IntN(3)}
	turn.Request = registry.RequestID{Session: s.session, Serial: 1 + uint64(w.rnd.Int64N(int64(s.serial)))}
	turn.Count = 1 + int(turn.Request.Serial%3)
	for range 1 + w.rnd.IntN(4) {
		r := w.replicas[w.rnd.IntN(len(w.replicas))]
		if !r.up {
			continue
		}
		r.writes.join([]registry.Turn{turn}, w.now+time.Second, func(out fsm.Outcome, err error) {
			if err == nil && out.Err == nil {
				w.audit.answered(&turn, &out.Result.Turns[0], out.At)
			}
		})
	}
}

// stepPlain is a request without a session, of a cursor that nobody else has: each
// attempt counts, and there is one.
type stepPlain struct {
	answered bool
	heard    registry.Code // 0 for an answer
}

// plain asks a replica for a turn without a session.
func (w *stepWorld) plain() {
	r := w.replicas[w.rnd.IntN(len(w.replicas))]
	if !r.up {
		return
	}
	key := fmt.Sprint("plain-", len(w.plains))
	asked := &stepPlain{}
	w.plains = append(w.plains, asked)
	r.writes.join([]registry.Turn{{Pool: "proxy", Key: key, Count: 1}}, w.now+w.soon()+100*time.Millisecond, func(out fsm.Outcome, err error) {
		if err == nil && out.Err != nil {
			err = out.Err
		}
		if err != nil {
			asked.heard = registry.CodeOf(err)
		}
		asked.answered = true
		w.note("%s hears %v", key, err == nil)
	})
}
