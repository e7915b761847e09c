package client_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"connectrpc.com/connect"

	"github.com/rota-registry/rota/registry"
	"github.com/rota-registry/rota/rpc/client"
	rotav1 "github.com/rota-registry/rota/rpc/gen/rota/v1"
	"github.com/rota-registry/rota/rpc/gen/rota/v1/rotav1connect"
	"github.com/rota-registry/rota/rpc/wire"
)

// attended is a replica that agents attend.
type attended struct {
	rotav1connect.UnimplementedNodeServiceHandler
	name string
	// refuse is what it answers instead, if anything.
	refuse error

	mu    sync.Mutex
	lives []string // whose stream has begun
	ended int
}

func (a *attended) Attend(ctx context.Context, r *connect.Request[rotav1.AttendRequest], stream *connect.ServerStream[rotav1.AttendResponse]) error {
	if a.refuse != nil {
		return wire.ToError(a.refuse)
	}
	a.mu.Lock()
	a.lives = append(a.lives, r.Msg.GetName()+"#"+r.Msg.GetBootId())
	a.mu.Unlock()
	if err := stream.Send(&rotav1.AttendResponse{ServedBy: a.name}); err != nil {
		return err
	}
	<-ctx.Done()
	a.mu.Lock()
	a.ended++
	a.mu.Unlock()
	return nil
}

func (a *attended) counts() (begun, ended int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.lives), a.ended
}

func (e *edge) attend(address string, refuse error) *attended {
	a := &attended{name: strings.TrimSuffix(address, ":1"), refuse: refuse}
	mux := http.NewServeMux()
	mux.Handle(rotav1connect.NewNodeServiceHandler(a))
	e.up(address, e.host(mux))
	return a
}

const attending = registry.BootID("0123456789abcdef")

// An agent attends one replica for as long as that one lives, which is longer than
// any call may take; then the call ends, and the next one attends another.
func TestAttendLastsAsLongAsTheReplica(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEdge(t)
		first, second := e.attend("a:1", nil), e.attend("b:1", nil)
		c := e.client(client.Options{}, "a:1", "b:1")
		for i, want := range []registry.ReplicaName{"a", "b"} {
			ended := make(chan error, 1)
			var by registry.ReplicaName
			ctx, leave := context.WithCancel(t.Context())
			go func() {
				ended <- c.Attend(ctx, "w", attending, func(name registry.ReplicaName) { by = name })
			}()
			time.Sleep(10 * time.Minute)
			if synctest.Wait(); by != want {
				t.Fatalf("it attends %q, want %q", by, want)
			}
			select {
			case err := <-ended:
				t.Fatalf("it ended by itself: %v", err)
			default:
			}
			if i == 0 {
				e.down("a:1")
				wantCode(t, <-ended, registry.Unavailable, "a:1", `"w"`)
			} else {
				leave()
				if err := <-ended; !errors.Is(err, context.Canceled) {
					t.Errorf("it was told to end, and says %v", err)
				}
			}
			leave()
		}
		synctest.Wait()
		for _, a := range []*attended{first, second} {
			if begun, ended := a.counts(); begun != 1 || ended != 1 || a.lives[0] != "w#"+string(attending) {
				t.Errorf("%s: %d streams begun, %d ended, of %v", a.name, begun, ended, a.lives)
			}
		}
	})
}

// A replica that has no room, is down or does not answer is passed over.
func TestAttendFindsAReplica(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEdge(t)
		e.attend("full:1", registry.Errorf(registry.Overloaded, "no room"))
		e.hang("hung:1")
		good := e.attend("good:1", nil)
		c := e.client(client.Options{}, "down:1", "full:1", "hung:1", "good:1")
		ended := make(chan error, 1)
		go func() { ended <- c.Attend(t.Context(), "w", attending, func(registry.ReplicaName) {}) }()
		time.Sleep(10 * time.Second)
		if begun, _ := good.counts(); begun != 1 {
			t.Errorf("the good one is attended %d times, want once", begun)
		}
		c.Close()
		if err := <-ended; err == nil {
			t.Error("the client is closed, and there is no error")
		}
		if err := c.Attend(t.Context(), "w", attending, nil); registry.CodeOf(err) != registry.Unavailable {
			t.Errorf("at a closed client: %v", err)
		}
	})
}

// An older server says that there is no such method, and nobody is asked for ever.
func TestAttendAtAServerThatHasItNot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEdge(t)
		e.attend("a:1", registry.Errorf(registry.Unimplemented, "no such method"))
		err := e.client(client.Options{}, "a:1").Attend(t.Context(), "w", attending, nil)
		wantCode(t, err, registry.Unimplemented)
	})
}
