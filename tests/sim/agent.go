package sim

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rota-registry/rota/gossip"
	"github.com/rota-registry/rota/registry"
	"github.com/rota-registry/rota/rpc/client"
	"github.com/rota-registry/rota/tests/simnet"
)

// Agent is a host on which a node's process runs, or not. It does what rota
// agent does: it joins, gossips, attends a replica, looks at its record, and asks
// for new seeds when no replica is in view.
type Agent struct {
	cluster *Cluster
	Name    registry.NodeName
	Type    registry.NodeType
	host    *simnet.Host
	life    *agentLife // nil while it does not run
}

const (
	agentJoinPause = 300 * time.Millisecond
	agentLookEvery = 2 * time.Second
	agentLonelyMax = 10 * time.Second
)

// agentLife is one run of the process.
type agentLife struct {
	agent *Agent
	life  client.Life
	stop  context.CancelFunc
	done  chan error

	// client is made of servers, the configured ones first; another takes its
	// place when others are told of. Both are run's to change.
	client              atomic.Pointer[client.Client]
	configured, servers []string

	mu struct {
		sync.Mutex
		seeds   []string
		gossip  *gossip.Gossip // nil until it has joined
		over    *simnet.Transport
		attends registry.ReplicaName
	}
}

// StartAgent starts a new agent, which joins by itself.
func (c *Cluster) StartAgent(name registry.NodeName, typ registry.NodeType) *Agent {
	c.t.Helper()
	n := len(c.agents)
	a := &Agent{cluster: c, Name: name, Type: typ, host: c.Net.Host(fmt.Sprintf("10.0.%d.%d", 1+n/200, 1+n%200))}
	c.agents = append(c.agents, a)
	c.RestartAgent(a)
	return a
}

// Agents gives all agents, those that are down too.
func (c *Cluster) Agents() []*Agent { return c.agents }

// StartAgents starts workers, and waits until all are in the registry and in
// the view of all replicas.
func (c *Cluster) StartAgents(n int) {
	c.t.Helper()
	for range n {
		c.StartAgent(registry.NodeName(fmt.Sprintf("worker-%d", len(c.agents)+1)), registry.Worker)
	}
	c.Eventually(30*time.Second, "the agents have joined", c.gossipIsWhole)
}

// RestartAgent starts an agent that is down: the same name, another life.
func (c *Cluster) RestartAgent(a *Agent) {
	c.t.Helper()
	c.Net.Boot(a.host.IP())
	c.Story.note("start agent %s", a.Name)
	ctx, stop := context.WithCancel(context.Background())
	l := &agentLife{agent: a, stop: stop, done: make(chan error, 1), configured: turned(c.apis(), slices.Index(c.agents, a))}
	l.life = client.Life{Name: a.Name, Type: a.Type, Address: net.JoinHostPort(a.host.IP(), "7702"), Boot: newBoot()}
	if err := l.dial(l.configured); err != nil {
		stop()
		c.t.Fatalf("agent %s: %v", a.Name, err)
	}
	a.life = l
	go func() { l.done <- l.run(ctx) }()
}

func newBoot() registry.BootID { return registry.BootID(fmt.Sprintf("%016x", rand.Uint64())) }

// KillAgent ends an agent's process as kill -9 does: its connections are reset.
func (c *Cluster) KillAgent(a *Agent) {
	c.t.Helper()
	c.Story.note("kill agent %s", a.Name)
	c.Net.Crash(a.host.IP())
	c.must("kill agent "+string(a.Name), a.end())
}

// PowerOffAgent ends an agent's host without a word to anybody: it says no
// goodbye, and its connections stay as they are at the other end.
func (c *Cluster) PowerOffAgent(a *Agent) {
	c.t.Helper()
	c.Story.note("power off agent %s", a.Name)
	c.Net.PowerOff(a.host.IP())
	c.must("power off agent "+string(a.Name), a.end())
}

func (a *Agent) running() bool { return a.life != nil }

func (a *Agent) end() error {
	l := a.life
	a.life = nil
	l.stop()
	l.mu.Lock()
	if l.mu.over != nil {
		l.mu.over.EndDials()
	}
	l.mu.Unlock()
	return <-l.done
}

// Boot is the id of the life that runs.
func (a *Agent) Boot() registry.BootID { return a.life.life.Boot }

// members gives whom the agent has in view.
func (a *Agent) members() []gossip.Member {
	a.life.mu.Lock()
	g := a.life.mu.gossip
	a.life.mu.Unlock()
	if g == nil {
		return nil
	}
	return g.Members()
}

// run lives until ctx ends, or until its name is another's.
func (l *agentLife) run(ctx context.Context) error {
	defer func() { _ = l.client.Load().Close() }() // it always gives nil
	id, err := l.join(ctx)
	if err != nil {
		return ignoreEnd(ctx, err)
	}
	g, err := l.startGossip(id)
	if err != nil {
		return err
	}
	ctx, leave := context.WithCancel(ctx)
	var attends sync.WaitGroup
	attends.Go(func() { l.attend(ctx) })
	err = l.watch(ctx, g)
	leave()
	attends.Wait()
	return errors.Join(err, g.Close())
}

func ignoreEnd(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}

func (l *agentLife) join(ctx context.Context) (registry.ClusterID, error) {
	for {
		admission, err := l.client.Load().Join(ctx, l.life)
		switch {
		case err == nil:
			l.setSeeds(admission.Seeds)
			return admission.ClusterID, l.meet(admission.Servers)
		case ctx.Err() != nil, errors.Is(err, registry.ErrInvalid):
			return "", err
		}
		if !sleep(ctx, agentJoinPause) {
			return "", ctx.Err()
		}
	}
}

func (l *agentLife) startGossip(id registry.ClusterID) (*gossip.Gossip, error) {
	over, err := l.agent.host.Transport(l.life.Address)
	if err != nil {
		return nil, err
	}
	g, err := gossip.Start(gossip.Config{
		Name: string(l.life.Name), Boot: string(l.life.Boot), Label: string(id), Role: gossip.Node,
		Profile: l.agent.cluster.options.Profile, Seeds: l.seeds, Transport: over,
	})
	if err != nil {
		return nil, errors.Join(err, over.Shutdown())
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.mu.gossip, l.mu.over = g, over
	return g, nil
}

// watch looks after the node until ctx ends. A record that was forgotten, or a
// view without replicas for long, makes it join again.
func (l *agentLife) watch(ctx context.Context, g *gossip.Gossip) error {
	seen := time.Now()
	for sleep(ctx, agentLookEvery+rand.N(agentLookEvery/2)) {
		apis, seeds := replicasAmong(g.Members())
		if len(seeds) > 0 {
			seen = time.Now()
			l.setSeeds(slices.Compact(append(seeds, l.seeds()...)))
		}
		if err := l.meet(apis); err != nil {
			return err
		}
		record, err := l.client.Load().Node(ctx, l.life.Name, client.AtLeast(0))
		if errors.Is(err, registry.ErrNotFound) || time.Since(seen) > agentLonelyMax {
			seen = time.Now()
			if admission, err := l.client.Load().Join(ctx, l.life); err == nil {
				l.setSeeds(admission.Seeds)
			}
			continue
		}
		if err == nil && record.Boot != l.life.Boot {
			return fmt.Errorf("node %s is another process's: boot %s, not %s", l.life.Name, record.Boot, l.life.Boot)
		}
	}
	return nil
}

func replicasAmong(members []gossip.Member) (apis, seeds []string) {
	for _, m := range members {
		if m.Role == gossip.Replica {
			apis, seeds = append(apis, m.API), append(seeds, m.Addr)
		}
	}
	return apis, seeds
}

func (l *agentLife) setSeeds(seeds []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	seeds = slices.Compact(slices.Sorted(slices.Values(seeds)))
	l.mu.seeds = seeds[:min(len(seeds), gossip.SeedsMax)]
}

func (l *agentLife) seeds() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.mu.seeds)
}

// sleep is false when ctx ends first.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
