package hrw

import (
	"cmp"
	"slices"
)

// score orders sites for a digest: by weight, then by site id. It is never
// negative, because a weight is below 2^31.
func score(site, digest uint32) int64 {
	return int64(Weight(site, digest))<<32 | int64(site)
}

// Pick gives the index of the site that a digest belongs to, or -1 when none is
// eligible. A nil eligible means all; otherwise it is as long as sites. Ties go
// to the larger site id, and between equal ids to the smaller index. It does
// not allocate.
func Pick(sites []uint32, eligible []bool, digest uint32) int {
	winner, best := -1, int64(-1)
	if eligible == nil {
		for i, site := range sites {
			if s := score(site, digest); s > best {
				winner, best = i, s
			}
		}
		return winner
	}
	eligible = eligible[:len(sites)]
	for i, site := range sites {
		if s := score(site, digest); s > best && eligible[i] {
			winner, best = i, s
		}
	}
	return winner
}

// scored is a site on its way through Rank.
type scored struct {
	score int64
	index int
}

// Rank gives the indexes of the k best eligible sites for a digest, best first,
// or of all of them when there are fewer or k is negative. The order is total,
// by weight, site id, then smaller index; so the first is Pick's, and without
// the winner the rest stay in their order.
func Rank(sites []uint32, eligible []bool, digest uint32, k int) []int {
	if k < 0 || k > len(sites) {
		k = len(sites)
	}
	if k == 0 {
		return []int{}
	}
	// Twice k, so that each cut back to k pays for k further sites: the whole
	// takes n log k steps, and a rank of 2 among 5,000 sorts no 5,000.
	room := min(2*k, len(sites))
	best := make([]scored, 0, room)
	for i, site := range sites {
		if eligible != nil && !eligible[i] {
			continue
		}
		if len(best) == room {
			best = cut(best, k)
		}
		best = append(best, scored{score(site, digest), i})
	}
	best = cut(best, k)
	ranking := make([]int, len(best))
	for i, s := range best {
		ranking[i] = s.index
	}
	return ranking
}

// cut sorts best and leaves at most k.
func cut(best []scored, k int) []scored {
	slices.SortFunc(best, func(a, b scored) int {
		return cmp.Or(cmp.Compare(b.score, a.score), cmp.Compare(a.index, b.index))
	})
	return best[:min(k, len(best))]
}
