package sim

import (
	"context"
	"fmt"
	"time"

	"github.com/rota-registry/rota/registry"
	"github.com/rota-registry/rota/registry/hrw"
	"github.com/rota-registry/rota/rpc/client"
)

// probePool is the pool that probes ask.
const probePool registry.PoolName = "probe"

// probeTime bounds one try of a probe.
const probeTime = time.Second

// The promise: after faults heal, writes and reads on every replica, and gossip
// whole.
const (
	servesWithin = 5 * time.Second
	wholeWithin  = 60 * time.Second
)

// EventuallyServes wants a write and a linearizable read answered by each
// replica that runs, within the time from now.
func (c *Cluster) EventuallyServes(within time.Duration) {
	c.t.Helper()
	c.EventuallyServesAt(within, c.Running()...)
}

// EventuallyServesAt is EventuallyServes of some replicas.
func (c *Cluster) EventuallyServesAt(within time.Duration, at ...*Replica) {
	c.t.Helper()
	start := time.Now()
	if err := each(at, func(r *Replica) error { return c.probe(r, start.Add(within)) }); err != nil {
		c.t.Fatalf("%s, not within %s: %v serve: %v", c.Story.now(), within, names(at...), err)
	}
	c.Story.note("%v serve, %v after", names(at...), time.Since(start))
}

// probe writes and reads at one replica until both have succeeded.
func (c *Cluster) probe(r *Replica, until time.Time) error {
	var wrote bool
	for {
		ctx, cancel := context.WithDeadline(context.Background(), earlier(until, time.Now().Add(probeTime)))
		err := tryProbe(ctx, r.probe, &wrote)
		cancel()
		if err == nil || !time.Now().Before(until) {
			return err
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// Probe is the client that asks this replica alone.
func (r *Replica) Probe() *Client { return r.probe }

// Write registers a pool at one replica.
func (c *Cluster) Write(at *Replica, pool registry.PoolName) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), probeTime)
	defer cancel()
	if _, err := at.probe.RegisterPool(ctx, registry.Spec{Name: pool, NodeType: registry.Worker}, client.RegisterOptions{}); err != nil {
		c.t.Fatalf("%s, register %s at %s: %v", c.Story.now(), pool, at.Name, err)
	}
}

func tryProbe(ctx context.Context, cl *Client, wrote *bool) error {
	if !*wrote {
		if _, err := cl.RegisterPool(ctx, registry.Spec{Name: probePool, NodeType: registry.Worker}, client.RegisterOptions{}); err != nil {
			return fmt.Errorf("write: %w", err)
		}
		*wrote = true
	}
	if _, err := cl.Pool(probePool).HRW(ctx, hrw.String("x")); err != nil {
		return fmt.Errorf("read: %w", err)
	}
	return nil
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// EventuallyWhole wants everyone who runs in the view of everyone who runs.
func (c *Cluster) EventuallyWhole(within time.Duration) {
	c.t.Helper()
	start := time.Now()
	c.Eventually(within, "gossip is whole", c.gossipIsWhole)
	c.Story.note("gossip is whole, %v after", time.Since(start))
}

func (c *Cluster) gossipIsWhole() error {
	running, lives := c.Running(), c.lives()
	for _, r := range running {
		p := r.runs.Load()
		if n := p.replica.Self().GossipMembers; n != len(running) {
			return fmt.Errorf("%s sees %d replicas of %d", r.Name, n, len(running))
		}
		for i, sight := range p.replica.SeesNodes(context.Background(), lives, false) {
			if sight != registry.Sees {
				return fmt.Errorf("%s does not see %s", r.Name, lives[i].Name)
			}
		}
	}
	for _, a := range c.agents {
		if !a.running() {
			continue
		}
		if sees, n := len(a.members()), len(running)+len(lives); sees != n {
			return fmt.Errorf("%s sees %d members of %d", a.Name, sees, n)
		}
	}
	return nil
}

// AgentsAttend is the condition that each agent that runs attends a replica.
func (c *Cluster) AgentsAttend() error {
	for _, a := range c.agents {
		if a.running() && a.Attends() == "" {
			return fmt.Errorf("%s attends no replica", a.Name)
		}
	}
	return nil
}

// lives are those of the agents that run.
func (c *Cluster) lives() (list []registry.Life) {
	for _, a := range c.agents {
		if a.running() {
			list = append(list, registry.Life{Name: a.Name, Boot: a.Boot()})
		}
	}
	return list
}

// EventuallyKnows wants the registry, at each replica, to have the nodes as they
// are: alive in the life that runs, or not alive.
func (c *Cluster) EventuallyKnows(within time.Duration) {
	c.t.Helper()
	start := time.Now()
	c.Eventually(within, "the registry knows who is alive", func() error { return each(c.Running(), c.nodesAreRight) })
	c.Story.note("the registry knows who is alive, %v after", time.Since(start))
}

func (c *Cluster) nodesAreRight(r *Replica) error {
	view, _, err := r.runs.Load().replica.Read(context.Background(), registry.ReadOptions{Consistency: registry.Local})
	if err != nil {
		return err
	}
	known := make(map[registry.NodeName]registry.Node)
	for _, n := range view.Layout() {
		known[n.Name] = n
	}
	for _, a := range c.agents {
		is := known[a.Name]
		if a.running() && (is.State != registry.Alive || is.Boot != a.Boot()) {
			return fmt.Errorf("%s is %s as %s (%s), and lives as %s", a.Name, is.State, is.Boot, is.Reason, a.Boot())
		}
		if !a.running() && is.State == registry.Alive {
			return fmt.Errorf("%s is alive, and does not run", a.Name)
		}
	}
	return nil
}

// Recovers is what is promised once faults have healed.
func (c *Cluster) Recovers() {
	c.t.Helper()
	c.EventuallyServes(servesWithin)
	c.EventuallyWhole(wholeWithin)
	c.EventuallyKnows(wholeWithin)
	c.Eventually(servesWithin, "watched copies are up to date", c.copiesAreFresh)
	for _, f := range c.Log.Faults() {
		c.t.Error(f)
	}
}
