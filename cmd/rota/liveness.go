package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/rota-registry/rota/registry"
	"github.com/rota-registry/rota/rpc/client"
	rotav1 "github.com/rota-registry/rota/rpc/gen/rota/v1"
	"github.com/rota-registry/rota/rpc/wire"
)

func newLivenessCommand(a *app) *cobra.Command {
	return newGroup("liveness", "Show which nodes are kept from failing or coming back, and let them fail",
		newLivenessShowCommand(a), newLivenessThawCommand(a))
}

func newLivenessShowCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "show",
		Short: "Show the frozen types and the nodes that are held back",
		Long: `Show what keeps the leader from following its gossip.

A type is frozen when three of its nodes or more, and more than 30 % of them, would
fail within 30 seconds: then it is more likely the network than the nodes, and none of
them is declared failed until they are back, or a majority of the replicas has called
each directly and got no answer, or an operator thaws the type.

A node is held back when it has failed three times within ten minutes: it stays failed
for 30 seconds though gossip shows it, and for twice as long after each further
failure, so that its keys do not move with each of them.`,
		Example:           `  rota liveness show`,
		Args:              takes(),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE:              func(cmd *cobra.Command, _ []string) error { return a.ask(cmd, a.showLiveness) },
	}
}

func (a *app) showLiveness(ctx context.Context, c *client.Client) error {
	l, err := c.Liveness(ctx)
	if err != nil {
		return err
	}
	return a.emit(&rotav1.ShowLivenessResponse{Liveness: wire.ToLiveness(l.LivenessReport), ServedBy: string(l.ServedBy)}, livenessText(l.LivenessReport))
}

func newLivenessThawCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "thaw [TYPE]",
		Short: "Let the nodes of a frozen type fail, or of all frozen types",
		Long: `Let the nodes of a frozen type fail, or of all frozen types: those that gossip has
lost and no replica sees are declared failed at once, and their keys move. The type is
not frozen again for 30 seconds.`,
		Example: `  rota liveness thaw worker
  rota liveness thaw`,
		Args:              takes("[TYPE]"),
		ValidArgsFunction: a.completeFirst(frozenTypes),
		RunE: func(cmd *cobra.Command, args []string) error {
			var t registry.NodeType
			if len(args) > 0 {
				if t = registry.NodeType(args[0]); t.Validate() != nil {
					return usagef("%v", t.Validate())
				}
			}
			return a.ask(cmd, func(ctx context.Context, c *client.Client) error { return a.thawLiveness(ctx, c, t) })
		},
	}
}

func (a *app) thawLiveness(ctx context.Context, c *client.Client, t registry.NodeType) error {
	thaw, err := c.ThawLiveness(ctx, t)
	if err != nil {
		return err
	}
	switch {
	case len(thaw.Thawed) == 0 && t == "":
		a.say("nothing was frozen")
	case len(thaw.Thawed) == 0:
		a.say("type %s was not frozen", t)
	}
	return a.emit(&rotav1.ThawLivenessResponse{
		Thawed: wire.ToFrozen(thaw.Thawed), Leader: string(thaw.Leader), ServedBy: string(thaw.ServedBy),
	}, thawText(thaw.Thawed))
}

// frozenTypes are for the shell to suggest.
func frozenTypes(ctx context.Context, c *client.Client) ([]string, error) {
	l, err := c.Liveness(ctx)
	if err != nil {
		return nil, err
	}
	var types []string
	for _, f := range l.Frozen {
		types = append(types, string(f.Type))
	}
	return types, nil
}

func livenessText(l registry.LivenessReport) string {
	if len(l.Frozen) == 0 && len(l.Held) == 0 {
		return fmt.Sprintf("nothing is frozen and nobody is held back, says the leader %s\n", l.Leader)
	}
	text := ""
	if len(l.Frozen) > 0 {
		t := newTable("FROZEN TYPE", "FOR", "LOST", "NODES")
		for _, f := range l.Frozen {
			t.add(string(f.Type), span(f.For), share(len(f.Lost), f.Of), few(f.Lost, namesMost, "rota liveness show -o json"))
		}
		text = t.String()
	}
	if len(l.Held) > 0 {
		if text != "" {
			text += "\n"
		}
		t := newTable("HELD NODE", "TYPE", "FOR", "FAILURES")
		for _, h := range l.Held {
			t.add(string(h.Name), string(h.Type), span(h.For)+" more", decimal(h.Failures))
		}
		text += t.String()
	}
	return text
}

func thawText(thawed []registry.FrozenType) string {
	if len(thawed) == 0 {
		return ""
	}
	t := newTable("THAWED TYPE", "LOST", "NODES")
	for _, f := range thawed {
		t.add(string(f.Type), share(len(f.Lost), f.Of), few(f.Lost, namesMost, "rota node list"))
	}
	return t.String()
}

// span shows a time as people write it, to the second.
func span(ms registry.Millis) string {
	return (time.Duration(ms) * time.Millisecond).Round(time.Second).String()
}
