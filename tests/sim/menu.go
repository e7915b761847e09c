package sim

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/rota-registry/rota/tests/simnet"
)

// kindOfFault is one thing that can go wrong.
type kindOfFault struct {
	name string
	do   func(*Cluster, *rand.Rand)
}

// faults are those that a round draws from.
func faults() []kindOfFault { return slices.Concat(processFaults(), cuts(), badLinks(), agentFaults()) }

func processFaults() []kindOfFault {
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
		{"leaders stop in order, one after the other", func(c *Cluster, rnd *rand.Rand) {
			for range 1 + rnd.IntN(4) { // reads go on until the very change
				c.ifLed(func(r *Replica) {
					c.Stop(r)
					time.Sleep(time.Duration(300+rnd.IntN(700)) * time.Millisecond)
					c.Start(r)
				})
				time.Sleep(time.Second)
			}
		}},
		{"the leader's answers die with it", func(c *Cluster, rnd *rand.Rand) {
			c.ifLed(func(r *Replica) { // what it has taken, others are asked again
				c.Cut(string(r.Name)).On(simnet.API).OneWay().FromAll()
				time.Sleep(time.Duration(100+rnd.IntN(200)) * time.Millisecond)
				c.Kill(r)
			})
		}},
		{"the leader pauses", func(c *Cluster, rnd *rand.Rand) {
			c.ifLed(func(r *Replica) { c.Pause(r, time.Duration(200+rnd.IntN(4800))*time.Millisecond) })
		}},
	}
}

func cuts() []kindOfFault {
	return []kindOfFault{
		{"the leader is cut off", func(c *Cluster, rnd *rand.Rand) {
			c.ifLed(func(r *Replica) { c.cutSomehow(rnd, r).FromAll() })
		}},
		{"the leader is cut off from replicas", func(c *Cluster, rnd *rand.Rand) {
			c.ifLed(func(r *Replica) { c.cutSomehow(rnd, r).FromReplicas() })
		}},
		{"the leader does not know that it is cut off", func(c *Cluster, _ *rand.Rand) { c.ifLed(c.Deceive) }},
		{"a replica is cut off", func(c *Cluster, rnd *rand.Rand) {
			c.with(rnd, func(r *Replica) { c.cutSomehow(rnd, r).FromAll() })
		}},
		{"one link is cut", func(c *Cluster, rnd *rand.Rand) {
			a, b := pick(rnd, c.replicas), pick(rnd, c.replicas)
			c.cutSomehow(rnd, a).From(string(b.Name))
		}},
		{"each sees its neighbours alone", func(c *Cluster, _ *rand.Rand) { c.Ring() }},
		{"one is the bridge of two halves", func(c *Cluster, rnd *rand.Rand) { c.Bridge(pick(rnd, c.replicas)) }},
		{"links are clogged one by one and opened in another order", func(c *Cluster, rnd *rand.Rand) { c.clog(rnd) }},
	}
}

func badLinks() []kindOfFault {
	return []kindOfFault{
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
	}
}

func agentFaults() []kindOfFault {
	return []kindOfFault{
		{"an agent is killed", func(c *Cluster, rnd *rand.Rand) {
			if a := pick(rnd, c.agents); a.running() {
				c.KillAgent(a)
			}
		}},
		{"an agent loses power", func(c *Cluster, rnd *rand.Rand) {
			if a := pick(rnd, c.agents); a.running() {
				c.PowerOffAgent(a)
			}
		}},
		{"an agent's calls are reset", func(c *Cluster, rnd *rand.Rand) {
			a := pick(rnd, c.agents)
			for range 1 + rnd.IntN(3) { // each is a hint that it has died, and false
				c.Cut(string(a.Name)).On(simnet.API).Reset(c.otherReplicas(nil)...)
				time.Sleep(time.Duration(rnd.IntN(1000)) * time.Millisecond)
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

// clog cuts links of replicas one by one, and opens them in another order.
func (c *Cluster) clog(rnd *rand.Rand) {
	type link struct{ a, b string }
	var all []link
	for i, a := range c.replicas {
		for _, b := range c.replicas[i+1:] {
			all = append(all, link{string(a.Name), string(b.Name)})
		}
	}
	rnd.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	for _, l := range all {
		c.Cut(l.a).From(l.b)
		time.Sleep(time.Duration(rnd.IntN(400)) * time.Millisecond)
	}
	rnd.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	for _, l := range all {
		time.Sleep(time.Duration(rnd.IntN(400)) * time.Millisecond)
		c.Cut(l.a).Uncut(l.b)
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
