package main

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/rota-registry/rota/fsm/replica"
	"github.com/rota-registry/rota/gossip"
	"github.com/rota-registry/rota/registry"
)

// Bounds of Raft's timings, as flags.
const (
	heartbeatMin = 50 * time.Millisecond
	heartbeatMax = time.Minute
	commitMin    = time.Millisecond
	commitMax    = time.Second
	drainMax     = 5 * time.Minute
)

// serverOptions are the flags of rota server.
type serverOptions struct {
	name, dataDir     string
	api, raft, gossip string
	grpc              string // empty: none
	advertise         string
	replicas          []string
	profile           string
	heartbeat, commit time.Duration
	drain             time.Duration
	insecure          bool
}

func newServerCommand(a *app) *cobra.Command {
	o := &serverOptions{}
	cmd := configured(&cobra.Command{
		Use:   "server --name NAME --data-dir DIR",
		Short: "Run one replica of the registry",
		Long: `Runs one replica. A new cluster is founded when all of --replicas are up, the
same list on each; without --replicas it is a cluster of one. SIGTERM hands
leadership over, answers what is under way, and ends with 0; the replica stays
in the cluster, and comes back when it is started again, on any address.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, stop := interrupted(cmd.Context())
			defer stop()
			return runServer(ctx, *o, a.logger("rota"))
		},
	})
	o.addFlags(cmd)
	a.checks[cmd] = o.faults
	return cmd
}

func (o *serverOptions) addFlags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&o.name, "name", "", "the replica's name, like r1")
	f.StringVar(&o.dataDir, "data-dir", "", "directory of the log and the snapshots; made when missing")
	f.StringVar(&o.api, "api", apiDefault, "address of the API, for people, programs and replicas")
	f.StringVar(&o.raft, "raft", "127.0.0.1:7701", "address of Raft")
	f.StringVar(&o.gossip, "gossip", "127.0.0.1:7702", "address of the gossip, TCP and UDP")
	f.StringVar(&o.grpc, "grpc", "", "address of gRPC alone, for programs that make many single calls; the API's has gRPC too, and costs thrice as much (default none)")
	f.StringVar(&o.advertise, "advertise", "", "host that others reach these addresses at (default the host of each)")
	f.StringSliceVar(&o.replicas, "replicas", nil, "API addresses of all replicas of the cluster, host:port[,…]")
	f.StringVar(&o.profile, "gossip-profile", string(gossip.LAN), "timing of the gossip, the same in the whole cluster: lan or local")
	f.DurationVar(&o.heartbeat, "heartbeat", 500*time.Millisecond, "how long a leader is missed before an election; 2s or more on disks whose fsync is slow, and over links of 100ms and more")
	f.DurationVar(&o.commit, "commit-timeout", 5*time.Millisecond, "how long a follower may trail an idle leader; less costs processor time")
	f.DurationVar(&o.drain, "drain-timeout", 5*time.Second, "how long a stop waits for the requests under way")
	f.BoolVar(&o.insecure, "insecure", false, "allow addresses that other machines can reach, though there is no TLS yet")
}

// faults says everything that is wrong with the flags.
func (o *serverOptions) faults() []error {
	faults := []error{
		prefixed("--name", registry.ReplicaName(o.name).Validate()),
		prefixed("--gossip-profile", gossip.Profile(o.profile).Validate()),
		between("--heartbeat", o.heartbeat, heartbeatMin, heartbeatMax),
		between("--commit-timeout", o.commit, commitMin, commitMax),
		between("--drain-timeout", o.drain, 0, drainMax),
		o.portFault(),
	}
	if o.dataDir == "" {
		faults = append(faults, errors.New("--data-dir is empty: name the directory that keeps the replica's log"))
	}
	for _, e := range o.binds() {
		faults = append(faults, needsAdvertise(e.flag, e.value, o.advertise))
	}
	if hasPort(o.advertise) {
		faults = append(faults, fmt.Errorf("--advertise %s: give a host without a port, it is for all addresses", o.advertise))
	}
	if len(o.replicas) > registry.ReplicasMax {
		faults = append(faults, fmt.Errorf("--replicas lists %d, at most %d are allowed", len(o.replicas), registry.ReplicasMax))
	}
	if len(o.replicas) > 0 {
		faults = append(faults, serverFaults("--replicas", o.replicas)...)
	}
	faults = append(faults, listenFaults(o.insecure, o.endpoints()...)...)
	return slices.DeleteFunc(faults, func(err error) bool { return err == nil })
}

// portFault refuses two listeners at one port.
func (o *serverOptions) portFault() error {
	seen := map[string]string{}
	for _, e := range o.binds() {
		_, number, err := splitHostPort(e.value)
		if other, twice := seen[strconv.Itoa(number)]; err == nil && number != 0 && twice {
			return fmt.Errorf("%s and %s have the same port %d: give each its own", other, e.flag, number)
		}
		seen[strconv.Itoa(number)] = e.flag
	}
	return nil
}

// binds are the addresses that are listened on.
func (o *serverOptions) binds() []endpoint {
	all := []endpoint{{flag: "--api", value: o.api}, {flag: "--raft", value: o.raft}, {flag: "--gossip", value: o.gossip}}
	if o.grpc != "" {
		all = append(all, endpoint{flag: "--grpc", value: o.grpc})
	}
	return all
}

func (o *serverOptions) endpoints() []endpoint {
	return append(o.binds(), endpoint{flag: "--advertise", value: o.advertise, hostOnly: true})
}

// between says whether a span is out of its bounds.
func between(flag string, d, least, most time.Duration) error {
	if d < least || d > most {
		return fmt.Errorf("%s %v: give %v to %v", flag, d, least, most)
	}
	return nil
}

// advertisedAPI is where others reach the API that listens at bound.
func (o *serverOptions) advertisedAPI(bound net.Addr) string {
	host, _, err := splitHostPort(o.api)
	_, number, boundErr := net.SplitHostPort(bound.String())
	if err != nil || boundErr != nil {
		return bound.String()
	}
	if o.advertise != "" {
		host = o.advertise
	}
	return joinHost(host, number)
}

// timings are Raft's. The lease follows the heartbeat: where heartbeats are
// slow because disks are, a short lease would end leaderships for nothing.
func (o *serverOptions) timings() replica.Timings {
	return replica.Timings{Heartbeat: o.heartbeat, Election: o.heartbeat, Lease: o.heartbeat / 2, Commit: o.commit}
}
