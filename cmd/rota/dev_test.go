package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestAgentsAreCountedByType(t *testing.T) {
	cases := map[string]string{
		devAgentsDefault:   "manager worker-1 worker-2 proxy-1 proxy-2 logger-1 logger-2",
		"worker=3,proxy=2": "worker-1 worker-2 worker-3 proxy-1 proxy-2",
		"manager=2":        "manager-1 manager-2",
		"worker=0":         "",
		"my_type=1":        "my_type-1",
	}
	for flag, want := range cases {
		nodes, err := parseAgents(strings.Split(flag, ","))
		var names []string
		for _, n := range nodes {
			names = append(names, n.name)
		}
		if got := strings.Join(names, " "); err != nil || got != want {
			t.Errorf("--agents %s gives %q, %v; want %q", flag, got, err, want)
		}
	}
}

func TestEveryBadCountOfAgentsIsNamed(t *testing.T) {
	_, err := parseAgents([]string{"worker", "proxy=x", "Logger=1", "worker=101", "proxy=1", "proxy=1", "=2"})
	if err == nil {
		t.Fatal("nonsense was taken")
	}
	for _, want := range []string{
		`"worker": want TYPE=COUNT`, `"proxy=x": count "x"`, `node type "Logger"`, `"worker=101": count "101"`,
		`"proxy=1": type proxy is given twice`, `"=2": node type is empty`,
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error does not say %q:\n%v", want, err)
		}
	}
	if _, err := parseAgents([]string{"worker=60", "proxy=40"}); err != nil {
		t.Errorf("as many as are allowed: %v", err)
	}
	if _, err := parseAgents([]string{"worker=60", "proxy=41"}); err == nil {
		t.Error("one more than allowed was taken")
	}
}

func TestTheBasePortLeavesRoomForAllOthers(t *testing.T) {
	for port, want := range map[int]bool{0: false, -1: false, 1: true, devPortMax: true, devPortMax + 1: false} {
		o := devOptions{port: port, agents: []string{"worker=1"}}
		if got := len(o.faults()) == 0; got != want {
			t.Errorf("--port %d allowed: %v, want %v", port, got, want)
		}
	}
}

func TestATakenPortIsNamedWithItsOwnerBeforeAnythingStarts(t *testing.T) {
	base, other := freeBase(t)
	l, err := net.Listen("tcp", other)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	dir := t.TempDir()
	got := runLine(t, "dev", "--port", fmt.Sprint(base), "--data-dir", filepath.Join(dir, "data"))
	if got.code != exitFailed {
		t.Errorf("ends with %d, want 1", got.code)
	}
	for _, want := range []string{other, fmt.Sprintf("process %d", os.Getpid()), "--port"} {
		if !strings.Contains(got.err, want) {
			t.Errorf("the error does not say %q: %s", want, got.err)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "data")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the data directory was made before the ports were seen: %v", err)
	}
}

// freeBase gives a base whose ports are free, and the address of one of them.
func freeBase(t *testing.T) (base int, other string) {
	t.Helper()
	for base := 21000; base < 30000; base += 100 {
		if checkPorts(base) == nil {
			return base, loopback(base + 2*devPortStep + 1)
		}
	}
	t.Fatal("no free ports")
	return 0, ""
}

func TestACommandLineStartsTheSameChildByHand(t *testing.T) {
	specs := append(planReplicas(7700, "/tmp/it's here", nil), planAgents(7700, []devNode{{"proxy-1", "proxy"}}, nil)...)
	want := []string{
		`rota server --name r1 --data-dir '/tmp/it'\''s here/r1' --api 127.0.0.1:7700 --raft 127.0.0.1:7701 --gossip 127.0.0.1:7702 ` +
			`--replicas 127.0.0.1:7700,127.0.0.1:7710,127.0.0.1:7720 --gossip-profile local`,
		`rota agent --name proxy-1 --type proxy --servers 127.0.0.1:7700,127.0.0.1:7710,127.0.0.1:7720 --gossip 127.0.0.1:0 --gossip-profile local`,
	}
	for i, spec := range []childSpec{specs[0], specs[3]} {
		if got := spec.commandLine("rota"); got != want[i] {
			t.Errorf("got  %s\nwant %s", got, want[i])
		}
		if _, err := settled(t, spec.args...); err != nil {
			t.Errorf("%s does not take its own command line: %v", spec.name, err)
		}
	}
}

func TestChildrenTakeNothingFromTheParentsConfiguration(t *testing.T) {
	got := childEnvironment([]string{"HOME=/root", "ROTA_NAME=x", "ROTA_HEARTBEAT=9s", "PATH=/bin"})
	if want := []string{"HOME=/root", "PATH=/bin", "ROTA_ENDS_WITH_STDIN=1"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestTheProgramIsNamedShortOnlyIfTheShellFindsIt(t *testing.T) {
	exe := filepath.Join(t.TempDir(), "rota")
	if err := os.WriteFile(exe, nil, 0o700); err != nil {
		t.Fatal(err)
	}
	finds := func(path string, err error) func(string) (string, error) {
		return func(string) (string, error) { return path, err }
	}
	if got := programName(exe, finds(exe, nil)); got != "rota" {
		t.Errorf("found in the path: %s", got)
	}
	if got := programName(exe, finds("/usr/bin/env", nil)); got != exe {
		t.Errorf("another one in the path: %s", got)
	}
	if got := programName(exe, finds("", errors.New("none"))); got != exe {
		t.Errorf("none in the path: %s", got)
	}
}
