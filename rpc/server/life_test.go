package server_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/hashicorp/go-hclog"

	"github.com/rota-registry/rota/registry"
	rotav1 "github.com/rota-registry/rota/rpc/gen/rota/v1"
	"github.com/rota-registry/rota/rpc/server"
	"github.com/rota-registry/rota/rpc/wire"
)

func gzipped(t *testing.T, text string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// untilDone is a replica that answers when the request's time is over.
func untilDone(ctx context.Context, _ string) error {
	<-ctx.Done()
	return ctx.Err()
}

// The caller's deadline passes: of a read nothing was done, of a write nobody
// knows.
func TestADeadlineThatPasses(t *testing.T) {
	m := newMemory()
	m.before = untilDone
	s := newServer(t, server.Options{Replica: m})
	for path, want := range map[string]string{
		"/rota.v1.RegistryService/HrwTopic":  "deadline",
		"/rota.v1.NodeService/ListNodes":     "deadline",
		"/rota.v1.RegistryService/RrTopic":   "outcome_unknown",
		"/rota.v1.NodeService/JoinNode":      "outcome_unknown",
		"/rota.v1.ReplicaService/Forward":    "outcome_unknown",
		"/rota.v1.RegistryService/SetCursor": "outcome_unknown",
	} {
		body := `{}`
		switch path {
		case "/rota.v1.RegistryService/HrwTopic":
			body = `{"pool":"p","key":{"string":"k"}}`
		case "/rota.v1.RegistryService/RrTopic", "/rota.v1.RegistryService/SetCursor":
			body = `{"pool":"p"}`
		case "/rota.v1.NodeService/JoinNode":
			body = `{"name":"n","type":"worker","address":"h:1","bootId":"0123456789abcdef"}`
		case "/rota.v1.ReplicaService/Forward":
			body = `{"command":"eHg="}`
		}
		r := post(path, "application/json", body)
		r.Header.Set("Connect-Timeout-Ms", "50")
		got := handle(s, r)
		if f := faultOf(t, got.Body.Bytes()); f.detail() != want {
			t.Errorf("%s: %d %s, want %s", path, got.Code, got.Body, want)
		}
	}
}

func TestDeadlinesAreDefaultedAndCapped(t *testing.T) {
	m := newMemory()
	var left time.Duration
	m.before = func(ctx context.Context, _ string) error {
		deadline, ok := ctx.Deadline()
		if !ok {
			t.Error("the request has no deadline")
		}
		left = time.Until(deadline)
		return nil
	}
	s := newServer(t, server.Options{Replica: m})
	for header, want := range map[string]registry.Millis{
		"": registry.DeadlineDefault, "700": 700, "3600000": registry.DeadlineMax,
		strconv.Itoa(int(registry.DeadlineMax) - 1000): registry.DeadlineMax - 1000,
	} {
		r := post("/rota.v1.NodeService/ListNodes", "application/json", `{}`)
		if header != "" {
			r.Header.Set("Connect-Timeout-Ms", header)
		}
		handle(s, r)
		most := time.Duration(want) * time.Millisecond
		if left > most || left < most-600*time.Millisecond {
			t.Errorf("asked with %q, had %v, want %v", header, left, most)
		}
	}
}

// It was committed and acknowledged by the log; only the answer is missing.
func TestAWriteThatCannotBeReadBackIsUnknown(t *testing.T) {
	m := newMemory()
	m.before = func(_ context.Context, what string) error {
		if what == "Read" {
			return registry.Errorf(registry.Deadline, "too late")
		}
		return nil
	}
	s := newServer(t, server.Options{Replica: m})
	got := handle(s, post("/rota.v1.NodeService/AddNode", "application/json", `{"name":"n","type":"worker"}`))
	if f := faultOf(t, got.Body.Bytes()); f.detail() != "outcome_unknown" || !strings.Contains(f.Message, "at index 11") {
		t.Errorf("%s", got.Body)
	}
}

// Another write may remove what this one has made: that is no failure.
func TestAWriteWhoseWorkIsGoneSucceeds(t *testing.T) {
	m := newMemory()
	m.before = func(_ context.Context, what string) error {
		if what == "Read" {
			m.before = nil
			m.do(t, registry.UnregisterPool{Name: "p"})
		}
		return nil
	}
	a := newAPI(t, listen(t, newServer(t, server.Options{Replica: m})), "connect")
	got := call(t, a.RegisterPool, &rotav1.RegisterPoolRequest{Spec: &rotav1.PoolSpec{Name: "p", NodeType: "worker"}})
	if !got.GetChanged() || got.GetPool() != nil || got.GetIndex() != 12 {
		t.Errorf("got %+v, want changed, no pool, index 12", got)
	}
}

func TestAPanicIsAnInternalError(t *testing.T) {
	m := newMemory()
	m.before = func(context.Context, string) error { panic("kaboom") }
	var log bytes.Buffer
	s := newServer(t, server.Options{Replica: m, Logger: hclog.New(&hclog.LoggerOptions{Output: &log})})
	got := handle(s, post("/rota.v1.NodeService/ListNodes", "application/json", `{}`))
	if f := faultOf(t, got.Body.Bytes()); f.detail() != "internal" || strings.Contains(f.Message, "kaboom") {
		t.Errorf("%s", got.Body)
	}
	if !strings.Contains(log.String(), "kaboom") || !strings.Contains(log.String(), "life_test.go") {
		t.Errorf("the log lacks the panic and its stack: %s", log.String())
	}
	m.before = nil
	if got := handle(s, post("/rota.v1.NodeService/ListNodes", "application/json", `{}`)); got.Code != http.StatusOK {
		t.Errorf("afterwards: %d", got.Code)
	}
}

func TestTooManyAtOnceAreTurnedAway(t *testing.T) {
	const most = 3
	m := newMemory()
	held, release := make(chan struct{}), make(chan struct{})
	m.before = func(context.Context, string) error {
		held <- struct{}{}
		<-release
		return nil
	}
	url := listen(t, newServer(t, server.Options{Replica: m, InFlightMax: most}))
	a := newAPI(t, url, "connect")
	var wg sync.WaitGroup
	for range most {
		wg.Go(func() {
			if _, err := a.ListNodes(t.Context(), connect.NewRequest(&rotav1.ListNodesRequest{})); err != nil {
				t.Error(err)
			}
		})
		<-held
	}
	for protocol := range protocols() {
		start := time.Now()
		fails(t, registry.Overloaded, newAPI(t, url, protocol).ListNodes, &rotav1.ListNodesRequest{})
		if took := time.Since(start); took > 2*time.Second {
			t.Errorf("%s: turned away after %v", protocol, took)
		}
	}
	response, err := httpClient(t, "json").Get(url + "/healthz")
	if err != nil || response.StatusCode != http.StatusOK {
		t.Errorf("healthz when full: %v, %v", response, err)
	}
	_ = response.Body.Close()
	close(release)
	wg.Wait()
	m.before = nil
	call(t, a.ListNodes, &rotav1.ListNodesRequest{})
}

func TestHeadersHaveALimit(t *testing.T) {
	url := listen(t, newServer(t, server.Options{Replica: newMemory()}))
	for size, want := range map[int]int{8 << 10: http.StatusOK, 32 << 10: http.StatusRequestHeaderFieldsTooLarge} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url+"/healthz", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("X", strings.Repeat("x", size))
		response, err := httpClient(t, "json").Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = response.Body.Close()
		if response.StatusCode != want {
			t.Errorf("%d bytes: %d, want %d", size, response.StatusCode, want)
		}
	}
}

// serveFor serves until the test calls the Shutdown that it tests.
func serveFor(t *testing.T, s *server.Server) (url string, served chan error) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served = make(chan error, 1)
	go func() { served <- s.Serve(listener) }()
	return "http://" + listener.Addr().String(), served
}

func TestShutdownWaitsForWhatIsUnderWay(t *testing.T) {
	m := newMemory()
	held, release := make(chan struct{}), make(chan struct{})
	m.before = func(context.Context, string) error {
		held <- struct{}{}
		<-release
		return nil
	}
	s := newServer(t, server.Options{Replica: m})
	url, served := serveFor(t, s)
	for _, protocol := range []string{"json", "connect"} {
		a := newAPI(t, url, protocol)
		answered := make(chan error, 1)
		go func() {
			_, err := a.ListNodes(context.Background(), connect.NewRequest(&rotav1.ListNodesRequest{}))
			answered <- err
		}()
		<-held
		defer func() {
			if err := <-answered; err != nil {
				t.Errorf("%s: the request under way: %v", protocol, err)
			}
		}()
	}
	stopped := make(chan error, 1)
	go func() { stopped <- s.Shutdown(context.Background()) }()
	if err := <-served; err != nil {
		t.Error(err)
	}
	select {
	case <-stopped:
		t.Error("Shutdown did not wait")
	default:
	}
	close(release)
	if err := <-stopped; err != nil {
		t.Error(err)
	}
}

func TestShutdownCutsOffWhatDoesNotEnd(t *testing.T) {
	m := newMemory()
	held, ended := make(chan struct{}), make(chan struct{})
	m.before = func(ctx context.Context, _ string) error {
		close(held)
		defer close(ended)
		return untilDone(ctx, "")
	}
	s := newServer(t, server.Options{Replica: m})
	url, served := serveFor(t, s)
	a := newAPI(t, url, "connect")
	answered := make(chan error, 1)
	go func() {
		_, err := a.SetCursor(context.Background(), connect.NewRequest(&rotav1.SetCursorRequest{Pool: "proxy"}))
		answered <- err
	}()
	<-held
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := s.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want the deadline", err)
	}
	select {
	case <-ended:
	default:
		t.Error("Shutdown returned before the handler did")
	}
	if err := <-served; err != nil {
		t.Error(err)
	}
	err := <-answered
	if got, wired := wire.FromError(err); err == nil || wired && got.Code != registry.OutcomeUnknown {
		t.Errorf("the request that was cut off: %v", err)
	}
	if err := s.Shutdown(t.Context()); err != nil {
		t.Errorf("again: %v", err)
	}
}

// A connection that nobody uses must not hold up a shutdown.
func TestShutdownClosesIdleConnections(t *testing.T) {
	s := newServer(t, server.Options{Replica: newMemory()})
	url, served := serveFor(t, s)
	for protocol := range protocols() {
		call(t, newAPI(t, url, protocol).ListNodes, &rotav1.ListNodesRequest{})
	}
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Second)
	defer cancel()
	if err := s.Shutdown(ctx); err != nil {
		t.Error(err)
	}
	if err := <-served; err != nil {
		t.Error(err)
	}
}
