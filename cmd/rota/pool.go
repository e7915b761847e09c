package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/rota-registry/rota/registry"
	"github.com/rota-registry/rota/registry/hrw"
	"github.com/rota-registry/rota/rpc/client"
	rotav1 "github.com/rota-registry/rota/rpc/gen/rota/v1"
	"github.com/rota-registry/rota/rpc/wire"
)

func newPoolCommand(a *app) *cobra.Command {
	return newGroup("pool", "Register, show and remove pools",
		newPoolRegisterCommand(a), newPoolListCommand(a), newPoolShowCommand(a), newPoolRmCommand(a), newPoolRebalanceCommand(a))
}

// registerFlags are the flags of rota pool register.
type registerFlags struct {
	nodeType, topic, hash string
	maxNodes              uint32
	exclusive             bool
	allowed               client.RegisterOptions
}

func newPoolRegisterCommand(a *app) *cobra.Command {
	f := &registerFlags{}
	cmd := &cobra.Command{
		Use:   "register [NAME]",
		Short: "Make a pool of the nodes of a type",
		Long: `Make a pool of the nodes of a type. NAME defaults to the last segment of --topic,
and --topic to the pool_topic_prefix setting and NAME. To register the same pool
again succeeds; another one under its name needs --replace.`,
		Example: `  rota pool register scan --type worker
  rota pool register scan --type worker --max-nodes 1 --replace
  rota pool register intel --type proxy --max-nodes 1 --exclusive --require-nodes
  rota pool register --topic zeek/cluster/pool/files --type worker --hash zeek-6.2`,
		Args:              takes("[NAME]"),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, args []string) error {
			spec, err := f.spec(cmd, args)
			if err != nil {
				return err
			}
			return a.ask(cmd, func(ctx context.Context, c *client.Client) error { return a.registerPool(ctx, c, spec, f.allowed) })
		},
	}
	cmd.Flags().StringVar(&f.nodeType, "type", "", "type of the pool's nodes, like worker")
	cmd.Flags().StringVar(&f.topic, "topic", "", "the pool's topic; pools are filled in its order")
	cmd.Flags().StringVar(&f.hash, "hash", hrw.Zeek71.String(), "how keys hash: zeek-7.1 or zeek-6.2")
	cmd.Flags().Uint32Var(&f.maxNodes, "max-nodes", 0, "how many nodes at most; without it all, with 0 none")
	cmd.Flags().BoolVar(&f.exclusive, "exclusive", false, "share no node with other pools; needs --max-nodes")
	cmd.Flags().BoolVar(&f.allowed.Replace, "replace", false, "change the pool of that name, if there is one")
	cmd.Flags().BoolVar(&f.allowed.RequireNodes, "require-nodes", false, "refuse while there are too few nodes for the exclusive pools")
	complete(cmd, "type", string(registry.Worker), string(registry.Proxy), string(registry.Logger))
	complete(cmd, "hash", hrw.Zeek71.String(), hrw.Zeek62.String())
	complete(cmd, "topic")
	complete(cmd, "max-nodes")
	return cmd
}

// spec is what the flags and arguments describe; the registry judges it.
func (f *registerFlags) spec(cmd *cobra.Command, args []string) (registry.Spec, error) {
	spec := registry.Spec{NodeType: registry.NodeType(f.nodeType), Topic: registry.Topic(f.topic), Exclusive: f.exclusive}
	if len(args) > 0 {
		spec.Name = registry.PoolName(args[0])
	}
	if spec.Name == "" && spec.Topic == "" {
		return spec, usagef("the pool has no name: give NAME or --topic")
	}
	if spec.NodeType == "" {
		return spec, usagef("pool %q has no node type: give --type, as in --type worker", nameOr(spec))
	}
	if cmd.Flags().Changed("max-nodes") {
		spec.MaxNodes = &f.maxNodes
	}
	var err error
	if spec.Hash, err = hrw.ParseHash(f.hash); err != nil {
		return spec, usagef("--%w", err)
	}
	return spec, nil
}

func nameOr(spec registry.Spec) string {
	if spec.Name != "" {
		return string(spec.Name)
	}
	return string(spec.Topic)
}

func (a *app) registerPool(ctx context.Context, c *client.Client, spec registry.Spec, allowed client.RegisterOptions) error {
	pool, err := c.RegisterPool(ctx, spec, allowed)
	if err != nil {
		return err
	}
	if !pool.Changed {
		a.say("pool %q was registered like that already", pool.Spec.Name)
	}
	if !pool.Satisfied {
		a.say("pool %q is unsatisfied: %s: nodes of type %s that join will fill it", pool.Spec.Name, pool.Reason, pool.Spec.NodeType)
	}
	return a.emit(&rotav1.RegisterPoolResponse{
		Pool: wire.ToPool(pool.PoolInfo), Changed: pool.Changed,
		Index: uint64(pool.Index), Term: uint64(pool.Term), ServedBy: string(pool.ServedBy),
	}, poolTable(pool.PoolInfo))
}

func newPoolListCommand(a *app) *cobra.Command {
	f := &freshness{}
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the pools",
		Example: `  rota pool list
  rota pool list -o json`,
		Args:              takes(),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.read(cmd, f, func(ctx context.Context, c *client.Client, opts []client.ReadOption) error {
				return a.listPools(ctx, c, f, opts)
			})
		},
	}
	f.addFlags(cmd)
	return cmd
}

func (a *app) listPools(ctx context.Context, c *client.Client, f *freshness, opts []client.ReadOption) error {
	list, err := c.Pools(ctx, opts...)
	if err != nil {
		return err
	}
	f.sayAge(a, list.Served)
	m := &rotav1.ListPoolsResponse{
		Index: uint64(list.Index), Term: uint64(list.Term), ServedBy: string(list.ServedBy), AgeMs: f.age(list.Served),
	}
	for _, p := range list.Pools {
		m.Pools = append(m.Pools, wire.ToPool(p))
	}
	return a.emit(m, poolTable(list.Pools...))
}

func newPoolShowCommand(a *app) *cobra.Command {
	f, cursors := &freshness{}, false
	cmd := &cobra.Command{
		Use:   "show NAME",
		Short: "Show a pool with its members",
		Example: `  rota pool show worker
  rota pool show worker --cursors`,
		Args:              takes("NAME"),
		ValidArgsFunction: a.completeFirst(poolNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.read(cmd, f, func(ctx context.Context, c *client.Client, opts []client.ReadOption) error {
				return a.showPool(ctx, c.Pool(registry.PoolName(args[0])), cursors, f, opts)
			})
		},
	}
	cmd.Flags().BoolVar(&cursors, "cursors", false, "show whose turn is next, for each round-robin key")
	f.addFlags(cmd)
	return cmd
}

func (a *app) showPool(ctx context.Context, pool *client.Pool, cursors bool, f *freshness, opts []client.ReadOption) error {
	state, err := pool.Info(ctx, cursors, opts...)
	if err != nil {
		return err
	}
	f.sayAge(a, state.Served)
	m := &rotav1.GetPoolResponse{
		Pool: wire.ToPool(state.PoolInfo), Index: uint64(state.Index), Term: uint64(state.Term),
		ServedBy: string(state.ServedBy), AgeMs: f.age(state.Served),
	}
	m.Pool.Cursors = wire.ToCursors(state.Cursors)
	text := poolSheet(state.PoolInfo)
	if cursors {
		text += "\n" + cursorTable(state.Cursors)
	}
	return a.emit(m, text)
}

func newPoolRmCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:     "rm NAME",
		Aliases: []string{"remove", "unregister"},
		Short:   "Remove a pool and its cursors",
		Long: `Remove a pool and its cursors. Its nodes stay in the layout, and other pools may
get them. The default pools worker, proxy and logger can be replaced, not removed.`,
		Example: `  rota pool register short-lived --type worker
  rota pool rm short-lived`,
		Args:              takes("NAME"),
		ValidArgsFunction: a.completeFirst(poolNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.ask(cmd, func(ctx context.Context, c *client.Client) error {
				served, err := c.UnregisterPool(ctx, registry.PoolName(args[0]))
				if err != nil {
					return err
				}
				a.say("pool %q is removed", args[0])
				return a.emit(&rotav1.UnregisterPoolResponse{
					Index: uint64(served.Index), Term: uint64(served.Term), ServedBy: string(served.ServedBy),
				}, "")
			})
		},
	}
}

func newPoolRebalanceCommand(a *app) *cobra.Command {
	dryRun := false
	cmd := &cobra.Command{
		Use:   "rebalance",
		Short: "Assign all nodes to pools anew, as Zeek would",
		Long: `Assign all nodes to pools anew, as Zeek would at its start. It moves keys of hrw
and turns of rr between nodes: --dry-run shows which pools would change, and
changes nothing.`,
		Example: `  rota pool rebalance --dry-run
  rota pool rebalance`,
		Args:              takes(),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.ask(cmd, func(ctx context.Context, c *client.Client) error { return a.rebalance(ctx, c, dryRun) })
		},
	}
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "show what would move, and change nothing")
	return cmd
}

func (a *app) rebalance(ctx context.Context, c *client.Client, dryRun bool) error {
	done, err := c.RebalancePools(ctx, dryRun)
	if err != nil {
		return err
	}
	text := moveTable(done.Moves)
	switch {
	case len(done.Moves) == 0:
		text = ""
		a.say("nothing to move: every pool is as Zeek would fill it")
	case dryRun:
		a.say("nothing is changed: without --dry-run these pools would be")
	}
	return a.emit(&rotav1.RebalancePoolsResponse{
		Moves: wire.ToMoves(done.Moves), Index: uint64(done.Index), Term: uint64(done.Term), ServedBy: string(done.ServedBy),
	}, text)
}
