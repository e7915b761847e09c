package main

import (
	"strings"

	"github.com/spf13/cobra"
)

// strictBuiltins makes cobra's own commands, help and completion, refuse what
// they do not know: cobra's answer a mistyped word with a text and exit code 0.
func strictBuiltins(root *cobra.Command) {
	root.SetHelpCommand(newHelpCommand())
	root.InitDefaultCompletionCmd()
	for _, cmd := range root.Commands() {
		if cmd.Name() == "completion" {
			cmd.Args, cmd.RunE = cobra.ArbitraryArgs, wantVerb
		}
	}
}

func newHelpCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "help [COMMAND]",
		Short: "Show what a command does and which flags it has",
		Example: `  rota help
  rota help pool register`,
		ValidArgsFunction: completeCommands,
		RunE: func(cmd *cobra.Command, args []string) error {
			found, rest, err := cmd.Root().Find(args)
			if err != nil || found == nil || len(rest) > 0 {
				return usagef("help: there is no command %q", strings.Join(args, " "))
			}
			found.InitDefaultHelpFlag()
			return found.Help()
		},
	}
}

// completeCommands suggests the commands below the one that was typed so far.
func completeCommands(cmd *cobra.Command, args []string, prefix string) ([]string, cobra.ShellCompDirective) {
	above, rest, err := cmd.Root().Find(args)
	if err != nil || len(rest) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var found []string
	for _, sub := range above.Commands() {
		if sub.IsAvailableCommand() {
			found = append(found, sub.Name()+"\t"+sub.Short)
		}
	}
	return begins(found, prefix), cobra.ShellCompDirectiveNoFileComp
}
