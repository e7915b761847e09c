package main

import (
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"

	"github.com/rota-registry/rota/registry"
)

// TestOperatorCommandsReadLikeThis holds what operators see, command by
// command: a directive rota with a command line on the line below it, answered
// by its stdout, its stderr behind "! ", and its exit code if that is not 0.
// Each file is a cluster of its own; -rewrite writes the answers anew.
//
//	dies NAME          the node's process is gone
//	follower NAME lag=N | unreachable | no-vote
//	leaderless         nobody leads any more
//	warns TEXT         a warning of the replica's
//	freezes TYPE NODE… so many nodes of a type were lost that it is frozen
//	holds NODE         a node flaps and is held back
func TestOperatorCommandsReadLikeThis(t *testing.T) {
	datadriven.Walk(t, "testdata/operator", func(t *testing.T, path string) {
		f := newFixture(t)
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			if d.Cmd == "rota" {
				return f.tell(words(t, d.Input))
			}
			f.happen(t, d)
			return ""
		})
	})
}

// tell types a line and makes one text of what it brought, without what
// differs from machine to machine.
func (f *fixture) tell(args []string) string {
	got := f.rota(args...)
	var out strings.Builder
	out.WriteString(got.stdout)
	for line := range strings.Lines(got.stderr) {
		out.WriteString("! " + line)
	}
	if got.code != exitOK {
		out.WriteString("exit " + decimal(got.code) + "\n")
	}
	return strings.NewReplacer(operator(), "OPERATOR", f.address, "SERVER").Replace(out.String())
}

// happen does what no command does.
func (f *fixture) happen(t *testing.T, d *datadriven.TestData) {
	t.Helper()
	s := f.replica
	switch d.Cmd {
	case "dies":
		node, err := s.state.Node(registry.NodeName(d.CmdArgs[0].Key))
		if err != nil {
			d.Fatalf(t, "%v", err)
		}
		s.must(t, registry.ReportLiveness{By: "r1", Changes: []registry.Liveness{{
			Name: node.Name, Boot: node.Boot, State: registry.Failed, Since: node.Since, Reason: "gossip lost it",
		}}})
	case "follower":
		var lag int
		d.MaybeScanArgs(t, "lag", &lag)
		other := registry.Greeting{
			Replica: registry.Replica{Name: registry.ReplicaName(d.CmdArgs[0].Key), API: "127.0.0.1:7710"}, Role: "follower",
			Voter: !d.HasArg("no-vote"), Applied: s.index - registry.Index(lag), Committed: s.index, Version: "1.0.0",
		}
		if d.HasArg("unreachable") {
			other = registry.Greeting{Replica: other.Replica, Role: "unreachable", Voter: true}
		}
		s.others = append(s.others, other)
	case "leaderless":
		s.leader = ""
	case "warns":
		s.warnings = append(s.warnings, strings.TrimPrefix(d.FullCmd(), "warns "))
	case "freezes":
		frozen := registry.FrozenType{Type: registry.NodeType(d.CmdArgs[0].Key), For: 12_300, Of: 2}
		for _, node := range d.CmdArgs[1:] {
			frozen.Lost = append(frozen.Lost, registry.NodeName(node.Key))
		}
		s.liveness.Frozen = append(s.liveness.Frozen, frozen)
	case "holds":
		name := registry.NodeName(d.CmdArgs[0].Key)
		typ, _, _ := strings.Cut(string(name), "-")
		s.liveness.Held = append(s.liveness.Held, registry.HeldNode{Name: name, Type: registry.NodeType(typ), For: 61_000, Failures: 3})
	default:
		d.Fatalf(t, "%q is no directive", d.Cmd)
	}
}
