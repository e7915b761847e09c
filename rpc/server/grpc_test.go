package server_test

import (
	"context"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/rota-registry/rota/registry"
	rotav1 "github.com/rota-registry/rota/rpc/gen/rota/v1"
	"github.com/rota-registry/rota/rpc/server"
)

// dialGRPC serves gRPC until the test ends and gives a connection to it.
func dialGRPC(t *testing.T, options server.Options) (*grpc.ClientConn, *server.Server) {
	t.Helper()
	s := newServer(t, options)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.ServeGRPC(listener) }()
	conn, err := grpc.NewClient(listener.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = conn.Close()
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := s.Shutdown(ctx); err != nil {
			t.Error(err)
		}
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return conn, s
}

// The port of gRPC has every unary method that the API's port has for users, and
// answers alike.
func TestGRPCHasEveryMethod(t *testing.T) {
	conn, _ := dialGRPC(t, server.Options{Replica: withNodes(t)})
	for _, file := range []protoreflect.FileDescriptor{rotav1.File_rota_v1_registry_proto, rotav1.File_rota_v1_node_proto, rotav1.File_rota_v1_cluster_proto} {
		for i := range file.Services().Len() {
			service := file.Services().Get(i)
			for j := range service.Methods().Len() {
				m := service.Methods().Get(j)
				if m.IsStreamingServer() {
					continue
				}
				path := fmt.Sprintf("/%s/%s", service.FullName(), m.Name())
				err := conn.Invoke(t.Context(), path, dynamicpb.NewMessage(m.Input()), dynamicpb.NewMessage(m.Output()))
				if status.Code(err) == codes.Unimplemented && !strings.Contains(err.Error(), "is not in this release") {
					t.Errorf("%s: %v", path, err)
				}
			}
		}
	}
}

func TestGRPCAnswersAsTheAPI(t *testing.T) {
	m := withNodes(t)
	conn, _ := dialGRPC(t, server.Options{Replica: m})
	plain := newAPI(t, listen(t, newServer(t, server.Options{Replica: m})), "connect")
	key := &rotav1.Key{Kind: &rotav1.Key_String_{String_: "foo"}}
	ask := &rotav1.HrwTopicRequest{Pool: "proxy", Key: key}
	got := new(rotav1.HrwTopicResponse)
	if err := conn.Invoke(t.Context(), "/rota.v1.RegistryService/HrwTopic", ask, got); err != nil || !proto.Equal(got, call(t, plain.HrwTopic, ask)) {
		t.Errorf("got %v, %v", got, err)
	}
	ctx := metadata.AppendToOutgoingContext(t.Context(), "Rota-By", "somebody")
	node := new(rotav1.DrainNodeResponse)
	if err := conn.Invoke(ctx, "/rota.v1.NodeService/DrainNode", &rotav1.DrainNodeRequest{Name: "proxy-1"}, node); err != nil || node.GetNode().GetBy() != "somebody" {
		t.Errorf("got %v, %v", node, err)
	}
}

// Errors carry the code's own name, and bounds hold as on the API's port.
func TestGRPCErrors(t *testing.T) {
	m := withNodes(t)
	held, entered := make(chan struct{}), make(chan struct{}, 1)
	m.before = func(ctx context.Context, what string) error {
		if what == "Status" {
			entered <- struct{}{}
			select {
			case <-held:
			case <-ctx.Done():
			}
		}
		return nil
	}
	conn, _ := dialGRPC(t, server.Options{Replica: m, InFlightMax: 1})
	refused := func(want registry.Code, code codes.Code, path string, in, out proto.Message) {
		t.Helper()
		err := conn.Invoke(t.Context(), path, in, out)
		s, _ := status.FromError(err)
		if s.Code() != code || len(s.Details()) != 1 {
			t.Errorf("%s: %v", path, err)
			return
		}
		if d, ok := s.Details()[0].(*rotav1.ErrorDetail); !ok || d.GetCode() != want.String() {
			t.Errorf("%s: %v, want %s", path, s.Details(), want)
		}
	}
	const hrwTopic = "/rota.v1.RegistryService/HrwTopic"
	refused(registry.NotFound, codes.NotFound, "/rota.v1.RegistryService/GetPool", &rotav1.GetPoolRequest{Name: "nowhere"}, new(rotav1.GetPoolResponse))
	long := &rotav1.HrwTopicRequest{Pool: strings.Repeat("x", registry.BodyMax)}
	refused(registry.Limit, codes.OutOfRange, hrwTopic, long, new(rotav1.HrwTopicResponse))
	if err := conn.Invoke(t.Context(), hrwTopic, &rotav1.HrwTopicRequest{Pool: strings.Repeat("x", registry.BatchBodyMax)}, new(rotav1.HrwTopicResponse)); status.Code(err) != codes.ResourceExhausted {
		t.Errorf("a body that is too long to be read: %v", err)
	}
	waited := make(chan error, 1)
	go func() {
		waited <- conn.Invoke(t.Context(), "/rota.v1.ClusterService/Status", &rotav1.StatusRequest{}, new(rotav1.StatusResponse))
	}()
	<-entered
	refused(registry.Overloaded, codes.ResourceExhausted, hrwTopic, &rotav1.HrwTopicRequest{}, new(rotav1.HrwTopicResponse))
	close(held)
	if err := <-waited; err != nil {
		t.Error(err)
	}
}

// A stop cuts off who does not end in time.
func TestGRPCIsCutOff(t *testing.T) {
	m := withNodes(t)
	entered := make(chan struct{}, 1)
	m.before = func(ctx context.Context, what string) error {
		if what != "Status" {
			return nil
		}
		entered <- struct{}{}
		<-ctx.Done()
		return nil
	}
	conn, s := dialGRPC(t, server.Options{Replica: m})
	cut := make(chan error, 1)
	go func() {
		cut <- conn.Invoke(t.Context(), "/rota.v1.ClusterService/Status", &rotav1.StatusRequest{}, new(rotav1.StatusResponse))
	}()
	<-entered
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := s.Shutdown(ctx); err == nil {
		t.Error("the stop says that all had ended")
	}
	if err := <-cut; err == nil {
		t.Error("who was cut off got an answer")
	}
}
