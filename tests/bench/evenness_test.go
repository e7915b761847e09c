package main

import (
	"io"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/rota-registry/rota/registry/hrw"
)

// TestEvennessOfKnownChoices counts what a rule that is known by heart deals.
func TestEvennessOfKnownChoices(t *testing.T) {
	// Of 8 keys, member 0 has 4, all of which member 1 would have next;
	// the other two have 2 each, which go to both others.
	firsts, seconds := []int{0, 0, 0, 0, 1, 1, 2, 2}, []int{1, 1, 1, 1, 0, 2, 0, 1}
	d, err := dealKeys(t.Context(), 3, 8, func(int) func() choice {
		return func() choice { return func(key int) (int, int) { return firsts[key], seconds[key] } }
	})
	if err != nil || !slices.Equal(d.owned, []int{4, 2, 2}) || !slices.Equal(d.deaths(), []float64{1, 1, 2}) {
		t.Errorf("dealt %+v, deaths %v, %v", d, d.deaths(), err)
	}
	if got, want := strings.Join(d.cells(), " "), "2.67 1.50 0.75 1.33 1.00 2.00"; got != want {
		t.Errorf("shown as %s, want %s", got, want)
	}
}

// TestChoicesAreThoseOfRota: the first is the registry's answer, the second
// its answer once the first is dead.
func TestChoicesAreThoseOfRota(t *testing.T) {
	for _, h := range []hrw.Hash{hrw.Zeek71, hrw.Zeek62} {
		one, sites := zeek(h)(10)(), siteIDs(h, 10)
		for key := range 100 {
			first, second := one(key)
			ranked := hrw.Rank(sites, nil, hrw.String("key-"+strconv.Itoa(key)).Digest(h), 2)
			if first != ranked[0] || second != ranked[1] {
				t.Fatalf("%s: key %d goes to %d and then %d, want %v", h, key, first, second, ranked)
			}
		}
	}
	one := withSHA256(5)()
	for key := range 100 {
		if first, second := one(key); first == second || first < 0 || second < 0 {
			t.Fatalf("SHA-256: key %d goes to %d and then %d", key, first, second)
		}
	}
}

func TestEvennessPrints(t *testing.T) {
	var out strings.Builder
	if err := evenness(t.Context(), io.Discard, &out, []int{3}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"100,000 keys", "| 3 | zeek-7.1 | 33,300 | 1.0", "| 3 | zeek-6.2 | 33,300 | 1.0", "| 3 | SHA-256 | 33,300 | 1.0"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("there is no %q in\n%s", want, out.String())
		}
	}
}
