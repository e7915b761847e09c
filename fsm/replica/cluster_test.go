package replica_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/rota-registry/rota/fsm/replica"
	"github.com/rota-registry/rota/gossip"
	"github.com/rota-registry/rota/registry"
)

// cluster is a handful of real replicas on loopback sockets in one process;
// only the calls between them are made directly, through wires that can be
// cut.
type cluster struct {
	t    testing.TB
	dir  string
	tune func(*replica.Options) // changes what options gives; nil changes nothing
	raft *links                 // Raft's connections go through it; nil: they are direct

	mu   sync.Mutex
	at   map[string]*running // by API address
	cut  map[string]bool     // API addresses that cannot be reached, nor reach others
	hung map[string]bool     // API addresses that take calls and do not answer
	// say is what replicas say of every life to another one; nil is the truth.
	say *registry.Sight
	// asked is called when a replica is asked for its term; nil is nobody.
	asked func()
}

type running struct {
	*replica.Replica
	name   registry.ReplicaName
	api    string
	dir    string
	halted chan error
}

func newCluster(t testing.TB) *cluster {
	c := &cluster{t: t, dir: t.TempDir(), at: map[string]*running{}, cut: map[string]bool{}, hung: map[string]bool{}}
	t.Cleanup(func() {
		for _, r := range c.running() {
			c.kill(r)
		}
	})
	return c
}

// freePort gives an address that nobody else in this test takes: the API
// addresses are names here, and nothing listens on them.
func freePort(t testing.TB) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func (c *cluster) options(name registry.ReplicaName, api string, list []string) (replica.Options, chan error) {
	halted := make(chan error, 1)
	opts := replica.Options{
		Name:          name,
		DataDir:       filepath.Join(c.dir, string(name)),
		API:           api,
		RaftBind:      "127.0.0.1:0",
		GossipBind:    "127.0.0.1:0",
		Replicas:      list,
		GossipProfile: gossip.Local,
		Timings:       replica.Timings{Lease: 500 * time.Millisecond}, // test machines are busy
		Version:       "test",
		Logger:        hclog.New(&hclog.LoggerOptions{Name: string(name), Level: hclog.Warn, Output: testWriter{c.t}}),
		Caller:        wires{c, api},
		Halt: func(err error) {
			halted <- err
		},
	}
	if c.tune != nil {
		c.tune(&opts)
	}
	return opts, halted
}

type testWriter struct{ t testing.TB }

func (w testWriter) Write(b []byte) (int, error) {
	fmt.Fprint(w.t.Output(), string(b))
	return len(b), nil
}

func (c *cluster) start(name registry.ReplicaName, api string, list []string) *running {
	c.t.Helper()
	r, err := c.tryStart(name, api, list)
	if err != nil {
		c.t.Fatalf("start %s: %v", name, err)
	}
	return r
}

func (c *cluster) tryStart(name registry.ReplicaName, api string, list []string) (*running, error) {
	r, err := c.open(name, api, list)
	if err == nil {
		r.Start()
	}
	return r, err
}

// open opens a replica that others can reach, and does not start it.
func (c *cluster) open(name registry.ReplicaName, api string, list []string) (*running, error) {
	opts, halted := c.options(name, api, list)
	r, err := replica.Open(opts)
	if err != nil {
		return nil, err
	}
	run := &running{Replica: r, name: name, api: api, dir: opts.DataDir, halted: halted}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at[api] = run
	return run, nil
}

// running gives the replicas that run, by name.
func (c *cluster) running() []*running {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.SortedFunc(maps.Values(c.at), func(a, b *running) int {
		return strings.Compare(string(a.name)+a.api, string(b.name)+b.api)
	})
}

func addresses(t testing.TB, n int) []string {
	var list []string
	for len(list) < n {
		// A port that is free again may be given twice.
		if a := freePort(t); !slices.Contains(list, a) {
			list = append(list, a)
		}
	}
	return list
}

// again runs a test whose claim shows only within a window of real time, three times
// at most and each time on a new cluster: a busy machine may miss the window.
func again(t *testing.T, try func(t *testing.T, c *cluster) (missed error)) {
	t.Helper()
	var missed error
	for i := range 3 {
		missed = nil
		t.Run(fmt.Sprintf("try %d", i+1), func(t *testing.T) {
			if missed = try(t, newCluster(t)); missed != nil {
				t.Logf("missed: %v", missed)
			}
		})
		if missed == nil {
			return
		}
	}
	t.Errorf("this shows nothing: the window was missed each time, the last because %v", missed)
}

// startAll starts n replicas r1, r2, … and waits until all are ready.
func (c *cluster) startAll(n int) []*running {
	c.t.Helper()
	list := addresses(c.t, n)
	var out []*running
	for i, api := range list {
		out = append(out, c.start(registry.ReplicaName(fmt.Sprintf("r%d", i+1)), api, list))
	}
	for _, r := range out {
		c.ready(r)
	}
	return out
}

func (c *cluster) ready(r *running) {
	c.t.Helper()
	c.eventually(20*time.Second, func() error {
		select {
		case err := <-r.halted:
			c.t.Fatalf("%s halted: %v", r.name, err)
		default:
		}
		if g := r.Self(); !g.Ready {
			return fmt.Errorf("%s is not ready: %s", r.name, g.NotReadyReason)
		}
		return nil
	})
}

// kill closes a replica as a crash would look to the others: no step-down.
func (c *cluster) kill(r *running) {
	c.t.Helper()
	c.mu.Lock()
	delete(c.at, r.api)
	c.mu.Unlock()
	if err := r.Close(); err != nil {
		c.t.Errorf("close %s: %v", r.name, err)
	}
}

func (c *cluster) eventually(within time.Duration, check func() error) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), within)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		err := check()
		if err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			c.t.Fatalf("not within %s: %v", within, err)
		}
	}
}

// holds checks over and over for a while that something stays true.
func (c *cluster) holds(during time.Duration, check func() error) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), during)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		if err := check(); err != nil {
			c.t.Fatal(err)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// haltOf waits until a replica says that it cannot go on, and gives why.
func (c *cluster) haltOf(r *running) error {
	c.t.Helper()
	select {
	case err := <-r.halted:
		return err
	case <-time.After(20 * time.Second):
		c.t.Fatalf("%s did not halt: ready %v, %s", r.name, r.Self().Ready, r.Self().NotReadyReason)
		return nil
	}
}

// leader waits until one replica leads and is ready, and gives it and the rest.
func (c *cluster) leader() (leader *running, others []*running) {
	c.t.Helper()
	c.eventually(20*time.Second, func() error {
		leader, others = nil, nil
		for _, r := range c.running() {
			if g := r.Self(); g.Role == "leader" && g.Ready && leader == nil {
				leader = r
			} else {
				others = append(others, r)
			}
		}
		if leader == nil {
			return errors.New("nobody leads")
		}
		return nil
	})
	return leader, others
}

// put registers a pool, and gives the index at which it stands. Registering is
// idempotent, so it is done again when an election left the outcome unknown.
func (c *cluster) put(r *running, name registry.PoolName) registry.Index {
	c.t.Helper()
	ctx := within(c.t, 10*time.Second)
	for {
		_, at, err := r.Propose(ctx, registry.RegisterPool{Spec: registry.Spec{Name: name, NodeType: registry.Worker}})
		if err == nil {
			return at.Index
		}
		if !errors.Is(err, registry.ErrOutcomeUnknown) || ctx.Err() != nil {
			c.t.Fatalf("register %s at %s: %v", name, r.name, err)
		}
	}
}

// shows reports whether a read of a replica, which must succeed, shows a pool.
func (c *cluster) shows(r *running, name registry.PoolName, opts registry.ReadOptions) bool {
	c.t.Helper()
	view, _, err := r.Read(within(c.t, 10*time.Second), opts)
	if err != nil {
		c.t.Fatalf("read %s at %s: %v", name, r.name, err)
	}
	_, err = view.Pool(name)
	return err == nil
}
