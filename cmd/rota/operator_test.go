package main

import (
	"bytes"
	"context"
	"fmt"
	"iter"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rota-registry/rota/registry"
	"github.com/rota-registry/rota/rpc/server"
)

// solo is a replica at the edge: the real state under the real API, with a log
// that is a counter. Its entries all have one wall time, so that output can be
// compared.
type solo struct {
	mu    sync.Mutex
	state *registry.State
	index registry.Index
	reads int // how often it was asked
	// refuse is what writes and reads fail with, if anything; sessions are
	// opened all the same, so that it is the turn itself that fails.
	refuse error
	// others are what Status says besides this replica.
	others   []registry.Greeting
	leader   registry.ReplicaName
	warnings []string
	liveness registry.LivenessReport
}

// soloWall is 2025-11-22T22:00:00Z.
const soloWall = registry.Millis(1_763_848_800_000)

func newSolo() *solo { return &solo{state: registry.NewState(), leader: "r1"} }

func (s *solo) here() registry.Position { return registry.Position{Index: s.index, Term: 1} }

func (s *solo) Propose(_ context.Context, cmd registry.Command) (registry.Result, registry.Position, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, session := cmd.(registry.OpenSession); s.refuse != nil && !session {
		return registry.Result{}, registry.Position{}, s.refuse
	}
	s.index++
	result, err := s.state.Apply(registry.Stamp{Index: s.index, Term: 1, Clock: registry.Millis(s.index), Wall: soloWall}, cmd)
	return result, s.here(), err
}

func (s *solo) Read(context.Context, registry.ReadOptions) (*registry.View, registry.ReadInfo, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reads++
	if s.refuse != nil {
		return nil, registry.ReadInfo{}, s.refuse
	}
	view := s.state.View
	return &view, registry.ReadInfo{Position: s.here(), Age: 120}, nil
}

func (s *solo) Cursors(ctx context.Context, options registry.ReadOptions, pool registry.PoolName) ([]registry.Cursor, *registry.View, registry.ReadInfo, error) {
	view, info, err := s.Read(ctx, options)
	if err != nil {
		return nil, nil, info, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	cursors, err := s.state.Cursors(pool)
	return cursors, view, info, err
}

func (s *solo) Watch(context.Context, registry.PoolName, registry.Epoch) iter.Seq2[registry.PoolEvent, error] {
	return func(yield func(registry.PoolEvent, error) bool) { yield(registry.PoolEvent{}, registry.ErrUnavailable) }
}

func (s *solo) Join(ctx context.Context, node registry.JoinNode) (registry.Admission, registry.Position, error) {
	_, at, err := s.Propose(ctx, node)
	return registry.Admission{ClusterID: soloCluster}, at, err
}

const soloCluster registry.ClusterID = "0123456789abcdef0123456789abcdef"

func (s *solo) Status(context.Context) registry.ClusterStatus {
	s.mu.Lock()
	defer s.mu.Unlock()
	role := "follower"
	if s.leader == "r1" {
		role = "leader"
	}
	self := registry.Greeting{
		Replica: registry.Replica{Name: "r1", API: "127.0.0.1:7700"}, Role: role, Voter: true,
		Applied: s.index, Committed: s.index, Version: "1.0.0",
	}
	return registry.ClusterStatus{Leader: s.leader, Term: 1, Replicas: append([]registry.Greeting{self}, s.others...), Warnings: s.warnings}
}

func (s *solo) Leader() string { return "" }

func (s *solo) Self() registry.Greeting {
	return registry.Greeting{ClusterID: soloCluster, Ready: true}
}

func (s *solo) Hello(context.Context, registry.Greeting) (registry.Greeting, error) {
	return s.Self(), nil
}

func (s *solo) CurrentTerm(context.Context, registry.ReplicaName) (registry.Term, error) {
	return 1, nil
}
func (s *solo) ReadIndex(context.Context) (registry.Index, error) { return s.here().Index, nil }
func (s *solo) Forward(context.Context, []byte) ([]byte, registry.Position, error) {
	return nil, registry.Position{}, registry.ErrUnavailable
}

func (s *solo) SeesNodes(_ context.Context, lives []registry.Life, _ bool) []registry.Sight {
	return make([]registry.Sight, len(lives))
}
func (s *solo) NodesBroke(context.Context, []registry.Life) error { return registry.ErrUnavailable }
func (s *solo) ConnectionBroke(registry.Life)                     {}

func (s *solo) OwnLiveness(thaw bool, t registry.NodeType) (registry.LivenessReport, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.refuse != nil {
		return registry.LivenessReport{}, s.refuse
	}
	report := s.liveness
	report.Leader = s.leader
	if thaw {
		s.liveness.Frozen = slices.DeleteFunc(slices.Clone(report.Frozen), func(f registry.FrozenType) bool { return t == "" || f.Type == t })
	}
	return report, nil
}

func (s *solo) Liveness(_ context.Context, thaw bool, t registry.NodeType) (registry.LivenessReport, error) {
	return s.OwnLiveness(thaw, t)
}

// must applies a command that cannot fail.
func (s *solo) must(t *testing.T, cmd registry.Command) {
	t.Helper()
	if _, _, err := s.Propose(t.Context(), cmd); err != nil {
		t.Fatalf("%T: %v", cmd, err)
	}
}

// mark makes the replica fail with err from now on.
func (s *solo) mark(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refuse = err
}

// fixture is a cluster to type commands at.
type fixture struct {
	t       *testing.T
	replica *solo
	address string
}

// newFixture serves a cluster with the nodes of `rota dev`, all alive.
func newFixture(t *testing.T) *fixture {
	t.Helper()
	replica := newSolo()
	for i, name := range []string{"manager", "worker-1", "worker-2", "proxy-1", "proxy-2", "logger-1", "logger-2"} {
		typ, _, _ := strings.Cut(name, "-")
		replica.must(t, registry.JoinNode{
			Name: registry.NodeName(name), Type: registry.NodeType(typ), Address: fmt.Sprintf("127.0.0.1:%d", 7800+i),
			Boot: registry.BootID(fmt.Sprintf("%016x", i+1)), By: "agent",
		})
	}
	api, err := server.New(server.Options{Replica: replica, Name: "r1"})
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- api.Serve(listener) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := api.Shutdown(ctx); err != nil {
			t.Errorf("shutdown: %v", err)
		}
		if err := <-served; err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	return &fixture{t: t, replica: replica, address: listener.Addr().String()}
}

// typed is what one command line brought.
type typed struct {
	stdout, stderr string
	code           exitCode
}

// rota types a command line at the fixture's replica. The server comes first:
// what follows a -- is no flag.
func (f *fixture) rota(args ...string) typed {
	f.t.Helper()
	return typeAt(f.t, append([]string{"--server", f.address}, args...)...)
}

func typeAt(t *testing.T, args ...string) typed {
	t.Helper()
	var stdout, stderr bytes.Buffer
	code := run(t.Context(), args, streams{in: strings.NewReader(""), out: &stdout, err: &stderr})
	return typed{stdout: stdout.String(), stderr: stderr.String(), code: code}
}

// words splits a command line as a shell does, as far as single quotes go.
func words(t *testing.T, line string) []string {
	t.Helper()
	var list []string
	var word strings.Builder
	quoted, begun := false, false
	for _, r := range line {
		switch {
		case r == '\'':
			quoted, begun = !quoted, true
		case r == ' ' && !quoted:
			if begun {
				list = append(list, word.String())
			}
			word.Reset()
			begun = false
		default:
			word.WriteRune(r)
			begun = true
		}
	}
	if quoted {
		t.Fatalf("%s: a quote is open", line)
	}
	if begun {
		list = append(list, word.String())
	}
	return list
}
