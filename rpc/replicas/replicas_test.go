package replicas_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"connectrpc.com/connect"

	"github.com/rota-registry/rota/registry"
	rotav1 "github.com/rota-registry/rota/rpc/gen/rota/v1"
	"github.com/rota-registry/rota/rpc/gen/rota/v1/rotav1connect"
	"github.com/rota-registry/rota/rpc/replicas"
	"github.com/rota-registry/rota/rpc/transport/transporttest"
	"github.com/rota-registry/rota/rpc/wire"
)

const boot = registry.BootID("0123456789abcdef")

// other is a replica at the far end: it answers what it was asked, in a way
// that shows the question, or fails as it is told.
type other struct {
	fail error
	// proxy is an error that stays as it is, without rota's detail.
	proxy *connect.Error
	// held gets a word of every call that then waits for release.
	held, release chan struct{}
}

func (o *other) answer() error {
	if o.held != nil {
		o.held <- struct{}{}
		<-o.release
	}
	if o.fail != nil {
		return wire.ToError(o.fail)
	}
	if o.proxy != nil {
		return o.proxy
	}
	return nil
}

func (o *other) ReadIndex(_ context.Context, _ *connect.Request[rotav1.ReadIndexRequest]) (*connect.Response[rotav1.ReadIndexResponse], error) {
	return connect.NewResponse(&rotav1.ReadIndexResponse{Index: 42}), o.answer()
}

func (o *other) CurrentTerm(_ context.Context, r *connect.Request[rotav1.CurrentTermRequest]) (*connect.Response[rotav1.CurrentTermResponse], error) {
	return connect.NewResponse(&rotav1.CurrentTermResponse{Term: uint64(len(r.Msg.GetName()))}), o.answer()
}

func (o *other) Forward(_ context.Context, r *connect.Request[rotav1.ForwardRequest]) (*connect.Response[rotav1.ForwardResponse], error) {
	return connect.NewResponse(&rotav1.ForwardResponse{Result: append([]byte("did "), r.Msg.GetCommand()...), Index: 7, Term: 3}), o.answer()
}

func (o *other) Hello(_ context.Context, r *connect.Request[rotav1.HelloRequest]) (*connect.Response[rotav1.HelloResponse], error) {
	return connect.NewResponse(&rotav1.HelloResponse{Greeting: r.Msg.GetGreeting()}), o.answer()
}

// SeesNodes sees w, misses x, and cannot tell of others; none answers a probe.
func (o *other) SeesNodes(_ context.Context, r *connect.Request[rotav1.SeesNodesRequest]) (*connect.Response[rotav1.SeesNodesResponse], error) {
	response := &rotav1.SeesNodesResponse{}
	for _, l := range r.Msg.GetLives() {
		is := map[string]rotav1.Sight{"w" + string(boot): rotav1.Sight_SIGHT_SEES, "x" + string(boot): rotav1.Sight_SIGHT_MISSES}[l.GetName()+l.GetBootId()]
		if r.Msg.GetProbe() {
			is = rotav1.Sight_SIGHT_MISSES
		}
		response.Sights = append(response.Sights, is)
	}
	return connect.NewResponse(response), o.answer()
}

func (o *other) NodesBroke(_ context.Context, r *connect.Request[rotav1.NodesBrokeRequest]) (*connect.Response[rotav1.NodesBrokeResponse], error) {
	if n := len(r.Msg.GetLives()); n != 1 || r.Msg.GetLives()[0].GetName() != "w" {
		return nil, wire.ToError(registry.Errorf(registry.Invalid, "%d lives", n))
	}
	return connect.NewResponse(&rotav1.NodesBrokeResponse{}), o.answer()
}

func (o *other) Liveness(_ context.Context, r *connect.Request[rotav1.LivenessRequest]) (*connect.Response[rotav1.LivenessResponse], error) {
	report := registry.LivenessReport{Leader: "r2"}
	if r.Msg.GetThaw() {
		report.Frozen = []registry.FrozenType{{Type: registry.NodeType(r.Msg.GetType()), For: 3}}
	}
	return connect.NewResponse(&rotav1.LivenessResponse{Liveness: wire.ToLiveness(report)}), o.answer()
}

func serve(t *testing.T, o *other) (address string) {
	t.Helper()
	_, handler := rotav1connect.NewReplicaServiceHandler(o)
	return serveHTTP(t, handler)
}

// holding is a replica that takes every call and answers none before the test
// is over.
func holding(t *testing.T) (*other, string) {
	t.Helper()
	o := &other{held: make(chan struct{}, 16), release: make(chan struct{})}
	api := serve(t, o)
	t.Cleanup(func() { close(o.release) })
	return o, api
}

// serveHTTP serves h2c.
func serveHTTP(t *testing.T, handler http.Handler) (address string) {
	t.Helper()
	server := httptest.NewUnstartedServer(handler)
	server.Config.Protocols = new(http.Protocols)
	server.Config.Protocols.SetUnencryptedHTTP2(true)
	server.Start()
	t.Cleanup(server.Close)
	return server.Listener.Addr().String()
}

func newClient(t *testing.T, options replicas.Options) *replicas.Client {
	t.Helper()
	client := replicas.New(options)
	t.Cleanup(client.Close)
	return client
}

// everyCall makes each call once and gives its error.
func everyCall(ctx context.Context, c *replicas.Client, api string) (reads map[string]error, forward error) {
	reads = make(map[string]error)
	_, reads["Hello"] = c.Hello(ctx, api, registry.Greeting{Replica: registry.Replica{Name: "r1"}})
	_, reads["CurrentTerm"] = c.CurrentTerm(ctx, api, "r2")
	_, reads["ReadIndex"] = c.ReadIndex(ctx, api)
	_, reads["SeesNodes"] = c.SeesNodes(ctx, api, []registry.Life{{Name: "w", Boot: boot}}, false)
	reads["NodesBroke"] = c.NodesBroke(ctx, api, []registry.Life{{Name: "w", Boot: boot}})
	_, reads["Liveness"] = c.Liveness(ctx, api, false, "")
	_, _, forward = c.Forward(ctx, api, []byte("command"))
	return reads, forward
}

func wantCodes(t *testing.T, c *replicas.Client, api string, forward, read registry.Code) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	reads, forwardErr := everyCall(ctx, c, api)
	if got := registry.CodeOf(forwardErr); forwardErr == nil || got != forward {
		t.Errorf("Forward: %v (%s), want %s", forwardErr, got, forward)
	}
	for name, err := range reads {
		if got := registry.CodeOf(err); err == nil || got != read {
			t.Errorf("%s: %v (%s), want %s", name, err, got, read)
		}
	}
}

func TestAnswersComeBack(t *testing.T) {
	api := serve(t, &other{})
	var dials atomic.Int64
	c := newClient(t, replicas.Options{Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
		dials.Add(1)
		return new(net.Dialer).DialContext(ctx, network, address)
	}})
	greeting := registry.Greeting{Replica: registry.Replica{Name: "r1", API: "a:1"}, Role: "waiting", Applied: 5}
	if got, err := c.Hello(t.Context(), api, greeting); err != nil || !reflect.DeepEqual(got, greeting) {
		t.Errorf("Hello: %+v, %v", got, err)
	}
	if got, err := c.CurrentTerm(t.Context(), api, "four"); err != nil || got != 4 {
		t.Errorf("CurrentTerm: %d, %v", got, err)
	}
	if got, err := c.ReadIndex(t.Context(), api); err != nil || got != 42 {
		t.Errorf("ReadIndex: %d, %v", got, err)
	}
	lives := []registry.Life{{Name: "w", Boot: boot}, {Name: "x", Boot: boot}, {Name: "y", Boot: boot}}
	for probe, want := range map[bool][]registry.Sight{
		false: {registry.Sees, registry.Misses, registry.Unsure},
		true:  {registry.Misses, registry.Misses, registry.Misses},
	} {
		if got, err := c.SeesNodes(t.Context(), api, lives, probe); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("SeesNodes with probe %t: %v, %v", probe, got, err)
		}
	}
	if err := c.NodesBroke(t.Context(), api, lives[:1]); err != nil {
		t.Errorf("NodesBroke: %v", err)
	}
	for _, thaw := range []bool{false, true} {
		want := registry.LivenessReport{Leader: "r2"}
		if thaw {
			want.Frozen = []registry.FrozenType{{Type: "worker", For: 3}}
		}
		if got, err := c.Liveness(t.Context(), api, thaw, "worker"); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("Liveness with thaw %t: %+v, %v", thaw, got, err)
		}
	}
	result, at, err := c.Forward(t.Context(), api, []byte("this"))
	if err != nil || string(result) != "did this" || at != (registry.Position{Index: 7, Term: 3}) {
		t.Errorf("Forward: %q at %v, %v", result, at, err)
	}
	if n := dials.Load(); n != 1 {
		t.Errorf("%d connections were made, want 1 for all calls", n)
	}
}

func TestTheOthersErrorsKeepTheirCode(t *testing.T) {
	o := &other{}
	api := serve(t, o)
	c := newClient(t, replicas.Options{})
	for code := registry.Internal; code <= registry.Unimplemented; code++ {
		o.fail = registry.Errorf(code, "because of %s", code)
		read := code
		if code == registry.OutcomeUnknown {
			read = registry.Unavailable // a read has no outcome
		}
		wantCodes(t, c, api, code, read)
		if _, _, err := c.Forward(t.Context(), api, []byte("x")); err.Error() != o.fail.Error() {
			t.Errorf("text %q, want %q", err, o.fail)
		}
	}
}

// Nothing listens: nothing was sent, so nothing was done.
func TestARefusedConnectionIsUnavailable(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	api := listener.Addr().String()
	_ = listener.Close()
	wantCodes(t, newClient(t, replicas.Options{}), api, registry.Unavailable, registry.Unavailable)
}

// The other host is gone and does not even refuse.
func TestADialThatHangsIsGivenUpAsUnavailable(t *testing.T) {
	hang := func(ctx context.Context, _, _ string) (net.Conn, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	c := newClient(t, replicas.Options{Dial: hang})
	start := time.Now()
	_, _, err := c.Forward(t.Context(), "192.0.2.1:7700", []byte("x"))
	if registry.CodeOf(err) != registry.Unavailable || time.Since(start) > 4*time.Second {
		t.Errorf("got %v after %v, want unavailable after about a second", err, time.Since(start))
	}
}

// The other replica takes the request and its process dies.
func TestABrokenAnswerIsUnknown(t *testing.T) {
	api := serveHTTP(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }))
	wantCodes(t, newClient(t, replicas.Options{}), api, registry.OutcomeUnknown, registry.Unavailable)
}

func TestAConnectionThatIsResetIsUnknown(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var accepting sync.WaitGroup
	accepting.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			_, _ = io.ReadFull(conn, make([]byte, 24)) // the HTTP/2 preface
			_ = conn.Close()
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		accepting.Wait()
	})
	wantCodes(t, newClient(t, replicas.Options{}), listener.Addr().String(), registry.OutcomeUnknown, registry.Unavailable)
}

// What answers there is not a replica; it may have passed the request on.
func TestAnswersThatAreNotRotasAreUnknown(t *testing.T) {
	for _, status := range []int{http.StatusFound, http.StatusNotFound, http.StatusBadGateway, http.StatusServiceUnavailable} {
		var asked atomic.Int64
		api := serveHTTP(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			asked.Add(1)
			w.Header().Set("Location", "/elsewhere")
			w.WriteHeader(status)
		}))
		c := newClient(t, replicas.Options{})
		if _, _, err := c.Forward(t.Context(), api, []byte("x")); registry.CodeOf(err) != registry.OutcomeUnknown || asked.Load() != 1 {
			t.Errorf("status %d: %v after %d requests, want outcome_unknown after 1", status, err, asked.Load())
		}
		if _, err := c.ReadIndex(t.Context(), api); registry.CodeOf(err) != registry.Unavailable {
			t.Errorf("status %d: ReadIndex: %v, want unavailable", status, err)
		}
	}
}

// net/http would send a command again by itself, and again, until the deadline.
// A stream that the other end refused was certainly not processed.
func TestACommandIsSentOnceHoweverItIsTurnedAway(t *testing.T) {
	for name, test := range map[string]struct {
		answer transporttest.Answer
		code   registry.Code
	}{
		"PROTOCOL_ERROR": {transporttest.ProtocolError, registry.OutcomeUnknown},
		"REFUSED_STREAM": {transporttest.RefusedStream, registry.Unavailable},
		"GOAWAY":         {transporttest.GoAway, registry.Unavailable},
	} {
		t.Run(name, func(t *testing.T) {
			leader := transporttest.New(test.answer)
			t.Cleanup(leader.Wait)
			c := newClient(t, replicas.Options{Dial: leader.Dial, Deadline: time.Second})
			if _, _, err := c.Forward(t.Context(), "leader:1", []byte("x")); registry.CodeOf(err) != test.code {
				t.Errorf("Forward: %v, want %s", err, test.code)
			}
			if n := leader.Requests(); n != 1 {
				t.Errorf("the command was sent %d times, want once", n)
			}
			if _, err := c.ReadIndex(t.Context(), "leader:1"); registry.CodeOf(err) != registry.Unavailable {
				t.Errorf("ReadIndex: %v, want unavailable", err)
			}
			if n := leader.Requests(); n != 2 {
				t.Errorf("the read, which has no body, was sent %d times, want once", n-1)
			}
		})
	}
}

// The deadline passes while the connection is being made: nothing was sent.
func TestADeadlineThatPassesBeforeAConnectionIsUnavailable(t *testing.T) {
	hang := func(ctx context.Context, _, _ string) (net.Conn, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	c := newClient(t, replicas.Options{Dial: hang})
	if _, _, err := c.Forward(shortly(t), "192.0.2.1:7700", []byte("x")); registry.CodeOf(err) != registry.Unavailable {
		t.Errorf("Forward: %v, want unavailable", err)
	}
}

// What stands between two replicas and speaks their protocol may have passed a
// command on, whatever it says: only rota's own word, which has an ErrorDetail,
// is believed of a command.
func TestAProxysWordIsUnknown(t *testing.T) {
	for code := connect.CodeCanceled; code <= connect.CodeUnauthenticated; code++ {
		o := &other{proxy: connect.NewError(code, errors.New("upstream reset"))}
		api := serve(t, o)
		c := newClient(t, replicas.Options{})
		if _, _, err := c.Forward(t.Context(), api, []byte("x")); registry.CodeOf(err) != registry.OutcomeUnknown {
			t.Errorf("%v: Forward: %v (%s), want outcome_unknown", code, err, registry.CodeOf(err))
		}
	}
}

func TestADeadlineThatPassesHereIsUnknown(t *testing.T) {
	_, api := holding(t)
	c := newClient(t, replicas.Options{Deadline: 100 * time.Millisecond})
	for name, ctx := range map[string]func(*testing.T) context.Context{
		"the default":  func(*testing.T) context.Context { return context.Background() },
		"the caller's": shortly,
	} {
		_, _, err := c.Forward(ctx(t), api, []byte("x"))
		if registry.CodeOf(err) != registry.OutcomeUnknown {
			t.Errorf("%s: Forward: %v, want outcome_unknown", name, err)
		}
	}
	if _, err := c.ReadIndex(t.Context(), api); registry.CodeOf(err) != registry.Deadline {
		t.Errorf("ReadIndex: %v, want deadline", err)
	}
}

func shortly(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	t.Cleanup(cancel)
	return ctx
}

// A replica that is stopped with SIGSTOP keeps its connections and answers
// nothing: the proxy in front of it stops passing bytes.
func TestAHungReplicaIsNoticed(t *testing.T) {
	api := serve(t, &other{})
	proxy := newProxy(t, api)
	c := newClient(t, replicas.Options{PingAfter: 50 * time.Millisecond, PingTimeout: 50 * time.Millisecond, Deadline: time.Minute})
	if _, err := c.ReadIndex(t.Context(), proxy.address); err != nil {
		t.Fatal(err)
	}
	proxy.frozen.Store(true)
	start := time.Now()
	if _, err := c.ReadIndex(t.Context(), proxy.address); registry.CodeOf(err) != registry.Unavailable {
		t.Errorf("ReadIndex: %v, want unavailable", err)
	}
	if _, _, err := c.Forward(t.Context(), proxy.address, []byte("x")); registry.CodeOf(err) != registry.OutcomeUnknown {
		t.Errorf("Forward: %v, want outcome_unknown", err)
	}
	if took := time.Since(start); took > 10*time.Second {
		t.Errorf("it took %v of a minute's deadline", took)
	}
	proxy.frozen.Store(false)
	if _, err := c.ReadIndex(t.Context(), proxy.address); err != nil {
		t.Errorf("after it woke up: %v", err)
	}
}

// proxy passes bytes on until it is frozen; what it got while frozen is lost.
type proxy struct {
	address string
	frozen  atomic.Bool
}

func newProxy(t *testing.T, to string) *proxy {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{address: listener.Addr().String()}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			in, err := listener.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", to)
			if err != nil {
				_ = in.Close()
				continue
			}
			wg.Go(func() { p.copy(out, in) })
			wg.Go(func() { p.copy(in, out) })
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		wg.Wait()
	})
	return p
}

func (p *proxy) copy(to, from net.Conn) {
	defer func() { _, _ = to.Close(), from.Close() }()
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		if err != nil {
			return
		}
		if p.frozen.Load() {
			continue
		}
		if _, err := to.Write(buffer[:n]); err != nil {
			return
		}
	}
}

func TestCloseBreaksOffAndLeavesNothing(t *testing.T) {
	o, api := holding(t)
	var mu sync.Mutex
	var conns []net.Conn
	c := replicas.New(replicas.Options{Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, network, address)
		mu.Lock()
		defer mu.Unlock()
		conns = append(conns, conn)
		return conn, err
	}})
	failed := make(chan error, 1)
	go func() {
		_, _, err := c.Forward(context.Background(), api, []byte("x"))
		failed <- err
	}()
	<-o.held
	c.Close()
	if err := <-failed; registry.CodeOf(err) != registry.OutcomeUnknown {
		t.Errorf("the call under way: %v, want outcome_unknown", err)
	}
	for _, conn := range conns {
		if err := conn.SetDeadline(time.Time{}); err == nil || !strings.Contains(err.Error(), "closed") {
			t.Errorf("a connection was left open (%v)", err)
		}
	}
	c.Close()
	wantCodes(t, c, api, registry.Unavailable, registry.Unavailable)
}
