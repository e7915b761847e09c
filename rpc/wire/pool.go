package wire

import (
	"github.com/rota-registry/rota/registry"
	"github.com/rota-registry/rota/registry/hrw"
	rotav1 "github.com/rota-registry/rota/rpc/gen/rota/v1"
)

// ToSpec puts a spec onto the wire, its hash by name.
func ToSpec(s registry.Spec) *rotav1.PoolSpec {
	return &rotav1.PoolSpec{
		Name: string(s.Name), Topic: string(s.Topic), NodeType: string(s.NodeType),
		MaxNodes: clone(s.MaxNodes), Exclusive: s.Exclusive, Hash: s.Hash.String(),
	}
}

// FromSpec reads a spec. Only its hash is judged here.
func FromSpec(s *rotav1.PoolSpec) (registry.Spec, error) {
	if s == nil {
		return registry.Spec{}, registry.Errorf(registry.Invalid, "spec: missing: give at least a name or a topic, and nodeType")
	}
	hash, err := hrw.ParseHash(s.GetHash())
	if err != nil {
		return registry.Spec{}, registry.Errorf(registry.Invalid, "spec: %v", err)
	}
	return registry.Spec{
		Name: registry.PoolName(s.GetName()), Topic: registry.Topic(s.GetTopic()), NodeType: registry.NodeType(s.GetNodeType()),
		MaxNodes: clone(s.MaxNodes), Exclusive: s.GetExclusive(), Hash: hash,
	}, nil
}

// clone keeps a message and a registry value from sharing a pointer.
func clone[T any](p *T) *T {
	if p == nil {
		return nil
	}
	value := *p
	return &value
}

// ToPool puts a pool onto the wire, without cursors, its topic as users see it.
func ToPool(p registry.PoolInfo) *rotav1.Pool {
	spec := ToSpec(p.Spec)
	spec.Topic = p.Topic
	return &rotav1.Pool{
		Spec: spec, Members: mapped(p.Members, toMember),
		AliveCount: uint32(p.AliveCount), EligibleCount: uint32(p.EligibleCount),
		Epoch: uint64(p.Epoch), Satisfied: p.Satisfied, Reason: p.Reason,
	}
}

// FromPool reads a pool; its cursors are read by FromCursors.
func FromPool(p *rotav1.Pool) (registry.PoolInfo, error) {
	spec, err := FromSpec(p.GetSpec())
	if err != nil {
		return registry.PoolInfo{}, err
	}
	return registry.PoolInfo{
		Spec: spec, Topic: string(spec.Topic), Members: mapped(p.GetMembers(), fromMember),
		AliveCount: int(p.GetAliveCount()), EligibleCount: int(p.GetEligibleCount()),
		Epoch: registry.Epoch(p.GetEpoch()), Satisfied: p.GetSatisfied(), Reason: p.GetReason(),
	}, nil
}

func toMember(m registry.MemberInfo) *rotav1.Member {
	return &rotav1.Member{
		Name: string(m.Name), Alias: m.Alias, SiteId: m.SiteID, Topic: m.Topic,
		Alive: m.Alive, Eligible: m.Eligible, State: m.State.String(),
	}
}

func fromMember(m *rotav1.Member) registry.MemberInfo {
	return registry.MemberInfo{
		Name: registry.NodeName(m.GetName()), Alias: m.GetAlias(), SiteID: m.GetSiteId(), Topic: m.GetTopic(),
		Alive: m.GetAlive(), Eligible: m.GetEligible(), State: FromState(m.GetState()),
	}
}

// ToPoolChange puts a change of a pool onto the wire.
func ToPoolChange(c registry.PoolChange) *rotav1.PoolChange {
	return &rotav1.PoolChange{
		FromEpoch: uint64(c.From), Pool: ToPool(c.Pool),
		Edits: mapped(c.Edits, func(e registry.MemberEdit) *rotav1.PoolChange_Edit {
			return &rotav1.PoolChange_Edit{At: uint32(e.At), Removed: uint32(e.Removed), Members: mapped(e.Members, toMember)}
		}),
	}
}

// FromPoolChange reads a change of a pool. Whether it fits, applying it says.
func FromPoolChange(c *rotav1.PoolChange) (registry.PoolChange, error) {
	pool, err := FromPool(c.GetPool())
	if err != nil {
		return registry.PoolChange{}, err
	}
	return registry.PoolChange{
		From: registry.Epoch(c.GetFromEpoch()), Pool: pool,
		Edits: mapped(c.GetEdits(), func(e *rotav1.PoolChange_Edit) registry.MemberEdit {
			return registry.MemberEdit{At: int(e.GetAt()), Removed: int(e.GetRemoved()), Members: mapped(e.GetMembers(), fromMember)}
		}),
	}, nil
}

// ToCursors puts a pool's cursors onto the wire.
func ToCursors(cursors []registry.Cursor) []*rotav1.Cursor {
	return mapped(cursors, func(c registry.Cursor) *rotav1.Cursor {
		return &rotav1.Cursor{Key: c.Key, Next: uint32(c.Next), Node: string(c.Node)}
	})
}

// FromCursors reads a pool's cursors.
func FromCursors(cursors []*rotav1.Cursor) []registry.Cursor {
	return mapped(cursors, func(c *rotav1.Cursor) registry.Cursor {
		return registry.Cursor{Key: c.GetKey(), Next: int(c.GetNext()), Node: registry.NodeName(c.GetNode())}
	})
}

// ToRanking puts a ranking onto the wire.
func ToRanking(ranking []registry.Ranked) []*rotav1.RankNodesResponse_Entry {
	return mapped(ranking, func(r registry.Ranked) *rotav1.RankNodesResponse_Entry {
		return &rotav1.RankNodesResponse_Entry{
			Node: string(r.Node), Topic: r.Topic, SiteId: r.SiteID, Weight: r.Weight, Eligible: r.Eligible,
		}
	})
}

// FromRanking reads a ranking.
func FromRanking(entries []*rotav1.RankNodesResponse_Entry) []registry.Ranked {
	return mapped(entries, func(e *rotav1.RankNodesResponse_Entry) registry.Ranked {
		return registry.Ranked{
			Node: registry.NodeName(e.GetNode()), Topic: e.GetTopic(), SiteID: e.GetSiteId(), Weight: e.GetWeight(), Eligible: e.GetEligible(),
		}
	})
}

// ToMoves puts onto the wire how pools' members changed, or would.
func ToMoves(moves []registry.Move) []*rotav1.RebalancePoolsResponse_Move {
	return mapped(moves, func(m registry.Move) *rotav1.RebalancePoolsResponse_Move {
		return &rotav1.RebalancePoolsResponse_Move{
			Pool: string(m.Pool), Before: Strings(m.Before), After: Strings(m.After),
		}
	})
}

// FromMoves reads how pools' members changed, or would.
func FromMoves(moves []*rotav1.RebalancePoolsResponse_Move) []registry.Move {
	return mapped(moves, func(m *rotav1.RebalancePoolsResponse_Move) registry.Move {
		return registry.Move{
			Pool: registry.PoolName(m.GetPool()), Before: Names[registry.NodeName](m.GetBefore()), After: Names[registry.NodeName](m.GetAfter()),
		}
	})
}

// FromEmptyReason reads why an answer is empty. A reason that a later release
// has added reads as NoneAlive, so that the answer stays an empty one.
func FromEmptyReason(s string) registry.EmptyReason {
	for _, r := range []registry.EmptyReason{registry.NotEmpty, registry.NoMembers, registry.AllDraining} {
		if r.String() == s {
			return r
		}
	}
	return registry.NoneAlive
}

// Strings gives names as strings.
func Strings[T ~string](names []T) []string {
	return mapped(names, func(n T) string { return string(n) })
}

// Names gives strings as names.
func Names[T ~string](texts []string) []T {
	return mapped(texts, func(s string) T { return T(s) })
}

// mapped keeps nil nil, so that what was not there does not come back as empty.
func mapped[T, U any](list []T, f func(T) U) []U {
	if list == nil {
		return nil
	}
	out := make([]U, len(list))
	for i := range list {
		out[i] = f(list[i])
	}
	return out
}
