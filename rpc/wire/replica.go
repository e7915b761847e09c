package wire

import (
	"math"

	"github.com/rota-registry/rota/registry"
	rotav1 "github.com/rota-registry/rota/rpc/gen/rota/v1"
)

// ToGreeting puts onto the wire what replicas tell each other.
func ToGreeting(g registry.Greeting) *rotav1.Greeting {
	return &rotav1.Greeting{
		Replica: toReplica(g.Replica), ClusterId: string(g.ClusterID), Empty: g.Empty, Roster: mapped(g.Roster, toReplica),
		Role: g.Role, Voter: g.Voter, Term: uint64(g.Term), Leader: string(g.Leader),
		AppliedIndex: uint64(g.Applied), CommitIndex: uint64(g.Committed), Version: g.Version,
		GossipMembers: uint32(g.GossipMembers), Ready: g.Ready, NotReadyReason: g.NotReadyReason, Listed: g.Listed,
		Checkpoints: mapped(g.Checkpoints, toCheckpoint), FrozenTypes: Strings(g.FrozenTypes), AppendUs: uint64(g.AppendTime),
	}
}

// FromGreeting reads what another replica tells. Names and ids in it may be
// empty, since a replica greets before it has all of them, but are never
// malformed. Role and reason are for people, and bounded by the body alone.
func FromGreeting(g *rotav1.Greeting) (registry.Greeting, error) {
	if g.GetReplica() == nil {
		return registry.Greeting{}, registry.Errorf(registry.Invalid, "greeting.replica: missing: a replica says who it is")
	}
	if n := max(len(g.GetRoster()), len(g.GetListed())); n > registry.ReplicasMax {
		return registry.Greeting{}, registry.Errorf(registry.Limit, "greeting.roster and greeting.listed: %d replicas, at most %d are allowed", n, registry.ReplicasMax)
	}
	if n := len(g.GetCheckpoints()); n > registry.CheckpointsMax {
		return registry.Greeting{}, registry.Errorf(registry.Limit, "greeting.checkpoints: there are %d, at most %d are allowed", n, registry.CheckpointsMax)
	}
	if n := len(g.GetFrozenTypes()); n > registry.FrozenTypesMax {
		return registry.Greeting{}, registry.Errorf(registry.Limit, "greeting.frozen_types: there are %d, at most %d are allowed", n, registry.FrozenTypesMax)
	}
	greeting := registry.Greeting{
		Replica: fromReplica(g.GetReplica()), ClusterID: registry.ClusterID(g.GetClusterId()), Empty: g.GetEmpty(),
		Roster: mapped(g.GetRoster(), fromReplica),
		Role:   g.GetRole(), Voter: g.GetVoter(), Term: registry.Term(g.GetTerm()), Leader: registry.ReplicaName(g.GetLeader()),
		Applied: registry.Index(g.GetAppliedIndex()), Committed: registry.Index(g.GetCommitIndex()), Version: g.GetVersion(),
		GossipMembers: int(g.GetGossipMembers()), Ready: g.GetReady(), NotReadyReason: g.GetNotReadyReason(), Listed: g.GetListed(),
		Checkpoints: mapped(g.GetCheckpoints(), fromCheckpoint), FrozenTypes: Names[registry.NodeType](g.GetFrozenTypes()),
		AppendTime: registry.Micros(min(g.GetAppendUs(), math.MaxInt64)),
	}
	return greeting, checkGreeting(greeting)
}

func toReplica(r registry.Replica) *rotav1.ReplicaAddress {
	return &rotav1.ReplicaAddress{Name: string(r.Name), StoreId: string(r.StoreID), Api: r.API, Raft: r.Raft, Gossip: r.Gossip}
}

func toCheckpoint(c registry.Checkpoint) *rotav1.Checkpoint {
	return &rotav1.Checkpoint{Index: uint64(c.Index), FromIndex: uint64(c.From), Hash: c.Hash}
}

func fromCheckpoint(c *rotav1.Checkpoint) registry.Checkpoint {
	return registry.Checkpoint{Index: registry.Index(c.GetIndex()), From: registry.Index(c.GetFromIndex()), Hash: c.GetHash()}
}

func fromReplica(r *rotav1.ReplicaAddress) registry.Replica {
	return registry.Replica{
		Name: registry.ReplicaName(r.GetName()), StoreID: registry.StoreID(r.GetStoreId()),
		API: r.GetApi(), Raft: r.GetRaft(), Gossip: r.GetGossip(),
	}
}

func checkGreeting(g registry.Greeting) error {
	if err := valid(g.ClusterID); err != nil {
		return err
	}
	if err := valid(g.Leader); err != nil {
		return err
	}
	for _, t := range g.FrozenTypes {
		if err := t.Validate(); err != nil {
			return err
		}
	}
	for _, r := range append([]registry.Replica{g.Replica}, g.Roster...) {
		if err := checkReplica(r); err != nil {
			return err
		}
	}
	return nil
}

func checkReplica(r registry.Replica) error {
	if err := valid(r.Name); err != nil {
		return err
	}
	if err := valid(r.StoreID); err != nil {
		return err
	}
	for _, address := range []string{r.API, r.Raft, r.Gossip} {
		if len(address) > registry.AddressMax {
			return registry.Errorf(registry.Limit, "address %q of replica %s: it has %d bytes, at most %d are allowed", Clip(address), r.Name, len(address), registry.AddressMax)
		}
	}
	return nil
}

// valid holds for what may be empty and must be right otherwise.
func valid[T interface {
	~string
	Validate() error
}](v T) error {
	if v == "" {
		return nil
	}
	return v.Validate()
}
