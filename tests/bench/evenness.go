package main

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"github.com/rota-registry/rota/registry/hrw"
)

// evenKeys is how many keys are spread over the members at most; evenWeights
// bounds the weights, because each key has one for each member.
const (
	evenKeys    = 1_000_000
	evenWeights = 500_000_000
)

func evenMembers() []int { return []int{3, 10, 100, 1_000, 5_000} }

// scheme picks the member that a key belongs to, and the one that it would
// belong to without that.
type scheme struct {
	name string
	pick func(members []string) func(key string) (first, second int)
}

// shares are how keys lie: the largest and the smallest share, of the mean.
type shares struct{ most, least float64 }

// evenness is a Markdown table: of the keys that members have, and of what the
// others get when the one that has most dies.
func evenness(members []int, keys int) string {
	var b strings.Builder
	b.WriteString("max/mean and min/mean of the keys of a member, and max/mean of what each of the others gets when the one with most dies. The fewer keys a member has, the more chance there is in it: SHA-256, of the same keys, shows how much.\n\n| members | keys |")
	for _, s := range schemes() {
		fmt.Fprintf(&b, " %s max | min | a death |", s.name)
	}
	b.WriteString("\n|---|---|" + strings.Repeat("---|---|---|", len(schemes())) + "\n")
	for _, n := range members {
		some := min(keys, evenWeights/n)
		fmt.Fprintf(&b, "| %d | %d |", n, some)
		for _, s := range schemes() {
			all, death := s.spread(n, some)
			fmt.Fprintf(&b, " %.3f | %.3f | %.2f |", all.most, all.least, death.most)
		}
		b.WriteString("\n")
	}
	return b.String()
}

func schemes() []scheme {
	return []scheme{{"zeek-7.1", zeek(hrw.Zeek71)}, {"zeek-6.2", zeek(hrw.Zeek62)}, {"SHA-256", sha}}
}

// spread counts who has how many of the keys.
func (s scheme) spread(n, keys int) (all, death shares) {
	members := make([]string, n)
	for i := range members {
		members[i] = fmt.Sprintf("worker-%d", i+1)
	}
	pick := s.pick(members)
	firsts, heirs := make([]int, n), make([][]int, n)
	for i := range keys {
		first, second := pick(fmt.Sprintf("key-%d", i))
		firsts[first]++
		heirs[first] = append(heirs[first], second)
	}
	gains := make([]int, n)
	dead := slices.Index(firsts, slices.Max(firsts))
	for _, heir := range heirs[dead] {
		gains[heir]++
	}
	return sharesOf(firsts), sharesOf(slices.Delete(gains, dead, dead+1))
}

func sharesOf(counts []int) shares {
	sum := 0
	for _, n := range counts {
		sum += n
	}
	mean := float64(sum) / float64(len(counts))
	return shares{float64(slices.Max(counts)) / mean, float64(slices.Min(counts)) / mean}
}

// zeek is what rota does.
func zeek(h hrw.Hash) func(members []string) func(string) (int, int) {
	return func(members []string) func(string) (int, int) {
		sites := make([]uint32, len(members))
		for i, m := range members {
			sites[i] = hrw.SiteID(h, hrw.Alias(m, 0))
		}
		return func(key string) (int, int) {
			best := hrw.Rank(sites, nil, hrw.String(key).Digest(h), 2)
			return best[0], best[1]
		}
	}
}

// sha is rendezvous hashing with a hash that nobody finds uneven.
func sha(members []string) func(string) (int, int) {
	return func(key string) (int, int) {
		first, second := -1, -1
		var most, next uint64
		for i, m := range members {
			sum := sha256.Sum256([]byte(m + "\x00" + key))
			switch weight := binary.BigEndian.Uint64(sum[:]); {
			case first < 0 || weight > most:
				first, second, most, next = i, first, weight, most
			case second < 0 || weight > next:
				second, next = i, weight
			}
		}
		return first, second
	}
}
