package sim_test

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"

	"github.com/rota-registry/rota/fsm"
	"github.com/rota-registry/rota/gossip"
	"github.com/rota-registry/rota/registry"
	"github.com/rota-registry/rota/tests/check"
	"github.com/rota-registry/rota/tests/sim"
	"github.com/rota-registry/rota/tests/simnet"
)

// hour is that of a bad hour: who looks for what it spends its time on makes it
// shorter.
const hour = time.Hour

// What is simulated at size takes minutes: without -large it is done smaller.
var large = flag.Bool("large", false, "an hour with 10 % loss; a bad hour of 100 nodes and 7 replicas; 500 nodes that gossip; 100 that are killed")

func sized[T any](small, full T) T {
	if *large {
		return full
	}
	return small
}

// Nobody is declared failed who is not, although every tenth packet is lost
// between any two hosts.
func TestNobodyIsTakenForDeadWhilePacketsAreLost(t *testing.T) {
	during := sized(5*time.Minute, time.Hour)
	scenario(t, sim.Options{}, func(t *testing.T, c *sim.Cluster) {
		c.StartAgents(sized(4, 10))
		failed := failures(c)
		for _, host := range c.Hosts() {
			c.Cut(host).OneWay().Worsen("10 % loss", c.Hosts(), func(l *simnet.Link) { l.Loss = 0.1 })
		}
		before := c.Net.Counts()
		time.Sleep(during)
		counts := c.Net.Counts()
		if lost, of := counts.Lost-before.Lost, counts.Packets-before.Packets; lost*100 < of*9 || lost*100 > of*11 {
			t.Errorf("%d of %d packets were lost, and a tenth should be", lost, of)
		}
		if list := failed(); len(list) > 0 {
			t.Errorf("in %v these were declared failed, and ran: %v", during, list)
		}
		c.Heal()
		c.Recovers()
	})
}

// failures notes the nodes that are declared failed from now on.
func failures(c *sim.Cluster) func() []string {
	var mu sync.Mutex
	var list []string
	c.Log.Watch(func(l *raft.Log, e fsm.Entry) {
		report, ok := e.Command.(registry.ReportLiveness)
		if !ok {
			return
		}
		mu.Lock()
		defer mu.Unlock()
		for _, n := range report.Changes {
			if n.State == registry.Failed {
				list = append(list, fmt.Sprintf("%s at %d: %s", n.Name, l.Index, n.Reason))
			}
		}
	})
	return func() []string {
		mu.Lock()
		defer mu.Unlock()
		return list
	}
}

// A hundred nodes and seven replicas through a bad hour: every minute something
// else is wrong, and after it the cluster serves; at the end all is known again.
func TestABadHour(t *testing.T) {
	scenario(t, sim.Options{Replicas: 7, Seed: 1}, func(t *testing.T, c *sim.Cluster) {
		c.StartAgents(sized(20, 100))
		w := c.Work(sim.Mix{Sessions: 1, Libraries: 1, Readers: 1, Pause: sized(200*time.Millisecond, time.Second)}, 1)
		rnd := rand.New(rand.NewPCG(1, 1))
		failed := failures(c)
		rounds := 0
		for end := time.Now().Add(sized(3*time.Minute, hour)); time.Now().Before(end); rounds++ {
			c.Round(rnd)
			time.Sleep(20 * time.Second)
		}
		w.Stop()
		saw := w.Judge()
		t.Logf("%d rounds of faults, %d nodes failed: %+v", rounds, len(failed()), saw)
		least := sized(check.Counters{OK: 500, LeaderChanges: 1}, check.Counters{OK: 4000, LeaderChanges: 30, ChangesInFlight: 1})
		if err := saw.Require(least); err != nil {
			t.Error(err)
		}
		if n := sized(5, 80); rounds < n {
			t.Errorf("%d rounds of faults, and at least %d are wanted", rounds, n)
		}
	})
}

// Gossip alone, of many: all see all, a death is known everywhere in the time that
// the profile promises, and a split heals.
func TestManyGossip(t *testing.T) {
	n := sized(60, 500)
	synctest.Test(t, func(t *testing.T) {
		network := simnet.New(1)
		all := startGossips(t, network, n)
		took := untilAllSee(t, all, n, 2*time.Minute)
		t.Logf("%d see each other after %v", n, took)
		dead := all[n-1]
		network.Crash(dead.ip)
		_ = dead.Close()
		promised := gossip.LAN.Suspicion(n)
		took = untilAllSee(t, all[:n-1], n-1, promised)
		t.Logf("a death was known to all after %v, of %v that are promised", took, promised)
		cutHalves(network, all[:n-1], true)
		time.Sleep(45 * time.Second) // the dead are forgotten after 30
		cutHalves(network, all[:n-1], false)
		took = untilAllSee(t, all[:n-1], n-1, time.Minute)
		t.Logf("and a split of 45 s was whole after %v", took)
	})
}

// gossiper is one life on a host of its own.
type gossiper struct {
	*gossip.Gossip
	ip string
}

func startGossips(t *testing.T, network *simnet.Network, n int) (all []gossiper) {
	t.Helper()
	t.Cleanup(func() { time.Sleep(10 * time.Second) }) // memberlist's timers run out
	seeds := []string{"10.0.0.1:7702", "10.0.0.2:7702", "10.0.0.3:7702"}
	for i := range n {
		ip := fmt.Sprintf("10.0.%d.%d", i/200, 1+i%200)
		over, err := network.Host(ip).Transport(net.JoinHostPort(ip, "7702"))
		if err != nil {
			t.Fatal(err)
		}
		g, err := gossip.Start(gossip.Config{
			Name: fmt.Sprintf("node-%d", i+1), Boot: fmt.Sprintf("%016x", i+1), Label: "one", Role: gossip.Node,
			Seeds: func() []string { return seeds }, Transport: over,
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = g.Close() })
		all = append(all, gossiper{g, ip})
	}
	return all
}

func untilAllSee(t *testing.T, all []gossiper, n int, within time.Duration) time.Duration {
	t.Helper()
	start := time.Now()
	for {
		wrong := 0
		for _, g := range all {
			if len(g.Members()) != n {
				wrong++
			}
		}
		took := time.Since(start)
		if wrong == 0 {
			return took
		}
		if took > within {
			t.Fatalf("after %v %d of %d do not see %d", took, wrong, len(all), n)
		}
		time.Sleep(200 * time.Millisecond)
	}
}

func cutHalves(network *simnet.Network, all []gossiper, is bool) {
	for i, a := range all {
		for j, b := range all {
			if i%2 != j%2 {
				network.Change(simnet.Gossip, a.ip, b.ip, func(l *simnet.Link) { l.Cut = is })
			}
		}
	}
}
