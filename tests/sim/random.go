package sim

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/rota-registry/rota/fsm/replica"
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
		Sessions: 1 + rnd.IntN(3), Libraries: 1 + rnd.IntN(2), Plain: rnd.IntN(2), Readers: 1 + rnd.IntN(2), Writers: rnd.IntN(2),
		Pause: 20*time.Millisecond + time.Duration(rnd.IntN(60))*time.Millisecond,
	}, seed)
	for range 1 + rnd.IntN(3) {
		c.round(rnd)
	}
	w.Stop()
	return w.Judge()
}

func randomOptions(rnd *rand.Rand, seed uint64) Options {
	o := Options{Replicas: 3, Seed: seed}
	if rnd.IntN(5) == 0 {
		o.Replicas = 5
	}
	if rnd.IntN(2) == 0 { // whoever misses a few seconds gets a snapshot
		o.Timings = replica.Timings{SnapshotEvery: 30, SnapshotLook: 500 * time.Millisecond, Trailing: 2 * skippedMax}
	}
	return o
}

// slowRaft gives the replicas a distance, so that commits take a while and are
// under way when a fault comes.
func (c *Cluster) slowRaft(rnd *rand.Rand) {
	c.distance = time.Duration(rnd.IntN(15)) * time.Millisecond
	c.spread()
}

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

// round is a few faults, and what is promised after them.
func (c *Cluster) round(rnd *rand.Rand) {
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

// kindOfFault is one thing that can go wrong.
type kindOfFault struct {
	name string
	do   func(*Cluster, *rand.Rand)
}

// faults are those that a round draws from.
func faults() []kindOfFault {
	return []kindOfFault{
		{"a replica is killed", func(c *Cluster, rnd *rand.Rand) { c.with(rnd, func(r *Replica) { c.Kill(r) }) }},
		{"the leader is killed", func(c *Cluster, _ *rand.Rand) { c.ifLed(func(r *Replica) { c.Kill(r) }) }},
		{"the leader is killed and comes back", func(c *Cluster, rnd *rand.Rand) {
			c.ifLed(func(r *Replica) {
				c.Kill(r)
				time.Sleep(time.Duration(rnd.IntN(1000)) * time.Millisecond)
				c.Start(r)
			})
		}},
		{"all replicas are killed", func(c *Cluster, _ *rand.Rand) {
			for _, r := range c.Running() {
				c.Kill(r)
			}
		}},
		{"a replica loses power", func(c *Cluster, rnd *rand.Rand) { c.with(rnd, func(r *Replica) { c.PowerOff(r) }) }},
		{"the leader stops in order", func(c *Cluster, _ *rand.Rand) { c.ifLed(func(r *Replica) { c.Stop(r) }) }},
		{"the leader pauses", func(c *Cluster, rnd *rand.Rand) {
			c.ifLed(func(r *Replica) { c.Pause(r, time.Duration(200+rnd.IntN(4800))*time.Millisecond) })
		}},
		{"the leader is cut off", func(c *Cluster, rnd *rand.Rand) {
			c.ifLed(func(r *Replica) { c.cutSomehow(rnd, r).FromAll() })
		}},
		{"the leader is cut off from replicas", func(c *Cluster, rnd *rand.Rand) {
			c.ifLed(func(r *Replica) { c.cutSomehow(rnd, r).FromReplicas() })
		}},
		{"a replica is cut off", func(c *Cluster, rnd *rand.Rand) {
			c.with(rnd, func(r *Replica) { c.cutSomehow(rnd, r).FromAll() })
		}},
		{"one link is cut", func(c *Cluster, rnd *rand.Rand) {
			a, b := pick(rnd, c.replicas), pick(rnd, c.replicas)
			c.cutSomehow(rnd, a).From(string(b.Name))
		}},
		{"links are slow", worsen(func(rnd *rand.Rand, l *simnet.Link) {
			l.Delay, l.Jitter = time.Duration(50+rnd.IntN(200))*time.Millisecond, time.Duration(rnd.IntN(250))*time.Millisecond
		})},
		{"links lose, repeat and mix up", worsen(func(rnd *rand.Rand, l *simnet.Link) {
			l.Loss, l.Duplicate, l.Reorder = 0.4*rnd.Float64(), 0.4*rnd.Float64(), 0.4*rnd.Float64()
		})},
		{"answers of one replica are late", func(c *Cluster, rnd *rand.Rand) {
			r := pick(rnd, c.replicas)
			late := time.Duration(100+rnd.IntN(1500)) * time.Millisecond
			c.Cut(string(r.Name)).OneWay().Worsen(fmt.Sprintf("answers %v late", late), c.others(names(r)), func(l *simnet.Link) { l.Delay = late })
		}},
		{"connections are reset", func(c *Cluster, rnd *rand.Rand) {
			for range 5 {
				r := pick(rnd, c.replicas)
				c.Cut(string(r.Name)).On(pick(rnd, somePlanes())).Reset(c.others(names(r))...)
				time.Sleep(time.Duration(rnd.IntN(200)) * time.Millisecond)
			}
		}},
		{"an agent is killed", func(c *Cluster, rnd *rand.Rand) {
			if a := pick(rnd, c.agents); a.running() {
				c.KillAgent(a)
			}
		}},
		{"an agent restarts", func(c *Cluster, rnd *rand.Rand) {
			a := pick(rnd, c.agents)
			if a.running() {
				c.KillAgent(a)
			}
			c.RestartAgent(a)
		}},
		{"an agent is cut off", func(c *Cluster, rnd *rand.Rand) { c.Cut(string(pick(rnd, c.agents).Name)).FromAll() }},
	}
}

func somePlanes() []simnet.Plane {
	return []simnet.Plane{simnet.All, simnet.All, simnet.Raft, simnet.API, simnet.Gossip, simnet.Packets, simnet.Streams, simnet.Raft | simnet.API}
}

func (c *Cluster) with(rnd *rand.Rand, do func(*Replica)) {
	if running := c.Running(); len(running) > 0 {
		do(pick(rnd, running))
	}
}

func (c *Cluster) ifLed(do func(*Replica)) {
	if r := c.leads(); r != nil {
		do(r)
	}
}

// cutSomehow is a cut on some planes, one way or both.
func (c *Cluster) cutSomehow(rnd *rand.Rand, r *Replica) Cutting {
	k := c.Cut(string(r.Name)).On(pick(rnd, somePlanes()))
	if rnd.IntN(3) == 0 {
		return k.OneWay()
	}
	return k
}

// worsen makes a random set of links worse.
func worsen(change func(*rand.Rand, *simnet.Link)) func(*Cluster, *rand.Rand) {
	return func(c *Cluster, rnd *rand.Rand) {
		for _, r := range c.replicas {
			if rnd.IntN(2) == 0 {
				c.Cut(string(r.Name)).Worsen("worsen", c.others(names(r)), func(l *simnet.Link) { change(rnd, l) })
			}
		}
	}
}
