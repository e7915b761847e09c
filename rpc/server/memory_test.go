package server_test

import (
	"context"
	"iter"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"connectrpc.com/connect"

	"github.com/rota-registry/rota/registry"
	"github.com/rota-registry/rota/rpc/gen/rota/v1/rotav1connect"
	"github.com/rota-registry/rota/rpc/server"
)

const (
	clusterID = registry.ClusterID("0123456789abcdef0123456789abcdef")
	boot      = registry.BootID("0123456789abcdef")
)

// memory is a replica without a log: the real state machine, whose commands are
// committed by being called. It is a cluster of one, r1.
type memory struct {
	mu struct {
		sync.Mutex
		state *registry.State
		at    registry.Position
		ready bool
		// moved is closed and made anew with each command.
		moved chan struct{}
		broke []registry.Life
		// liveness is what a leader would say.
		liveness registry.LivenessReport
	}
	watchers atomic.Int32
	// before, if set, runs before each Propose, Read, Watch, Join, Status and Forward;
	// its error becomes theirs.
	before func(ctx context.Context, what string) error
}

func newMemory() *memory {
	m := &memory{}
	m.clear()
	return m
}

func (m *memory) clear() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.mu.state = registry.NewState()
	m.mu.at, m.mu.ready = registry.Position{Index: 10, Term: 2}, true
	m.mu.moved = make(chan struct{})
	m.mu.broke = nil
	m.mu.liveness = registry.LivenessReport{
		Leader: "r1", Held: []registry.HeldNode{{Name: "proxy-1", Type: "proxy", For: 5_000, Failures: 3}},
		Frozen: []registry.FrozenType{
			{Type: "proxy", For: 100, Lost: []registry.NodeName{"proxy-1", "proxy-2"}, Of: 2},
			{Type: "worker", For: 200, Lost: []registry.NodeName{"worker-1"}, Of: 1},
		},
	}
}

// reset brings it back to two proxies and a worker, all alive.
func (m *memory) reset(t testing.TB) {
	t.Helper()
	m.clear()
	m.do(t, join("proxy-1", "proxy"), join("proxy-2", "proxy"), join("worker-1", "worker"))
}

func (m *memory) hook(ctx context.Context, what string) error {
	if m.before == nil {
		return nil
	}
	return m.before(ctx, what)
}

func (m *memory) Propose(ctx context.Context, cmd registry.Command) (registry.Result, registry.Position, error) {
	if err := m.hook(ctx, "Propose"); err != nil {
		return registry.Result{}, registry.Position{}, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.mu.at.Index++
	stamp := registry.Stamp{Index: m.mu.at.Index, Term: m.mu.at.Term, Clock: registry.Millis(m.mu.at.Index), Wall: 1_700_000_000_000}
	result, err := m.mu.state.Apply(stamp, cmd)
	close(m.mu.moved)
	m.mu.moved = make(chan struct{})
	return result, m.mu.at, err
}

// Watch knows no changes of before it was called, and gives a sign of life with
// each command that changes nothing of the pool.
func (m *memory) Watch(ctx context.Context, pool registry.PoolName, after registry.Epoch) iter.Seq2[registry.PoolEvent, error] {
	return func(yield func(registry.PoolEvent, error) bool) {
		m.watchers.Add(1)
		defer m.watchers.Add(-1)
		err := m.hook(ctx, "Watch")
		view, info, moved := m.seen()
		var whole registry.PoolInfo
		if err == nil {
			whole, err = view.Pool(pool)
		}
		first := registry.PoolEvent{Pool: &whole, Reset: after != 0, ReadInfo: info}
		if after == whole.Epoch && after != 0 {
			first.Pool, first.Reset = nil, false
		}
		for ok := err == nil && yield(first, nil); ok; {
			select {
			case <-moved:
			case <-ctx.Done():
				yield(registry.PoolEvent{}, ctx.Err())
				return
			}
			was := view
			view, info, moved = m.seen()
			changes, removed := registry.ChangesBetween(was, view, []registry.PoolName{pool})
			if len(removed) > 0 {
				_, err = view.Pool(pool)
				break
			}
			event := registry.PoolEvent{ReadInfo: info}
			if len(changes) > 0 {
				event.Change = &changes[0]
			}
			ok = yield(event, nil)
		}
		if err != nil {
			yield(registry.PoolEvent{}, err)
		}
	}
}

// seen is what there is, and what tells when there is more.
func (m *memory) seen() (*registry.View, registry.ReadInfo, <-chan struct{}) {
	m.mu.Lock()
	defer m.mu.Unlock()
	view := m.mu.state.View
	return &view, registry.ReadInfo{Position: m.mu.at, Age: 17}, m.mu.moved
}

func (m *memory) Read(ctx context.Context, options registry.ReadOptions) (*registry.View, registry.ReadInfo, error) {
	if err := m.hook(ctx, "Read"); err != nil {
		return nil, registry.ReadInfo{}, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if options.AtLeastIndex > m.mu.at.Index {
		return nil, registry.ReadInfo{}, registry.Errorf(registry.Deadline, "index %d is not here yet", options.AtLeastIndex)
	}
	view := m.mu.state.View
	info := registry.ReadInfo{Position: m.mu.at}
	if options.Consistency == registry.Local {
		info.Age = 17
	}
	return &view, info, nil
}

func (m *memory) Cursors(ctx context.Context, options registry.ReadOptions, pool registry.PoolName) ([]registry.Cursor, *registry.View, registry.ReadInfo, error) {
	view, info, err := m.Read(ctx, options)
	if err != nil {
		return nil, nil, info, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	cursors, err := m.mu.state.Cursors(pool)
	return cursors, view, info, err
}

func (m *memory) Join(ctx context.Context, node registry.JoinNode) (registry.Admission, registry.Position, error) {
	_, at, err := m.Propose(ctx, node)
	return registry.Admission{ClusterID: clusterID, Seeds: []string{"g:1"}, Servers: []string{"a:1"}}, at, err
}

func (m *memory) Status(ctx context.Context) registry.ClusterStatus {
	_ = m.hook(ctx, "Status")
	return registry.ClusterStatus{Leader: "r1", Term: 2, Replicas: []registry.Greeting{m.Self()}, Warnings: []string{"a warning"}}
}

func (m *memory) Leader() string { return "leader:1" }

func (m *memory) Self() registry.Greeting {
	m.mu.Lock()
	defer m.mu.Unlock()
	self := registry.Greeting{
		Replica: registry.Replica{Name: "r1", API: "a:1", Raft: "a:2", Gossip: "g:1"}, ClusterID: clusterID,
		Role: "leader", Voter: true, Term: 2, Leader: "r1", Applied: m.mu.at.Index, Committed: m.mu.at.Index, Version: "test",
		Ready: m.mu.ready,
	}
	if !m.mu.ready {
		self.NotReadyReason = "waiting for r2"
	}
	return self
}

func (m *memory) setReady(ready bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.mu.ready = ready
}

func (m *memory) Hello(_ context.Context, from registry.Greeting) (registry.Greeting, error) {
	if from.ClusterID != "" && from.ClusterID != clusterID {
		return registry.Greeting{}, registry.Errorf(registry.Conflict, "replica %s is of another cluster", from.Name)
	}
	return m.Self(), nil
}

func (m *memory) CurrentTerm(_ context.Context, name registry.ReplicaName) (registry.Term, error) {
	if name != "r1" {
		return 0, registry.Errorf(registry.NotFound, "replica %s is not here, this is r1", name)
	}
	return 2, nil
}

func (m *memory) ReadIndex(context.Context) (registry.Index, error) {
	return m.Self().Applied, nil
}

func (m *memory) Forward(ctx context.Context, command []byte) ([]byte, registry.Position, error) {
	if err := m.hook(ctx, "Forward"); err != nil {
		return nil, registry.Position{}, err
	}
	return slices.Clone(command), registry.Position{Index: 5, Term: 2}, nil
}

// SeesNodes sees worker-1, misses worker-2, and cannot tell of others; nobody
// answers a probe.
func (m *memory) SeesNodes(_ context.Context, lives []registry.Life, probe bool) (out []registry.Sight) {
	for _, l := range lives {
		sight := map[registry.Life]registry.Sight{{Name: "worker-1", Boot: boot}: registry.Sees, {Name: "worker-2", Boot: boot}: registry.Misses}[l]
		if probe {
			sight = registry.Misses
		}
		out = append(out, sight)
	}
	return out
}

func (m *memory) NodesBroke(_ context.Context, lives []registry.Life) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.mu.broke = append(m.mu.broke, lives...)
	return nil
}

func (m *memory) ConnectionBroke(life registry.Life) {
	_ = m.NodesBroke(context.Background(), []registry.Life{life})
}

// broken gives the lives whose connections have broken.
func (m *memory) broken() []registry.Life {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.mu.broke)
}

func (m *memory) OwnLiveness(thaw bool, t registry.NodeType) (registry.LivenessReport, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	report := m.mu.liveness
	if thaw {
		m.mu.liveness.Frozen = slices.DeleteFunc(slices.Clone(report.Frozen), func(f registry.FrozenType) bool { return t == "" || f.Type == t })
	}
	return report, nil
}

func (m *memory) Liveness(ctx context.Context, thaw bool, t registry.NodeType) (registry.LivenessReport, error) {
	if err := m.hook(ctx, "Liveness"); err != nil {
		return registry.LivenessReport{}, err
	}
	return m.OwnLiveness(thaw, t)
}

// do changes the state past the API.
func (m *memory) do(t testing.TB, commands ...registry.Command) {
	t.Helper()
	for _, cmd := range commands {
		if _, _, err := m.Propose(t.Context(), cmd); err != nil {
			t.Fatalf("%+v: %v", cmd, err)
		}
	}
}

// join brings a node in, alive.
func join(name registry.NodeName, typ registry.NodeType) registry.JoinNode {
	return registry.JoinNode{Name: name, Type: typ, Address: "h:1", Boot: boot}
}

// withNodes is a memory after reset.
func withNodes(t testing.TB) *memory {
	t.Helper()
	m := newMemory()
	m.reset(t)
	return m
}

func newServer(t testing.TB, options server.Options) *server.Server {
	t.Helper()
	options.Name = "r1"
	if options.Metrics == nil {
		options.Metrics = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("metric 1\n")) })
	}
	s, err := server.New(options)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// listen serves on loopback until the test ends and gives the base URL.
func listen(t testing.TB, s *server.Server) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve(listener) }()
	t.Cleanup(func() {
		if err := s.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return "http://" + listener.Addr().String()
}

// protocols are the ways to call, over HTTP/2 and, for "json", HTTP/1.1.
func protocols() map[string][]connect.ClientOption {
	return map[string][]connect.ClientOption{
		"connect": nil, "json": {connect.WithProtoJSON()}, "grpc": {connect.WithGRPC()}, "grpc-web": {connect.WithGRPCWeb()},
	}
}

func httpClient(t testing.TB, protocol string) *http.Client {
	t.Helper()
	transport := &http.Transport{Protocols: new(http.Protocols)}
	transport.Protocols.SetHTTP1(protocol == "json")
	transport.Protocols.SetUnencryptedHTTP2(protocol != "json")
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

// api are the clients of all services.
type api struct {
	rotav1connect.RegistryServiceClient
	rotav1connect.NodeServiceClient
	rotav1connect.ClusterServiceClient
	rotav1connect.ReplicaServiceClient
}

func newAPI(t testing.TB, url, protocol string) api {
	t.Helper()
	client, options := httpClient(t, protocol), protocols()[protocol]
	return api{
		rotav1connect.NewRegistryServiceClient(client, url, options...),
		rotav1connect.NewNodeServiceClient(client, url, options...),
		rotav1connect.NewClusterServiceClient(client, url, options...),
		rotav1connect.NewReplicaServiceClient(client, url, options...),
	}
}

// handle answers a request without a network.
func handle(s *server.Server, r *http.Request) *httptest.ResponseRecorder {
	recorder := httptest.NewRecorder()
	s.ServeHTTP(recorder, r)
	return recorder
}
