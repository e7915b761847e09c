package client

import (
	"time"

	"github.com/rota-registry/rota/registry"
	"github.com/rota-registry/rota/registry/hrw"
	rotav1 "github.com/rota-registry/rota/rpc/gen/rota/v1"
	"github.com/rota-registry/rota/rpc/wire"
)

// view is a pool as hrw looks at it. It is never changed; the zero view is a
// pool without members.
type view struct {
	hash hrw.Hash
	// sites and nodes are those of the eligible members, in the pool's order:
	// who is not eligible has no part in an answer.
	sites []uint32
	nodes []registry.Answer
	// empty is why there is no answer, when nobody is eligible.
	empty registry.EmptyReason
	info  registry.PoolInfo
}

func newView(info registry.PoolInfo) *view {
	v := &view{hash: info.Spec.Hash, info: info}
	alive := false
	for _, m := range info.Members {
		alive = alive || m.Alive
		if m.Eligible {
			v.sites = append(v.sites, m.SiteID)
			v.nodes = append(v.nodes, registry.Answer{Node: m.Name, Topic: m.Topic})
		}
	}
	switch { // as package registry has it
	case len(v.sites) > 0:
	case len(info.Members) == 0:
		v.empty = registry.NoMembers
	case alive:
		v.empty = registry.AllDraining
	default:
		v.empty = registry.NoneAlive
	}
	return v
}

// owner is the index in nodes of the one that the key belongs to, -1 for none.
func (v *view) owner(key hrw.Key) int { return hrw.Pick(v.sites, nil, key.Digest(v.hash)) }

// snapshot is all that a watched pool answers from. It is never changed.
type snapshot struct {
	// view is the pool, or what it was last.
	view *view
	at   registry.Position
	by   registry.ReplicaName
	// fresh is when a replica last knew that there was nothing newer, on the
	// Client's clock.
	fresh int64
	// refusal is what every question gets instead of an answer: the pool is
	// removed, or the watch closed.
	refusal error
	removed bool
	closed  bool
	// trouble is why nothing is heard of the pool just now, or nil.
	trouble error
}

// longAgo is when a copy of which nobody has said so yet was up to date.
const longAgo = -int64(365 * 24 * time.Hour)

// age is how old the copy may be at now.
func (s *snapshot) age(now int64) time.Duration { return time.Duration(max(0, now-s.fresh)) }

func (s *snapshot) served(now int64) Served {
	return Served{Position: s.at, ServedBy: s.by, Age: s.age(now)}
}

// hrw answers at now.
func (s *snapshot) hrw(key hrw.Key, now int64) (Answer, error) {
	if s.refusal != nil || key.Len() > registry.KeyMax {
		return Answer{}, s.refuse(key)
	}
	v := s.view
	answer := Answer{Epoch: v.info.Epoch, Served: s.served(now)}
	if i := v.owner(key); i >= 0 {
		answer.Topic, answer.Node = v.nodes[i].Topic, v.nodes[i].Node
	} else {
		answer.EmptyReason = v.empty
	}
	return answer, nil
}

// refuse is why there is no answer, or nil. A key that is too long is refused in
// the server's words.
func (s *snapshot) refuse(key hrw.Key) error {
	if s.refusal != nil {
		return s.refusal
	}
	_, err := wire.FromKeys("key", toKeys([]hrw.Key{key}))
	return err
}

// after gives the copy that an event makes of this one. joined says that no
// epoch lies between the two. The error says why nothing can be made of it: the
// replica that sent it must be left.
func (s *snapshot) after(e *rotav1.WatchResponse, arrived int64) (next *snapshot, joined bool, err error) {
	v, joined, err := s.viewAfter(e)
	if err != nil {
		return nil, false, err
	}
	next = &snapshot{view: v, at: s.at, by: s.by, fresh: arrived - int64(e.GetAgeMs())*int64(time.Millisecond)}
	if !s.removed {
		// Whoever knew itself up to date when, at a state that this one holds
		// too: the latest counts.
		next.fresh = max(next.fresh, s.fresh)
	}
	if index := registry.Index(e.GetIndex()); index >= s.at.Index {
		next.at = registry.Position{Index: index, Term: registry.Term(e.GetTerm())}
		next.by = registry.ReplicaName(e.GetServedBy())
	}
	return next, joined, nil
}

func (s *snapshot) viewAfter(e *rotav1.WatchResponse) (v *view, joined bool, err error) {
	switch {
	case e.GetChange() != nil:
		return s.changed(e.GetChange())
	case e.GetPool() != nil:
		v, err = s.replaced(e.GetPool())
		return v, false, err
	case s.removed:
		return nil, false, behind(s.view.info.Epoch)
	default:
		return s.view, true, nil
	}
}

// changed is viewAfter for a change, which must be one of this very epoch.
func (s *snapshot) changed(c *rotav1.PoolChange) (v *view, joined bool, err error) {
	change, err := wire.FromPoolChange(c)
	if err != nil {
		return nil, false, err
	}
	info, err := change.Apply(s.view.info)
	if err != nil {
		return nil, false, &gap{err}
	}
	v, err = s.advanced(info)
	return v, !s.removed, err
}

// replaced is viewAfter for a whole pool.
func (s *snapshot) replaced(p *rotav1.Pool) (*view, error) {
	info, err := wire.FromPool(p)
	if err != nil {
		return nil, err
	}
	if info.Spec.Name != s.view.info.Spec.Name {
		return nil, registry.Errorf(registry.Internal, "it sent pool %q", wire.Clip(string(info.Spec.Name)))
	}
	return s.advanced(info)
}

// advanced is the view of a pool that is not from before this copy. One of this
// very epoch may differ in who is alive, of those that are not eligible; but
// after a removal it is the pool that is gone.
func (s *snapshot) advanced(info registry.PoolInfo) (*view, error) {
	if had := s.view.info.Epoch; info.Epoch < had || s.removed && info.Epoch == had {
		return nil, behind(info.Epoch)
	}
	return newView(info), nil
}

// behind is the error about a replica that is not as far as the copy.
func behind(e registry.Epoch) error {
	return registry.Errorf(registry.Unavailable, "it is behind, at epoch %d", e)
}

// gap is the error of a change that fits nothing: what leads to it was lost.
type gap struct{ error }

func (g *gap) Unwrap() error { return g.error }
