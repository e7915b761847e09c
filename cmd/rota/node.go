package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/rota-registry/rota/registry"
	"github.com/rota-registry/rota/rpc/client"
	rotav1 "github.com/rota-registry/rota/rpc/gen/rota/v1"
	"github.com/rota-registry/rota/rpc/wire"
)

func newNodeCommand(a *app) *cobra.Command {
	return newGroup("node", "Show, add, drain and forget nodes",
		newNodeListCommand(a), newNodeShowCommand(a), newNodeAddCommand(a),
		newNodeDrainCommand(a), newNodeUndrainCommand(a), newNodeForgetCommand(a))
}

func newNodeListCommand(a *app) *cobra.Command {
	f := &freshness{}
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the layout: all nodes, alive or not",
		Example: `  rota node list
  rota node list --consistency local -o json`,
		Args:              takes(),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.read(cmd, f, func(ctx context.Context, c *client.Client, opts []client.ReadOption) error {
				return a.listNodes(ctx, c, f, opts)
			})
		},
	}
	f.addFlags(cmd)
	return cmd
}

func (a *app) listNodes(ctx context.Context, c *client.Client, f *freshness, opts []client.ReadOption) error {
	list, err := c.Nodes(ctx, opts...)
	if err != nil {
		return err
	}
	f.sayAge(a, list.Served)
	m := &rotav1.ListNodesResponse{
		Index: uint64(list.Index), Term: uint64(list.Term), ServedBy: string(list.ServedBy), AgeMs: f.age(list.Served),
	}
	for _, n := range list.Nodes {
		m.Nodes = append(m.Nodes, wire.ToNode(n))
	}
	return a.emit(m, nodeTable(list.Nodes...))
}

func newNodeShowCommand(a *app) *cobra.Command {
	f := &freshness{}
	cmd := &cobra.Command{
		Use:               "show NAME",
		Short:             "Show a node",
		Example:           `  rota node show worker-1`,
		Args:              takes("NAME"),
		ValidArgsFunction: a.completeFirst(nodeNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.read(cmd, f, func(ctx context.Context, c *client.Client, opts []client.ReadOption) error {
				return a.showNode(ctx, c, registry.NodeName(args[0]), f, opts)
			})
		},
	}
	f.addFlags(cmd)
	return cmd
}

func (a *app) showNode(ctx context.Context, c *client.Client, name registry.NodeName, f *freshness, opts []client.ReadOption) error {
	node, err := c.Node(ctx, name, opts...)
	if err != nil {
		return err
	}
	f.sayAge(a, node.Served)
	return a.emit(&rotav1.GetNodeResponse{
		Node: wire.ToNode(node.NodeInfo), Index: uint64(node.Index), Term: uint64(node.Term),
		ServedBy: string(node.ServedBy), AgeMs: f.age(node.Served),
	}, nodeSheet(node.NodeInfo))
}

func newNodeAddCommand(a *app) *cobra.Command {
	var nodeType, address string
	cmd := &cobra.Command{
		Use:   "add NAME",
		Short: "Add a static node, which stays until it is forgotten",
		Long: `Add a static node: it is in the layout and in its pools before its agent first
joins, and stays there, whatever happens to it, until it is forgotten. A node
that is there already becomes static and lives on.`,
		Example: `  rota node add worker-3 --type worker --address 127.0.0.1:7950
  rota node add worker-1 --type worker`,
		Args:              takes("NAME"),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, args []string) error {
			if nodeType == "" {
				return usagef("node %q has no type: give --type, as in --type worker", args[0])
			}
			return a.ask(cmd, func(ctx context.Context, c *client.Client) error {
				return a.addNode(ctx, c, registry.NodeName(args[0]), registry.NodeType(nodeType), address)
			})
		},
	}
	cmd.Flags().StringVar(&nodeType, "type", "", "the node's type, like worker")
	cmd.Flags().StringVar(&address, "address", "", "where it will be, for people")
	complete(cmd, "type", string(registry.Worker), string(registry.Proxy), string(registry.Logger), string(registry.Manager))
	complete(cmd, "address")
	return cmd
}

func (a *app) addNode(ctx context.Context, c *client.Client, name registry.NodeName, typ registry.NodeType, address string) error {
	node, err := c.AddNode(ctx, name, typ, address)
	if err != nil {
		return err
	}
	if !node.Changed {
		a.say("node %q was there and static already", name)
	}
	return a.emit(&rotav1.AddNodeResponse{
		Node: wire.ToNode(node.NodeInfo), Changed: node.Changed,
		Index: uint64(node.Index), Term: uint64(node.Term), ServedBy: string(node.ServedBy),
	}, nodeTable(node.NodeInfo))
}

func newNodeDrainCommand(a *app) *cobra.Command {
	reason := ""
	cmd := &cobra.Command{
		Use:   "drain NAME",
		Short: "Take a node out of all answers while it goes on living",
		Example: `  rota node drain worker-1 --reason 'new kernel'
  rota node drain worker-2`,
		Args:              takes("NAME"),
		ValidArgsFunction: a.completeFirst(nodeNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.ask(cmd, func(ctx context.Context, c *client.Client) error {
				return a.drainNode(ctx, c, registry.NodeName(args[0]), reason)
			})
		},
	}
	cmd.Flags().StringVar(&reason, "reason", "", "why, for people")
	complete(cmd, "reason")
	return cmd
}

func (a *app) drainNode(ctx context.Context, c *client.Client, name registry.NodeName, reason string) error {
	node, err := c.DrainNode(ctx, name, reason)
	if err != nil {
		return err
	}
	if !node.Changed {
		a.say("node %q was draining already", name)
	}
	return a.emit(&rotav1.DrainNodeResponse{
		Node: wire.ToNode(node.NodeInfo), Changed: node.Changed,
		Index: uint64(node.Index), Term: uint64(node.Term), ServedBy: string(node.ServedBy),
	}, nodeTable(node.NodeInfo))
}

func newNodeUndrainCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:               "undrain NAME",
		Short:             "Give a drained node work again",
		Example:           `  rota node undrain worker-1`,
		Args:              takes("NAME"),
		ValidArgsFunction: a.completeFirst(nodeNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.ask(cmd, func(ctx context.Context, c *client.Client) error {
				return a.undrainNode(ctx, c, registry.NodeName(args[0]))
			})
		},
	}
}

func (a *app) undrainNode(ctx context.Context, c *client.Client, name registry.NodeName) error {
	node, err := c.UndrainNode(ctx, name)
	if err != nil {
		return err
	}
	if !node.Changed {
		a.say("node %q was not draining", name)
	}
	return a.emit(&rotav1.UndrainNodeResponse{
		Node: wire.ToNode(node.NodeInfo), Changed: node.Changed,
		Index: uint64(node.Index), Term: uint64(node.Term), ServedBy: string(node.ServedBy),
	}, nodeTable(node.NodeInfo))
}

func newNodeForgetCommand(a *app) *cobra.Command {
	reason := ""
	cmd := &cobra.Command{
		Use:   "forget NAME",
		Short: "Remove a node from the layout and from its pools",
		Long: `Remove a node from the layout and from its pools. It is not stopped: while its
agent runs, it joins again. Stop the agent first, or drain the node instead.`,
		Example: `  rota node add worker-4 --type worker
  rota node forget worker-4 --reason 'sold'`,
		Args:              takes("NAME"),
		ValidArgsFunction: a.completeFirst(nodeNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.ask(cmd, func(ctx context.Context, c *client.Client) error {
				return a.forgetNode(ctx, c, registry.NodeName(args[0]), reason)
			})
		},
	}
	cmd.Flags().StringVar(&reason, "reason", "", "why, for people")
	complete(cmd, "reason")
	return cmd
}

// forgetNode looks first, to warn of a node that will be back.
func (a *app) forgetNode(ctx context.Context, c *client.Client, name registry.NodeName, reason string) error {
	node, err := c.Node(ctx, name)
	if err != nil {
		return err
	}
	served, err := c.ForgetNode(ctx, name, reason)
	if err != nil {
		return err
	}
	a.say("node %q is forgotten", name)
	if node.State == registry.Alive {
		a.say("warning: node %q was alive: if its agent still runs, it joins again; stop it and forget it once more", name)
	}
	return a.emit(&rotav1.ForgetNodeResponse{
		Index: uint64(served.Index), Term: uint64(served.Term), ServedBy: string(served.ServedBy),
	}, "")
}
