package main

import (
	"net"
	"strings"
	"testing"

	"github.com/rota-registry/rota/registry"
)

// TestExitCodesTellWhatBecameOfIt holds the contract with scripts, a code a
// class. stdout is data alone: whatever fails leaves it empty.
func TestExitCodesTellWhatBecameOfIt(t *testing.T) {
	for _, c := range []struct {
		name   string
		refuse error
		line   string
		code   exitCode
		stderr string
	}{
		{"an answer", nil, "hrw worker foobar", exitOK, ""},
		{"a log's own topic is an answer", nil, "log-topic Conn::LOG conn", exitOK, ""},
		{"refused by the state", nil, "pool register worker --type proxy", exitFailed, "another spec"},
		{"refused by a limit", registry.Errorf(registry.Limit, "there are 1000 pools"), "pool register x --type worker", exitFailed, "1000 pools"},
		{"a bug", registry.Errorf(registry.Internal, "broken"), "pool list", exitFailed, "broken"},
		{"not in this release", registry.Errorf(registry.Unimplemented, "not yet"), "pool list", exitFailed, "not yet"},
		{"never right", nil, "node add w --type 'Not a type'", exitUsage, "Not a type"},
		{"a pool that is not there", nil, "pool show nope", exitNotFound, `pool "nope"`},
		{"a node that is not there", nil, "node show nope", exitNotFound, `node "nope"`},
		{"no leader for a write", registry.ErrUnavailable, "rr worker", exitUnreachable, `rr of pool "worker"`},
		{"no leader for a read", registry.ErrUnavailable, "hrw worker foobar", exitUnreachable, `hrw of pool "worker"`},
		{"too late for a write", registry.Errorf(registry.Deadline, "no time"), "rr worker", exitDeadline, "no answer"},
		{"too late for a read", registry.Errorf(registry.Deadline, "no time"), "pool list", exitDeadline, "no answer"},
		{"no leader to ask about liveness", registry.ErrUnavailable, "liveness show", exitUnreachable, "show liveness"},
		{"no leader to thaw", registry.ErrUnavailable, "liveness thaw worker", exitUnreachable, `thaw liveness "worker"`},
		{"what cannot be a type", nil, "liveness thaw 'Not a type'", exitUsage, "Not a type"},
		{"nobody eligible", nil, "hrw none foobar", exitNobody, `pool "none"`},
		{"no turn", nil, "rr none", exitNobody, `pool "none"`},
		{"a turn that may have been taken", registry.Errorf(registry.OutcomeUnknown, "who knows"), "rr worker", exitUnknown, "may or may not"},
		{"a rebalance that may have been done", registry.Errorf(registry.OutcomeUnknown, "who knows"), "pool rebalance", exitUnknown, "may or may not"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			none := uint32(0)
			f.replica.must(t, registry.RegisterPool{Spec: registry.Spec{Name: "none", NodeType: registry.Worker, MaxNodes: &none}})
			f.replica.mark(c.refuse)
			got := f.rota(append([]string{"--timeout", "1s"}, words(t, c.line)...)...)
			if got.code != c.code || !strings.Contains(got.stderr, c.stderr) {
				t.Errorf("rota %s: exit code %d, want %d; stderr, which should have %q:\n%s", c.line, got.code, c.code, c.stderr, got.stderr)
			}
			if got.code != exitOK && got.stdout != "" {
				t.Errorf("rota %s failed with data on stdout:\n%s", c.line, got.stdout)
			}
		})
	}
}

// TestUnreachableReplicasAreNamed takes a port that nobody listens on.
func TestUnreachableReplicasAreNamed(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{"status", "pool list", "rr worker", "node drain worker-1", "settings get"} {
		got := typeAt(t, append([]string{"--server", address, "--timeout", "200ms"}, words(t, line)...)...)
		if got.code != exitUnreachable || !strings.Contains(got.stderr, address) || got.stdout != "" {
			t.Errorf("rota %s: exit code %d, want %d; stderr should name %s:\n%s", line, got.code, exitUnreachable, address, got.stderr)
		}
	}
}

// TestAnotherReplicaIsAsked lists a dead one first.
func TestAnotherReplicaIsAsked(t *testing.T) {
	f := newFixture(t)
	got := typeAt(t, "--server", "127.0.0.1:1,"+f.address, "hrw", "worker", "foobar")
	if got.code != exitOK || got.stdout != "zeek/cluster/node/worker-1/\n" {
		t.Errorf("exit code %d, stdout %q, stderr %q", got.code, got.stdout, got.stderr)
	}
}

// TestMistypedWordsAreUsageErrors is about cobra's own commands, whose answer
// would be a text and exit code 0.
func TestMistypedWordsAreUsageErrors(t *testing.T) {
	for line, want := range map[string]string{
		"nosuch":                  "nosuch",
		"help nosuch":             "nosuch",
		"help pool nosuch":        "pool nosuch",
		"completion nosuch":       "nosuch",
		"completion":              "bash, fish, powershell, zsh",
		"completion bash more":    "more",
		"pool list --nosuch":      "--nosuch",
		"hrw worker x --explian":  "--explian",
		"node undrain a b":        `"b"`,
		"pool rebalance --dryrun": "--dryrun",
	} {
		got := typeAt(t, words(t, line)...)
		if got.code != exitUsage || !strings.Contains(got.stderr, want) || got.stdout != "" {
			t.Errorf("rota %s: exit code %d, want %d; stderr should have %q:\n%s%s", line, got.code, exitUsage, want, got.stderr, got.stdout)
		}
	}
}

func TestHelpGoesToStdout(t *testing.T) {
	for _, line := range []string{"help", "help pool register", "pool register --help", "hrw -h"} {
		got := typeAt(t, words(t, line)...)
		if got.code != exitOK || !strings.Contains(got.stdout, "Usage:") || got.stderr != "" {
			t.Errorf("rota %s: exit code %d, stderr %q, stdout:\n%s", line, got.code, got.stderr, got.stdout)
		}
	}
}
