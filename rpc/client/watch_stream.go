package client

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"time"

	"connectrpc.com/connect"

	"github.com/rota-registry/rota/registry"
	rotav1 "github.com/rota-registry/rota/rpc/gen/rota/v1"
	"github.com/rota-registry/rota/rpc/wire"
)

// When a replica is left for the next one, and how soon that is asked.
const (
	// silenceMax is three signs of life.
	silenceMax = 3 * time.Second
	// agedMax is how long ago a replica may have known itself up to date before
	// another one is tried, which may have a leader; each is given stayMin. A
	// stream that held for stayMin also ends the doubling of the waits.
	agedMax = 5 * time.Second
	stayMin = 5 * time.Second
	// The waits are longer than a call's: all watches of a replica that dies
	// look for another one together.
	resumeFirst = 100 * time.Millisecond
	resumeMax   = 2 * time.Second
)

var (
	errEnded  = errors.New("it ended the stream")
	errSilent = errors.New("no sign of life in " + silenceMax.String())
	errAged   = errors.New("it has not known itself up to date for more than " + agedMax.String())
	errStill  = errors.New("this process stood still: what it was sent meanwhile has no age")
)

// resumeWait is full jitter, as backoff has it: uniform between nothing and a
// bound that doubles with each round, the first of which is 0.
func resumeWait(round int, jitter float64) time.Duration {
	bound := resumeMax
	if round < 10 {
		bound = min(resumeMax, resumeFirst<<round)
	}
	return time.Duration(jitter * float64(bound))
}

// stream is one replica's telling of a pool.
type stream struct {
	from   *server
	in     *connect.ServerStreamForClient[rotav1.WatchResponse]
	cancel context.CancelFunc
	// detach lets go of the life that would cancel it.
	detach func() bool
	// silence cancels it, and says so in silent; nil until its first event.
	silence *time.Timer
	silent  atomic.Bool
	// began and stills are the clock's when it was asked for.
	began, stills int64
}

// close ends it. It may not have begun.
func (s *stream) close() {
	s.cancel()
	s.detach()
	if s.silence != nil {
		s.silence.Stop()
	}
	if s.in != nil {
		_ = s.in.Close() // the exchange is given up
	}
}

// next waits for an event.
func (s *stream) next() (*rotav1.WatchResponse, error) {
	if s.in.Receive() {
		return s.in.Msg(), nil
	}
	err := s.in.Err()
	switch {
	case s.silent.Load():
		return nil, errSilent
	case err == nil:
		return nil, errEnded
	}
	return nil, err
}

// connect asks one replica after the other for a stream, until one of them has
// sent an event of which something could be made. What it gives ends with life.
func (w *WatchedPool) connect(ctx, life context.Context, deadline time.Time) (*stream, error) {
	var found *stream
	err := w.pool.client.do(ctx, deadline, w.method(), func(ctx context.Context, from *server) error {
		s, err := w.open(ctx, life, from)
		found = s
		return err
	})
	if err != nil {
		return nil, err
	}
	return found, nil
}

// open asks one replica. ctx bounds it until the first event, but not the
// stream, which has no deadline.
func (w *WatchedPool) open(ctx, life context.Context, from *server) (*stream, error) {
	s := &stream{from: from, began: w.clock.exact(), stills: w.clock.stills.Load()}
	own, cancel := context.WithCancel(context.WithoutCancel(ctx))
	s.cancel, s.detach = cancel, context.AfterFunc(life, cancel)
	release := context.AfterFunc(ctx, cancel)
	err := w.begin(own, s)
	if cancelled := !release(); cancelled && err == nil {
		err = ctx.Err()
	}
	if err != nil {
		s.close()
		return nil, err
	}
	s.silence = time.AfterFunc(silenceMax, func() {
		s.silent.Store(true)
		cancel()
	})
	return s, nil
}

// begin sends the request and takes the first event. After a gap nothing less
// than the whole pool will do.
func (w *WatchedPool) begin(ctx context.Context, s *stream) error {
	req := request(w.pool.client, &rotav1.WatchRequest{Pool: string(w.pool.name)})
	if !w.gap {
		req.Msg.AfterEpoch = uint64(w.Epoch())
	}
	var err error
	if s.in, err = s.from.registry.Watch(ctx, req); err != nil {
		return w.heard(err)
	}
	e, err := s.next()
	if err != nil {
		return w.heard(err)
	}
	if w.gap && e.GetPool() == nil {
		return registry.Errorf(registry.Internal, "it did not send the whole pool")
	}
	return w.take(s, e)
}

// heard looks for the word of a replica that the pool is not there, which is
// no failure but an event. A replica that has not come as far as this copy
// would not say it: it waits until it has. One that was asked for the whole pool
// was not told how far that is, and is not believed: the next is told.
func (w *WatchedPool) heard(err error) error {
	coded, wired := wire.FromError(err)
	if !wired || !wire.HasDetail(err) || coded.Code != registry.NotFound {
		return err
	}
	if w.gap {
		w.gap = false
		return registry.Errorf(registry.Unavailable, "it knows no such pool, and may be behind")
	}
	s := w.now.Load()
	w.publish(&snapshot{view: s.view, at: s.at, by: s.by, fresh: w.clock.exact(), refusal: coded, removed: true}, false)
	return err
}

// take makes of an event what can be made of it.
func (w *WatchedPool) take(s *stream, e *rotav1.WatchResponse) error {
	arrived := w.clock.exact()
	if w.clock.stoodStill(s.stills, arrived) {
		return errStill
	}
	next, joined, err := w.now.Load().after(e, arrived)
	if err != nil {
		if _, is := errors.AsType[*gap](err); is {
			w.gap = true
		}
		return err
	}
	w.gap = false
	w.pool.client.note(registry.Index(e.GetIndex()))
	w.publish(next, joined)
	if arrived-s.began > int64(stayMin) && e.GetAgeMs() > uint64(agedMax/time.Millisecond) && len(w.pool.client.servers) > 1 {
		return errAged
	}
	return nil
}

// read takes events until the stream ends, or has to be left.
func (w *WatchedPool) read(s *stream) error {
	for {
		e, err := s.next()
		if err != nil {
			return w.heard(err)
		}
		s.silence.Reset(silenceMax)
		if err := w.take(s, e); err != nil {
			return err
		}
	}
}

// run follows the pool, from a stream that has begun, until life ends.
func (w *WatchedPool) run(life context.Context, s *stream) {
	round := 0
	for {
		err := w.read(s)
		s.close()
		if life.Err() != nil {
			return
		}
		w.left(s, err)
		if w.clock.exact()-s.began > int64(stayMin) {
			round = 0
		}
		for s = nil; s == nil; round++ {
			if !pause(life, resumeWait(round, rand.Float64())) {
				return
			}
			s, err = w.connect(life, life, w.pool.client.deadline())
			if life.Err() != nil {
				if s != nil {
					s.close()
				}
				return
			}
			if err != nil {
				w.troubled(err)
			}
		}
	}
}

// left notes why a stream is not read any more. The next one is asked of
// another replica, unless this one did no more than say that the pool is gone.
func (w *WatchedPool) left(s *stream, err error) {
	c := w.pool.client
	if w.now.Load().removed {
		return
	}
	c.moveOn(slices.Index(c.servers, s.from))
	w.troubled(registry.Errorf(registry.Unavailable, "%v: no stream: %s was left: %s; another replica is being asked", w.method(), s.from.address, text(err)))
}

// troubled keeps the error for Err; the copy stays as it is, and ages.
func (w *WatchedPool) troubled(err error) {
	next := *w.now.Load()
	next.trouble = err
	w.publish(&next, true)
}
