package server_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/rota-registry/rota/registry"
	rotav1 "github.com/rota-registry/rota/rpc/gen/rota/v1"
	"github.com/rota-registry/rota/rpc/server"
	"github.com/rota-registry/rota/rpc/wire"
)

// The stream begins with the whole pool, goes on with changes, and ends with
// not_found when the pool is removed.
func TestWatch(t *testing.T) {
	onEveryProtocol(t, func(t *testing.T, m *memory, a api) {
		m.do(t, registry.RegisterPool{Spec: registry.Spec{Name: "p", NodeType: "proxy"}})
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		stream, err := a.Watch(ctx, connect.NewRequest(&rotav1.WatchRequest{Pool: "p"}))
		if err != nil {
			t.Fatal(err)
		}
		defer stream.Close()
		next := func() *rotav1.WatchResponse {
			t.Helper()
			if !stream.Receive() {
				t.Fatalf("the stream has ended: %v", stream.Err())
			}
			return stream.Msg()
		}
		first := next()
		if len(first.GetPool().GetMembers()) != 2 || first.GetReset_() || first.GetServedBy() != "r1" || first.GetAgeMs() != 17 {
			t.Errorf("it begins with %v", first)
		}
		m.do(t, registry.DrainNode{Name: "proxy-1", Draining: true})
		change, err := wire.FromPoolChange(next().GetChange())
		before, _ := wire.FromPool(first.GetPool())
		if after, applied := change.Apply(before); err != nil || applied != nil || after.EligibleCount != 1 || after.Members[0].Eligible {
			t.Errorf("the change is %+v, %v, %v", change, err, applied)
		}
		m.do(t, registry.UnregisterPool{Name: "p"})
		if stream.Receive() || coded(stream.Err()) != registry.NotFound {
			t.Errorf("the removed pool: %v, %v", stream.Msg(), stream.Err())
		}
		for pool, want := range map[string]registry.Code{"p": registry.NotFound, "a b": registry.Invalid} {
			refused, err := a.Watch(ctx, connect.NewRequest(&rotav1.WatchRequest{Pool: pool}))
			if err == nil {
				refused.Receive()
				err = refused.Err()
				_ = refused.Close()
			}
			if coded(err) != want {
				t.Errorf("pool %q: %v, want %s", pool, err, want)
			}
		}
	})
}

func coded(err error) registry.Code {
	if e, ok := wire.FromError(err); ok {
		return e.Code
	}
	return registry.Internal
}

// Watchers take no slot of the others', and a stop cuts them off.
func TestWatchersTakeNoSlot(t *testing.T) {
	s := newServer(t, server.Options{Replica: withNodes(t), InFlightMax: 1})
	a := newAPI(t, listen(t, s), "grpc")
	stream, err := a.Watch(t.Context(), connect.NewRequest(&rotav1.WatchRequest{Pool: "proxy"}))
	if err != nil || !stream.Receive() {
		t.Fatal(err)
	}
	defer stream.Close()
	call(t, a.GetPool, &rotav1.GetPoolRequest{Name: "proxy"})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := s.Shutdown(ctx); err == nil {
		t.Error("a stop has waited for a watcher")
	}
	if stream.Receive() {
		t.Error("the watcher was not cut off")
	}
}

func TestWatchOverGRPC(t *testing.T) {
	m := withNodes(t)
	conn, _ := dialGRPC(t, server.Options{Replica: m})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	watch := func(pool string) (*rotav1.WatchResponse, error) {
		stream, err := conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, "/rota.v1.RegistryService/Watch")
		if err != nil {
			return nil, err
		}
		if err := errors.Join(stream.SendMsg(&rotav1.WatchRequest{Pool: pool}), stream.CloseSend()); err != nil {
			return nil, err
		}
		event := new(rotav1.WatchResponse)
		return event, stream.RecvMsg(event)
	}
	if got, err := watch("proxy"); err != nil || len(got.GetPool().GetMembers()) != 2 {
		t.Errorf("got %v, %v", got, err)
	}
	if _, err := watch("nowhere"); status.Code(err) != codes.NotFound {
		t.Errorf("a pool that is not there: %v", err)
	}
}

// sse reads server-sent events.
type sse struct {
	t     *testing.T
	lines *bufio.Scanner
}

func (s sse) next() (kind, id string, data map[string]any) {
	s.t.Helper()
	for s.lines.Scan() {
		field, value, _ := strings.Cut(s.lines.Text(), ": ")
		switch field {
		case "event":
			kind = value
		case "id":
			id = value
		case "data":
			if err := json.Unmarshal([]byte(value), &data); err != nil {
				s.t.Fatalf("data %s: %v", value, err)
			}
		case "":
			return kind, id, data
		}
	}
	return "end", "", nil
}

// Curl and browsers get the same as events, at once; a browser's Last-Event-ID
// goes on from there.
func TestServerSentEvents(t *testing.T) {
	m := withNodes(t)
	url := listen(t, newServer(t, server.Options{Replica: m}))
	m.do(t, registry.RegisterPool{Spec: registry.Spec{Name: "p", NodeType: "proxy"}})
	open := func(query, last string) *http.Response {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url+"/watch"+query, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		if last != "" {
			r.Header.Set("Last-Event-ID", last)
		}
		response, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = response.Body.Close() })
		return response
	}
	response := open("?pool=p", "")
	if got := response.Header.Get("Content-Type"); response.StatusCode != http.StatusOK || got != "text/event-stream" {
		t.Fatalf("%s of %q", response.Status, got)
	}
	events := sse{t, bufio.NewScanner(response.Body)}
	kind, id, data := events.next()
	if pool, ok := data["pool"].(map[string]any); kind != "pool" || !ok || pool["epoch"] != id {
		t.Errorf("it begins with %s %s %v", kind, id, data)
	}
	m.do(t, registry.DrainNode{Name: "proxy-1", Draining: true})
	kind, drained, _ := events.next()
	if kind != "change" || drained <= id {
		t.Errorf("then %s at %s, after %s", kind, drained, id)
	}
	again := sse{t, bufio.NewScanner(open("?pool=p&afterEpoch=1", drained).Body)}
	if kind, id, _ := again.next(); kind != "alive" || id != drained {
		t.Errorf("from %s on: %s %s", drained, kind, id)
	}
	m.do(t, registry.UnregisterPool{Name: "p"})
	if kind, _, data := events.next(); kind != "error" || data["code"] != "not_found" {
		t.Errorf("the removed pool: %s %v", kind, data)
	}
	for query, want := range map[string]int{
		"": http.StatusBadRequest, "?pool=a+b": http.StatusBadRequest, "?pool=proxy&afterEpoch=x": http.StatusBadRequest, "?pool=nowhere": http.StatusNotFound,
	} {
		if response := open(query, ""); response.StatusCode != want {
			t.Errorf("%s: %s, want %d", query, response.Status, want)
		}
	}
}
