package client

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/rota-registry/rota/registry"
	rotav1 "github.com/rota-registry/rota/rpc/gen/rota/v1"
)

// rounds carries the round robins of a Client, all cursors' in one batch, and
// has the session that they are taken in.
type rounds struct {
	client *Client

	mu struct {
		sync.Mutex
		// session is the one of the next batches; nil while none is open. One
		// that is full is left to the batches under way in it.
		session *session
	}
}

// allTurns is the one kind of batch that round robins have.
type allTurns struct{}

// take takes the turn that ask names, and gives the turn of a batch that it is
// a part of, and where it begins there.
func (c *Client) take(ctx context.Context, m method, ask registry.Turn) (*turnAnswer, int, error) {
	caller := c.turns.caller()
	caller.ask.turn[0] = ask
	err := caller.ask.check()
	if err == nil {
		err = c.turns.join(ctx, allTurns{}, caller)
	}
	answer, from := caller.ask.answer, caller.ask.from
	if err == nil {
		err = answer.err
	}
	caller.ask.answer = nil // or it would be kept for as long as the caller
	c.turns.free(caller)
	return answer, from, told(ctx, m, err)
}

// load implements carrier.
func (r *rounds) load(allTurns) (cargo[turnAsk], bool) {
	if r.client.options.WithoutSessions {
		return newTurnCargo(nil), true
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.mu.session == nil || r.mu.session.room() == 0 {
		return nil, false
	}
	return newTurnCargo(r.mu.session), true
}

// prepare implements carrier: it opens a session. That is asked for like a read:
// one that was opened and never heard of hurts nobody, and nothing has been done
// that its failure could leave unknown.
func (r *rounds) prepare(deadline time.Time) error {
	var opened *rotav1.OpenSessionResponse
	err := r.client.attempts(context.Background(), deadline, read, func(ctx context.Context, s *server) error {
		res, err := s.registry.OpenSession(ctx, request(r.client, &rotav1.OpenSessionRequest{}))
		if err == nil {
			opened = res.Msg
		}
		return err
	})
	if given, ok := errors.AsType[*givenUp](err); ok {
		return &givenUp{code: given.code, part: "session for ", why: given.why}
	}
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.mu.session = newSession(opened.GetSession())
	return nil
}

// forget makes the batches to come open another session.
func (r *rounds) forget(s *session) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.mu.session == s {
		r.mu.session = nil
	}
}

// carry implements carrier.
func (r *rounds) carry(ctx context.Context, deadline time.Time, load cargo[turnAsk]) error {
	l := load.(*turnCargo)
	defer l.finish()
	l.answers = make([]turnAnswer, len(l.turns))
	err := r.send(ctx, deadline, l, 0, len(l.turns))
	if l.session != nil && errors.Is(err, registry.ErrSessionUnknown) {
		r.forget(l.session)
		return undone{err}
	}
	return err
}

// send takes the turns from to to-1. A request of several that is refused as a
// whole, of which nothing was done then, is sent in halves, so that in the end
// each turn hears its own. A session's turns are refused one by one, in the answer:
// in halves, some might be done before the others find the session gone.
func (r *rounds) send(ctx context.Context, deadline time.Time, l *turnCargo, from, to int) error {
	res, err := r.batch(ctx, deadline, l, from, to)
	if err == nil {
		l.read(res, from)
		return nil
	}
	if l.session != nil || to-from == 1 || !errors.Is(err, registry.ErrNotFound) && !errors.Is(err, registry.ErrLimit) {
		return err
	}
	half := from + (to-from)/2
	for _, part := range [2][2]int{{from, half}, {half, to}} {
		if err := r.send(ctx, deadline, l, part[0], part[1]); err != nil {
			for i := part[0]; i < part[1]; i++ {
				l.answers[i].err = err
			}
		}
	}
	return nil
}

// batch makes the request of the turns from to to-1.
func (r *rounds) batch(ctx context.Context, deadline time.Time, l *turnCargo, from, to int) (*rotav1.RrBatchResponse, error) {
	k := counted
	if l.session == nil {
		k = once
	}
	msg := l.request(from, to)
	var answer *rotav1.RrBatchResponse
	err := r.client.attempts(ctx, deadline, k, func(ctx context.Context, s *server) error {
		res, err := s.registry.RrBatch(ctx, request(r.client, msg))
		if err != nil {
			return err
		}
		answer = res.Msg
		return sessionLost(answer)
	})
	if err != nil {
		return nil, err
	}
	if n := len(answer.GetTurns()); n != to-from {
		return nil, unreadable(answer, fmt.Errorf("%d answers to %d turns", n, to-from))
	}
	r.client.note(registry.Index(answer.GetIndex()))
	r.client.follow(answer.GetLeader())
	return answer, nil
}

// deliver implements carrier.
func (*rounds) deliver(load cargo[turnAsk], ask *turnAsk) {
	ask.answer = &load.(*turnCargo).answers[ask.at]
}
