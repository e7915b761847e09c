package chaos_test

import (
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

// fullGround is one on which everything can be.
type fullGround struct{ loopback }

func (fullGround) isolated() bool { return true }

// TestALongRunShowsEveryFault claims that a run of allMin draws every fault as often
// as it needs to, on a machine that has time for six in a minute and if every other
// one takes no effect.
func TestALongRunShowsEveryFault(t *testing.T) {
	const rounds, perRound = int(allMin / roundMax), 6 * int(roundMax/time.Minute)
	for seed := range uint64(20) {
		shown := map[string]bool{}
		for n := range uint64(rounds) {
			r := &round{rand: rand.New(rand.NewPCG(seed+n, 0)), c: &cluster{ground: fullGround{}}}
			for range []int{3, 5}[(seed+n)%2] {
				r.c.replicas = append(r.c.replicas, &replica{ownDisk: true})
			}
			possible := r.able(faults(), true)
			for tried := 0; tried < perRound; {
				f := draw(r.rand, possible, shown)
				for again, took := 0, false; again <= 2 && !took; again++ {
					took = r.rand.IntN(2) == 0
					shown[f.name] = shown[f.name] || took
					tried++
				}
			}
		}
		for _, f := range faults() {
			if !shown[f.name] {
				t.Errorf("seed %d: %q was not shown", seed, f.name)
			}
		}
	}
}

// TestARunThatShowsTooLittleFails claims that a run of allMin fails in which a fault
// was not tried, and one of provesMin in which one was tried in vain, and no shorter
// one.
func TestARunThatShowsTooLittleFails(t *testing.T) {
	possible := processFaults()[:2]
	s := &summary{faults: map[string]*faultSummary{}}
	r := &round{possible: possible, load: &load{}, windows: []*window{{fault: possible[0], vain: "nobody was there"}}}
	s.add(r)
	s.counters = required(10 * allMin)
	for d, want := range map[time.Duration]string{
		provesMin - 1: "",
		provesMin:     `"kill the leader" was tried 1 times and never took effect: nobody was there`,
		allMin - 1:    `"kill the leader" was tried 1 times and never took effect: nobody was there`,
		allMin:        `"kill a follower" was never tried`,
	} {
		err := s.honest(d)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("a run of %s: %v, want %q", d, err, want)
		}
	}
	r.windows = []*window{{fault: possible[0]}, {fault: possible[1]}}
	s.add(r)
	s.counters = required(10 * allMin)
	if err := s.honest(allMin); err != nil {
		t.Errorf("a run that shows both: %v", err)
	}
}
