package main

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strconv"
	"sync"

	"github.com/rota-registry/rota/registry/hrw"
)

// evenKeys are dealt among members: as many as tell a rule from chance, and few
// enough for SHA-256, which takes a minute or two for 5,000 members.
const evenKeys = 100_000

// evenSizes are those of the pools whose evenness is shown.
func evenSizes() []int { return []int{3, 10, 100, 1000, 5000} }

// choice says who of the members a key belongs to, and who would have it next.
type choice func(key int) (first, second int)

// deal is what the members get.
type deal struct {
	owned []int
	// heirs are, for each member, how many of its keys go to each other one
	// that gets any when it dies.
	heirs []map[int]int
}

// evenness prints how evenly keys lie on members, and how those of a member
// that dies spread over the rest. Rendezvous hashing with SHA-256 weights is
// beside Zeek's: it shows what chance alone does with that many keys.
func evenness(ctx context.Context, say, out io.Writer, sizes []int) error {
	lines := [][]string{{"members", "weights", "keys of each: mean", "max/mean", "min/mean", "a dead one's, for each survivor: mean", "max/mean, median death", "max/mean, worst death"}}
	for _, n := range sizes {
		for _, how := range []struct {
			name   string
			choose choices
		}{
			{hrw.Zeek71.String(), zeek(hrw.Zeek71)}, {hrw.Zeek62.String(), zeek(hrw.Zeek62)}, {"SHA-256", withSHA256},
		} {
			fmt.Fprintf(say, "%s members, %s\n", thousands(n), how.name)
			d, err := dealKeys(ctx, n, evenKeys, how.choose)
			if err != nil {
				return err
			}
			lines = append(lines, append([]string{thousands(n), how.name}, d.cells()...))
		}
	}
	_, err := io.WriteString(out, fmt.Sprintf("How even hrw is: %s keys, the strings key-0, key-1, …, on members worker-1, worker-2, ….\n", thousands(evenKeys))+
		"Where few keys fall to each, chance alone makes max/mean large: SHA-256 shows how large.\n\n"+
		markdown(lines, 0, 2, 3, 4, 5, 6, 7))
	return err
}

func (d deal) cells() []string {
	keys := 0
	for _, n := range d.owned {
		keys += n
	}
	mean := float64(keys) / float64(len(d.owned))
	deaths := d.deaths()
	return []string{
		number(mean), two(float64(slices.Max(d.owned)) / mean), two(float64(slices.Min(d.owned)) / mean),
		number(mean / float64(len(d.owned)-1)), two(quantile(deaths, 0.5)), two(quantile(deaths, 1)),
	}
}

// deaths gives, for the death of each member that has keys, how many the
// survivor that gets most gets, over the mean of all survivors; sorted.
func (d deal) deaths() (all []float64) {
	for dead, heirs := range d.heirs {
		if d.owned[dead] == 0 {
			continue
		}
		most := 0
		for _, n := range heirs {
			most = max(most, n)
		}
		all = append(all, float64(most*(len(d.owned)-1))/float64(d.owned[dead]))
	}
	slices.Sort(all)
	return all
}

// choices makes a choice among n members for each of several goroutines.
type choices func(n int) func() choice

// zeek is what rota answers: the same members, the same code.
func zeek(h hrw.Hash) choices {
	return func(n int) func() choice {
		sites := siteIDs(h, n)
		return func() choice {
			eligible := slices.Repeat([]bool{true}, n)
			return func(key int) (first, second int) {
				digest := hrw.String("key-" + strconv.Itoa(key)).Digest(h)
				first = hrw.Pick(sites, nil, digest)
				eligible[first] = false
				second = hrw.Pick(sites, eligible, digest)
				eligible[first] = true
				return first, second
			}
		}
	}
}

// siteIDs are those of a pool's members: each takes the first alias whose site
// id is free.
func siteIDs(h hrw.Hash, n int) []uint32 {
	used, sites := make(map[uint32]bool), make([]uint32, n)
	for i := range sites {
		c := uint32(0)
		for used[hrw.SiteID(h, hrw.Alias(memberName(i), c))] {
			c++
		}
		sites[i] = hrw.SiteID(h, hrw.Alias(memberName(i), c))
		used[sites[i]] = true
	}
	return sites
}

// withSHA256 draws weights that are as good as independent.
func withSHA256(n int) func() choice {
	return func() choice {
		names := make([]string, n)
		for i := range names {
			names[i] = memberName(i) + "\x00"
		}
		var text []byte
		return func(key int) (first, second int) {
			var best, next uint64
			first, second = -1, -1
			name := "key-" + strconv.Itoa(key)
			for i := range n {
				text = append(append(text[:0], names[i]...), name...)
				sum := sha256.Sum256(text)
				switch weight := binary.BigEndian.Uint64(sum[:]); {
				case first < 0 || weight > best:
					second, next, first, best = first, best, i, weight
				case second < 0 || weight > next:
					second, next = i, weight
				}
			}
			return first, second
		}
	}
}

// dealKeys deals the keys on all cores.
func dealKeys(ctx context.Context, n, keys int, choose choices) (deal, error) {
	with := choose(n)
	parts := make([]deal, runtime.NumCPU())
	var cores sync.WaitGroup
	for core := range parts {
		cores.Go(func() {
			parts[core] = newDeal(n)
			one := with()
			for key := core; key < keys && ctx.Err() == nil; key += len(parts) {
				first, second := one(key)
				parts[core].owned[first]++
				parts[core].heirs[first][second]++
			}
		})
	}
	cores.Wait()
	all := newDeal(n)
	for _, part := range parts {
		for i := range n {
			all.owned[i] += part.owned[i]
			for heir, got := range part.heirs[i] {
				all.heirs[i][heir] += got
			}
		}
	}
	return all, ctx.Err()
}

func newDeal(n int) deal {
	d := deal{owned: make([]int, n), heirs: make([]map[int]int, n)}
	for i := range d.heirs {
		d.heirs[i] = make(map[int]int)
	}
	return d
}
