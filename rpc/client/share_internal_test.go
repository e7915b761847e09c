package client

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/rota-registry/rota/registry"
	"github.com/rota-registry/rota/registry/hrw"
)

// drawView draws a pool of few nodes, so that two of them have much in common.
func drawView(t *rapid.T, what string) *view {
	w := NewWorld()
	for range rapid.IntRange(0, 12).Draw(t, what) {
		w.Step(drawing(t))
	}
	info, err := w.Pool()
	if err != nil {
		return new(view)
	}
	return newView(info)
}

// ownerIn is the definition of whom a key belongs to, as the registry has it.
func ownerIn(info registry.PoolInfo) func(hrw.Key) registry.NodeName {
	var sites []uint32
	var eligible []bool
	for _, m := range info.Members {
		sites, eligible = append(sites, m.SiteID), append(eligible, m.Eligible)
	}
	return func(key hrw.Key) registry.NodeName {
		if i := hrw.Pick(sites, eligible, key.Digest(info.Spec.Hash)); i >= 0 {
			return info.Members[i].Name
		}
		return ""
	}
}

// The samples' owners after a change are those that weighing all of them anew
// would give, and what a node gains, loses and keeps of them is what it has in
// the one and the other.
func TestWhatMovesIsWhatDiffers(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		before, after := drawView(t, "before"), drawView(t, "after")
		tr := transit(before, newOwners(before), after)
		if !slices.Equal(tr.is, newOwners(after)) {
			t.Fatal("the samples' owners are not those of a pool weighed anew")
		}
		node := rapid.SampledFrom([]registry.NodeName{"w-1", "w-2", "w-3", "node-339ff", "node-78880"}).Draw(t, "node")
		was, is := before.find(node), after.find(node)
		gained, lost, kept := tr.flows(was, is)
		var total [3]int
		owned, owns := ownerIn(before.info), ownerIn(after.info)
		for i := range samples {
			digest := hrw.Digest(sample(i))
			had, has := owned(digest) == node, owns(digest) == node
			switch {
			case has && !had:
				total[0]++
			case had && !has:
				total[1]++
			case had:
				total[2]++
			}
		}
		share, others := gained.shares(before.nodes)
		if share*samples != float64(total[0]) || sum(others) != share {
			t.Fatalf("gained %v of %d, want %d; from %v", share*samples, samples, total[0], others)
		}
		share, others = lost.shares(after.nodes)
		if share*samples != float64(total[1]) || sum(others) != share || kept != total[2] {
			t.Fatalf("lost %v of %d, want %d; to %v; kept %d, want %d", share*samples, samples, total[1], others, kept, total[2])
		}
		if total[0] > 0 && !tr.gaining(is) || total[1] > 0 && !tr.losing(was) {
			t.Fatalf("gained %d and lost %d of %d without a call", total[0], total[1], samples)
		}
	})
}

func sum(shares []NodeShare) (total float64) {
	for _, s := range shares {
		total += s.Share
	}
	return total
}

// Whoever dies moves its own keys, and whoever is born takes some for itself:
// nobody else's move. Where no call is made for a node, none of its keys moved.
func TestADeathMovesItsOwnKeysAlone(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		info := workers(rapid.IntRange(2, 40).Draw(t, "members"))
		all := newView(info)
		dead := rapid.IntRange(0, len(info.Members)-1).Draw(t, "dead")
		info.Members = slices.Clone(info.Members)
		info.Members[dead].Eligible = false
		left := newView(info)
		death, birth := transit(all, newOwners(all), left), transit(left, newOwners(left), all)
		for i, m := range all.nodes {
			if i == dead {
				continue
			}
			if death.losing(i) || birth.gaining(i) {
				t.Fatalf("%s loses keys by the death of %d, or gains some by its birth", m.Node, dead)
			}
			gained, _, _ := death.flows(i, left.find(m.Node))
			if _, from := gained.shares(all.nodes); len(from) > 1 || len(from) == 1 && from[0].Node != all.nodes[dead].Node {
				t.Fatalf("%s gains from %v by the death of %d", m.Node, from, dead)
			}
		}
		gained, lost, kept := death.flows(dead, -1)
		if total, _ := gained.shares(all.nodes); total != 0 || kept != 0 {
			t.Fatalf("the dead one gains %v and keeps %d", total, kept)
		}
		_, to := lost.shares(left.nodes)
		gained, _, _ = birth.flows(-1, dead)
		if _, from := gained.shares(left.nodes); !cmp.Equal(to, from) {
			t.Fatalf("what was lost to %v came back from %v", to, from)
		}
		key := drawKey(t)
		if was := ownerIn(all.info)(key); was != all.nodes[dead].Node && ownerIn(left.info)(key) != was {
			t.Fatalf("a key of %s moved", was)
		}
	})
}

// The samples stand for all digests: what is measured with them differs from
// what is measured with a million others by no more than the documented error.
func TestSharesAreAsExactAsDocumented(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for _, members := range []int{2, 3, 10, 100} {
		v := newView(workers(members))
		counts, truth := make([]float64, members), make([]float64, members)
		for _, at := range newOwners(v) {
			counts[at] += 1.0 / samples
		}
		const many = 1 << 20
		for range many {
			truth[hrw.Pick(v.sites, nil, random.Uint32())] += 1.0 / many
		}
		for i, p := range truth {
			if off := math.Abs(counts[i] - p); off > 3.5*math.Sqrt(p*(1-p)/samples) {
				t.Errorf("of %d members, number %d has %.4f, measured as %.4f", members, i, p, counts[i])
			}
		}
	}
	seen := make(map[uint32]bool)
	for i := range samples {
		s := sample(i)
		if seen[s] || int(s>>(digestBits-sampleBits)) != i {
			t.Fatalf("sample %d is %#x: not one of its stretch", i, s)
		}
		seen[s] = true
	}
}
