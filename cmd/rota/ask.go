package main

import (
	"context"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/rota-registry/rota/registry"
	"github.com/rota-registry/rota/rpc/client"
)

// ask lets call talk to the registry, for --timeout at most.
func (a *app) ask(cmd *cobra.Command, call func(ctx context.Context, c *client.Client) error) error {
	c, err := a.dial()
	if err != nil {
		return err
	}
	ctx, cancel := a.deadline(cmd.Context())
	defer cancel()
	if err := call(ctx, c); err != nil {
		_ = c.Close() // it always returns nil
		return err
	}
	return c.Close()
}

// read is ask for what has the flags of a read.
func (a *app) read(cmd *cobra.Command, f *freshness, call func(ctx context.Context, c *client.Client, opts []client.ReadOption) error) error {
	opts, err := f.options(cmd)
	if err != nil {
		return err
	}
	return a.ask(cmd, func(ctx context.Context, c *client.Client) error { return call(ctx, c, opts) })
}

// takes makes a command refuse other arguments than those named. A name in
// brackets may be left out, one that ends in … may come several times.
func takes(names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		for i, name := range names {
			if i >= len(args) && !strings.HasPrefix(name, "[") {
				return usagef("%s: %s is missing", commandName(cmd), strings.TrimSuffix(name, "…"))
			}
			if strings.HasSuffix(strings.TrimSuffix(name, "]"), "…") {
				return nil
			}
		}
		if len(args) > len(names) {
			return usagef("%s: argument %q is one too many: quote what has spaces", commandName(cmd), args[len(names)])
		}
		return nil
	}
}

// commandName is the path of a command without rota, with which complaints
// begin anyway.
func commandName(cmd *cobra.Command) string {
	return strings.TrimPrefix(cmd.CommandPath(), cmd.Root().Name()+" ")
}

// Consistencies, as --consistency has them.
const (
	linearizable = "linearizable"
	atLeast      = "at-least"
	local        = "local"
)

// freshness is the flags of a read.
type freshness struct {
	consistency string
	index       uint64
}

func (f *freshness) addFlags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.consistency, "consistency", linearizable, "how fresh the answer must be: linearizable, at-least or local")
	cmd.Flags().Uint64Var(&f.index, "at-least-index", 0, "the answer must know the log up to this index, the index of an earlier answer")
	complete(cmd, "consistency", linearizable, atLeast, local)
}

// options are what the flags ask for. An index alone asks for at-least; beside
// another consistency it is one more condition.
func (f *freshness) options(cmd *cobra.Command) ([]client.ReadOption, error) {
	indexed := cmd.Flags().Changed("at-least-index")
	if indexed && f.index == 0 {
		return nil, usagef("--at-least-index 0 says nothing: give the index of an earlier answer, or leave it out")
	}
	var opts []client.ReadOption
	if indexed {
		opts = append(opts, client.AtLeast(registry.Index(f.index)))
	}
	switch {
	case f.consistency == local:
		return append(opts, client.Local()), nil
	case f.consistency == atLeast && !indexed:
		return nil, usagef("--consistency at-least needs --at-least-index: give the index of an earlier answer")
	case f.consistency == atLeast:
		return opts, nil
	case f.consistency != linearizable:
		return nil, usagef("--consistency %q is unknown: use linearizable, at-least or local", f.consistency)
	case indexed && !cmd.Flags().Changed("consistency"):
		return opts, nil
	default:
		return append(opts, client.Linearizable()), nil
	}
}

// age gives the age of an answer for its JSON: only local reads have one.
func (f *freshness) age(s client.Served) *uint64 {
	if f.consistency != local {
		return nil
	}
	ms := uint64(s.Age / time.Millisecond)
	return &ms
}

// sayAge tells who reads a table what a local read was worth.
func (f *freshness) sayAge(a *app, s client.Served) {
	if f.consistency == local && a.format == formatTable {
		a.say("replica %s answered from what it has, last known to be up to date %v ago", s.ServedBy, s.Age)
	}
}
