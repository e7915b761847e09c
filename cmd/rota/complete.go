package main

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/rota-registry/rota/registry"
	"github.com/rota-registry/rota/rpc/client"
)

// completionTimeout bounds the question that a press of the tab key asks:
// nobody waits longer for a suggestion.
const completionTimeout = 700 * time.Millisecond

// complete makes the shell suggest values for a command's flag.
func complete(cmd *cobra.Command, flag string, values ...string) {
	err := cmd.RegisterFlagCompletionFunc(flag, func(_ *cobra.Command, _ []string, prefix string) ([]string, cobra.ShellCompDirective) {
		return begins(slices.Clone(values), prefix), cobra.ShellCompDirectiveNoFileComp
	})
	if err != nil {
		panic(err) // the flag is not there: a bug in the constructor that calls this
	}
}

// completeLive makes the shell suggest live names for a command's flag.
func (a *app) completeLive(cmd *cobra.Command, flag string, ask names) {
	err := cmd.RegisterFlagCompletionFunc(flag, func(cmd *cobra.Command, _ []string, prefix string) ([]string, cobra.ShellCompDirective) {
		return begins(a.live(cmd, ask), prefix), cobra.ShellCompDirectiveNoFileComp
	})
	if err != nil {
		panic(err) // as in complete
	}
}

// completeShared suggests values for the flags that all commands have.
func completeShared(root *cobra.Command) {
	complete(root, "output", formatTable, formatJSON)
	complete(root, "log-level", "trace", "debug", "info", "warn", "error", "off")
	complete(root, "log-format", logText, logJSON)
	complete(root, "timeout")
	complete(root, "server", apiDefault)
}

// names is a question for the live names of something.
type names func(ctx context.Context, c *client.Client) ([]string, error)

// completeFirst suggests live names for a command's first argument, and no
// files for any.
func (a *app) completeFirst(ask names) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, prefix string) ([]string, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return begins(a.live(cmd, ask), prefix), cobra.ShellCompDirectiveNoFileComp
	}
}

// live asks the replicas. Whatever goes wrong, the answer is nothing and the
// terminal stays clean: a suggestion is no place for an error.
func (a *app) live(cmd *cobra.Command, ask names) []string {
	if a.settle(cmd) != nil {
		return nil
	}
	// cobra parses what stands before the command twice: a list is then twice
	// as long.
	a.servers = unique(a.servers)
	a.timeout = min(a.timeout, completionTimeout)
	var found []string
	err := a.ask(cmd, func(ctx context.Context, c *client.Client) (err error) {
		found, err = ask(ctx, c)
		return err
	})
	if err != nil {
		return nil
	}
	return found
}

// unique keeps the first of those that are equal.
func unique(list []string) []string {
	var kept []string
	for _, s := range list {
		if !slices.Contains(kept, s) {
			kept = append(kept, s)
		}
	}
	return kept
}

// begins gives the candidates that go on from prefix.
func begins(candidates []string, prefix string) []string {
	return slices.DeleteFunc(candidates, func(c string) bool { return !strings.HasPrefix(c, prefix) })
}

// Names are read locally: a suggestion needs no quorum.

func poolNames(ctx context.Context, c *client.Client) ([]string, error) {
	list, err := c.Pools(ctx, client.Local())
	found := make([]string, 0, len(list.Pools))
	for _, p := range list.Pools {
		found = append(found, string(p.Spec.Name))
	}
	return found, err
}

func nodeNames(ctx context.Context, c *client.Client) ([]string, error) {
	list, err := c.Nodes(ctx, client.Local())
	found := make([]string, 0, len(list.Nodes))
	for _, n := range list.Nodes {
		found = append(found, string(n.Name))
	}
	return found, err
}

// settingNames are in the order of the documentation.
func settingNames() []string {
	defaults := registry.DefaultSettings()
	var found []string
	for _, s := range defaults.List() {
		found = append(found, s.Name)
	}
	return found
}

// settingValues are those of a setting that has only a few, and for others its
// default.
func settingValues(name string) []string {
	switch name {
	case "topic_separator":
		return []string{"/", "."}
	case "manager_is_logger":
		return []string{registry.ManagerIsLoggerAuto.String(), registry.ManagerIsLoggerTrue.String(), registry.ManagerIsLoggerFalse.String()}
	case "enable_round_robin_logging":
		return []string{"true", "false"}
	case "assignment":
		return []string{registry.AssignStable.String(), registry.AssignZeek.String()}
	}
	defaults := registry.DefaultSettings()
	for _, s := range defaults.List() {
		if s.Name == name {
			return []string{s.Value}
		}
	}
	return nil
}

// completeSettingNames suggests the names that were not given yet.
func completeSettingNames(_ *cobra.Command, args []string, prefix string) ([]string, cobra.ShellCompDirective) {
	return begins(without(settingNames(), args), prefix), cobra.ShellCompDirectiveNoFileComp
}

// completeSettings suggests name= and then name=value.
func completeSettings(_ *cobra.Command, _ []string, prefix string) ([]string, cobra.ShellCompDirective) {
	name, _, valued := strings.Cut(prefix, "=")
	var found []string
	if !valued {
		for _, n := range settingNames() {
			found = append(found, n+"=")
		}
		return begins(found, prefix), cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
	}
	for _, v := range settingValues(name) {
		found = append(found, name+"="+v)
	}
	return begins(found, prefix), cobra.ShellCompDirectiveNoFileComp
}
