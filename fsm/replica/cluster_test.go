package replica_test

import (
	"context"
	"fmt"
	"net"
	"path/filepath"
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
	t    *testing.T
	dir  string
	mu   sync.Mutex
	at   map[string]*replica.Replica // by API address
	cut  map[string]bool             // API addresses that do not answer
	live map[registry.ReplicaName]*running
}

type running struct {
	*replica.Replica
	name   registry.ReplicaName
	api    string
	halted chan error
}

func newCluster(t *testing.T) *cluster {
	c := &cluster{t: t, dir: t.TempDir(), at: map[string]*replica.Replica{}, cut: map[string]bool{}, live: map[registry.ReplicaName]*running{}}
	t.Cleanup(func() {
		for _, r := range c.live {
			if err := r.Close(); err != nil {
				t.Errorf("close %s: %v", r.name, err)
			}
		}
	})
	return c
}

// freePort gives an address that nobody else in this test takes: the API
// addresses are names here, and nothing listens on them.
func freePort(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func (c *cluster) options(name registry.ReplicaName, api string, list []string) (replica.Options, chan error) {
	halted := make(chan error, 1)
	return replica.Options{
		Name:          name,
		DataDir:       filepath.Join(c.dir, string(name)),
		API:           api,
		RaftBind:      "127.0.0.1:0",
		GossipBind:    "127.0.0.1:0",
		Replicas:      list,
		GossipProfile: gossip.Local,
		Version:       "test",
		Logger:        hclog.New(&hclog.LoggerOptions{Name: string(name), Level: hclog.Warn, Output: testWriter{c.t}}),
		Caller:        wires{c, api},
		Halt: func(err error) {
			halted <- err
		},
	}, halted
}

type testWriter struct{ t *testing.T }

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
	opts, halted := c.options(name, api, list)
	r, err := replica.Open(opts)
	if err != nil {
		return nil, err
	}
	run := &running{Replica: r, name: name, api: api, halted: halted}
	c.mu.Lock()
	c.at[api], c.live[name] = r, run
	c.mu.Unlock()
	r.Start()
	return run, nil
}

// startAll starts n replicas r1, r2, … and waits until all are ready.
func (c *cluster) startAll(n int) []*running {
	c.t.Helper()
	var list []string
	for range n {
		list = append(list, freePort(c.t))
	}
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
	delete(c.live, r.name)
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

func (c *cluster) reach(from, to string) (*replica.Replica, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	r := c.at[to]
	if r == nil || c.cut[from] || c.cut[to] {
		return nil, registry.Errorf(registry.Unavailable, "%s cannot be reached", to)
	}
	return r, nil
}

// wires are the calls of one replica.
type wires struct {
	c    *cluster
	from string
}

func (w wires) Hello(ctx context.Context, api string, from registry.Greeting) (registry.Greeting, error) {
	r, err := w.c.reach(w.from, api)
	if err != nil {
		return registry.Greeting{}, err
	}
	return r.Hello(ctx, from)
}

func (w wires) CurrentTerm(ctx context.Context, api string, name registry.ReplicaName) (registry.Term, error) {
	r, err := w.c.reach(w.from, api)
	if err != nil {
		return 0, err
	}
	return r.CurrentTerm(ctx, name)
}

func (w wires) ReadIndex(ctx context.Context, api string) (registry.Index, error) {
	r, err := w.c.reach(w.from, api)
	if err != nil {
		return 0, err
	}
	return r.ReadIndex(ctx)
}

func (w wires) Forward(ctx context.Context, api string, command []byte) ([]byte, registry.Position, error) {
	r, err := w.c.reach(w.from, api)
	if err != nil {
		return nil, registry.Position{}, err
	}
	return r.Forward(ctx, command)
}
