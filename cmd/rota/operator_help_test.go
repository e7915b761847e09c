package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// operatorCommands are the commands that talk to the registry, by path.
func operatorCommands(t *testing.T) map[string]*cobra.Command {
	t.Helper()
	found := map[string]*cobra.Command{}
	root := newRoot(streams{in: strings.NewReader(""), out: &bytes.Buffer{}, err: &bytes.Buffer{}})
	for _, group := range []string{"pool", "hrw", "rr", "log-topic", "settings", "node", "liveness", "status", "bench"} {
		cmd, _, err := root.Find([]string{group})
		if err != nil {
			t.Fatal(err)
		}
		leaves(cmd, found)
	}
	return found
}

func leaves(cmd *cobra.Command, into map[string]*cobra.Command) {
	if !cmd.HasSubCommands() {
		into[cmd.CommandPath()] = cmd
	}
	for _, sub := range cmd.Commands() {
		leaves(sub, into)
	}
}

// TestExamplesWork types every example of the help at a cluster with the nodes
// of `rota dev`, each command's in a cluster of its own.
func TestExamplesWork(t *testing.T) {
	for path, cmd := range operatorCommands(t) {
		t.Run(path, func(t *testing.T) {
			t.Parallel()
			examples := strings.Split(strings.TrimSpace(cmd.Example), "\n")
			f := newFixture(t)
			named := false
			for _, line := range examples {
				args := words(t, strings.ReplaceAll(line, "127.0.0.1:7710", f.address))
				if len(args) == 0 || args[0] != "rota" {
					t.Fatalf("%q is no example: it begins with rota", line)
				}
				named = named || strings.HasPrefix(strings.TrimSpace(line)+" ", path+" ")
				if got := f.rota(withoutServer(args[1:])...); got.code != exitOK {
					t.Errorf("%s: exit code %d\n%s", line, got.code, got.stderr)
				}
			}
			if !named {
				t.Errorf("no example shows %s itself:\n%s", path, cmd.Example)
			}
		})
	}
}

// withoutServer leaves --server to the fixture, which lists each once.
func withoutServer(args []string) []string {
	var kept []string
	for i := 0; i < len(args); i++ {
		if args[i] == "--server" {
			i++
			continue
		}
		kept = append(kept, args[i])
	}
	return kept
}

// TestEveryCommandSaysWhatItCompletes keeps the shell from suggesting the files
// of the directory where a name belongs.
func TestEveryCommandSaysWhatItCompletes(t *testing.T) {
	for path, cmd := range operatorCommands(t) {
		if cmd.ValidArgsFunction == nil {
			t.Errorf("%s has no ValidArgsFunction: the shell would suggest files", path)
		}
		if cmd.Short == "" || cmd.Args == nil {
			t.Errorf("%s lacks a Short or Args", path)
		}
	}
}
