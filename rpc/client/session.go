package client

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/rota-registry/rota/registry"
	rotav1 "github.com/rota-registry/rota/rpc/gen/rota/v1"
)

// renewalsMax bounds how often one call asks under another session: a server
// that forgets each at once is a server at fault.
const renewalsMax = 3

// sessions is the Client's session, which the first call that needs one opens.
type sessions struct {
	sync.Mutex
	current *session
	// opening is closed when the call that opens one has done so, or failed;
	// nil while none does.
	opening chan struct{}
}

// session numbers the requests of one session.
type session struct {
	id string

	mu struct {
		sync.Mutex
		// next is the serial of the next request.
		next uint64
		// first is the smallest serial that is not finished.
		first uint64
		// finished are the finished ones above first.
		finished map[uint64]bool
	}
}

func newSession(id string) *session {
	s := &session{id: id}
	s.mu.next, s.mu.first, s.mu.finished = 1, 1, make(map[uint64]bool)
	return s
}

// draw gives a request; nil when the session has as many under way as it may.
// Every request must be finished.
func (s *session) draw() *rotav1.RequestId {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.next-s.mu.first >= registry.OutstandingMax {
		return nil
	}
	id := &rotav1.RequestId{Session: s.id, Serial: s.mu.next, FirstUnacked: s.mu.first}
	s.mu.next++
	return id
}

// finish says that a request will not be sent again, whatever came of it.
func (s *session) finish(id *rotav1.RequestId) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.finished[id.GetSerial()] = true
	for s.mu.finished[s.mu.first] {
		delete(s.mu.finished, s.mu.first)
		s.mu.first++
	}
}

// count is invoke for a turn that counts once. It puts the request to which an
// attempt belongs where msg has it. A turn that no state could take is refused
// here, in the server's words, because a session that is opened for it would
// cost the log an entry.
func count[Req, Res any](ctx context.Context, c *Client, m method, pick func(*server) unary[Req, Res], msg *Req, id **rotav1.RequestId, turn registry.Turn) (*Res, error) {
	if c.options.WithoutSessions {
		m.kind = once
		return invoke(ctx, c, m, pick, msg)
	}
	if err := encodable(m, msg); err != nil { // before a session is opened for it
		return nil, err
	}
	if err := registry.Check(registry.RoundRobin{Turns: []registry.Turn{turn}}); err != nil {
		return nil, err
	}
	deadline := c.deadline()
	for round := 0; ; round++ {
		s, request, err := c.request(ctx, deadline, m)
		if err != nil {
			return nil, err
		}
		*id = request
		res, err := invokeUntil(ctx, deadline, c, m, pick, msg)
		s.finish(request)
		if !errors.Is(err, registry.ErrSessionUnknown) {
			return res, err
		}
		c.sessions.forget(s)
		if round == renewalsMax {
			return nil, err
		}
	}
}

// request draws one of the Client's session, and opens one if there is none
// that has room. A session that is full is left to the calls under way in it.
func (c *Client) request(ctx context.Context, deadline time.Time, m method) (*session, *rotav1.RequestId, error) {
	for {
		s, opening, mine := c.sessions.take()
		switch {
		case mine:
			if err := c.openSession(ctx, deadline, m, opening); err != nil {
				return nil, nil, err
			}
		case s == nil:
			if err := c.awaitSession(ctx, deadline, m, opening); err != nil {
				return nil, nil, err
			}
		default:
			if id := s.draw(); id != nil {
				return s, id, nil
			}
			c.sessions.forget(s)
		}
	}
}

// take gives the session, or nil and what is closed when there may be one. If
// mine, it is the caller who must open it, and close that.
func (all *sessions) take() (s *session, opening chan struct{}, mine bool) {
	all.Lock()
	defer all.Unlock()
	if all.current != nil {
		return all.current, nil, false
	}
	if mine = all.opening == nil; mine {
		all.opening = make(chan struct{})
	}
	return nil, all.opening, mine
}

// opened ends what take began; s is nil if it failed.
func (all *sessions) opened(s *session, opening chan struct{}) {
	all.Lock()
	all.current, all.opening = s, nil
	all.Unlock()
	close(opening)
}

// forget makes the next call open another session.
func (all *sessions) forget(s *session) {
	all.Lock()
	defer all.Unlock()
	if all.current == s {
		all.current = nil
	}
}

// openSession opens one for this call and the others that wait for it. It is
// asked for like a read: one that was opened and never heard of hurts nobody,
// and nothing has been done that its failure could leave unknown.
func (c *Client) openSession(ctx context.Context, deadline time.Time, m method, opening chan struct{}) error {
	var opened *session
	defer func() { c.sessions.opened(opened, opening) }()
	res, err := invokeUntil(ctx, deadline, c, method{kind: read, verb: "session for " + m.verb, name: m.name},
		func(s *server) unary[rotav1.OpenSessionRequest, rotav1.OpenSessionResponse] {
			return s.registry.OpenSession
		},
		&rotav1.OpenSessionRequest{})
	if err == nil {
		opened = newSession(res.GetSession())
	}
	return err
}

// awaitSession waits for another call to open one.
func (c *Client) awaitSession(ctx context.Context, deadline time.Time, m method, opening chan struct{}) error {
	timer := time.NewTimer(time.Until(deadline))
	defer timer.Stop()
	select {
	case <-opening:
		return nil
	case <-timer.C:
	case <-ctx.Done():
	}
	err := registry.Errorf(registry.Deadline, "%v: not asked, nothing was done: no session was opened in time; see \"rota status\", or give it more time", m)
	if cause := endOf(ctx); cause != nil {
		return &ended{error: err, cause: cause}
	}
	return err
}
