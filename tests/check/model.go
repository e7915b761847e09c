package check

import (
	"cmp"
	"hash/fnv"
	"slices"
	"sort"
	"time"

	"github.com/anishathalye/porcupine"
	"github.com/rota-registry/rota/registry"
)

// Linearizable looks, with porcupine, for an order of the operations that the
// naive model explains and that no caller's clock speaks against. The operations
// are those that Resolve gives. Each cursor is searched alone, together with the
// hrw of the same key: linearizable objects are so together, and the search takes
// memory by the square of its operations. So is each pool, as an epoch that rises
// with the changes that were acknowledged. What could not be decided in the time
// is no violation; it is counted. Each has at least its part of the time.
//
// Of the log the model is told one thing, who was in a pool at each epoch. It
// does not look at an index.
func (f *Facts) Linearizable(ops []Operation, within time.Duration) (violations []Violation, undecided int) {
	var out faults
	parts := f.parts(ops)
	end := time.Now().Add(within)
	for i, p := range parts {
		verdict := porcupine.CheckOperationsTimeout(p.model, p.ops, share(time.Until(end), len(parts)-i))
		switch verdict {
		case porcupine.Illegal:
			out.add("porcupine", "%s: no order of its %d operations explains them; they begin with %s", p.name, len(p.ops), p.ops[0].Input)
		case porcupine.Unknown:
			undecided++
		case porcupine.Ok:
		}
	}
	return out.list, undecided
}

// part is what is searched alone.
type part struct {
	of    cursor
	name  string
	model porcupine.Model
	ops   []porcupine.Operation
}

func (p *part) add(o *Operation, input any) {
	p.ops = append(p.ops, porcupine.Operation{ClientId: 0, Input: input, Call: int64(o.Called), Output: o, Return: returned(o)})
}

// parts gives what there is to search, in an order that depends on nothing but
// the operations: the small ones first, which leave to the large ones what they
// did not need.
func (f *Facts) parts(ops []Operation) (list []part) {
	at := map[cursor]int{}
	for i := range ops {
		o := &ops[i]
		if !f.judged(o) {
			continue
		}
		n, known := at[o.cursor()]
		if !known {
			n = len(list)
			at[o.cursor()] = n
			list = append(list, part{of: o.cursor(), name: o.cursor().String(), model: model{epochs: f.Epochs[o.Pool]}.porcupine()})
		}
		list[n].add(o, o)
	}
	list = append(list, f.epochParts(ops)...)
	slices.SortFunc(list, func(a, b part) int {
		return cmp.Or(cmp.Compare(len(a.ops), len(b.ops)), cmp.Compare(a.of.pool, b.of.pool), cmp.Compare(a.of.key, b.of.key), cmp.Compare(a.name, b.name))
	})
	return list
}

// share is the time that the next of some parts has: as much as each that is
// behind it, so that one which cannot be decided costs no other its verdict.
func share(left time.Duration, parts int) time.Duration {
	return max(left/time.Duration(parts), time.Millisecond)
}

// judged reports whether the model has something to say of the operation.
func (f *Facts) judged(o *Operation) bool {
	if f.rewound[o.cursor()] {
		return false
	}
	switch o.Kind {
	case RoundRobin:
		return o.Outcome != Failed
	case HRW:
		return o.Outcome == OK && o.linearizable()
	case Pool, Nodes, Write:
	}
	return false
}

func returned(o *Operation) int64 {
	if o.Outcome == Unknown {
		return int64(Never)
	}
	return int64(o.Returned)
}

// model is a rotation over the members of a pool, written as naively as can be.
type model struct{ epochs []Epoch }

// place is where a rotation stands: in which epoch, by its number, and which
// member's turn is next. One that nobody has used yet begins with the first member,
// whoever that is by then.
type place struct {
	epoch, next int
	used        bool
}

func (m model) porcupine() porcupine.Model {
	nm := porcupine.NondeterministicModel{
		Init: func() []any { return []any{place{}} },
		Step: func(state, input, _ any) []any { return m.step(state.(place), input.(*Operation)) },
		Hash: func(state any) uint64 { return uint64(state.(place).epoch)<<32 | uint64(state.(place).next) },
	}
	return nm.ToModel()
}

// step gives the places that the operation may lead to: none, if it cannot have
// been answered so from here.
func (m model) step(at place, o *Operation) (next []any) {
	if o.Outcome == Unknown {
		// It may be taken at any epoch from here on. Never is a turn after all
		// others.
		for e := at.epoch; e < len(m.epochs); e++ {
			to := m.forward(at, e)
			_, to = m.turns(to, o.Count)
			next = append(next, to)
		}
		return next
	}
	e := sort.Search(len(m.epochs), func(i int) bool { return m.epochs[i].Epoch >= o.Epoch })
	if e == len(m.epochs) || m.epochs[e].Epoch != o.Epoch || e < at.epoch {
		return nil
	}
	at = m.forward(at, e)
	var want []registry.NodeName
	if o.Kind == HRW {
		if m.epochs[e].Hash != naiveHashName {
			return []any{at}
		}
		if node := naiveHRW(m.epochs[e].Members, naiveHash([]byte(o.Key))); node != "" {
			want = []registry.NodeName{node}
		}
	} else {
		want, at = m.turns(at, o.Count)
	}
	if len(want) != len(o.Answers) {
		return nil
	}
	for i := range want {
		if want[i] != o.Answers[i].Node {
			return nil
		}
	}
	return []any{at}
}

// forward takes a place through the epochs up to e: the rotation stays on the
// member that was next, or on the next one in the old order that is still there.
func (m model) forward(at place, e int) place {
	for ; at.epoch < e; at.epoch++ {
		before, after := m.epochs[at.epoch].Members, m.epochs[at.epoch+1]
		if after.Fresh {
			at.used = false
		}
		if !at.used {
			at.next = 0
			continue
		}
		next := 0
		for i := range before {
			if to := indexOf(after.Members, before[(at.next+i)%len(before)].Name); to >= 0 {
				next = to
				break
			}
		}
		at.next = next
	}
	return at
}

func indexOf(members []registry.MemberInfo, name registry.NodeName) int {
	for i := range members {
		if members[i].Name == name {
			return i
		}
	}
	return -1
}

// turns gives the next count members that are eligible, one by one, and where the
// rotation stands then. Nobody eligible leaves it where it was.
func (m model) turns(at place, count int) (list []registry.NodeName, then place) {
	members := m.epochs[at.epoch].Members
	then = place{epoch: at.epoch, next: at.next, used: true}
	for range count {
		found := false
		for i := range members {
			member := members[(then.next+i)%len(members)]
			if member.Eligible {
				list, then.next, found = append(list, member.Name), (then.next+i+1)%len(members), true
				break
			}
		}
		if !found {
			return nil, at
		}
	}
	return list, then
}

// naiveHashName is the hash that this package has written anew.
const naiveHashName = "zeek-7.1"

func naiveHash(b []byte) uint32 {
	h := fnv.New32a()
	_, _ = h.Write(b)
	return h.Sum32()
}

// naiveHRW is Zeek's rule in 64-bit arithmetic: the largest weight wins, and of
// two the larger site id.
func naiveHRW(members []registry.MemberInfo, digest uint32) registry.NodeName {
	const a, b = 1103515245, 12345
	var best registry.NodeName
	bestRank := []uint64{0, 0}
	for _, m := range members {
		if !m.Eligible {
			continue
		}
		site := uint64(naiveHash([]byte(m.Alias)))
		inner := (a*site + b) & 0xffffffff
		weight := (a*((inner^uint64(digest&0x7fffffff))&0xffffffff) + b) & 0x7fffffff
		if best == "" || weight > bestRank[0] || weight == bestRank[0] && site > bestRank[1] {
			best, bestRank = m.Name, []uint64{weight, site}
		}
	}
	return best
}
