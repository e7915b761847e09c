package wire

import (
	"github.com/rota-registry/rota/registry"
	rotav1 "github.com/rota-registry/rota/rpc/gen/rota/v1"
)

// ToLives puts lives onto the wire.
func ToLives(lives []registry.Life) []*rotav1.Life {
	return mapped(lives, func(l registry.Life) *rotav1.Life {
		return &rotav1.Life{Name: string(l.Name), BootId: string(l.Boot)}
	})
}

// FromLives reads lives, at most as many as are allowed.
func FromLives(lives []*rotav1.Life, most int) ([]registry.Life, error) {
	if len(lives) > most {
		return nil, registry.Errorf(registry.Limit, "lives: there are %d, at most %d are allowed: send the others in another call", len(lives), most)
	}
	out := make([]registry.Life, len(lives))
	for i, l := range lives {
		life, err := FromLife(l.GetName(), l.GetBootId())
		if err != nil {
			return nil, registry.Errorf(registry.CodeOf(err), "lives[%d]: %v", i, err)
		}
		out[i] = life
	}
	return out, nil
}

// FromLife reads one life.
func FromLife(name, boot string) (registry.Life, error) {
	life := registry.Life{Name: registry.NodeName(name), Boot: registry.BootID(boot)}
	if err := life.Name.Validate(); err != nil {
		return life, err
	}
	return life, life.Boot.Validate()
}

// ToSights puts onto the wire what a replica says of lives.
func ToSights(sights []registry.Sight) []rotav1.Sight {
	return mapped(sights, func(s registry.Sight) rotav1.Sight {
		switch s {
		case registry.Sees:
			return rotav1.Sight_SIGHT_SEES
		case registry.Misses:
			return rotav1.Sight_SIGHT_MISSES
		}
		return rotav1.Sight_SIGHT_UNSPECIFIED
	})
}

// FromSights reads what a replica says of lives. A word that this release does
// not know counts neither way.
func FromSights(sights []rotav1.Sight) []registry.Sight {
	return mapped(sights, func(s rotav1.Sight) registry.Sight {
		switch s {
		case rotav1.Sight_SIGHT_SEES:
			return registry.Sees
		case rotav1.Sight_SIGHT_MISSES:
			return registry.Misses
		}
		return registry.Unsure
	})
}

// ToLiveness puts onto the wire what keeps a leader from following its gossip.
func ToLiveness(r registry.LivenessReport) *rotav1.Liveness {
	return &rotav1.Liveness{
		Leader: string(r.Leader), Frozen: ToFrozen(r.Frozen),
		Held: mapped(r.Held, func(h registry.HeldNode) *rotav1.Liveness_HeldNode {
			return &rotav1.Liveness_HeldNode{Name: string(h.Name), Type: string(h.Type), ForMs: uint64(h.For), Failures: uint32(h.Failures)}
		}),
	}
}

// ToFrozen puts frozen types onto the wire.
func ToFrozen(types []registry.FrozenType) []*rotav1.Liveness_FrozenType {
	return mapped(types, func(f registry.FrozenType) *rotav1.Liveness_FrozenType {
		return &rotav1.Liveness_FrozenType{Type: string(f.Type), ForMs: uint64(f.For), Lost: Strings(f.Lost), Of: uint32(f.Of)}
	})
}

// FromLiveness reads a report.
func FromLiveness(l *rotav1.Liveness) registry.LivenessReport {
	return registry.LivenessReport{
		Leader: registry.ReplicaName(l.GetLeader()), Frozen: FromFrozen(l.GetFrozen()),
		Held: mapped(l.GetHeld(), func(h *rotav1.Liveness_HeldNode) registry.HeldNode {
			return registry.HeldNode{
				Name: registry.NodeName(h.GetName()), Type: registry.NodeType(h.GetType()),
				For: registry.Millis(h.GetForMs()), Failures: int(h.GetFailures()),
			}
		}),
	}
}

// FromFrozen reads frozen types.
func FromFrozen(types []*rotav1.Liveness_FrozenType) []registry.FrozenType {
	return mapped(types, func(f *rotav1.Liveness_FrozenType) registry.FrozenType {
		return registry.FrozenType{
			Type: registry.NodeType(f.GetType()), For: registry.Millis(f.GetForMs()),
			Lost: Names[registry.NodeName](f.GetLost()), Of: int(f.GetOf()),
		}
	})
}
