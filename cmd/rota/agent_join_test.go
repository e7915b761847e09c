package main

import (
	"context"
	"net"
	"net/http"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/hashicorp/go-hclog"

	"github.com/rota-registry/rota/registry"
	rotav1 "github.com/rota-registry/rota/rpc/gen/rota/v1"
	"github.com/rota-registry/rota/rpc/gen/rota/v1/rotav1connect"
)

// joined takes every node that joins.
type joined struct {
	rotav1connect.UnimplementedNodeServiceHandler
}

func (joined) JoinNode(context.Context, *connect.Request[rotav1.JoinNodeRequest]) (*connect.Response[rotav1.JoinNodeResponse], error) {
	return connect.NewResponse(&rotav1.JoinNodeResponse{ClusterId: "c", Index: 7}), nil
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
	mux.Handle(rotav1connect.NewNodeServiceHandler(joined{}))
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
