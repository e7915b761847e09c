package server_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/grpc"

	"github.com/rota-registry/rota/registry"
	rotav1 "github.com/rota-registry/rota/rpc/gen/rota/v1"
	"github.com/rota-registry/rota/rpc/gen/rota/v1/rotav1connect"
	"github.com/rota-registry/rota/rpc/server"
)

// eventually polls until check is content.
func eventually(t *testing.T, check func() error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		err := check()
		if err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatal(err)
		}
	}
}

// attend opens a stream and waits until it has begun.
func attend(t *testing.T, a api, name string) (*connect.ServerStreamForClient[rotav1.AttendResponse], context.CancelFunc) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	stream, err := a.Attend(ctx, connect.NewRequest(&rotav1.AttendRequest{Name: name, BootId: string(boot)}))
	if err != nil {
		t.Fatal(err)
	}
	if !stream.Receive() || stream.Msg().GetServedBy() != "r1" {
		t.Fatalf("the stream has not begun: %v, %v", stream.Msg(), stream.Err())
	}
	return stream, cancel
}

func (m *memory) brokeOnly(lives ...registry.Life) error {
	if got := m.broken(); fmt.Sprint(got) != fmt.Sprint(lives) {
		return fmt.Errorf("broken are %v, want %v", got, lives)
	}
	return nil
}

// The end of an agent's stream is told to the replica, over each protocol, and
// while it lasts nothing is.
func TestAnAgentsConnectionThatBreaksIsTold(t *testing.T) {
	for protocol := range protocols() {
		t.Run(protocol, func(t *testing.T) {
			m := withNodes(t)
			a := newAPI(t, listen(t, newServer(t, server.Options{Replica: m})), protocol)
			_, breakOff := attend(t, a, "worker-1")
			attend(t, a, "worker-2")
			if err := m.brokeOnly(); err != nil {
				t.Error(err)
			}
			breakOff()
			eventually(t, func() error { return m.brokeOnly(registry.Life{Name: "worker-1", Boot: boot}) })
		})
	}
}

// At the port of gRPC the same.
func TestAnAgentsConnectionOverGRPC(t *testing.T) {
	m := withNodes(t)
	conn, _ := dialGRPC(t, server.Options{Replica: m})
	ctx, cancel := context.WithCancel(t.Context())
	stream, err := conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, rotav1connect.NodeServiceAttendProcedure)
	if err != nil {
		t.Fatal(err)
	}
	begun := new(rotav1.AttendResponse)
	request := &rotav1.AttendRequest{Name: "worker-1", BootId: string(boot)}
	if err := errors.Join(stream.SendMsg(request), stream.CloseSend(), stream.RecvMsg(begun)); err != nil || begun.GetServedBy() != "r1" {
		t.Fatalf("%v, %v", begun, err)
	}
	if err := m.brokeOnly(); err != nil {
		t.Error(err)
	}
	cancel()
	eventually(t, func() error { return m.brokeOnly(registry.Life{Name: "worker-1", Boot: boot}) })
}

// A replica that stops breaks its agents' connections, which is no hint; and who
// is no life is refused.
func TestAStopIsNoHint(t *testing.T) {
	m := withNodes(t)
	s := newServer(t, server.Options{Replica: m})
	a := newAPI(t, listen(t, s), "grpc")
	stream, _ := attend(t, a, "worker-1")
	wrong, err := a.Attend(t.Context(), connect.NewRequest(&rotav1.AttendRequest{Name: "worker-1", BootId: "x"}))
	if err == nil && !wrong.Receive() {
		err = wrong.Err()
	}
	if connect.CodeOf(err) != connect.CodeInvalidArgument {
		t.Errorf("a wrong boot id: %v", err)
	}
	if err := s.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	if stream.Receive() || connect.CodeOf(stream.Err()) != connect.CodeUnavailable {
		t.Errorf("at a stop the stream ends with %v", stream.Err())
	}
	if err := m.brokeOnly(); err != nil {
		t.Error(err)
	}
}

// As many agents as are allowed, and one more; and they take no room from others.
func TestAgentsConnectionsAreBounded(t *testing.T) {
	m := withNodes(t)
	s := newServer(t, server.Options{Replica: m, InFlightMax: 1})
	a := newAPI(t, listen(t, s), "grpc")
	restore := s.LeaveRoomForAgents(1)
	_, breakOff := attend(t, a, "worker-1")
	second, err := a.Attend(t.Context(), connect.NewRequest(&rotav1.AttendRequest{Name: "worker-2", BootId: string(boot)}))
	if err == nil && !second.Receive() {
		err = second.Err()
	}
	if connect.CodeOf(err) != connect.CodeResourceExhausted {
		t.Errorf("one more than there is room for: %v", err)
	}
	call(t, a.ListNodes, &rotav1.ListNodesRequest{})
	breakOff()
	eventually(t, func() error {
		if len(m.broken()) == 0 {
			return errors.New("the connection is still there")
		}
		return nil
	})
	restore()
	attend(t, a, "worker-2")
}

// Who asks for it as if it were no stream is told so.
func TestAttendIsAStream(t *testing.T) {
	got := handle(newServer(t, server.Options{Replica: withNodes(t)}), post(rotav1connect.NodeServiceAttendProcedure, "application/json", `{}`))
	if got.Code != http.StatusUnsupportedMediaType {
		t.Errorf("%d %s", got.Code, got.Body)
	}
}

// An agent's stream is silent for as long as the agent lives, which no deadline of
// a connection may end: not those of a request, nor that of a piece.
func TestAnAgentsStreamOutlivesTheDeadlines(t *testing.T) {
	for protocol := range protocols() {
		t.Run(protocol, func(t *testing.T) {
			t.Parallel()
			m := withNodes(t)
			s := newServer(t, server.Options{Replica: m})
			s.Hurry(time.Second, 1500*time.Millisecond, 500*time.Millisecond)
			a := newAPI(t, listen(t, s), protocol)
			stream, breakOff := attend(t, a, "worker-1")
			ended := make(chan error, 1)
			go func() {
				stream.Receive()
				ended <- stream.Err()
			}()
			select {
			case err := <-ended:
				t.Fatalf("it ended: %v", err)
			case <-time.After(3 * time.Second):
			}
			if err := m.brokeOnly(); err != nil {
				t.Error(err)
			}
			breakOff()
			<-ended
			eventually(t, func() error { return m.brokeOnly(registry.Life{Name: "worker-1", Boot: boot}) })
		})
	}
}
