package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/rota-registry/rota/registry"
	"github.com/rota-registry/rota/rpc/client"
)

// shape is a cluster whose cost is measured.
type shape struct{ replicas, pools, members int }

// shapes grow one number at a time.
func shapes() []shape {
	return []shape{
		{3, 1, 10},
		{3, 1, 100},
		{3, 1, 1000},
		{3, 1, 5000},
		{3, 100, 10},
		{3, 1000, 10},
		{5, 1, 10},
		{7, 1, 10},
	}
}

const (
	// growthCallers ask in every shape.
	growthCallers = 64
	// growthWindow is the longest that is measured at a time: nodes that do not
	// gossip live for 10 to 15 s; see populate.
	growthWindow = 3 * time.Second
	// joinsAtOnce is how many of such nodes join at a time.
	joinsAtOnce = 64
	// populateTimeout is how long may pass until 5,000 have joined.
	populateTimeout = 3 * time.Minute
)

// grown is what was measured in a shape.
type grown struct {
	rr, hrw []result
	err     error
}

// growth prints how the cost of rr and hrw grows.
func growth(ctx context.Context, o options, out io.Writer) error {
	b := &bench{options: o}
	fmt.Fprintln(o.say, "building rota")
	var err error
	if b.binaries, err = build(ctx, o.dir, false); err != nil {
		return err
	}
	head, err := machine(ctx, o.dir)
	if err != nil {
		return err
	}
	all := make([]grown, len(shapes()))
	for i := range o.repeat {
		for j, s := range shapes() {
			fmt.Fprintf(o.say, "%d of %d: %d replicas, %d pools, %d members\n", i+1, o.repeat, s.replicas, s.pools, s.members)
			if all[j].err == nil {
				all[j].err = b.apart(func() error { return b.grow(ctx, s, &all[j]) })
			}
			if ctx.Err() != nil {
				return ctx.Err()
			}
		}
	}
	lines := [][]string{{"replicas", "pools", "members of each", "rr", "rr p50", "hrw", "hrw p50"}}
	for j, s := range shapes() {
		lines = append(lines, append([]string{fmt.Sprint(s.replicas), thousands(s.pools), thousands(s.members)}, all[j].cells()...))
	}
	_, err = io.WriteString(out, head+fmt.Sprintf("How cost grows, with %d callers of rota's Go client; hrw is linearizable, and asked of all replicas.\n\n", growthCallers)+
		markdown(lines, 0, 1, 2, 3, 4, 5, 6))
	return err
}

func (g grown) cells() []string {
	if g.err != nil {
		return []string{"error: " + firstLine(g.err), none, none, none}
	}
	rr, hrw := median(g.rr), median(g.hrw)
	return []string{number(rr.perSecond) + "/s", latency(rr.p50), number(hrw.perSecond) + "/s", latency(hrw.p50)}
}

// grow starts a cluster of the shape, measures it once and ends it.
func (b *bench) grow(ctx context.Context, s shape, g *grown) error {
	c, err := startRota(ctx, b, s.replicas)
	if err != nil {
		return err
	}
	defer c.close()
	pools, err := c.register(ctx, s.pools)
	if err != nil {
		return err
	}
	one, err := c.oneShared()
	if err != nil {
		return err
	}
	each, err := c.onEach()
	if err != nil {
		return err
	}
	for _, m := range []struct {
		op   op
		into *[]result
	}{{rrOf(one, inTurn(pools)), &g.rr}, {hrwOf(each, inTurn(pools)), &g.hrw}} {
		if err := c.populate(ctx, b, s.members); err != nil {
			return err
		}
		r, err := c.steadily(ctx, s.members, func() (result, error) {
			return load{callers: growthCallers, op: m.op, window: min(b.window(), growthWindow)}.run(ctx)
		})
		if err != nil {
			return err
		}
		*m.into = append(*m.into, r)
		fmt.Fprintf(b.say, "  %s/s, p50 %s\n", number(r.perSecond), latency(r.p50))
	}
	return nil
}

// register makes pools of all workers until there are n with the one that rota
// has from the beginning.
func (c *rotaCluster) register(ctx context.Context, n int) ([]registry.PoolName, error) {
	all := []registry.PoolName{pool}
	for len(all) < min(n, registry.PoolsMax-builtinPools+1) {
		name := registry.PoolName(fmt.Sprintf("pool-%d", len(all)))
		if _, err := c.ask.RegisterPool(ctx, registry.Spec{Name: name, NodeType: pool}, client.RegisterOptions{}); err != nil {
			return nil, err
		}
		all = append(all, name)
	}
	return all, nil
}

// builtinPools are the pools that a cluster has from the beginning; one of
// them is asked.
const builtinPools = 3

// populate sees to it that the nodes are eligible now, and for some
// seconds. A few gossip; many would take the machine for themselves, so those only
// join. A leader takes a life that it never saw for dead after a while, and one
// that has just been elected begins to wait anew: so the leader hands over.
func (c *rotaCluster) populate(ctx context.Context, b *bench, n int) (err error) {
	if n <= members {
		if len(c.nodes) > 0 {
			return nil
		}
		return c.live(ctx, b, n)
	}
	deadline := time.Now().Add(populateTimeout)
	for time.Now().Before(deadline) {
		joined := c.join(ctx, n)
		if err := c.handOver(ctx); err != nil {
			return err
		}
		if err = c.eligible(ctx, n); err == nil || ctx.Err() != nil {
			return err
		}
		err = errors.Join(err, joined)
		fmt.Fprintf(b.say, "  %v\n", firstLine(err))
	}
	return fmt.Errorf("not within %s: %w", populateTimeout, err)
}

// join lets those of n nodes join that are not alive. That some calls fail,
// because the cluster is busy, is seen in the next round.
func (c *rotaCluster) join(ctx context.Context, n int) (err error) {
	list, err := c.ask.Nodes(ctx)
	if err != nil {
		return err
	}
	alive := make(map[registry.NodeName]bool)
	for _, node := range list.Nodes {
		alive[node.Name] = node.State == registry.Alive
	}
	boot, names := newBoot(), make(chan registry.NodeName)
	failed := make([]error, joinsAtOnce)
	var joins sync.WaitGroup
	for i := range failed {
		joins.Go(func() {
			for name := range names {
				life := client.Life{Name: name, Type: pool, Address: "127.0.0.1:9", Boot: boot}
				if _, err := c.ask.Join(ctx, life); err != nil {
					failed[i] = err
				}
			}
		})
	}
	for i := range n {
		if name := registry.NodeName(memberName(i)); !alive[name] {
			names <- name
		}
	}
	close(names)
	joins.Wait()
	return errors.Join(failed...)
}

// handOver makes another replica lead, once all have caught up, and waits until
// all have again.
func (c *rotaCluster) handOver(ctx context.Context) error {
	if err := c.await(ctx, c.caughtUp); err != nil {
		return err
	}
	for i, api := range c.apis {
		if api == c.leader {
			if err := c.processes[i].restart(); err != nil {
				return err
			}
		}
	}
	return c.await(ctx, func(ctx context.Context) error { return errors.Join(c.findLeader(ctx), c.caughtUp(ctx)) })
}

// inTurn gives each caller, which is the only one with its number, all pools in
// turn from a place of its own.
func inTurn(pools []registry.PoolName) asked {
	calls := make([]int, growthCallers)
	return func(caller int) registry.PoolName {
		calls[caller]++
		return pools[(caller*len(pools)/growthCallers+calls[caller])%len(pools)]
	}
}
