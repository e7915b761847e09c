package sim_test

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/rota-registry/rota/gossip"
	"github.com/rota-registry/rota/tests/sim"
	"github.com/rota-registry/rota/tests/simnet"
)

// The promises of failure detection, outside a leader's warm-up.
const (
	killedKnown   = time.Second
	powerOffKnown = 8 * time.Second
	// freezeWindow is how long registry remembers failures that might be the
	// beginning of many: stories let it pass between deaths.
	freezeWindow = 30 * time.Second
	// attendWithin is longer than the longest pause before an agent attends again,
	// and a call of a replica that does not answer.
	attendWithin = 10 * time.Second
)

// withAgents starts agents, waits until all attend a replica and the leader has
// warmed up, and gives the failures from then on.
func withAgents(c *sim.Cluster, n int) (failed func() []string) {
	c.StartAgents(n)
	c.Eventually(attendWithin, "the agents attend", c.AgentsAttend)
	time.Sleep(2*gossip.LAN.Suspicion(len(c.Hosts())) + time.Second)
	return failures(c)
}

// attending gives an agent that attends a replica.
func attending(t *testing.T, c *sim.Cluster, r *sim.Replica) *sim.Agent {
	t.Helper()
	for _, a := range c.Agents() {
		if a.Attends() == r.Name {
			return a
		}
	}
	t.Fatalf("nobody attends %s", r.Name)
	return nil
}

// wantFailed wants these nodes declared failed, each once, and nobody else.
func wantFailed(t *testing.T, failed func() []string, n int) {
	t.Helper()
	if list := failed(); len(list) != n {
		t.Errorf("%d deaths, and these were declared failed: %v", n, list)
	}
}

// An agent that is killed is known to be dead at each replica within a second,
// whichever it attended, in whatever moment, and so are two at once; and its
// successor of the same name is taken at once. With -large a hundred die, of which the
// 99th percentile is promised.
func TestAKilledAgentIsFailedWithinASecond(t *testing.T) {
	deaths := 12
	if *large {
		deaths = 100
	}
	scenario(t, sim.Options{}, func(t *testing.T, c *sim.Cluster) {
		failed := withAgents(c, 10)
		rnd := rand.New(rand.NewPCG(1, 1))
		var took []time.Duration
		kill := func(dead ...*sim.Agent) {
			time.Sleep(time.Duration(rnd.Int64N(int64(2 * time.Second))))
			start := time.Now()
			for _, a := range dead {
				c.KillAgent(a)
			}
			c.EventuallyKnows(killedKnown)
			for _, a := range dead {
				took = append(took, time.Since(start))
				c.RestartAgent(a)
			}
			c.EventuallyKnows(5 * time.Second)
			time.Sleep(freezeWindow)
			c.Eventually(attendWithin, "the agents attend", c.AgentsAttend)
		}
		for _, r := range c.Replicas() {
			kill(attending(t, c, r))
		}
		for i := 0; len(took) < deaths; i++ {
			if first := c.Agents()[i%10]; i%10 == 0 && len(took) < deaths-1 {
				kill(first, c.Agents()[9])
			} else {
				kill(first)
			}
		}
		slices.Sort(took)
		t.Logf("%d killed were known after %v (first), %v (median), %v (last but one), %v (last)", deaths, took[0], took[deaths/2], took[deaths-2], took[deaths-1])
		wantFailed(t, failed, deaths)
	})
}

// A host that lost its power says nothing, and is known to be dead within 8 s.
func TestAHostThatLostPowerIsFailedWithinEightSeconds(t *testing.T) {
	for _, n := range []int{3, 7, 10} {
		scenario(t, sim.Options{Seed: uint64(n)}, func(t *testing.T, c *sim.Cluster) {
			failed := withAgents(c, n)
			for _, dead := range c.Agents()[:3] {
				start := time.Now()
				c.PowerOffAgent(dead)
				c.EventuallyKnows(powerOffKnown)
				t.Logf("of %d nodes, one without power was known after %v", n, time.Since(start))
				c.RestartAgent(dead)
				c.EventuallyKnows(5 * time.Second)
				time.Sleep(freezeWindow)
			}
			wantFailed(t, failed, 3)
		})
	}
}

// The stream by which an agent attends a replica breaks, and the agent lives:
// gossip reaches it, and nobody is declared failed. It attends again each time.
func TestABrokenStreamFailsNobody(t *testing.T) {
	scenario(t, sim.Options{}, func(t *testing.T, c *sim.Cluster) {
		const times = 5
		failed := withAgents(c, 4)
		before := c.Net.Counts().Reset
		for range times {
			c.Eventually(attendWithin, "the agents attend", c.AgentsAttend)
			time.Sleep(6 * time.Second) // and longer than that the pauses would grow
			for _, a := range c.Agents() {
				c.Cut(string(a.Name)).On(simnet.API).Reset(sim.Replicas(c.Replicas()).Names()...)
			}
		}
		time.Sleep(10 * time.Second)
		if n := c.Net.Counts().Reset - before; n < times*len(c.Agents()) {
			t.Errorf("%d streams were reset, and %d agents %d times should have lost theirs", n, len(c.Agents()), times)
		}
		wantFailed(t, failed, 0)
		for _, a := range c.Agents() { // in silence this time
			c.Cut(string(a.Name)).On(simnet.API).From(sim.Replicas(c.Replicas()).Names()...)
		}
		time.Sleep(time.Minute)
		if err := c.AgentsAttend(); err == nil {
			t.Error("the agents attend replicas that they cannot reach")
		}
		wantFailed(t, failed, 0)
		c.Heal()
		c.Recovers()
		c.Eventually(attendWithin, "the agents attend", c.AgentsAttend)
	})
}
