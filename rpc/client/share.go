package client

import (
	"cmp"
	"slices"

	"github.com/rota-registry/rota/registry"
	"github.com/rota-registry/rota/registry/hrw"
)

// Shares are measured: how many of samples digests belong to whom. Of one that
// is p they are off by no more than 2.6·√(p(1-p)/samples) 99 times of 100: by
// 1 % of all keys where p is one half, by 0.2 % where it is 1 %. To weigh all
// 2³¹ digests takes seconds a member, and the weight has no pattern that would
// spare it.
const (
	sampleBits = 14
	samples    = 1 << sampleBits
	digestBits = 31 // bit 31 has no part in a weight
)

// sample is the i-th of the digests, one drawn from each of as many equal
// stretches. The draw is the finalizer of MurmurHash3 (Appleby), so that all
// processes measure with the same ones.
func sample(i int) uint32 {
	h := uint32(i)
	h = (h ^ h>>16) * 0x85ebca6b
	h = (h ^ h>>13) * 0xc2b2ae35
	h ^= h >> 16
	return uint32(i)<<(digestBits-sampleBits) | h>>(32-digestBits+sampleBits)
}

// NodeShare is how much of all keys concerns one node.
type NodeShare struct {
	// Node is empty for nobody: no member was eligible, or there was no pool.
	Node registry.NodeName
	// Share is 0 to 1.
	Share float64
}

// owners are the indexes in a view's nodes of those whom the samples belong to,
// -1 for nobody.
type owners []int32

func newOwners(v *view) owners {
	all := make(owners, samples)
	for i := range all {
		all[i] = int32(hrw.Pick(v.sites, nil, sample(i)))
	}
	return all
}

// transition is one view of a pool after another, and whom the samples belong
// to in each.
type transition struct {
	before, after *view
	was, is       owners
	// at gives the index in after of each of before's nodes, -1 for one that is
	// not eligible any more; came lists the indexes of those that were not.
	at   []int32
	came []int32
}

// transit finds out how after differs from before, where the samples belong to
// was.
func transit(before *view, was owners, after *view) *transition {
	t := &transition{before: before, after: after, was: was, at: make([]int32, len(before.sites))}
	index := make(map[uint32]int32, len(after.sites))
	for i, site := range after.sites {
		index[site] = int32(i)
	}
	for i, site := range before.sites {
		t.at[i] = -1
		// A site id that another node has by now is one that went and came.
		if at, there := index[site]; there && after.nodes[at].Node == before.nodes[i].Node {
			t.at[i] = at
			delete(index, site)
		}
	}
	for i, site := range after.sites {
		if _, unknown := index[site]; unknown {
			t.came = append(t.came, int32(i))
		}
	}
	t.is = t.move()
	return t
}

// move gives the samples' owners in after without weighing all of them again:
// who stays keeps what none of those who came draws more strongly. What the
// others had is drawn anew.
func (t *transition) move() owners {
	rivals := make([]uint32, 1+len(t.came)) // the present owner, and who came
	for i, at := range t.came {
		rivals[1+i] = t.after.sites[at]
	}
	is := make(owners, samples)
	for i := range is {
		at := int32(-1)
		if owner := t.was[i]; owner >= 0 {
			at = t.at[owner]
		}
		if at < 0 {
			is[i] = int32(hrw.Pick(t.after.sites, nil, sample(i)))
			continue
		}
		rivals[0] = t.after.sites[at]
		if best := hrw.Pick(rivals, nil, sample(i)); best > 0 {
			at = t.came[best-1]
		}
		is[i] = at
	}
	return is
}

// rehashed says that the keys have other digests than before.
func (t *transition) rehashed() bool { return t.before.hash != t.after.hash }

// losing reports whether any key can have left the node with index me in before:
// the node goes, or others come. That their share is measured as 0 says nothing:
// of 5,000 nodes each loses a key in 25 million to a newcomer.
func (t *transition) losing(me int) bool {
	return me >= 0 && (t.at[me] < 0 || len(t.came) > 0 || t.rehashed())
}

// gaining is the same for the node with index me in after: it is new, or others
// go.
func (t *transition) gaining(me int) bool {
	return me >= 0 && (slices.Contains(t.came, int32(me)) || slices.Contains(t.at, -1) || t.rehashed())
}

// flow counts what passed to or from one node, by the index of the other one;
// the first is nobody.
type flow []int

func (f flow) shares(nodes []registry.Answer) (total float64, others []NodeShare) {
	sum := 0
	for i, n := range f {
		if n == 0 {
			continue
		}
		other := NodeShare{Share: float64(n) / samples}
		if i > 0 {
			other.Node = nodes[i-1].Node
		}
		others = append(others, other)
		sum += n
	}
	slices.SortFunc(others, func(a, b NodeShare) int {
		return cmp.Or(cmp.Compare(b.Share, a.Share), cmp.Compare(a.Node, b.Node))
	})
	return float64(sum) / samples, others
}

// flows counts what the node with index was in before and is in after, -1 for
// none, gained from others, lost to others, and kept.
func (t *transition) flows(was, is int) (gained, lost flow, kept int) {
	gained, lost = make(flow, 1+len(t.before.nodes)), make(flow, 1+len(t.after.nodes))
	for i := range samples {
		before, after := int(t.was[i]), int(t.is[i])
		had, has := was >= 0 && before == was, is >= 0 && after == is
		switch {
		case had && has:
			kept++
		case has:
			gained[1+before]++
		case had:
			lost[1+after]++
		}
	}
	return gained, lost, kept
}
