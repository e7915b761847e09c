package client

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rota-registry/rota/registry"
	"github.com/rota-registry/rota/registry/hrw"
	rotav1 "github.com/rota-registry/rota/rpc/gen/rota/v1"
	"github.com/rota-registry/rota/rpc/wire"
)

// WatchedPool is a copy of one pool in this process, which a replica keeps up to
// date. It answers by itself what a call would ask, with the server's own code,
// and says how old it may be. It is safe for many goroutines.
//
// Its epoch never goes back. When the pool is removed, every question gets
// not_found, until it is registered again; after Close, unavailable.
type WatchedPool struct {
	pool  *Pool
	clock *coarseClock
	// now is stored by the goroutine that follows the pool, and by no other.
	now atomic.Pointer[snapshot]
	// gap says that only the whole pool can go on from now; it is that
	// goroutine's.
	gap bool

	cancel context.CancelFunc
	done   chan struct{}

	mu struct {
		sync.Mutex
		closed bool
		trails map[*trail]struct{}
		// callbacks are the goroutines that make them; added to under the lock,
		// never after closed.
		callbacks sync.WaitGroup
	}
}

// Watch makes a copy of the pool and keeps it up to date until Close, of it or
// of the Client. ctx and Options.Timeout bound the start alone. opts say how
// fresh the copy is at the start, as they do for a read: by default it has
// everything that was acknowledged before. Each watch is one of the 1,024 that a
// replica has room for; overloaded says that none has. While a Client has
// watches, it wakes up 100 times a second for their clock.
func (p *Pool) Watch(ctx context.Context, opts ...ReadOption) (*WatchedPool, error) {
	c, deadline := p.client, p.client.deadline()
	w := &WatchedPool{pool: p, clock: &c.clock, done: make(chan struct{})}
	w.mu.trails = make(map[*trail]struct{})
	first, err := w.fetch(ctx, deadline, opts)
	if err != nil {
		return nil, err
	}
	w.now.Store(first)
	life, end, err := c.transport.Begin(context.WithoutCancel(ctx))
	if err != nil {
		return nil, errClosed
	}
	life, w.cancel = context.WithCancel(life)
	w.clock.acquire()
	s, err := w.connect(ctx, life, deadline)
	if err != nil {
		w.cancel()
		w.clock.release()
		end()
		return nil, err
	}
	go func() {
		defer close(w.done)
		defer end()
		w.run(life, s)
		w.finish()
	}()
	return w, nil
}

// fetch reads the pool that the copy begins with. How old that is, the stream
// will say.
func (w *WatchedPool) fetch(ctx context.Context, deadline time.Time, opts []ReadOption) (*snapshot, error) {
	c, m := w.pool.client, w.method()
	fresh, index := c.reading(opts)
	msg := &rotav1.GetPoolRequest{Name: string(w.pool.name), Consistency: fresh, AtLeastIndex: index}
	if err := encodable(m, msg); err != nil {
		return nil, err
	}
	var res *rotav1.GetPoolResponse
	err := c.do(ctx, deadline, m, func(ctx context.Context, s *server) error {
		answer, err := s.registry.GetPool(ctx, request(c, msg))
		if err == nil {
			res = answer.Msg
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	info, err := wire.FromPool(res.GetPool())
	if err != nil {
		return nil, told(ctx, m, unreadable(res, err))
	}
	c.note(registry.Index(res.GetIndex()))
	from := served(res)
	return &snapshot{view: newView(info), at: from.Position, by: from.ServedBy, fresh: longAgo}, nil
}

func (w *WatchedPool) method() method { return w.pool.method(read, "watch of pool") }

// Name is the pool's name.
func (w *WatchedPool) Name() registry.PoolName { return w.pool.name }

// HRW answers which node the key belongs to, from the copy: what a replica
// answers at the same epoch. It asks nobody, does not wait, and does not
// allocate. Its Age is the copy's, exact to about 10 ms.
func (w *WatchedPool) HRW(key hrw.Key) (Answer, error) {
	return w.now.Load().hrw(key, w.clock.coarse())
}

// HRWWithin is HRW from a copy that is no older than maxAge, and else a call:
// linearizable, unless opts ask for another consistency. It reads the machine's
// clock each time.
func (w *WatchedPool) HRWWithin(ctx context.Context, key hrw.Key, maxAge time.Duration, opts ...ReadOption) (Answer, error) {
	s, now := w.now.Load(), w.clock.exact()
	if s.closed || s.age(now) <= maxAge {
		return s.hrw(key, now)
	}
	return w.pool.HRW(ctx, key, append([]ReadOption{Linearizable()}, opts...)...)
}

// Rank gives the k eligible nodes that hrw prefers for the key, from the copy,
// as Pool.Rank does. At most 64; 0 is 1.
func (w *WatchedPool) Rank(key hrw.Key, k int) (Ranking, error) {
	if _, err := number("rank: k", k); err != nil {
		return Ranking{}, err
	}
	if k > registry.RankMax {
		return Ranking{}, registry.Errorf(registry.Limit, "rank: k is %d: a ranking has at most %d nodes; Info has all members", k, registry.RankMax)
	}
	s := w.now.Load()
	if err := s.refuse(key); err != nil {
		return Ranking{}, err
	}
	v := s.view
	digest := key.Digest(v.hash)
	best := hrw.Rank(v.sites, nil, digest, max(k, 1))
	ranking := Ranking{
		Entries: make([]registry.Ranked, len(best)), Digest: digest,
		Epoch: v.info.Epoch, Served: s.served(w.clock.coarse()),
	}
	for i, at := range best {
		ranking.Entries[i] = registry.Ranked{
			Node: v.nodes[at].Node, Topic: v.nodes[at].Topic, SiteID: v.sites[at],
			Weight: hrw.Weight(v.sites[at], digest), Eligible: true,
		}
	}
	return ranking, nil
}

// Info gives the whole copy, without cursors.
func (w *WatchedPool) Info() (PoolState, error) {
	s := w.now.Load()
	if s.refusal != nil {
		return PoolState{}, s.refusal
	}
	return PoolState{PoolInfo: s.view.share(), Served: s.served(w.clock.exact())}, nil
}

// share gives the pool to a caller, who may change it.
func (v *view) share() registry.PoolInfo {
	info := v.info
	info.Members = slices.Clone(info.Members)
	if most := info.Spec.MaxNodes; most != nil {
		n := *most
		info.Spec.MaxNodes = &n
	}
	return info
}

// Epoch is the copy's: of a pool that was removed, the last one it had.
func (w *WatchedPool) Epoch() registry.Epoch { return w.now.Load().view.info.Epoch }

// Age is how old the copy may be: the time since a replica last said that it
// had nothing newer, and how long before that it had last known itself up to
// date. It reads the machine's clock.
func (w *WatchedPool) Age() time.Duration { return w.now.Load().age(w.clock.exact()) }

// Err is nil while a replica tells of the pool. Else it says why none does, or
// is the error that every question gets.
func (w *WatchedPool) Err() error {
	s := w.now.Load()
	if s.refusal != nil {
		return s.refusal
	}
	return s.trouble
}

// Close ends the watch, waits for callbacks under way, and makes every question
// fail with unavailable. It always returns nil, and may be called twice, but not
// by a callback.
func (w *WatchedPool) Close() error {
	w.cancel()
	<-w.done
	return nil
}

// publish replaces the copy; joined says that no epoch lies between the two. Who
// follows the epochs is told if this is another.
func (w *WatchedPool) publish(next *snapshot, joined bool) {
	w.mu.Lock()
	was := w.now.Swap(next)
	var told []*trail
	if was.removed != next.removed || was.view.info.Epoch != next.view.info.Epoch {
		for t := range w.mu.trails {
			told = append(told, t)
		}
	}
	w.mu.Unlock()
	for _, t := range told {
		t.push(next, joined)
	}
}

// finish ends all that depends on the watch.
func (w *WatchedPool) finish() {
	w.mu.Lock()
	w.mu.closed = true
	now := *w.now.Load()
	now.closed = true
	now.refusal = registry.Errorf(registry.Unavailable, "%v: it is closed: begin another with Watch", w.method())
	w.now.Store(&now)
	trails := w.mu.trails
	w.mu.trails = nil
	w.mu.Unlock()
	for t := range trails {
		t.end()
	}
	w.mu.callbacks.Wait()
	w.clock.release()
}
