package sim

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync/atomic"
	"time"

	"github.com/rota-registry/rota/fsm/replica"
	"github.com/rota-registry/rota/gossip"
	"github.com/rota-registry/rota/registry"
	"github.com/rota-registry/rota/rpc/client"
	"github.com/rota-registry/rota/rpc/replicas"
	"github.com/rota-registry/rota/rpc/server"
	"github.com/rota-registry/rota/tests/simnet"
)

// Replica is a host with a data directory, on which the process runs or not.
type Replica struct {
	cluster *Cluster
	Name    registry.ReplicaName
	host    *simnet.Host
	dir     string
	runs    atomic.Pointer[process] // nil while it does not
	probe   *Client                 // which asks this replica alone
}

// process is what rota server is made of.
type process struct {
	replica *replica.Replica
	api     *server.Server
	calls   *replicas.Client
	served  chan error
	sockets *sockets
}

// Replicas are some of a cluster's.
type Replicas []*Replica

// Names gives their names.
func (l Replicas) Names() []string { return names(l...) }

func (r *Replica) api() string { return net.JoinHostPort(r.host.IP(), "7700") }

// Running reports whether the process runs.
func (r *Replica) Running() bool { return r.runs.Load() != nil }

// Move gives a replica that is down another address, as a machine that was
// reinstalled has; its data directory comes with it.
func (c *Cluster) Move(r *Replica, ip string) {
	c.Story.note("%s moves from %s to %s", r.Name, r.host.IP(), ip)
	r.host = c.Net.Host(ip)
}

// AskAt makes the replicas' probes ask where they are now.
func (c *Cluster) AskAt() {
	for _, r := range c.replicas {
		r.probe = c.NewClient(client.Options{}, r)
	}
}

// Serves is the replica itself, which runs.
func (r *Replica) Serves() *replica.Replica { return r.runs.Load().replica }

// Self is what the replica says of itself; nothing when it does not run.
func (r *Replica) Self() registry.Greeting {
	if p := r.runs.Load(); p != nil {
		return p.replica.Self()
	}
	return registry.Greeting{}
}

// Start starts a replica on its host, with what its data directory holds.
func (c *Cluster) Start(r *Replica) {
	c.t.Helper()
	c.Net.Boot(r.host.IP())
	c.Story.note("start %s", r.Name)
	if err := r.open(); err != nil {
		c.t.Fatalf("start %s: %v", r.Name, err)
	}
}

func (r *Replica) open() error {
	listen, err := r.host.Listen(simnet.API, r.api())
	if err != nil {
		return err
	}
	log := r.cluster.logger(string(r.Name))
	p := &process{served: make(chan error, 1), sockets: &sockets{host: r.host}}
	p.calls = replicas.New(replicas.Options{Dial: apiDial(r.host)})
	p.replica, err = replica.Open(replica.Options{
		Name: r.Name, DataDir: r.dir, API: r.api(), RaftBind: r.at("7701"), GossipBind: r.at("7702"),
		Replicas: r.cluster.apis(), GossipProfile: r.cluster.options.Profile, Timings: r.cluster.options.Timings, Version: "sim",
		Logger: log, Caller: p.calls, Network: p.sockets, Applying: r.cluster.Log.life(r.Name),
		Halt: func(err error) { r.cluster.t.Errorf("%s, %s halted: %v", r.cluster.Story.now(), r.Name, err) },
	})
	if err == nil {
		p.api, err = server.New(server.Options{Replica: p.replica, Name: r.Name, Logger: log.Named("api")})
	}
	if err != nil {
		p.calls.Close()
		return errors.Join(err, listen.Close())
	}
	r.runs.Store(p)
	go func() { p.served <- p.api.Serve(listen) }()
	p.replica.Start()
	return nil
}

func (r *Replica) at(port string) string { return net.JoinHostPort(r.host.IP(), port) }

// sockets are those of one process.
type sockets struct {
	host   *simnet.Host
	gossip atomic.Pointer[simnet.Transport] // nil before gossip has begun
}

// ListenRaft implements replica.Network.
func (s *sockets) ListenRaft(bind string) (net.Listener, error) {
	return s.host.Listen(simnet.Raft, bind)
}

// DialRaft implements replica.Network.
func (s *sockets) DialRaft(ctx context.Context, to string) (net.Conn, error) {
	return s.host.Dial(ctx, simnet.Raft, to)
}

// Gossip implements replica.Network.
func (s *sockets) Gossip(bind string) (gossip.Transport, error) {
	t, err := s.host.Transport(bind)
	if err == nil {
		s.gossip.Store(t)
	}
	return t, err
}

// apiDial makes connections from one host to the API of others.
func apiDial(host *simnet.Host) func(ctx context.Context, network, address string) (net.Conn, error) {
	return func(ctx context.Context, _, address string) (net.Conn, error) {
		return host.Dial(ctx, simnet.API, address)
	}
}

// drainMax is how long requests under way are waited for at an orderly stop.
const drainMax = 5 * time.Second

// stop ends the process in order: it hands leadership over and answers who
// waits.
func (r *Replica) stop() error {
	p := r.runs.Swap(nil)
	ctx, cancel := context.WithTimeout(context.Background(), drainMax)
	defer cancel()
	p.replica.StepDown(ctx)
	_ = p.api.Shutdown(ctx) // requests that are cut off are told so
	return p.join()
}

// end ends the process at once. Its host has been cut off before, if others are
// not to notice.
func (r *Replica) end() error {
	p := r.runs.Swap(nil)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_ = p.api.Shutdown(ctx)
	return p.join()
}

// endMax is how long a process may take to end that nobody hears any more.
const endMax = time.Second

func (p *process) join() error {
	start := time.Now()
	if t := p.sockets.gossip.Load(); t != nil {
		t.EndDials()
	}
	err := errors.Join(<-p.served, p.replica.Close())
	p.calls.Close()
	if took := time.Since(start); took > endMax {
		err = errors.Join(err, fmt.Errorf("it took %v to end, longer than %v", took, endMax))
	}
	return err
}
