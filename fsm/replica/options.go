package replica

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
	"github.com/rota-registry/rota/gossip"
	"github.com/rota-registry/rota/registry"
)

// Options say what a replica is and where it lives.
type Options struct {
	Name registry.ReplicaName
	// DataDir holds the log, the snapshots and the identity file; it is made
	// when missing.
	DataDir string
	// API is the host:port at which others reach this replica's API.
	API string
	// RaftBind and GossipBind are host:port to listen on; port 0 is any.
	RaftBind, GossipBind string
	// Advertise is the host that others reach Raft and gossip at; empty is the
	// host of each bind address.
	Advertise string
	// Replicas are the API addresses of all replicas of a new cluster, the
	// same list on each. Empty founds a cluster of one. A replica that has
	// been in a cluster uses them to find the others again.
	Replicas []string
	// GossipProfile is gossip's timing; empty is LAN.
	GossipProfile gossip.Profile
	Timings       Timings
	Version       string
	Logger        hclog.Logger
	// Caller reaches the other replicas.
	Caller Caller
	// Network is where Raft and gossip listen and call; nil is TCP and UDP. It is
	// for simulations.
	Network Network
	// Applying is told of entries that are about to be applied, in order, by the
	// goroutine that applies them. It must neither change nor block. It is for
	// tests that keep what the cluster decided; nil is nobody.
	Applying func([]*raft.Log)
	// Halt is called once with the error that makes it impossible to go on:
	// an entry that cannot be applied, a store of another replica, a disk that
	// fails or hangs. It must end the process and not return: whoever found the
	// error would go on. Nor may it wait for Close, which a hung disk holds up.
	Halt func(error)

	disk    diskHooks
	machine machineHooks
}

// Timings are Raft's. Zero values are the defaults.
type Timings struct {
	// Heartbeat is how long a follower waits for its leader before it stands
	// for election, and Election how long an election may take; 500 ms. On
	// disks whose fsync is slow they must be 2 s or more, because a follower
	// in an fsync answers no heartbeat.
	Heartbeat, Election time.Duration
	// Lease is how long a leader goes on without a majority; 250 ms.
	Lease time.Duration
	// Commit bounds how long a follower's machine trails an idle leader's;
	// 5 ms.
	Commit time.Duration
	// SnapshotEvery is how many entries are kept before a snapshot, 8,192, and
	// SnapshotLook how often it is looked for how many there are, 2 min and up to
	// twice that.
	SnapshotEvery uint64
	SnapshotLook  time.Duration
	// Trailing is how many entries are kept behind a snapshot, for followers that
	// trail a little; 10,240.
	Trailing uint64
}

func (t *Timings) setDefaults() {
	setDefault(&t.Heartbeat, 500*time.Millisecond)
	setDefault(&t.Election, 500*time.Millisecond)
	setDefault(&t.Lease, min(250*time.Millisecond, t.Heartbeat))
	setDefault(&t.Commit, 5*time.Millisecond)
	setDefault(&t.SnapshotEvery, 8192)
	setDefault(&t.SnapshotLook, 2*time.Minute)
	setDefault(&t.Trailing, 10240)
}

func setDefault[T comparable](p *T, v T) {
	var zero T
	if *p == zero {
		*p = v
	}
}

// Caller makes the calls between replicas, each to the API address of one.
// Errors carry the codes of registry; Forward answers OutcomeUnknown unless it
// is certain that nothing was done.
type Caller interface {
	Hello(ctx context.Context, api string, from registry.Greeting) (registry.Greeting, error)
	CurrentTerm(ctx context.Context, api string, name registry.ReplicaName) (registry.Term, error)
	ReadIndex(ctx context.Context, api string) (registry.Index, error)
	Forward(ctx context.Context, api string, command []byte) (result []byte, at registry.Position, err error)
	// SeesNodes gives one sight for each life.
	SeesNodes(ctx context.Context, api string, lives []registry.Life, probe bool) ([]registry.Sight, error)
	NodesBroke(ctx context.Context, api string, lives []registry.Life) error
	Liveness(ctx context.Context, api string, thaw bool, t registry.NodeType) (registry.LivenessReport, error)
}

// Network is what Raft and gossip use in place of sockets.
type Network interface {
	// ListenRaft takes the address for Raft's streams, and DialRaft opens one to
	// another replica's until the context ends.
	ListenRaft(bind string) (net.Listener, error)
	DialRaft(ctx context.Context, to string) (net.Conn, error)
	// Gossip takes the address for gossip, which shuts the transport down.
	Gossip(bind string) (gossip.Transport, error)
}

// validate reports every fault at once.
func (o *Options) validate() error {
	var faults []error
	fault := func(err error) {
		if err != nil {
			faults = append(faults, err)
		}
	}
	fault(o.Name.Validate())
	if o.DataDir == "" {
		fault(errors.New("the data directory is not named"))
	}
	fault(hostPort("API address", o.API))
	fault(hostPort("Raft address", o.RaftBind))
	fault(hostPort("gossip address", o.GossipBind))
	for i, a := range o.Replicas {
		fault(hostPort("replica address", a))
		if slices.Contains(o.Replicas[:i], a) { // it would found a smaller cluster than was meant
			fault(fmt.Errorf("replica address %q is listed twice: list each replica once", a))
		}
	}
	if o.Logger == nil || o.Caller == nil || o.Halt == nil {
		fault(errors.New("the options Logger, Caller and Halt must be given"))
	}
	if len(o.Replicas) > registry.ReplicasMax {
		fault(fmt.Errorf("%d replicas are listed, at most %d are allowed", len(o.Replicas), registry.ReplicasMax))
	}
	if err := errors.Join(faults...); err != nil {
		return registry.Errorf(registry.Invalid, "replica %s: %s", o.Name, strings.ReplaceAll(err.Error(), "\n", "; "))
	}
	return nil
}

func hostPort(what, s string) error {
	if _, _, err := net.SplitHostPort(s); err != nil {
		return fmt.Errorf("%s %q is not host:port", what, s)
	}
	return nil
}

// advertised gives the address that others reach a listener at.
func advertised(host string, bound net.Addr) string {
	_, port, err := net.SplitHostPort(bound.String())
	if err != nil || host == "" {
		return bound.String()
	}
	return net.JoinHostPort(host, port)
}
