package server_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"github.com/rota-registry/rota/registry"
	rotav1 "github.com/rota-registry/rota/rpc/gen/rota/v1"
	"github.com/rota-registry/rota/rpc/server"
)

// watchGRPC opens a stream at the port of gRPC.
func watchGRPC(t testing.TB, conn *grpc.ClientConn, pool string) (next func() (*rotav1.WatchResponse, error)) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	stream, err := conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, "/rota.v1.RegistryService/Watch")
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(stream.SendMsg(&rotav1.WatchRequest{Pool: pool}), stream.CloseSend()); err != nil {
		t.Fatal(err)
	}
	return func() (*rotav1.WatchResponse, error) {
		event := new(rotav1.WatchResponse)
		return event, stream.RecvMsg(event)
	}
}

func TestWatchOverGRPC(t *testing.T) {
	m := withNodes(t)
	conn, _ := dialGRPC(t, server.Options{Replica: m})
	next := watchGRPC(t, conn, "proxy")
	if got, err := next(); err != nil || len(got.GetPool().GetMembers()) != 2 || got.GetIndex() != 13 || got.GetServedBy() != "r1" || got.GetAgeMs() != 17 {
		t.Errorf("got %v, %v", got, err)
	}
	m.do(t, registry.DrainNode{Name: "proxy-1", Draining: true})
	if got, err := next(); err != nil || got.GetChange().GetFromEpoch() != 12 || got.GetChange().GetPool().GetEpoch() != 14 {
		t.Errorf("got %v, %v", got, err)
	}
	if _, err := watchGRPC(t, conn, "nowhere")(); status.Code(err) != codes.NotFound {
		t.Errorf("a pool that is not there: %v", err)
	}
}

// Like at the other port, who takes nothing is cut off, and frees its slot.
func TestWatcherOverGRPCThatTakesNothingIsCutOff(t *testing.T) {
	f := flood{withNodes(t), make(chan int, 1)}
	for i := range 500 {
		f.do(t, registry.AddNode{Name: registry.NodeName(fmt.Sprintf("n%d", i)), Type: "worker"})
	}
	conn, s := dialGRPC(t, server.Options{Replica: f})
	s.Hurry(time.Minute, time.Minute, 200*time.Millisecond)
	next := watchGRPC(t, conn, "worker")
	select {
	case n := <-f.told:
		t.Logf("it took %d pools", n)
	case <-time.After(10 * time.Second):
		t.Fatal("it is still told")
	}
	for {
		if _, err := next(); err != nil {
			break
		}
	}
	nodes := new(rotav1.ListNodesResponse)
	if err := conn.Invoke(t.Context(), "/rota.v1.NodeService/ListNodes", &rotav1.ListNodesRequest{}, nodes); err != nil || len(nodes.GetNodes()) != 503 {
		t.Errorf("on the same connection: %d nodes, %v", len(nodes.GetNodes()), err)
	}
}

// silent opens a stream without a request, which the replica has seen then.
func silent(t *testing.T, conn *grpc.ClientConn) grpc.ClientStream {
	t.Helper()
	stream, err := conn.NewStream(t.Context(), &grpc.StreamDesc{ServerStreams: true}, "/rota.v1.RegistryService/Watch")
	if err != nil {
		t.Fatal(err)
	}
	if err := conn.Invoke(t.Context(), "/rota.v1.NodeService/ListNodes", &rotav1.ListNodesRequest{}, new(rotav1.ListNodesResponse)); err != nil {
		t.Fatal(err)
	}
	return stream
}

// Who asks for nothing takes no slot, and is cut off like at the other port.
func TestStreamsWithoutARequestOverGRPC(t *testing.T) {
	conn, s := dialGRPC(t, server.Options{Replica: withNodes(t)})
	s.Hurry(time.Second, time.Minute, time.Minute)
	defer s.LeaveRoomForWatchers(1)()
	stream := silent(t, conn)
	if _, err := watchGRPC(t, conn, "proxy")(); err != nil {
		t.Errorf("there is no room: %v", err)
	}
	ended := make(chan error, 1)
	go func() { ended <- stream.RecvMsg(new(rotav1.WatchResponse)) }()
	select {
	case err := <-ended:
		if status.Code(err) != codes.DeadlineExceeded {
			t.Errorf("it ended with %v", err)
		}
	case <-time.After(10 * time.Second):
		t.Error("it is still waited for")
	}
}

func TestShutdownEndsStreamsWithoutARequestOverGRPC(t *testing.T) {
	conn, s := dialGRPC(t, server.Options{Replica: withNodes(t)})
	stream := silent(t, conn)
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if err := s.Shutdown(ctx); err != nil {
		t.Error(err)
	}
	if err := stream.RecvMsg(new(rotav1.WatchResponse)); status.Code(err) != codes.Unavailable || !strings.Contains(err.Error(), "watch at another") {
		t.Errorf("it ended with %v", err)
	}
}

func TestShutdownEndsStreamsOverGRPC(t *testing.T) {
	conn, s := dialGRPC(t, server.Options{Replica: withNodes(t)})
	next := watchGRPC(t, conn, "proxy")
	if _, err := next(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if err := s.Shutdown(ctx); err != nil {
		t.Error(err)
	}
	if _, err := next(); status.Code(err) != codes.Unavailable || !strings.Contains(err.Error(), "watch at another") {
		t.Errorf("it ended with %v", err)
	}
}

// The slots are the same at both ports.
func TestWatchersOverGRPCAreBounded(t *testing.T) {
	m := withNodes(t)
	conn, _ := dialGRPC(t, server.Options{Replica: m, InFlightMax: 1})
	more := conn
	for i := range registry.WatchersMax {
		if i%100 == 99 { // as many as one connection may have
			var err error
			if more, err = grpc.NewClient(conn.Target(), grpc.WithTransportCredentials(insecure.NewCredentials())); err != nil {
				t.Fatal(err)
			}
			defer more.Close()
		}
		if _, err := watchGRPC(t, more, "proxy")(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := watchGRPC(t, conn, "proxy")(); status.Code(err) != codes.ResourceExhausted {
		t.Errorf("one more than may be: %v", err)
	}
	if err := conn.Invoke(t.Context(), "/rota.v1.NodeService/ListNodes", &rotav1.ListNodesRequest{}, new(rotav1.ListNodesResponse)); err != nil {
		t.Error(err)
	}
}
