package sim

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/rota-registry/rota/tests/check"
	"github.com/rota-registry/rota/tests/simnet"
)

// Random runs a cluster of random size under a random workload through rounds of
// random faults, each followed by recovery, and judges it. All chance of its own
// comes from the seed.
func Random(t testing.TB, seed uint64) check.Counters {
	t.Helper()
	rnd := rand.New(rand.NewPCG(seed, 0x726f7461))
	c := New(t, randomOptions(rnd, seed))
	c.slowRaft(rnd)
	c.StartAgents(2 + rnd.IntN(3))
	w := c.Work(Mix{
		Sessions: 1 + rnd.IntN(3), Libraries: 1 + rnd.IntN(2), Plain: rnd.IntN(2), Readers: 2 + rnd.IntN(2), Writers: rnd.IntN(2), Watchers: rnd.IntN(2),
		Pause: 30*time.Millisecond + time.Duration(rnd.IntN(90))*time.Millisecond,
	}, seed)
	for range 1 + rnd.IntN(2) {
		c.Round(rnd)
	}
	w.Stop()
	return w.Judge()
}

func randomOptions(rnd *rand.Rand, seed uint64) Options {
	o := Options{Replicas: 3, Seed: seed}
	if rnd.IntN(5) == 0 {
		o.Replicas = 5
	}
	if rnd.IntN(2) == 0 {
		o.Timings.Lease = 500 * time.Millisecond // as long as it may be
	}
	if rnd.IntN(2) == 0 {
		o.Timings.Commit = swiftCommit
	}
	if rnd.IntN(2) == 0 { // whoever misses a few seconds gets a snapshot
		o.Timings.SnapshotEvery, o.Timings.SnapshotLook, o.Timings.Trailing = 30, 500*time.Millisecond, 2*skippedMax
	}
	return o
}

// slowRaft gives the replicas of every other run a distance, so that commits take
// a while and are under way when a fault comes.
func (c *Cluster) slowRaft(rnd *rand.Rand) {
	if !c.options.swift() {
		c.distance = time.Duration(rnd.IntN(15)) * time.Millisecond
		c.spread()
	}
}

// swiftCommit is the product's own Timings.Commit.
const swiftCommit = 5 * time.Millisecond

// swift is a cluster whose followers hear of a commit as soon as the product's do,
// and answer reads within milliseconds of a change of leader.
func (o Options) swift() bool { return o.Timings.Commit == swiftCommit }

// spread puts the distance between replicas.
func (c *Cluster) spread() {
	for _, a := range c.replicas {
		for _, b := range c.replicas {
			if a != b {
				c.Net.Change(simnet.Raft, a.host.IP(), b.host.IP(), func(l *simnet.Link) { l.Delay += c.distance })
			}
		}
	}
}

// Round is a few faults, and what is promised after them.
func (c *Cluster) Round(rnd *rand.Rand) {
	c.t.Helper()
	time.Sleep(time.Duration(rnd.IntN(1000)) * time.Millisecond)
	for range 1 + rnd.IntN(3) {
		f := pick(rnd, faults())
		c.Story.note("fault: %s", f.name)
		f.do(c, rnd)
		time.Sleep(time.Duration(50+rnd.IntN(2500)) * time.Millisecond)
	}
	c.Heal()
	c.RestartAll()
	for _, a := range c.agents {
		if !a.running() && rnd.IntN(2) == 0 {
			c.RestartAgent(a)
		}
	}
	c.Recovers()
}
