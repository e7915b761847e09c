package main

import (
	"errors"
	"strings"
	"testing"
	"time"
)

func TestLinesSayWhatIsReached(t *testing.T) {
	own, rival := work{on: rota, name: "rr"}, work{on: etcd, name: "Put"}
	fast := row{what: "rr", rota: own, against: []against{{rival, 3}}}
	slow := row{what: "rr", rota: own, latency: true, against: []against{{rival, 0.8}}}
	alone := row{what: "rr", rota: own, least: 1e6}
	for _, c := range []struct {
		row  row
		of   map[string]outcome
		want string
	}{
		{fast, map[string]outcome{"rota rr": {rate: 6000}, "etcd Put": {rate: 2000}}, "| rr | 6.0 k/s | etcd Put: 2.0 k/s | 3.00 × | 3 × | yes |"},
		{fast, map[string]outcome{"rota rr": {rate: 5990}, "etcd Put": {rate: 2000}}, "| no |"},
		{slow, map[string]outcome{"rota rr": {p50: 2 * time.Millisecond}, "etcd Put": {p50: 4 * time.Millisecond}}, "| rr | 2ms | etcd Put: 4ms | 0.50 × | 0.8 × | yes |"},
		{slow, map[string]outcome{"rota rr": {p50: 4 * time.Millisecond}, "etcd Put": {p50: 4 * time.Millisecond}}, "| no |"},
		{alone, map[string]outcome{"rota rr": {rate: 1.5e6}}, "| rr | 1.50 M/s | | | 1.00 M/s | yes |"},
		{fast, map[string]outcome{"rota rr": {rate: 1}, "etcd Put": {err: errors.New("broken")}}, "etcd Put: broken"},
		{fast, map[string]outcome{"rota rr": {err: errors.New("broken")}}, "| rr | broken |"},
	} {
		if got := strings.Join(c.row.lines(c.of), "\n"); !strings.Contains(got, c.want) {
			t.Errorf("got %s, want %s", got, c.want)
		}
	}
}

// Every work of a row is done once a round, whichever rows name it.
func TestWorksAreDoneOnce(t *testing.T) {
	for _, on := range systems() {
		seen := make(map[string]bool)
		for _, w := range works(rows(), on) {
			if seen[w.String()] || w.on != on || w.callers < 1 {
				t.Errorf("%s: %+v", on, w)
			}
			seen[w.String()] = true
		}
		if len(seen) == 0 {
			t.Errorf("nothing is done to %s", on)
		}
	}
}

// Keys lie as hrw puts them: nobody has none of many, and what a death moves is
// all that the dead one had.
func TestEvenness(t *testing.T) {
	for _, s := range schemes() {
		all, death := s.spread(3, 30_000)
		if all.most < 1 || all.most > 1.1 || all.least > 1 || all.least < 0.9 || death.most < 1 || death.most > 1.3 {
			t.Errorf("%s: %+v, after a death %+v", s.name, all, death)
		}
	}
}
