package chaos_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/rota-registry/rota/tests/check"
)

// The environment says how long a run is, and from which seed it draws; see
// `make chaos`.
const (
	forVariable  = "FOR"
	seedVariable = "SEED"

	forDefault = 40 * time.Second
	// roundMax is how long one cluster lives: the checks hold all of it in memory.
	roundMax = 5 * time.Minute
)

// asked reads the environment.
func asked(t *testing.T) (d time.Duration, seed uint64) {
	t.Helper()
	d, seed = forDefault, uint64(time.Now().UnixNano())%1_000_000
	var err error
	if text := os.Getenv(forVariable); text != "" {
		if d, err = time.ParseDuration(text); err != nil || d <= 0 {
			t.Fatalf("%s=%q is no time: give one like 10m", forVariable, text)
		}
	}
	if text := os.Getenv(seedVariable); text != "" {
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatalf("%s=%q is no seed: give a number", seedVariable, text)
		}
	}
	return d, seed
}

// required is what a run of that length must have seen, or it proves nothing.
func required(d time.Duration) check.Counters {
	if d < 2*time.Minute {
		return check.Counters{LeaderChanges: 1, OK: 1000}
	}
	each := func(perTenMinutes int) int { return int(time.Duration(perTenMinutes) * d / (10 * time.Minute)) }
	return check.Counters{
		OK: each(20_000), LeaderChanges: each(20), ChangesInFlight: each(20), RetriesAfterChange: each(20),
		SnapshotsUnderLoad: each(5), FollowerReadsAtChange: each(1), UnknownCommitted: each(1), UnknownNot: each(1), StatesCompared: each(1),
	}
}

// TestChaos claims that nothing that is done to a cluster of real processes makes
// it break a promise: faults from a seed, one after another, under load.
func TestChaos(t *testing.T) {
	d, seed := asked(t)
	s := &summary{seed: seed, began: time.Now(), faults: map[string]*faultSummary{}}
	shown := map[string]bool{}
	top, err := os.MkdirTemp("", "rota-chaos-")
	if err != nil {
		t.Fatal(err)
	}
	for n := uint64(0); time.Since(s.began) < d; n++ {
		left := min(roundMax, d-time.Since(s.began))
		dir := filepath.Join(top, fmt.Sprintf("round-%d", n+1))
		t.Run(fmt.Sprintf("round-%d", n+1), func(t *testing.T) {
			g, why := newGround(t)
			s.ground = groundOf(g, why)
			if why != "" {
				t.Logf("on %s", s.ground)
			}
			if err := os.Mkdir(dir, 0o700); err != nil {
				t.Fatal(err)
			}
			r := newRound(t, g, dir, seed+n, []int{3, 5}[(seed+n)%2])
			defer r.save()
			r.run(left, faults(), shown)
			r.finish()
			s.add(r)
			for _, v := range r.mu.violations {
				t.Error(v)
			}
			if t.Failed() {
				t.Logf("timeline:\n%s", &r.mu.timeline)
			}
		})
		if t.Failed() {
			break
		}
	}
	fmt.Println(s)
	if err := s.honest(d); err != nil && !t.Failed() {
		t.Error(err)
	}
	if t.Failed() {
		t.Logf("seed %d; the logs are kept in %s", seed, top)
		return
	}
	if err := os.RemoveAll(top); err != nil {
		t.Log(err)
	}
}
