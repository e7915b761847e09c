package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/rota-registry/rota/gossip"
	"github.com/rota-registry/rota/registry"
)

// agentOptions are the flags of rota agent.
type agentOptions struct {
	name     string
	nodeType string
	// servers are API addresses of replicas; empty stands for --server.
	servers   []string
	gossip    string
	advertise string
	profile   string
	insecure  bool
}

func newAgentCommand(a *app) *cobra.Command {
	o := &agentOptions{}
	cmd := configured(&cobra.Command{
		Use:   "agent --name NAME --type TYPE",
		Short: "Keep a node in the registry for as long as this process lives",
		Long: `Joins the registry as a node, shows by gossip that it lives, and says goodbye
on SIGTERM. It waits for replicas that do not answer yet, joins again when it
was forgotten, and ends with 1 when another process has its name.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, stop := interrupted(cmd.Context())
			defer stop()
			return newAgent(*o, a).run(ctx)
		},
	})
	f := cmd.Flags()
	f.StringVar(&o.name, "name", "", "the node's name, like worker-1")
	f.StringVar(&o.nodeType, "type", "", "the node's type: worker, proxy, logger, manager or another")
	f.StringSliceVar(&o.servers, "servers", nil, "API addresses of replicas, host:port[,…] (default that of --server)")
	f.StringVar(&o.gossip, "gossip", "127.0.0.1:0", "address of the gossip, TCP and UDP; port 0 takes a free one")
	f.StringVar(&o.advertise, "advertise", "", "host or host:port that others reach the gossip at (default the one bound)")
	f.StringVar(&o.profile, "gossip-profile", string(gossip.LAN), "timing of the gossip, the same in the whole cluster: lan or local")
	f.BoolVar(&o.insecure, "insecure", false, "allow addresses that other machines can reach, though there is no TLS yet")
	a.checks[cmd] = func() []error { return o.settle(a.servers) }
	return cmd
}

// settle fills in the defaults that other flags give, and says everything that
// is wrong.
func (o *agentOptions) settle(fallback []string) []error {
	if len(o.servers) == 0 {
		o.servers = fallback
	}
	o.servers = slices.Compact(o.servers)
	faults := []error{
		prefixed("--name", registry.NodeName(o.name).Validate()),
		prefixed("--type", registry.NodeType(o.nodeType).Validate()),
		prefixed("--gossip-profile", gossip.Profile(o.profile).Validate()),
		needsAdvertise("--gossip", o.gossip, o.advertise),
	}
	faults = append(faults, listenFaults(o.insecure, o.endpoints()...)...)
	faults = append(faults, serverFaults("--servers", o.servers)...)
	return slices.DeleteFunc(faults, func(err error) bool { return err == nil })
}

func (o *agentOptions) endpoints() []endpoint {
	return []endpoint{
		{flag: "--gossip", value: o.gossip},
		{flag: "--advertise", value: o.advertise, hostOnly: true},
	}
}

// resolve is an error when the advertised host is a name that nobody knows: gossip
// would not start.
func (o *agentOptions) resolve(ctx context.Context) error {
	if o.advertise == "" {
		return nil
	}
	host, err := endpoint{value: o.advertise, hostOnly: true}.host()
	if err == nil {
		_, err = gossip.ResolveHost(ctx, strings.Trim(host, "[]"))
	}
	return prefixed("--advertise", err)
}

// prefixed names the flag that an error is about.
func prefixed(flag string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", flag, err)
}

// needsAdvertise refuses an address that binds everything and names nothing,
// for nobody could be told where to connect.
func needsAdvertise(flag, bind, advertise string) error {
	host, _, err := splitHostPort(bind)
	if err != nil || advertise != "" || !isWildcard(host) {
		return nil // a malformed address is listenFaults' to report
	}
	return fmt.Errorf("%s %s binds every address of this host: say with --advertise which one others reach", flag, cmp.Or(bind, "(empty)"))
}

// newBootID draws the id of one life of a process.
func newBootID() registry.BootID {
	b := make([]byte, registry.BootIDLen/2)
	rand.Read(b) // never fails: it ends the process instead
	return registry.BootID(hex.EncodeToString(b))
}
