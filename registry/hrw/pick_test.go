package hrw_test

import (
	"fmt"
	"math/big"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/rota-registry/rota/registry/hrw"
)

// naiveWeight is the formula of Zeek's documentation, in numbers without end.
func naiveWeight(site, digest uint32) uint32 {
	a, b, mod := big.NewInt(1103515245), big.NewInt(12345), big.NewInt(1<<32)
	step := func(x *big.Int) *big.Int {
		x.Mul(x, a)
		x.Add(x, b)
		return x.Mod(x, mod)
	}
	x := step(big.NewInt(int64(site)))
	x.Xor(x, big.NewInt(int64(digest%(1<<31))))
	x = step(x)
	return uint32(x.Mod(x, big.NewInt(1<<31)).Uint64())
}

// naiveBeats says whether site i comes before site j.
func naiveBeats(sites []uint32, digest uint32, i, j int) bool {
	wi, wj := naiveWeight(sites[i], digest), naiveWeight(sites[j], digest)
	switch {
	case wi != wj:
		return wi > wj
	case sites[i] != sites[j]:
		return sites[i] > sites[j]
	default:
		return i < j
	}
}

// naiveRank takes the best of what is left, one after the other.
func naiveRank(sites []uint32, eligible []bool, digest uint32) []int {
	var left, ranking []int
	for i := range sites {
		if eligible == nil || eligible[i] {
			left = append(left, i)
		}
	}
	for len(left) > 0 {
		best := left[0]
		for _, i := range left[1:] {
			if naiveBeats(sites, digest, i, best) {
				best = i
			}
		}
		ranking = append(ranking, best)
		left = slices.DeleteFunc(left, func(i int) bool { return i == best })
	}
	return ranking
}

// drawSites draws few and close site ids as often as arbitrary ones, and twins
// that differ in bit 31 alone, so that every kind of tie comes up.
func drawSites(t *rapid.T) []uint32 {
	one := rapid.OneOf(
		rapid.Uint32(), rapid.Uint32Range(0, 3),
		rapid.Map(rapid.Uint32Range(0, 3), func(s uint32) uint32 { return s | 1<<31 }),
	)
	return rapid.SliceOfN(one, 0, 24).Draw(t, "sites")
}

func drawEligible(t *rapid.T, n int) []bool {
	if rapid.Bool().Draw(t, "all") {
		return nil
	}
	return rapid.SliceOfN(rapid.Bool(), n, n).Draw(t, "eligible")
}

func TestWeightIsTheDocumentedFormula(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		site, digest := rapid.Uint32().Draw(t, "site"), rapid.Uint32().Draw(t, "digest")
		if got, want := hrw.Weight(site, digest), naiveWeight(site, digest); got != want {
			t.Fatalf("Weight(%#x, %#x) = %d, want %d", site, digest, got, want)
		}
	})
}

func TestPickAndRankAgreeWithANaiveTwin(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		sites := drawSites(t)
		eligible := drawEligible(t, len(sites))
		digest := rapid.Uint32().Draw(t, "digest")
		want := naiveRank(sites, eligible, digest)
		winner := -1
		if len(want) > 0 {
			winner = want[0]
		}
		if got := hrw.Pick(sites, eligible, digest); got != winner {
			t.Fatalf("Pick gives %d, the twin %d", got, winner)
		}
		for k := -1; k <= len(sites)+1; k++ {
			best := want
			if k >= 0 {
				best = want[:min(k, len(want))]
			}
			if got := hrw.Rank(sites, eligible, digest, k); !slices.Equal(got, best) {
				t.Fatalf("Rank of %d gives %v, the twin %v", k, got, best)
			}
		}
	})
}

// drawLarge draws pools that Pick goes through four at a time, with every kind
// of tie and of gap. The lengths are evenly spread, as rapid's own are not: most
// of those are too short.
func drawLarge(t *rapid.T) (sites []uint32, eligible []bool) {
	r := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
	n, spread := r.IntN(200), []uint32{1, 3, 50, 1 << 30}[r.IntN(4)]
	for range n {
		sites = append(sites, r.Uint32N(spread)|r.Uint32N(2)<<31)
	}
	if r.IntN(3) == 0 {
		return sites, nil
	}
	from, to, alive := r.IntN(n+1), r.IntN(n+1), 1+r.IntN(100)
	eligible = make([]bool, n)
	for i := range eligible {
		eligible[i] = (from <= i) == (i < to) && r.IntN(100) < alive
	}
	return sites, eligible
}

func TestPickAgreesWithANaiveTwinInLargePools(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		sites, eligible := drawLarge(t)
		digest := rapid.Uint32().Draw(t, "digest")
		want := -1
		for i := range sites {
			if (eligible == nil || eligible[i]) && (want < 0 || naiveBeats(sites, digest, i, want)) {
				want = i
			}
		}
		if got := hrw.Pick(sites, eligible, digest); got != want {
			t.Fatalf("Pick of %d sites gives %d, the twin %d", len(sites), got, want)
		}
	})
}

func TestWithoutTheWinnerTheRestKeepsItsOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		sites := append(drawSites(t), rapid.Uint32().Draw(t, "site"))
		digest := rapid.Uint32().Draw(t, "digest")
		before := hrw.Rank(sites, nil, digest, -1)
		alive := make([]bool, len(sites))
		for i := range alive {
			alive[i] = i != before[0]
		}
		if after := hrw.Rank(sites, alive, digest, -1); !slices.Equal(after, before[1:]) {
			t.Fatalf("%v became %v", before, after)
		}
	})
}

func TestTheDeathOfANodeMovesOnlyItsKeys(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(2, 40).Draw(t, "nodes")
		dead := rapid.IntRange(0, n-1).Draw(t, "dead")
		hash := hrw.Hash(rapid.IntRange(0, 1).Draw(t, "hash"))
		sites, alive := workers(n, hash), make([]bool, n)
		for i := range alive {
			alive[i] = i != dead
		}
		for key := range uint64(200) {
			digest := hrw.Count(key).Digest(hash)
			before, after := hrw.Pick(sites, nil, digest), hrw.Pick(sites, alive, digest)
			if before != dead && after != before {
				t.Fatalf("key %d moved from %d to %d when %d died", key, before, after, dead)
			}
			if after == dead {
				t.Fatalf("key %d is with the dead %d", key, dead)
			}
		}
	})
}

func TestTiesGoToTheLargerSiteIDThenToTheSmallerIndex(t *testing.T) {
	low, high := uint32(0x1234567), uint32(0x1234567|1<<31)
	for _, sites := range [][]uint32{{low, high}, {high, low}, {high, high, low}, {low, low, high, high}} {
		want := slices.Index(sites, high)
		for digest := range uint32(100) {
			if got := hrw.Pick(sites, nil, digest*2654435761); got != want {
				t.Fatalf("of %#x the winner is %d, want %d", sites, got, want)
			}
		}
	}
}

// TestATieIsSeenWhereverItStands: Pick does not look at every site alike, and
// only two of these have the largest weight.
func TestATieIsSeenWhereverItStands(t *testing.T) {
	const digest = 7
	others := workers(80, hrw.Zeek71)
	best := hrw.Pick(others, nil, digest)
	low, high := others[best]&^(1<<31), others[best]|1<<31
	others[best] = others[(best+1)%len(others)]
	for n := 2; n <= len(others); n++ {
		for at := 1; at < n; at++ {
			sites := slices.Clone(others[:n])
			sites[0], sites[at] = low, high
			if got := hrw.Pick(sites, nil, digest); got != at {
				t.Fatalf("of %d the winner is %d, want %d", n, got, at)
			}
		}
	}
}

func TestNobodyEligibleIsNoIndex(t *testing.T) {
	sites := []uint32{1, 2, 3}
	for _, c := range []struct {
		sites    []uint32
		eligible []bool
	}{{nil, nil}, {[]uint32{}, []bool{}}, {sites, make([]bool, 3)}} {
		if got := hrw.Pick(c.sites, c.eligible, 7); got != -1 {
			t.Errorf("Pick(%v, %v) = %d", c.sites, c.eligible, got)
		}
		if got := hrw.Rank(c.sites, c.eligible, 7, 2); got == nil || len(got) != 0 {
			t.Errorf("Rank(%v, %v) = %v", c.sites, c.eligible, got)
		}
	}
	// The site whose weight is 0 still wins when it is alone.
	for digest := range uint32(1 << 12) {
		if hrw.Pick([]uint32{0}, nil, digest) != 0 || hrw.Pick([]uint32{0}, []bool{true}, digest) != 0 {
			t.Fatalf("site 0 alone does not win digest %d", digest)
		}
	}
}

func TestPickDoesNotAllocate(t *testing.T) {
	sites := workers(100, hrw.Zeek71)
	alive := slices.Repeat([]bool{true}, len(sites))
	sum := 0
	n := testing.AllocsPerRun(100, func() { sum += hrw.Pick(sites, nil, 7) + hrw.Pick(sites, alive, 7) })
	if n != 0 {
		t.Errorf("Pick allocates %v times (%d)", n, sum)
	}
}

// workers are the site ids of worker-1 to worker-n.
func workers(n int, h hrw.Hash) []uint32 {
	sites := make([]uint32, n)
	for i := range sites {
		sites[i] = hrw.SiteID(h, hrw.Alias(fmt.Sprintf("worker-%d", i+1), 0))
	}
	return sites
}

// benchEligible are as many eligible sites as a benchmark's name says; the dead
// ones stand where nobody can guess them.
func benchEligible(n, dead, of int) []bool {
	eligible := make([]bool, n)
	for i := range eligible {
		eligible[i] = int(hrw.Count(uint64(i)).Digest(hrw.Zeek71)%uint32(of)) >= dead
	}
	return eligible
}

func BenchmarkPick(b *testing.B) {
	for _, n := range []int{10, 100, 1000, 5000} {
		sites := workers(n, hrw.Zeek71)
		for _, c := range []struct {
			name     string
			eligible []bool
		}{
			{"nil", nil},
			{"all", benchEligible(n, 0, 100)},
			{"1-percent-dead", benchEligible(n, 1, 100)},
			{"half-dead", benchEligible(n, 1, 2)},
			{"all-dead", make([]bool, n)},
		} {
			b.Run(fmt.Sprintf("%d/%s", n, c.name), func(b *testing.B) {
				digest := uint32(0)
				for b.Loop() {
					hrw.Pick(sites, c.eligible, digest)
					digest += 2654435761
				}
			})
		}
	}
}

func BenchmarkRank3(b *testing.B) {
	for _, n := range []int{10, 100, 1000, 5000} {
		sites := workers(n, hrw.Zeek71)
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			for b.Loop() {
				hrw.Rank(sites, nil, 0xbf9cf968, 3)
			}
		})
	}
}

// BenchmarkDigestOfAString is of 16 bytes; FNV1a32 of the same is what it can be
// at best.
func BenchmarkDigestOfAString(b *testing.B) {
	text := "10.118.4.23:5060"
	b.Run("Key", func(b *testing.B) {
		for b.Loop() {
			hrw.String(text).Digest(hrw.Zeek71)
		}
	})
	b.Run("FNV1a32", func(b *testing.B) {
		bytes := []byte(text)
		for b.Loop() {
			hrw.FNV1a32(bytes)
		}
	})
}

func BenchmarkDigest(b *testing.B) {
	for _, typ := range []string{"string", "count", "interval", "addr"} {
		k := mustKey(b, typ, sample[typ])
		b.Run(typ, func(b *testing.B) {
			for b.Loop() {
				k.Digest(hrw.Zeek71)
			}
		})
	}
}
