package server_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"iter"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/go-hclog"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/rota-registry/rota/registry"
	rotav1 "github.com/rota-registry/rota/rpc/gen/rota/v1"
	"github.com/rota-registry/rota/rpc/server"
	"github.com/rota-registry/rota/rpc/wire"
)

type stream = connect.ServerStreamForClient[rotav1.WatchResponse]

// watch opens a stream, until the test ends.
func watch(t testing.TB, a api, pool string, after uint64) *stream {
	t.Helper()
	s, err := a.Watch(t.Context(), connect.NewRequest(&rotav1.WatchRequest{Pool: pool, AfterEpoch: after}))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func next(t testing.TB, s *stream) *rotav1.WatchResponse {
	t.Helper()
	if !s.Receive() {
		t.Fatalf("the stream ended: %v", s.Err())
	}
	return s.Msg()
}

// endsWith wants the stream to end with an error of a code.
func endsWith(t testing.TB, s *stream, want registry.Code) *registry.Error {
	t.Helper()
	for s.Receive() { //nolint:revive // what came before does not matter
	}
	got, ok := wire.FromError(s.Err())
	if !ok || got.Code != want {
		t.Fatalf("the stream ended with %v, want %s", s.Err(), want)
	}
	return got
}

// left waits until nobody watches.
func (m *memory) left(t testing.TB) {
	t.Helper()
	for deadline := time.Now().Add(5 * time.Second); m.watchers.Load() != 0; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d watch", m.watchers.Load())
		}
	}
}

// What is sent in parts that were encoded at different times is the message.
func TestWatch(t *testing.T) {
	onEveryProtocol(t, func(t *testing.T, m *memory, a api) {
		pool := func() registry.PoolInfo {
			view, _, _ := m.seen()
			pool, _ := view.Pool("proxy")
			return pool
		}
		same := func(got, want *rotav1.WatchResponse) {
			t.Helper()
			want.Term, want.ServedBy, want.AgeMs = 2, "r1", 17
			if diff := cmp.Diff(want, got, protocmp.Transform()); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		}
		before := pool()
		s, late := watch(t, a, "proxy", 0), watch(t, a, "proxy", 11)
		same(next(t, s), &rotav1.WatchResponse{Pool: wire.ToPool(before), Index: 13})
		same(next(t, late), &rotav1.WatchResponse{Pool: wire.ToPool(before), Index: 13, Reset_: true})
		m.do(t, registry.DrainNode{Name: "proxy-1", Draining: true})
		after := pool()
		want := &rotav1.WatchResponse{Change: wire.ToPoolChange(registry.DiffPools(before, after)), Index: 14}
		same(next(t, s), want)
		same(next(t, late), want)
		m.do(t, registry.AddNode{Name: "worker-2", Type: "worker"})
		same(next(t, s), &rotav1.WatchResponse{Index: 15})

		resumed := watch(t, a, "proxy", uint64(after.Epoch))
		same(next(t, resumed), &rotav1.WatchResponse{Index: 15})
		if err := resumed.Close(); err != nil {
			t.Error(err)
		}
		m.do(t, registry.RegisterPool{Spec: registry.Spec{Name: "p", NodeType: "proxy"}})
		p := watch(t, a, "p", 0)
		next(t, p)
		m.do(t, registry.UnregisterPool{Name: "p"})
		if err := endsWith(t, p, registry.NotFound); !strings.Contains(err.Text, `"p"`) {
			t.Errorf("%v does not name the pool", err)
		}
		endsWith(t, watch(t, a, "p", 0), registry.NotFound)
		endsWith(t, watch(t, a, "", 0), registry.Invalid)
	})
}

// A watcher that goes is not waited for.
func TestWatcherGoes(t *testing.T) {
	onEveryProtocol(t, func(t *testing.T, m *memory, a api) {
		ctx, cancel := context.WithCancel(t.Context())
		s, err := a.Watch(ctx, connect.NewRequest(&rotav1.WatchRequest{Pool: "proxy"}))
		if err != nil {
			t.Fatal(err)
		}
		next(t, s)
		cancel()
		m.left(t)
		ctx, cancel = context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		if s, err = a.Watch(ctx, connect.NewRequest(&rotav1.WatchRequest{Pool: "proxy"})); err != nil {
			t.Fatal(err)
		}
		for s.Receive() { //nolint:revive // until its own deadline
		}
		if connect.CodeOf(s.Err()) != connect.CodeDeadlineExceeded {
			t.Errorf("after the caller's deadline: %v", s.Err())
		}
		m.left(t)
	})
}

// The deadlines of other requests would end a stream when it is at its best.
func TestWatchOutlivesTheDeadlines(t *testing.T) {
	for protocol := range protocols() {
		t.Run(protocol, func(t *testing.T) {
			t.Parallel()
			m := withNodes(t)
			server := newServer(t, server.Options{Replica: m})
			server.Hurry(time.Second, 2*time.Second, 10*time.Second)
			url := listen(t, server)
			s := watch(t, newAPI(t, url, protocol), "proxy", 0)
			page := lines(t, url+"/watch?pool=proxy", nil)
			next(t, s)
			tick := time.NewTicker(100 * time.Millisecond)
			defer tick.Stop()
			for range 35 {
				<-tick.C
				m.do(t, registry.TermStart{Leader: "r1"})
				if got := next(t, s); got.GetPool() != nil || got.GetChange() != nil {
					t.Fatalf("%+v", got)
				}
				page.until(t, "event: alive")
			}
		})
	}
}

// flood is a replica that tells watchers the whole pool again and again.
type flood struct {
	*memory
	told chan int // how often, when it ends
}

func (f flood) Watch(ctx context.Context, pool registry.PoolName, _ registry.Epoch) iter.Seq2[registry.PoolEvent, error] {
	return func(yield func(registry.PoolEvent, error) bool) {
		view, info, _ := f.seen()
		whole, _ := view.Pool(pool)
		n := 0
		for ctx.Err() == nil && yield(registry.PoolEvent{Pool: &whole, ReadInfo: info}, nil) {
			n++
		}
		f.told <- n
		if ctx.Err() != nil {
			yield(registry.PoolEvent{}, ctx.Err())
		}
	}
}

// A peer that takes no bytes is cut off; until then it blocks nobody but its
// own stream. (F43)
func TestWatcherThatTakesNothingIsCutOff(t *testing.T) {
	const get, post = "GET /watch?pool=worker HTTP/1.1\r\nHost: r\r\n\r\n", "POST /rota.v1.RegistryService/Watch HTTP/1.1\r\nHost: r\r\n" +
		"Content-Type: application/connect+json\r\nContent-Length: 22\r\n\r\n\x00\x00\x00\x00\x11" + `{"pool":"worker"}`
	f := flood{withNodes(t), make(chan int, 1)}
	for i := range 500 {
		f.do(t, registry.AddNode{Name: registry.NodeName(fmt.Sprintf("n%d", i)), Type: "worker"})
	}
	s := newServer(t, server.Options{Replica: f})
	s.Hurry(time.Minute, time.Minute, 200*time.Millisecond)
	url := listen(t, s)
	cutOff := func(what string) {
		t.Helper()
		select {
		case n := <-f.told:
			t.Logf("%s took %d pools", what, n)
		case <-time.After(10 * time.Second):
			t.Errorf("%s is still told", what)
		}
	}
	for _, request := range []string{get, post} {
		conn, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if _, err := io.WriteString(conn, request); err != nil {
			t.Fatal(err)
		}
		cutOff(request[:4])
	}
	for _, protocol := range []string{"connect", "grpc"} {
		a := newAPI(t, url, protocol)
		stuck := watch(t, a, "worker", 0)
		call(t, a.ListNodes, &rotav1.ListNodesRequest{}) // on the same connection
		cutOff(protocol)
		_ = stuck.Close()
	}
}

// A peer that is slow but takes some is not cut off.
func TestSlowWatcherIsNotCutOff(t *testing.T) {
	f := flood{withNodes(t), make(chan int, 1)}
	for i := range 500 {
		f.do(t, registry.AddNode{Name: registry.NodeName(fmt.Sprintf("n%d", i)), Type: "worker"})
	}
	s := newServer(t, server.Options{Replica: f})
	s.Hurry(time.Minute, time.Minute, time.Second)
	response, err := httpClient(t, "json").Get(listen(t, s) + "/watch?pool=worker")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for began := time.Now(); time.Since(began) < 2500*time.Millisecond; {
		<-tick.C
		if _, err := io.CopyN(io.Discard, response.Body, 128<<10); err != nil {
			t.Fatal(err)
		}
	}
	select {
	case n := <-f.told:
		t.Errorf("it was cut off after %d pools", n)
	default:
	}
}

// Who sends its request slowly has no stream yet, and the deadline holds.
func TestSlowWatchRequestIsCutOff(t *testing.T) {
	s := newServer(t, server.Options{Replica: withNodes(t)})
	s.Hurry(200*time.Millisecond, time.Minute, time.Minute)
	conn, err := net.Dial("tcp", strings.TrimPrefix(listen(t, s), "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_, _ = io.WriteString(conn, "POST /rota.v1.RegistryService/Watch HTTP/1.1\r\nHost: r\r\nContent-Type: application/connect+json\r\nContent-Length: 22\r\n\r\n\x00")
	_ = conn.SetReadDeadline(time.Now().Add(10 * time.Second))
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	if answer, err := io.ReadAll(response.Body); err != nil || !strings.Contains(string(answer), "deadline_exceeded") {
		t.Errorf("%s, %v; want the deadline", answer, err)
	}
}

// What a unary call would refuse, a stream does, too.
func TestWatchRequestIsRefused(t *testing.T) {
	var log bytes.Buffer
	s := newServer(t, server.Options{Replica: withNodes(t), Logger: hclog.New(&hclog.LoggerOptions{Output: &log})})
	for body, want := range map[string]string{
		`{"poool":"proxy"}`: `unknown field \"poool\"`, `{`: "unexpected", `{"pool":"` + strings.Repeat("x", registry.BodyMax) + `"}`: `"limit"`,
		`{"pool":"proxy"}{"pool":"proxy"}`: "unexpected", `{"pool":"proxy","afterEpoch":-1}`: "afterEpoch",
	} {
		envelope := append([]byte{0}, binary.BigEndian.AppendUint32(nil, uint32(len(body)))...)
		got := handle(s, post("/rota.v1.RegistryService/Watch", "application/connect+json", string(envelope)+body))
		if !strings.Contains(got.Body.String(), want) || strings.Contains(got.Body.String(), `"internal"`) {
			t.Errorf("%.40s: %s, want %s", body, got.Body, want)
		}
	}
	if log.Len() > 0 {
		t.Errorf("the log has %s", log.String())
	}
}

// A planned stop sends watchers elsewhere at once, and waits for nobody.
func TestShutdownEndsStreams(t *testing.T) {
	m := withNodes(t)
	s := newServer(t, server.Options{Replica: m})
	url, served := serveFor(t, s)
	streams := make(map[string]*stream)
	for protocol := range protocols() {
		streams[protocol] = watch(t, newAPI(t, url, protocol), "proxy", 0)
		next(t, streams[protocol])
	}
	page := lines(t, url+"/watch?pool=proxy", nil)
	page.until(t, "event: pool")
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	began := time.Now()
	if err := s.Shutdown(ctx); err != nil {
		t.Error(err)
	}
	if err := <-served; err != nil {
		t.Error(err)
	}
	if took := time.Since(began); took > 3*time.Second {
		t.Errorf("the shutdown took %v", took)
	}
	for protocol, s := range streams {
		if err := endsWith(t, s, registry.Unavailable); !strings.Contains(err.Text, "another") {
			t.Errorf("%s: %v", protocol, err)
		}
	}
	page.until(t, "event: error")
	page.until(t, `data: {"code":"unavailable","message":"this replica is stopping: watch at another"}`)
	page.ends(t)
	m.left(t)
}

// As many watchers as may be take no slot from requests that end.
func TestWatchersHaveSlotsOfTheirOwn(t *testing.T) {
	m := withNodes(t)
	url := listen(t, newServer(t, server.Options{Replica: m, InFlightMax: 1}))
	ctx, cancel := context.WithCancel(t.Context())
	a := newAPI(t, url, "grpc")
	open := func() *stream {
		s, err := a.Watch(ctx, connect.NewRequest(&rotav1.WatchRequest{Pool: "proxy"}))
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	var wg sync.WaitGroup
	for range registry.WatchersMax {
		wg.Go(func() {
			if s := open(); !s.Receive() {
				t.Error(s.Err())
			}
		})
	}
	wg.Wait()
	for protocol := range protocols() {
		endsWith(t, watch(t, newAPI(t, url, protocol), "proxy", 0), registry.Overloaded)
	}
	response, err := httpClient(t, "json").Get(url + "/watch?pool=proxy")
	if err != nil {
		t.Fatal(err)
	}
	text, _ := io.ReadAll(response.Body)
	_ = response.Body.Close()
	if response.StatusCode != http.StatusTooManyRequests || !strings.Contains(string(text), "1024 watchers") {
		t.Errorf("%d %s", response.StatusCode, text)
	}
	call(t, a.ListNodes, &rotav1.ListNodesRequest{})
	cancel()
	m.left(t)
	next(t, watch(t, a, "proxy", 0))
}

// Curl's own way to call a method shows no stream, and is told what does.
func TestWatchByPlainJSON(t *testing.T) {
	s := newServer(t, server.Options{Replica: withNodes(t)})
	for _, contentType := range []string{"application/json", "application/proto"} {
		got := handle(s, post("/rota.v1.RegistryService/Watch", contentType, `{"pool":"proxy"}`))
		if got.Code != http.StatusUnsupportedMediaType || !strings.Contains(got.Body.String(), "curl -N 'http://REPLICA/watch?pool=NAME'") {
			t.Errorf("%s: %d %s", contentType, got.Code, got.Body)
		}
	}
}

// chorus tells all watchers the same events, as a replica does.
type chorus struct {
	*memory
	heard chan struct{} // one for each watcher that was told an event
	song  []registry.PoolEvent
	sing  []chan struct{} // closed when there is the event of that number
}

func (c chorus) Watch(ctx context.Context, _ registry.PoolName, _ registry.Epoch) iter.Seq2[registry.PoolEvent, error] {
	return func(yield func(registry.PoolEvent, error) bool) {
		for i, event := range c.song {
			select {
			case <-c.sing[i]:
			case <-ctx.Done():
				yield(registry.PoolEvent{}, ctx.Err())
				return
			}
			if !yield(event, nil) {
				return
			}
			c.heard <- struct{}{}
		}
	}
}

// BenchmarkWatchers: one change told to all watchers of a pool, over loopback,
// and read by them in this process.
func BenchmarkWatchers(b *testing.B) {
	for _, n := range []int{1, 100, 1_000} {
		for _, protocol := range []string{"connect", "json"} {
			b.Run(fmt.Sprintf("%s/%d", protocol, n), func(b *testing.B) {
				m := newMemory()
				m.do(b, join("proxy-1", "proxy"))
				before, _, _ := m.seen()
				m.do(b, registry.DrainNode{Name: "proxy-1", Draining: true})
				after, info, _ := m.seen()
				c := chorus{memory: m, heard: make(chan struct{}, n)}
				for range 200 { // each event a change of its own, to be encoded once
					changes, _ := registry.ChangesBetween(before, after, []registry.PoolName{"proxy"})
					c.song = append(c.song, registry.PoolEvent{Change: &changes[0], ReadInfo: info})
					c.sing = append(c.sing, make(chan struct{}))
				}
				close(c.sing[0]) // or no stream would begin
				a := newAPI(b, listen(b, newServer(b, server.Options{Replica: c})), protocol)
				read := make(chan struct{}, n)
				for range n {
					s := watch(b, a, "proxy", 0)
					go func() {
						for s.Receive() {
							read <- struct{}{}
						}
					}()
				}
				all := func() {
					for range n {
						<-c.heard
						<-read
					}
				}
				all()
				b.ResetTimer()
				for i := range b.N {
					close(c.sing[1+i])
					all()
				}
			})
		}
	}
}
