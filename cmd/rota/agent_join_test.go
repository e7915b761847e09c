package main

import (
	"context"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/hashicorp/go-hclog"

	"github.com/rota-registry/rota/registry"
	rotav1 "github.com/rota-registry/rota/rpc/gen/rota/v1"
	"github.com/rota-registry/rota/rpc/gen/rota/v1/rotav1connect"
)

// joined takes every node that joins, and notes its boot id and those that leave.
type joined struct {
	rotav1connect.UnimplementedNodeServiceHandler
	cluster string
	mu      sync.Mutex
	in, out []string
}

func (j *joined) JoinNode(_ context.Context, r *connect.Request[rotav1.JoinNodeRequest]) (*connect.Response[rotav1.JoinNodeResponse], error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.in = append(j.in, r.Msg.GetBootId())
	return connect.NewResponse(&rotav1.JoinNodeResponse{ClusterId: j.cluster, Index: 7}), nil
}

func (j *joined) LeaveNode(_ context.Context, r *connect.Request[rotav1.LeaveNodeRequest]) (*connect.Response[rotav1.LeaveNodeResponse], error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.out = append(j.out, r.Msg.GetBootId())
	return connect.NewResponse(&rotav1.LeaveNodeResponse{Index: 8}), nil
}

// seen gives the boot ids of the joins and of the goodbyes.
func (j *joined) seen() (in, out []string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.Clone(j.in), slices.Clone(j.out)
}

// serveHTTP2 serves on a free port, and gives its address.
func serveHTTP2(t *testing.T, handler http.Handler) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{Handler: handler, Protocols: new(http.Protocols), ReadHeaderTimeout: time.Minute}
	s.Protocols.SetUnencryptedHTTP2(true)
	go func() { _ = s.Serve(l) }()
	t.Cleanup(func() { _ = s.Close() })
	return l.Addr().String()
}

// A port that something else than rota has taken does not end an agent that has
// other servers to ask; one that has no other says so and ends.
func TestAnAgentJoinsPastAServerThatIsNotRota(t *testing.T) {
	mux := http.NewServeMux()
	mux.Handle(rotav1connect.NewNodeServiceHandler(&joined{cluster: "c"}))
	other, rota := serveHTTP2(t, http.NotFoundHandler()), serveHTTP2(t, mux)
	join := func(servers ...string) error {
		log := hclog.NewNullLogger()
		g := &agent{options: agentOptions{name: "w", nodeType: "worker", servers: servers}, log: log, silence: &silence{log: log}, attends: &attendance{log: log}}
		g.life.Name, g.life.Type, g.life.Boot, g.life.Address = "w", "worker", newBootID(), "127.0.0.1:9"
		if err := g.dial(servers); err != nil {
			t.Fatal(err)
		}
		defer func() { _ = g.close() }()
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		return g.join(ctx)
	}
	for range 8 { // each asks in an order of its own
		if err := join(other, rota); err != nil {
			t.Fatal(err)
		}
	}
	if err := join(other); registry.CodeOf(err) != registry.Unimplemented {
		t.Errorf("of no rota server: %v, want unimplemented", err)
	}
}

// An agent whose gossip does not start leaves no node behind that nobody is: it
// takes its join back. One that could tell before has not joined.
func TestAnAgentThatCannotStartIsNotInTheRegistry(t *testing.T) {
	run := func(cluster, advertise string) (in, out []string, err error) {
		nodes := &joined{cluster: cluster}
		mux := http.NewServeMux()
		mux.Handle(rotav1connect.NewNodeServiceHandler(nodes))
		log := hclog.NewNullLogger()
		g := &agent{log: log, silence: &silence{log: log}, attends: &attendance{log: log}}
		g.options = agentOptions{
			name: "w", nodeType: "worker", servers: []string{serveHTTP2(t, mux)}, gossip: "127.0.0.1:0", advertise: advertise, profile: "local",
		}
		g.life.Name, g.life.Type = "w", "worker"
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		err = g.run(ctx)
		in, out = nodes.seen()
		return in, out, err
	}
	long := strings.Repeat("c", 300) // longer than a label of the gossip may be
	if in, out, err := run(long, ""); err == nil || len(in) != 1 || !slices.Equal(in, out) {
		t.Errorf("it ended with %v; joined as %v, left as %v", err, in, out)
	}
	if in, out, err := run("c", "no..host"); err == nil || !strings.Contains(err.Error(), "--advertise") || len(in)+len(out) > 0 {
		t.Errorf("it ended with %v; joined as %v, left as %v", err, in, out)
	}
}
