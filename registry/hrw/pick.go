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

// nobody is below every score.
const nobody = int64(-1)

// pickHead is how many sites Pick compares one by one before it has a weight
// that few of the others reach.
const pickHead = 32

// Pick gives the index of the site that a digest belongs to, or -1 when none is
// eligible. A nil eligible means all; otherwise it is as long as sites. Ties go
// to the larger site id, and between equal ids to the smaller index. It does
// not allocate.
//
// Of the first sites many are the best so far, and a processor that guesses which
// is often wrong; of the rest hardly any is. So the first are compared without a
// branch, and of the rest four weights at a time, none of which waits for another,
// are held against the best one: half the time of one by one, and no more with
// some of the sites dead than with none.
func Pick(sites []uint32, eligible []bool, digest uint32) int {
	winner, best, from := -1, nobody, 0
	for winner < 0 && from < len(sites) {
		to := min(from+pickHead, len(sites))
		winner, best = pickEach(sites, eligible, digest, from, to, winner, best)
		from = to
	}
	least := uint32(best >> 32)
	for ; from <= len(sites)-4; from += 4 {
		four := sites[from : from+4 : from+4]
		a, b, c, d := Weight(four[0], digest), Weight(four[1], digest), Weight(four[2], digest), Weight(four[3], digest)
		if a >= least || b >= least || c >= least || d >= least {
			winner, best = pickEach(sites, eligible, digest, from, from+4, winner, best)
			least = uint32(best >> 32)
		}
	}
	winner, _ = pickEach(sites, eligible, digest, from, len(sites), winner, best)
	return winner
}

// pickEach goes on from the winner so far, whose score is best, with the sites
// from from to to-1. Its comparisons become conditional moves.
func pickEach(sites []uint32, eligible []bool, digest uint32, from, to, winner int, best int64) (int, int64) {
	sites = sites[from:to]
	if eligible == nil {
		for i, site := range sites {
			if s := score(site, digest); s > best {
				winner, best = from+i, s
			}
		}
		return winner, best
	}
	eligible = eligible[from:to]
	for i, site := range sites {
		s := score(site, digest)
		if !eligible[i] {
			s = nobody
		}
		if s > best {
			winner, best = from+i, s
		}
	}
	return winner, best
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
