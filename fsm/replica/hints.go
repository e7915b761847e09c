package replica

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/rota-registry/rota/registry"
)

// hintTimeout is how long a replica tries to tell the leader of a broken
// connection; by then gossip is about to find out.
const hintTimeout = 2 * time.Second

// hints are the lives whose connection to this replica has broken, or, at the
// leader, to any replica, and of which nothing has been made yet. More than
// BrokenMax are dropped, and left to gossip.
type hints struct {
	added chan struct{} // one slot: there are some

	mu struct {
		sync.Mutex
		lives map[registry.Life]struct{}
	}
}

func newHints() *hints {
	h := &hints{added: make(chan struct{}, 1)}
	h.mu.lives = make(map[registry.Life]struct{})
	return h
}

func (h *hints) add(lives ...registry.Life) {
	h.mu.Lock()
	for _, l := range lives {
		if len(h.mu.lives) < registry.BrokenMax {
			h.mu.lives[l] = struct{}{}
		}
	}
	h.mu.Unlock()
	select {
	case h.added <- struct{}{}:
	default:
	}
}

func (h *hints) take() []registry.Life {
	h.mu.Lock()
	defer h.mu.Unlock()
	lives := slices.Collect(maps.Keys(h.mu.lives))
	clear(h.mu.lives)
	return lives
}

// ConnectionBroke takes note that an agent's connection to this replica has
// broken. It is a hint that the node has died: the leader has it called directly,
// and does nothing if it answers, as all do when it was this replica's fault.
func (r *Replica) ConnectionBroke(life registry.Life) {
	if !r.stopping.Load() {
		r.hints.add(life)
	}
}

// NodesBroke takes other replicas' hints; only the leader does.
func (r *Replica) NodesBroke(_ context.Context, lives []registry.Life) error {
	if r.leading() == 0 {
		return r.noLeader()
	}
	r.hints.add(lives...)
	return nil
}

// carryHints brings the hints to the leader, whose reconciler takes them.
func (r *Replica) carryHints() {
	for {
		select {
		case <-r.hints.added:
		case <-r.life.ctx.Done():
			return
		}
		ctx, cancel := context.WithTimeout(r.life.ctx, hintTimeout)
		if err := r.carryOnce(ctx); err != nil {
			r.log.Debug("the leader was not told of broken connections: gossip will find out", "error", err)
		}
		cancel()
	}
}

func (r *Replica) carryOnce(ctx context.Context) error {
	var lives []registry.Life
	return r.untilLeader(ctx, func(ctx context.Context) error {
		if r.leading() != 0 {
			if len(lives) > 0 { // taken before this replica was elected
				r.hints.add(lives...)
			}
			r.lead.poke()
			return nil
		}
		_, api := r.leader()
		if api == "" || api == r.opts.API {
			return r.noLeader()
		}
		if lives == nil {
			lives = r.hints.take()
		}
		if len(lives) == 0 {
			return nil
		}
		return r.opts.Caller.NodesBroke(ctx, api, lives)
	})
}
