package registry

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/rota-registry/rota/registry/hrw"
)

// pool is a spec and its members. It is never changed once a state holds it.
type pool struct {
	spec    Spec
	epoch   Epoch
	members []member
	// sites and eligible hold, for hrw.Pick, what members say, by index.
	sites    []uint32
	eligible []bool
}

// member is a node as one pool sees it.
type member struct {
	name     NodeName
	alias    string
	site     uint32
	eligible bool
}

// seat gives the pool with these members, whose slice it takes over.
func (p *pool) seat(members []member) *pool {
	seated := &pool{spec: p.spec, epoch: p.epoch, members: members}
	seated.sites = make([]uint32, len(members))
	seated.eligible = make([]bool, len(members))
	for i := range members {
		seated.sites[i] = members[i].site
		seated.eligible[i] = members[i].eligible
	}
	return seated
}

// find gives the member's index, or -1.
func (p *pool) find(name NodeName) int { return findMember(p.members, name) }

func findMember(members []member, name NodeName) int {
	return slices.IndexFunc(members, func(m member) bool { return m.name == name })
}

func (p *pool) names() []NodeName {
	names := make([]NodeName, len(p.members))
	for i := range p.members {
		names[i] = p.members[i].name
	}
	return names
}

// byTopic sorts pools into the order of the assignment: by topic, then name.
func byTopic(a, b *pool) int {
	return cmp.Or(cmp.Compare(a.spec.Topic, b.spec.Topic), cmp.Compare(a.spec.Name, b.spec.Name))
}

// poolsOf lists the pools of a type in the order of the assignment.
func (s *State) poolsOf(t NodeType) []*pool {
	var pools []*pool
	for _, p := range s.pools {
		if p.spec.NodeType == t {
			pools = append(pools, p)
		}
	}
	slices.SortFunc(pools, byTopic)
	return pools
}

func (s *State) pool(name PoolName) (*pool, error) {
	if i, ok := s.findPool(name); ok {
		return s.pools[i], nil
	}
	return nil, Errorf(NotFound, "pool %q is not registered: see `rota pool list`", clip(string(name)))
}

// Pool gives one pool as users see it.
func (s *State) Pool(name PoolName) (PoolInfo, error) {
	p, err := s.pool(name)
	if err != nil {
		return PoolInfo{}, err
	}
	return s.poolInfo(p), nil
}

// Pools lists the pools, sorted by name.
func (s *State) Pools() []PoolInfo {
	infos := make([]PoolInfo, len(s.pools))
	for i, p := range s.pools {
		infos[i] = s.poolInfo(p)
	}
	return infos
}

func (s *State) poolInfo(p *pool) PoolInfo {
	info := PoolInfo{Spec: p.spec.clone(), Epoch: p.epoch, Members: make([]MemberInfo, len(p.members))}
	for i, m := range p.members {
		state := s.node(m.name).State
		info.Members[i] = MemberInfo{
			Name: m.name, Alias: m.alias, SiteID: m.site, Topic: s.settings.nodeTopic(m.name),
			Alive: state == Alive, Eligible: m.eligible, State: state,
		}
		if state == Alive {
			info.AliveCount++
		}
		if m.eligible {
			info.EligibleCount++
		}
	}
	info.Topic = s.settings.Show(p.spec.Topic)
	info.Reason = p.unsatisfied()
	info.Satisfied = info.Reason == ""
	return info
}

// unsatisfied says what an exclusive pool lacks, or nothing.
func (p *pool) unsatisfied() string {
	if p.spec.Exclusive && uint64(len(p.members)) < uint64(*p.spec.MaxNodes) {
		return fmt.Sprintf("wants %d, has %d", *p.spec.MaxNodes, len(p.members))
	}
	return ""
}

// emptyReason says why nobody in the pool is eligible, once that is so.
func (s *State) emptyReason(p *pool) EmptyReason {
	if len(p.members) == 0 {
		return NoMembers
	}
	for i := range p.members {
		if s.node(p.members[i].name).State == Alive {
			return AllDraining
		}
	}
	return NoneAlive
}

// HRW answers hrw_topic: the eligible member with the largest weight for the
// key, or an empty answer with its reason.
func (s *State) HRW(name PoolName, k hrw.Key) (Choice, error) {
	p, err := s.keyed(name, k)
	if err != nil {
		return Choice{}, err
	}
	i := hrw.Pick(p.sites, p.eligible, k.Digest(p.spec.Hash))
	if i < 0 {
		return Choice{Epoch: p.epoch, Reason: s.emptyReason(p)}, nil
	}
	return Choice{Answer: s.answer(p.members[i].name), Epoch: p.epoch}, nil
}

// Rank gives the eligible members, best first, at most limit of them; 0 stands
// for RankMax.
func (s *State) Rank(name PoolName, k hrw.Key, limit int) ([]Ranked, Epoch, error) {
	if limit < 0 || limit > RankMax {
		return nil, 0, Errorf(Limit, "ranking of %d nodes: ask for 1 to %d, or explain for all", limit, RankMax)
	}
	p, err := s.keyed(name, k)
	if err != nil {
		return nil, 0, err
	}
	return s.ranked(p, k, p.eligible, cmp.Or(limit, RankMax)), p.epoch, nil
}

// Explain gives every member with its weight, best first.
func (s *State) Explain(name PoolName, k hrw.Key) ([]Ranked, Epoch, error) {
	p, err := s.keyed(name, k)
	if err != nil {
		return nil, 0, err
	}
	return s.ranked(p, k, nil, -1), p.epoch, nil
}

func (s *State) ranked(p *pool, k hrw.Key, eligible []bool, limit int) []Ranked {
	digest := k.Digest(p.spec.Hash)
	best := hrw.Rank(p.sites, eligible, digest, limit)
	list := make([]Ranked, len(best))
	for i, at := range best {
		m := p.members[at]
		list[i] = Ranked{
			Node: m.name, Topic: s.settings.nodeTopic(m.name), SiteID: m.site,
			Weight: hrw.Weight(m.site, digest), Eligible: m.eligible,
		}
	}
	return list
}

// keyed finds the pool for a key of a bearable size.
func (s *State) keyed(name PoolName, k hrw.Key) (*pool, error) {
	if k.Len() > KeyMax {
		return nil, Errorf(Invalid, "key has %d bytes, at most %d are allowed: hash it yourself and give the digest", k.Len(), KeyMax)
	}
	return s.pool(name)
}

func (s *State) answer(n NodeName) Answer { return Answer{Node: n, Topic: s.settings.nodeTopic(n)} }

// clone shares nothing with the spec that it was made from.
func (s Spec) clone() Spec {
	if s.MaxNodes != nil {
		n := *s.MaxNodes
		s.MaxNodes = &n
	}
	return s
}

func (s Spec) equal(o Spec) bool {
	if (s.MaxNodes == nil) != (o.MaxNodes == nil) || s.MaxNodes != nil && *s.MaxNodes != *o.MaxNodes {
		return false
	}
	return s.Name == o.Name && s.Topic == o.Topic && s.NodeType == o.NodeType &&
		s.Exclusive == o.Exclusive && s.Hash == o.Hash
}
