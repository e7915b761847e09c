package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/spf13/cobra"

	"github.com/rota-registry/rota/registry"
)

// How a command is made: a constructor newXCommand(a *app) *cobra.Command in a
// file of its own, listed in newRoot. It uses RunE, reads a.in, writes data to
// a.out and talk to a.err, and returns errors instead of printing them: run
// prints them once, and exit.go makes the exit code of them. usagef makes a
// usage error (2), exitWith one with another code (nothingEligible is 6);
// registry's coded errors map by themselves. What cobra refuses before RunE
// (flags, arguments) is a usage error without further ado. A command that only
// holds others is made by newGroup. a.dial gives a client of the replicas of
// --server, a.deadline a context that ends after --timeout, and a.format is
// formatTable or formatJSON; a.logger is for processes that stay.
//
// Flags of all commands are also read from ROTA_* and the configuration file;
// flags of one command only if it is marked by configured (config.go).

// streams are where a command reads from and writes to.
type streams struct {
	in       io.Reader
	out, err io.Writer
}

// Formats of what the operator's commands print.
const (
	formatTable = "table"
	formatJSON  = "json"
)

// Names of log formats.
const (
	logText = "text"
	logJSON = "json"
)

const logLevelDefault = "info"

// apiDefault is where a replica of this machine answers.
const apiDefault = "127.0.0.1:7700"

// app is what all commands share: the streams, and the flags that every
// command has. The flags are settled when a command's RunE begins.
type app struct {
	streams
	configFile string
	// servers are the API addresses of replicas, host:port each, at least one.
	servers []string
	// timeout bounds one request to the registry.
	timeout   time.Duration
	format    string
	logLevel  string
	logFormat string

	// checks say what is wrong with a command's own flags, once they are
	// settled, so that all faults are reported together.
	checks map[*cobra.Command]func() []error
	// running says that a RunE has begun: errors before that are the usage's.
	running bool
}

// newRoot makes the whole tree of commands.
func newRoot(io streams) *cobra.Command {
	root, _ := newTree(io)
	return root
}

func newTree(io streams) (*cobra.Command, *app) {
	a := &app{streams: io, checks: map[*cobra.Command]func() []error{}}
	root := &cobra.Command{
		Use:               "rota",
		Short:             "A registry of pools of cluster nodes that gives Zeek's answers from any replica",
		SilenceErrors:     true,
		SilenceUsage:      true,
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error { return a.settle(cmd) },
	}
	root.SetIn(io.in)
	root.SetOut(io.out)
	root.SetErr(io.err)
	a.addFlags(root)
	root.AddCommand(commands(a)...)
	completeShared(root)
	strictBuiltins(root)
	a.mark(root)
	return root, a
}

// commands are the constructors of all commands, in the order of the help.
func commands(a *app) []*cobra.Command {
	return []*cobra.Command{
		newServerCommand(a),
		newAgentCommand(a),
		newDevCommand(a),
		newStatusCommand(a),
		newHrwCommand(a),
		newRrCommand(a),
		newLogTopicCommand(a),
		newPoolCommand(a),
		newNodeCommand(a),
		newLivenessCommand(a),
		newSettingsCommand(a),
		newBenchCommand(a),
		newVersionCommand(a),
	}
}

func (a *app) addFlags(root *cobra.Command) {
	f := root.PersistentFlags()
	f.StringVar(&a.configFile, "config", "", "YAML file with flags as keys; ROTA_* variables and flags go before it")
	f.StringSliceVar(&a.servers, "server", []string{apiDefault}, "API addresses of replicas to ask, host:port[,…]")
	f.DurationVar(&a.timeout, "timeout", time.Duration(registry.DeadlineDefault)*time.Millisecond, "how long to wait for an answer, at most 30s")
	f.StringVarP(&a.format, "output", "o", formatTable, "what to print: table or json")
	f.StringVar(&a.logLevel, "log-level", logLevelDefault, "least level to log: trace, debug, info, warn, error or off")
	f.StringVar(&a.logFormat, "log-format", logText, "how to log: text or json")
}

// mark wraps every RunE, so that run knows on which side of it an error arose.
func (a *app) mark(cmd *cobra.Command) {
	if inner := cmd.RunE; inner != nil {
		cmd.RunE = func(cmd *cobra.Command, args []string) error {
			a.running = true
			return inner(cmd, args)
		}
	}
	for _, sub := range cmd.Commands() {
		a.mark(sub)
	}
}

// settle fills in the flags that were not given, and reports every fault of
// the configuration at once.
func (a *app) settle(cmd *cobra.Command) error {
	faults := a.configure(cmd)
	faults = append(faults, a.faults()...)
	if check := a.checks[cmd]; check != nil {
		faults = append(faults, check()...)
	}
	if len(faults) == 0 {
		return nil
	}
	return &usageError{err: errors.Join(faults...)}
}

// faults are what is wrong with the flags that all commands share.
func (a *app) faults() []error {
	var faults []error
	if a.format != formatTable && a.format != formatJSON {
		faults = append(faults, fmt.Errorf("--output %q is unknown: use table or json", a.format))
	}
	if a.logFormat != logText && a.logFormat != logJSON {
		faults = append(faults, fmt.Errorf("--log-format %q is unknown: use text or json", a.logFormat))
	}
	if hclog.LevelFromString(a.logLevel) == hclog.NoLevel {
		faults = append(faults, fmt.Errorf("--log-level %q is unknown: use trace, debug, info, warn, error or off", a.logLevel))
	}
	if most := time.Duration(registry.DeadlineMax) * time.Millisecond; a.timeout <= 0 || a.timeout > most {
		faults = append(faults, fmt.Errorf("--timeout %v: give more than 0s and at most %v", a.timeout, most))
	}
	return append(faults, serverFaults("--server", a.servers)...)
}

// serverFaults says which addresses of a list of replicas nobody can dial.
func serverFaults(flag string, servers []string) []error {
	if len(servers) == 0 {
		return []error{fmt.Errorf("%s is empty: give the API address of at least one replica, host:port", flag)}
	}
	var faults []error
	for _, server := range servers {
		if err := dialable(server); err != nil {
			faults = append(faults, fmt.Errorf("%s: %w", flag, err))
		}
	}
	return faults
}

// logger makes the log of a process that stays, on stderr.
func (a *app) logger(name string) hclog.Logger {
	return hclog.New(&hclog.LoggerOptions{
		Name:       name,
		Output:     a.err,
		Level:      hclog.LevelFromString(a.logLevel),
		JSONFormat: a.logFormat == logJSON,
	})
}

// newGroup makes a command that does nothing but hold others.
func newGroup(use, short string, subs ...*cobra.Command) *cobra.Command {
	group := &cobra.Command{Use: use, Short: short, RunE: wantVerb}
	group.AddCommand(subs...)
	return group
}

// wantVerb refuses a group that came without one of its commands.
func wantVerb(group *cobra.Command, args []string) error {
	var names []string
	for _, sub := range group.Commands() {
		if sub.IsAvailableCommand() {
			names = append(names, sub.Name())
		}
	}
	slices.Sort(names)
	if len(args) > 0 {
		return usagef("%s %q is unknown%s: use %s", commandName(group), args[0], meant(group, args[0]), strings.Join(names, ", "))
	}
	return usagef("%s does nothing alone: use %s", commandName(group), strings.Join(names, ", "))
}

// meant names the verb that was probably meant, if there is one.
func meant(group *cobra.Command, typed string) string {
	group.SuggestionsMinimumDistance = 2 // as cobra's own
	if near := group.SuggestionsFor(typed); len(near) > 0 {
		return fmt.Sprintf(" (did you mean %s?)", strings.Join(near, " or "))
	}
	return ""
}

// run executes one command line and gives its exit code; it prints the error,
// if there is one, on stderr.
func run(ctx context.Context, args []string, io streams) exitCode {
	root, a := newTree(io)
	root.SetArgs(args)
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil {
		return exitOK
	}
	code := exitCodeOf(err)
	if !a.running {
		code = exitUsage
	}
	a.complain(cmd, code, err)
	return code
}

// complain says what went wrong, a line for each fault.
func (a *app) complain(cmd *cobra.Command, code exitCode, err error) {
	for line := range strings.SplitSeq(strings.TrimRight(err.Error(), "\n"), "\n") {
		if line != "" {
			fmt.Fprintf(a.err, "rota: %s\n", line)
		}
	}
	if code == exitUsage {
		fmt.Fprintf(a.err, "rota: see %s --help\n", cmd.CommandPath())
	}
}
