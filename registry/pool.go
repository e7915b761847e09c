package registry

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/rota-registry/rota/registry/hrw"
)

// pool is a spec, its members, and who of them is eligible. It is never changed
// once a view holds it.
type pool struct {
	spec  Spec
	epoch Epoch
	*roster
	eligible []bool // by the members' index
}

// roster is the members of a pool. One that changes in other things shares it
// with what it was before: whoever dies or comes back costs a pool no more than
// its flags.
type roster struct {
	members []member // in order
	sites   []uint32 // their site ids, for hrw.Pick
	answers []Answer // those that name them; never changed, so that turns may share them
	// renumbered says that some member has not the first of its aliases.
	renumbered bool
}

// member is a node as one pool sees it.
type member struct {
	name  NodeName
	alias string
	topic string // as users see it
	site  uint32
}

func newPool(spec Spec) *pool { return &pool{spec: spec, roster: &roster{}} }

// seat gives the pool with these members, whose slices it takes over.
func (p *pool) seat(members []member, eligible []bool) *pool {
	r := &roster{members: members, sites: make([]uint32, len(members)), answers: make([]Answer, len(members))}
	for i := range members {
		r.sites[i] = members[i].site
		r.answers[i] = Answer{Node: members[i].name, Topic: members[i].topic}
		r.renumbered = r.renumbered || !strings.HasSuffix(members[i].alias, ".0")
	}
	return &pool{spec: p.spec, epoch: p.epoch, roster: r, eligible: eligible}
}

// find gives the member's index, or -1. In the largest state it is asked of a
// thousand pools; so it looks for the site id that nearly every member has
// before it compares names.
func (p *pool) find(name NodeName) int {
	at := slices.Index(p.sites, hrw.SiteID(p.spec.Hash, hrw.Alias(string(name), 0)))
	switch {
	case at >= 0 && p.members[at].name == name:
		return at
	case at < 0 && !p.renumbered:
		return -1
	}
	return findMember(p.members, name)
}

func findMember(members []member, name NodeName) int {
	return slices.IndexFunc(members, func(m member) bool { return m.name == name })
}

// byTopic sorts pools into the order of the assignment: by topic, then name.
func byTopic(a, b *pool) int {
	return cmp.Or(cmp.Compare(a.spec.Topic, b.spec.Topic), cmp.Compare(a.spec.Name, b.spec.Name))
}

// poolsOf lists the pools of a type in the order of the assignment.
func (v *View) poolsOf(t NodeType) []*pool {
	var pools []*pool
	for _, p := range v.pools {
		if p.spec.NodeType == t {
			pools = append(pools, p)
		}
	}
	slices.SortFunc(pools, byTopic)
	return pools
}

func (v *View) pool(name PoolName) (*pool, error) {
	if i, ok := v.findPool(name); ok {
		return v.pools[i], nil
	}
	return nil, Errorf(NotFound, "pool %q is not registered: see `rota pool list`", clip(string(name)))
}

// Pool gives one pool as users see it.
func (v *View) Pool(name PoolName) (PoolInfo, error) {
	p, err := v.pool(name)
	if err != nil {
		return PoolInfo{}, err
	}
	return v.poolInfo(p), nil
}

// Pools lists the pools, sorted by name.
func (v *View) Pools() []PoolInfo {
	infos := make([]PoolInfo, len(v.pools))
	for i, p := range v.pools {
		infos[i] = v.poolInfo(p)
	}
	return infos
}

func (v *View) poolInfo(p *pool) PoolInfo {
	info := PoolInfo{Spec: p.spec.clone(), Epoch: p.epoch, Members: make([]MemberInfo, len(p.members))}
	for i, m := range p.members {
		state := v.node(m.name).State
		info.Members[i] = MemberInfo{
			Name: m.name, Alias: m.alias, SiteID: m.site, Topic: m.topic,
			Alive: state == Alive, Eligible: p.eligible[i], State: state,
		}
		if state == Alive {
			info.AliveCount++
		}
		if p.eligible[i] {
			info.EligibleCount++
		}
	}
	info.Topic = v.settings.Show(p.spec.Topic)
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

// bare are the members of all pools of which nobody is eligible.
func (v *View) bare() map[NodeName]bool {
	names := make(map[NodeName]bool)
	for _, p := range v.pools {
		if slices.Contains(p.eligible, true) {
			continue
		}
		for i := range p.members {
			names[p.members[i].name] = true
		}
	}
	return names
}

// emptyReason says why nobody in the pool is eligible, once that is so.
func (v *View) emptyReason(p *pool) EmptyReason {
	if len(p.members) == 0 {
		return NoMembers
	}
	for i := range p.members {
		if v.node(p.members[i].name).State == Alive {
			return AllDraining
		}
	}
	return NoneAlive
}

// HRW answers hrw_topic: the eligible member with the largest weight for the
// key, or an empty answer with its reason.
func (v *View) HRW(name PoolName, k hrw.Key) (Choice, error) {
	p, err := v.keyed(name, k)
	if err != nil {
		return Choice{}, err
	}
	i := hrw.Pick(p.sites, p.eligible, k.Digest(p.spec.Hash))
	if i < 0 {
		return Choice{Epoch: p.epoch, Reason: v.emptyReason(p)}, nil
	}
	return Choice{Answer: p.answers[i], Epoch: p.epoch}, nil
}

// HRWs answers hrw_topic for several keys of one pool.
func (v *View) HRWs(name PoolName, keys []hrw.Key) (Choices, error) {
	p, err := v.pool(name)
	if err != nil {
		return Choices{}, err
	}
	all := Choices{Members: p.answers, Picks: make([]int, len(keys)), Epoch: p.epoch}
	for i, k := range keys {
		if k.Len() > KeyMax {
			return Choices{}, longKey(k)
		}
		if all.Picks[i] = hrw.Pick(p.sites, p.eligible, k.Digest(p.spec.Hash)); all.Picks[i] < 0 {
			return Choices{Epoch: p.epoch, Reason: v.emptyReason(p)}, nil // for all keys
		}
	}
	return all, nil
}

// Rank gives the eligible members, best first, at most limit of them; 0 stands
// for RankMax.
func (v *View) Rank(name PoolName, k hrw.Key, limit int) ([]Ranked, Epoch, error) {
	if limit < 0 || limit > RankMax {
		return nil, 0, Errorf(Limit, "ranking of %d nodes: ask for 1 to %d, or explain for all", limit, RankMax)
	}
	p, err := v.keyed(name, k)
	if err != nil {
		return nil, 0, err
	}
	return p.ranked(k, p.eligible, cmp.Or(limit, RankMax)), p.epoch, nil
}

// Explain gives every member with its weight, best first.
func (v *View) Explain(name PoolName, k hrw.Key) ([]Ranked, Epoch, error) {
	p, err := v.keyed(name, k)
	if err != nil {
		return nil, 0, err
	}
	return p.ranked(k, nil, -1), p.epoch, nil
}

func (p *pool) ranked(k hrw.Key, eligible []bool, limit int) []Ranked {
	digest := k.Digest(p.spec.Hash)
	best := hrw.Rank(p.sites, eligible, digest, limit)
	list := make([]Ranked, len(best))
	for i, at := range best {
		m := p.members[at]
		list[i] = Ranked{
			Node: m.name, Topic: m.topic, SiteID: m.site,
			Weight: hrw.Weight(m.site, digest), Eligible: p.eligible[at],
		}
	}
	return list
}

// keyed finds the pool for a key of a bearable size.
func (v *View) keyed(name PoolName, k hrw.Key) (*pool, error) {
	if k.Len() > KeyMax {
		return nil, longKey(k)
	}
	return v.pool(name)
}

func longKey(k hrw.Key) error {
	return Errorf(Invalid, "key has %d bytes, at most %d are allowed: hash it yourself and give the digest", k.Len(), KeyMax)
}

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
