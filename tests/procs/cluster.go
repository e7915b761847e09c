package procs

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rota-registry/rota/registry"
	"github.com/rota-registry/rota/rpc/client"
)

// Cluster is a cluster of real processes.
type Cluster struct {
	Replicas []*Replica // r1, r2, …
	Agents   map[string]*Process

	t   testing.TB
	dir string
}

// Replica is one replica's process and where it is.
type Replica struct {
	*Process
	API, Raft, Gossip string
	DataDir           string
	// Client asks this replica alone.
	Client *client.Client
}

// Start starts n replicas and waits until all are ready.
func Start(t testing.TB, n int) *Cluster {
	t.Helper()
	c := New(t, n)
	for _, r := range c.Replicas {
		r.Start()
	}
	c.AwaitReady(Ready)
	return c
}

// New makes a cluster of n replicas and starts none.
func New(t testing.TB, n int) *Cluster {
	t.Helper()
	c := &Cluster{t: t, dir: t.TempDir(), Agents: map[string]*Process{}}
	addrs := FreeAddrs(t, 3*n)
	for i := range n {
		name := fmt.Sprintf("r%d", i+1)
		r := &Replica{API: addrs[3*i], Raft: addrs[3*i+1], Gossip: addrs[3*i+2], DataDir: filepath.Join(c.dir, name)}
		r.Process = NewProcess(t, c.dir, name)
		r.Client = Dial(t, r.API)
		c.Replicas = append(c.Replicas, r)
	}
	for _, r := range c.Replicas {
		r.Args = r.args(c.APIs())
	}
	return c
}

func (r *Replica) args(list []string) []string {
	return []string{
		"server", "--name", r.Name, "--data-dir", r.DataDir, "--api", r.API, "--raft", r.Raft, "--gossip", r.Gossip,
		"--replicas", strings.Join(list, ","), "--gossip-profile", "local",
	}
}

// Move gives a stopped replica new addresses and the list that goes with them.
func (c *Cluster) Move(moved ...*Replica) {
	c.t.Helper()
	for _, r := range moved {
		addrs := FreeAddrs(c.t, 3)
		r.API, r.Raft, r.Gossip = addrs[0], addrs[1], addrs[2]
		r.Client = Dial(c.t, r.API)
	}
	for _, r := range moved {
		r.Args = r.args(c.APIs())
	}
}

// Dir is the cluster's directory, gone with the test.
func (c *Cluster) Dir() string { return c.dir }

// APIs gives the API addresses of all replicas.
func (c *Cluster) APIs() []string {
	var out []string
	for _, r := range c.Replicas {
		out = append(out, r.API)
	}
	return out
}

// Client gives a client of all replicas.
func (c *Cluster) Client() *client.Client { return Dial(c.t, c.APIs()...) }

// AwaitReady waits until every replica that runs says that it is ready.
func (c *Cluster) AwaitReady(within time.Duration) {
	c.t.Helper()
	Eventually(c.t, within, func() error {
		for _, r := range c.Replicas {
			if !r.Running() {
				continue
			}
			if status, body, err := Get("http://" + r.API + "/readyz"); err != nil || status != 200 {
				return fmt.Errorf("%s is not ready: %d %s %w", r.Name, status, body, err)
			}
		}
		return nil
	})
}

// Leader waits for a leader on which all replicas that answer agree, other
// than those named.
func (c *Cluster) Leader(within time.Duration, not ...string) *Replica {
	c.t.Helper()
	var leader *Replica
	Eventually(c.t, within, func() error {
		leader = nil
		for _, r := range c.Replicas {
			if !r.Running() || slices.Contains(not, r.Name) {
				continue
			}
			ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
			s, err := r.Client.Status(ctx)
			cancel()
			if err != nil {
				return err
			}
			if s.Leader == "" || slices.Contains(not, string(s.Leader)) {
				return fmt.Errorf("%s says that %q leads", r.Name, s.Leader)
			}
			if leader != nil && leader.Name != string(s.Leader) {
				return fmt.Errorf("%s says that %s leads, others %s", r.Name, s.Leader, leader.Name)
			}
			leader = c.Replica(string(s.Leader))
		}
		return nil
	})
	return leader
}

// Replica gives the replica of that name.
func (c *Cluster) Replica(name string) *Replica {
	c.t.Helper()
	for _, r := range c.Replicas {
		if r.Name == name {
			return r
		}
	}
	c.t.Fatalf("there is no replica %s", name)
	return nil
}

// Agent starts an agent for a node and does not wait for it.
func (c *Cluster) Agent(name string, typ registry.NodeType) *Process {
	c.t.Helper()
	p := c.Agents[name]
	if p == nil {
		p = NewProcess(c.t, c.dir, "agent-"+name)
		c.Agents[name] = p
	}
	p.Args = []string{
		"agent", "--name", name, "--type", string(typ), "--servers", strings.Join(c.APIs(), ","),
		"--gossip", FreeAddrs(c.t, 1)[0], "--gossip-profile", "local",
	}
	p.Start()
	return p
}

// AwaitNode waits until every replica shows a node in a state.
func (c *Cluster) AwaitNode(within time.Duration, state registry.NodeState, names ...string) {
	c.t.Helper()
	Eventually(c.t, within, func() error {
		for _, r := range c.Replicas {
			if !r.Running() {
				continue
			}
			ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
			list, err := r.Client.Nodes(ctx, client.Local())
			cancel()
			if err != nil {
				return fmt.Errorf("%s: %w", r.Name, err)
			}
			for _, name := range names {
				if got := stateOf(list.Nodes, name); got != state {
					return fmt.Errorf("%s shows node %s as %s, want %s", r.Name, name, got, state)
				}
			}
		}
		return nil
	})
}

func stateOf(nodes []registry.NodeInfo, name string) registry.NodeState {
	for _, n := range nodes {
		if string(n.Name) == name {
			return n.State
		}
	}
	return 0
}
