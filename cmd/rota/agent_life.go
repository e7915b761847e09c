package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/rota-registry/rota/gossip"
	"github.com/rota-registry/rota/registry"
	"github.com/rota-registry/rota/rpc/client"
)

const (
	// agentCallTimeout bounds one call of an agent, all servers together: two
	// of them are as long as silenceEvery.
	agentCallTimeout = 2500 * time.Millisecond
	// agentAttemptTimeout leaves time for three servers in a call.
	agentAttemptTimeout = 800 * time.Millisecond
	// agentLookEvery is how often an agent looks at its own record, and half
	// as much again at most.
	agentLookEvery = 2 * time.Second
	// lonelyMin is how long no replica is in the gossip's view before the
	// agent asks for new seeds, the first time; the pause doubles up to
	// lonelyMax, because a join says alive, and must not say it often of a
	// node that gossip cannot reach.
	lonelyMin = 10 * time.Second
	lonelyMax = 5 * time.Minute
)

// agent is one node's process. Its fields belong to the goroutine of run,
// except seeds, which gossip asks for.
type agent struct {
	options agentOptions
	log     hclog.Logger
	life    client.Life
	silence *silence

	// servers are the API addresses that client was made of: the configured
	// ones first, then those that were told since.
	servers []string
	client  *client.Client
	cluster registry.ClusterID
	gossip  *gossip.Gossip
	attends *attendance
	// seen is the index of the last answer of this cluster: a replica that
	// trails it might still have a former life on record.
	seen registry.Index
	// mayBeIn says that this life's join was committed, or may have been, and
	// that it has not ended in the registry since.
	mayBeIn bool

	// lonelySince is when the last replica was in view, lonelyPause how long
	// from then to the next call for seeds.
	lonelySince time.Time
	lonelyPause time.Duration

	seeds struct {
		sync.Mutex
		known []string
	}
}

func newAgent(o agentOptions, a *app) *agent {
	log := a.logger("agent")
	return &agent{
		options: o, log: log, silence: &silence{log: log}, lonelyPause: lonelyMin, attends: &attendance{log: log},
		life: client.Life{Name: registry.NodeName(o.name), Type: registry.NodeType(o.nodeType)},
	}
}

// run lives until ctx ends, which is a goodbye, or until the name is another
// process's, which is an error.
func (g *agent) run(ctx context.Context) (err error) {
	if open := exposed(g.options.endpoints()...); len(open) > 0 {
		g.log.Warn("insecure: other machines can reach this address, and there is no TLS", "addresses", open)
	}
	if err := g.dial(g.options.servers); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, g.close()) }()
	if err := g.attach(ctx); err != nil {
		return g.end(ctx, err)
	}
	g.log.Info("node is in the registry", "node", g.life.Name, "type", g.life.Type,
		"gossip", g.life.Address, "boot", g.life.Boot, "cluster", g.cluster)
	defer g.attend()()
	return g.end(ctx, g.watch(ctx))
}

// attend begins to attend a replica, until stop is called: after the goodbye, so
// that the end of the stream does not come first and look like a death.
func (g *agent) attend() (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		g.attends.run(ctx, g.life.Name, g.life.Boot)
	}()
	return func() {
		cancel()
		<-done
	}
}

// end takes back a join that was committed, or may have been, whatever ends the
// agent: nobody shows any more that the node lives. To be told to stop is no error.
func (g *agent) end(ctx context.Context, err error) error {
	if g.mayBeIn {
		g.sayGoodbye()
	}
	if ctx.Err() != nil {
		return nil
	}
	return err
}

func (g *agent) close() error {
	var err error
	if g.gossip != nil {
		err = g.gossip.Close()
	}
	return errors.Join(err, g.client.Close())
}

// dial makes a client of these servers, instead of the one there was.
func (g *agent) dial(servers []string) error {
	c, err := client.Dial(shuffled(servers), client.Options{
		Timeout: agentCallTimeout, AttemptTimeout: agentAttemptTimeout, By: "agent " + g.options.name,
	})
	if err != nil {
		return err
	}
	g.attends.client.Store(c)
	if g.client != nil {
		_ = g.client.Close() // it always gives nil
	}
	g.client, g.servers = c, servers
	return nil
}

// shuffled gives the servers in an order of this agent's own. A client stays with
// the first that answers: were it the same one for all agents, that replica alone
// would hold the connections of them all, and lose them all at once.
func shuffled(servers []string) []string {
	mixed := slices.Clone(servers)
	rand.Shuffle(len(mixed), func(i, j int) { mixed[i], mixed[j] = mixed[j], mixed[i] })
	return mixed
}

// watch looks at the node's own record until ctx ends.
func (g *agent) watch(ctx context.Context) error {
	for sleep(ctx, agentLookEvery+rand.N(agentLookEvery/2)) {
		if err := g.look(ctx); err != nil && ctx.Err() == nil {
			return err
		}
	}
	return nil
}

// look reads the record at an index that this agent has seen, which costs no
// round of the quorum, and cannot show a time before its own joining.
func (g *agent) look(ctx context.Context) error {
	if g.isLonely() {
		return g.joinAgain(ctx)
	}
	record, err := g.client.Node(ctx, g.life.Name, client.AtLeast(g.seen))
	switch {
	case errors.Is(err, registry.ErrNotFound):
		g.log.Warn("node was forgotten: joining again", "node", g.life.Name)
		return g.joinAgain(ctx)
	case err != nil:
		g.silence.note(g.servers, err)
		return nil
	case record.Boot != g.life.Boot:
		g.mayBeIn = false
		return fmt.Errorf("node %q is another process's now, at %s: the one at %s ends; if both shall live, give them different names",
			g.life.Name, record.Address, g.life.Address)
	case record.State == registry.Left:
		g.mayBeIn = false
		return fmt.Errorf("node %q has left as %s, which is final: start the agent again", g.life.Name, g.life.Boot)
	}
	g.silence.end()
	g.seen = record.Index
	return nil
}

// isLonely notes which replicas are in view, and is true when it is time to
// ask where they are.
func (g *agent) isLonely() bool {
	var apis, seeds []string
	for _, m := range g.gossip.Members() {
		if m.Role == gossip.Replica {
			apis, seeds = append(apis, m.API), append(seeds, m.Addr)
		}
	}
	if len(seeds) == 0 {
		return time.Since(g.lonelySince) > g.lonelyPause
	}
	g.lonelySince, g.lonelyPause = time.Now(), lonelyMin
	g.meet(apis)
	g.remember(seeds)
	return false
}

// remember puts the replicas in view before the seeds that were told: they are
// where they are.
func (g *agent) remember(inView []string) {
	seeds := slices.Clone(inView)
	for _, s := range g.takeSeeds() {
		if len(seeds) < gossip.SeedsMax && !slices.Contains(seeds, s) {
			seeds = append(seeds, s)
		}
	}
	g.setSeeds(seeds)
}

// joinAgain joins as the same life. A cluster with another id is another
// cluster, founded where the old one was: gossip starts anew under its label.
func (g *agent) joinAgain(ctx context.Context) error {
	g.lonelySince, g.lonelyPause = time.Now(), min(2*g.lonelyPause, lonelyMax)
	before := g.cluster
	if err := g.joinOnce(ctx); err != nil {
		if final(err) {
			return err
		}
		g.silence.note(g.servers, err)
		return nil
	}
	if g.cluster == before {
		return nil
	}
	g.log.Warn("the replicas are those of another cluster now", "before", before, "now", g.cluster)
	err := g.gossip.Close()
	return errors.Join(err, g.startGossip(g.options.gossip))
}

// sayGoodbye commits the goodbye first, so that it is told apart from a death,
// and tells the gossip then. Both have their own deadlines, since the context
// that ended cannot bound them.
func (g *agent) sayGoodbye() {
	if _, err := g.client.Leave(context.Background(), g.life.Name, g.life.Boot, "stopped"); err != nil {
		g.log.Warn("goodbye was not heard: the registry will find out by gossip", "node", g.life.Name, "error", err)
	}
	if g.gossip == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), agentCallTimeout)
	defer cancel()
	if err := g.gossip.Leave(ctx); err != nil {
		g.log.Debug("gossip did not confirm the goodbye", "error", err)
	}
}
