package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"runtime"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/rota-registry/rota/fsm/replica"
	"github.com/rota-registry/rota/gossip"
	"github.com/rota-registry/rota/registry"
	"github.com/rota-registry/rota/rpc/replicas"
	"github.com/rota-registry/rota/rpc/server"
)

// stepDownTimeout bounds handing leadership over, to one replica after the other.
const stepDownTimeout = 5 * time.Second

// serverProcess is what rota server is made of.
type serverProcess struct {
	options serverOptions
	log     hclog.Logger
	listen  net.Listener
	grpc    net.Listener // nil: none
	caller  *replicas.Client
	replica *replica.Replica
	api     *server.Server
	served  chan error // what each Serve returned
	halted  chan error // what makes it impossible to go on, once
}

// heapFloor makes the collector's first goal twice as much. A replica's state is
// mostly a few megabytes, and under load it would be gone through a hundred
// times a second: batches of keys came a fifth slower. Nobody touches these
// bytes, so that they take no memory. GOGC in place of it lost, because it
// multiplies a large state, too.
const heapFloor = 32 << 20

// runServer runs a replica until ctx ends, which is an orderly stop, or until
// it cannot go on.
func runServer(ctx context.Context, o serverOptions, log hclog.Logger) error {
	floor := make([]byte, heapFloor)
	defer runtime.KeepAlive(floor)
	p, err := openServer(o, log)
	if err != nil {
		return err
	}
	p.serve()
	p.replica.Start()
	select {
	case <-ctx.Done():
		return p.unlessHalted(p.stop)
	case err := <-p.halted:
		return p.crash(err)
	case err := <-p.served:
		return errors.Join(fmt.Errorf("a listener of the API failed: %w", err), p.unlessHalted(p.close))
	}
}

// unlessHalted waits for f, but no longer once the replica cannot go on: what
// made it so, a disk that hangs, is what f may wait for, and for ever.
func (p *serverProcess) unlessHalted(f func() error) error {
	done := make(chan error, 1)
	go func() { done <- f() }()
	select {
	case err := <-done:
		return err
	case err := <-p.halted:
		return p.crash(err)
	}
}

// serve answers on all listeners. Shutdown ends that, and stop joins it.
func (p *serverProcess) serve() {
	go func() { p.served <- p.api.Serve(p.listen) }()
	if p.grpc != nil {
		go func() { p.served <- p.api.ServeGRPC(p.grpc) }()
	}
}

// openServer binds all ports, the API's first, and opens the store.
func openServer(o serverOptions, log hclog.Logger) (*serverProcess, error) {
	if open := exposed(o.endpoints()...); len(open) > 0 {
		log.Warn("insecure: other machines can reach these addresses, and there is no TLS", "addresses", open)
	}
	p := &serverProcess{options: o, log: log, served: make(chan error, 2), halted: make(chan error, 1)}
	err := errors.Join(
		prefixed("--raft", portFree("tcp", o.raft)), prefixed("--gossip", portFree("tcp", o.gossip)), prefixed("--gossip", portFree("udp", o.gossip)),
	)
	if err != nil {
		return nil, err
	}
	if p.listen, err = net.Listen("tcp", o.api); err != nil {
		return nil, prefixed("--api", taken("tcp", o.api, err))
	}
	if o.grpc != "" {
		if p.grpc, err = net.Listen("tcp", o.grpc); err != nil {
			return nil, errors.Join(prefixed("--grpc", taken("tcp", o.grpc, err)), p.listen.Close())
		}
	}
	if err := p.unlessHalted(p.open); err != nil {
		return nil, errors.Join(err, p.closeListeners())
	}
	log.Info("replica is starting", "name", o.name, "api", o.advertisedAPI(p.listen.Addr()),
		"raft", p.replica.Self().Raft, "gossip", p.replica.Self().Gossip, "data", o.dataDir, "version", readVersion().Version)
	return p, nil
}

func (p *serverProcess) closeListeners() error {
	if p.grpc == nil {
		return p.listen.Close()
	}
	return errors.Join(p.listen.Close(), p.grpc.Close())
}

func (p *serverProcess) open() error {
	metrics, err := newMetrics()
	if err != nil {
		return err
	}
	p.caller = replicas.New(replicas.Options{})
	if p.replica, err = replica.Open(p.replicaOptions()); err != nil {
		p.caller.Close()
		return err
	}
	metrics.observe(p.replica)
	p.api, err = server.New(server.Options{
		Replica: p.replica, Name: registry.ReplicaName(p.options.name),
		Logger: p.log.Named("api"), Metrics: metrics.handler(), Observe: metrics.request,
	})
	if err != nil {
		return errors.Join(err, p.close())
	}
	metrics.attended(p.api.Attended)
	return nil
}

func (p *serverProcess) replicaOptions() replica.Options {
	o := p.options
	return replica.Options{
		Name: registry.ReplicaName(o.name), DataDir: o.dataDir, API: o.advertisedAPI(p.listen.Addr()),
		RaftBind: o.raft, GossipBind: o.gossip, Advertise: o.advertise, Replicas: o.replicas,
		GossipProfile: gossip.Profile(o.profile), Timings: o.timings(), Version: readVersion().Version,
		Logger: p.log.Named("replica"), Caller: p.caller, Halt: p.halt,
	}
}

// halt hands the error to runServer, which ends the process. It never returns:
// the goroutine it is called on, one of Raft's, must do nothing after it.
func (p *serverProcess) halt(err error) {
	p.halted <- err
	select {}
}

// stop ends in order: leadership to another, then the requests under way, then
// the replica. Who is cut off at the deadline hears that the outcome is
// unknown.
func (p *serverProcess) stop() error {
	p.log.Info("replica is stopping", "name", p.options.name)
	ctx, cancel := context.WithTimeout(context.Background(), stepDownTimeout)
	p.replica.StepDown(ctx)
	cancel()
	ctx, cancel = context.WithTimeout(context.Background(), p.options.drain)
	defer cancel()
	if err := p.api.Shutdown(ctx); err != nil {
		p.log.Warn("requests were cut off when the drain time-out had passed", "after", p.options.drain)
	}
	err := <-p.served
	if p.grpc != nil {
		err = errors.Join(err, <-p.served)
	}
	err = errors.Join(err, p.close())
	p.log.Info("replica has stopped", "name", p.options.name)
	return err
}

// close ends the replica and then what it calls others with.
func (p *serverProcess) close() error {
	err := p.replica.Close()
	p.caller.Close()
	return err
}

// crash ends at once: when the log or the store cannot be trusted, nothing is
// put in order that would need them, and the process's end closes the rest.
func (p *serverProcess) crash(err error) error {
	p.log.Error("replica cannot go on", "name", p.options.name, "error", err)
	return fmt.Errorf("replica %s cannot go on: %w", p.options.name, err)
}

// portFree says who has an address that something else will bind in a moment,
// more clearly than that will.
func portFree(network, address string) error {
	if network == "udp" {
		c, err := net.ListenPacket(network, address)
		if err != nil {
			return taken(network, address, err)
		}
		return c.Close()
	}
	l, err := net.Listen(network, address)
	if err != nil {
		return taken(network, address, err)
	}
	return l.Close()
}
