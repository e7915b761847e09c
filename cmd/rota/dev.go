package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/rota-registry/rota/registry"
)

// Limits of rota dev: it starts a process for each.
const (
	devAgentsMax = 100
	devReplicas  = 3
	// devPortStep is between the API ports of two replicas; Raft and gossip
	// are one and two above each.
	devPortStep = 10
	devPortMax  = 65535 - (devReplicas-1)*devPortStep - 2
)

const devAgentsDefault = "manager=1,worker=2,proxy=2,logger=2"

// devOptions are the flags of rota dev.
type devOptions struct {
	port         int
	agents       []string // TYPE=COUNT each
	dataDir      string   // empty is a temporary one
	restartAfter time.Duration
}

func newDevCommand(a *app) *cobra.Command {
	o := &devOptions{}
	cmd := configured(&cobra.Command{
		Use:   "dev",
		Short: "Run three replicas and some nodes on this machine, to try things with",
		Long: `Starts three replicas and an agent for each node, every one a process of its
own that may be killed to see what happens; Ctrl-C stops them all. Nothing but
this machine can reach them, and the data is in a temporary directory that is
removed at the end, unless --data-dir says where to keep it.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runDev(cmd.Context(), *o, a) },
	})
	f := cmd.Flags()
	f.IntVar(&o.port, "port", 7700, "API port of the first replica; the others are 10 and 20 above, Raft 1 and gossip 2 above each")
	f.StringSliceVar(&o.agents, "agents", strings.Split(devAgentsDefault, ","), "how many nodes of which type, TYPE=COUNT[,…]")
	f.StringVar(&o.dataDir, "data-dir", "", "directory to keep data and logs in (default a temporary one)")
	f.DurationVar(&o.restartAfter, "restart-after", 0, "start a process again when it has been dead for so long (default never)")
	a.checks[cmd] = o.faults
	return cmd
}

func (o *devOptions) faults() []error {
	var faults []error
	if o.port < 1 || o.port > devPortMax {
		faults = append(faults, fmt.Errorf("--port %d: give one from 1 to %d, for the replicas use up to %d above it", o.port, devPortMax, 65535-devPortMax))
	}
	if _, err := parseAgents(o.agents); err != nil {
		faults = append(faults, err)
	}
	if o.restartAfter < 0 {
		faults = append(faults, fmt.Errorf("--restart-after %v is negative: give 0s for never", o.restartAfter))
	}
	return faults
}

// devNode is a node that rota dev runs an agent for.
type devNode struct {
	name     string
	nodeType registry.NodeType
}

// parseAgents gives the nodes of "worker=3", "proxy=2": worker-1 to worker-3,
// and so on. A lone manager is called manager, as in Zeek. The error names every
// fault.
func parseAgents(counts []string) ([]devNode, error) {
	var nodes []devNode
	var faults []error
	seen := map[registry.NodeType]bool{}
	for _, item := range counts {
		nodeType, count, err := parseAgentCount(item)
		if err == nil && seen[nodeType] {
			err = fmt.Errorf("type %s is given twice", nodeType)
		}
		if err != nil {
			faults = append(faults, fmt.Errorf("--agents %q: %w", item, err))
			continue
		}
		seen[nodeType] = true
		nodes = append(nodes, namedNodes(nodeType, count)...)
	}
	if len(nodes) > devAgentsMax {
		faults = append(faults, fmt.Errorf("--agents: %d processes are more than the %d allowed: ask for fewer", len(nodes), devAgentsMax))
	}
	return nodes, errors.Join(faults...)
}

func parseAgentCount(item string) (registry.NodeType, int, error) {
	name, digits, ok := strings.Cut(strings.TrimSpace(item), "=")
	if !ok {
		return "", 0, errors.New("want TYPE=COUNT, as in worker=3")
	}
	if err := registry.NodeType(name).Validate(); err != nil {
		return "", 0, err
	}
	count, err := strconv.ParseUint(digits, 10, 16)
	if err != nil || count > devAgentsMax {
		return "", 0, fmt.Errorf("count %q: want a number from 0 to %d", digits, devAgentsMax)
	}
	return registry.NodeType(name), int(count), nil
}

func namedNodes(nodeType registry.NodeType, count int) []devNode {
	if nodeType == registry.Manager && count == 1 {
		return []devNode{{name: string(nodeType), nodeType: nodeType}}
	}
	nodes := make([]devNode, 0, count)
	for i := range count {
		nodes = append(nodes, devNode{name: fmt.Sprintf("%s-%d", nodeType, i+1), nodeType: nodeType})
	}
	return nodes
}

// runDev runs the cluster until it is interrupted or does not come up.
func runDev(ctx context.Context, o devOptions, a *app) (err error) {
	ctx, stop := interrupted(ctx)
	defer stop()
	nodes, err := parseAgents(o.agents)
	if err != nil {
		return err
	}
	exe, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find this program's own file: %w", err)
	}
	if err := checkPorts(o.port); err != nil {
		return err
	}
	dir, cleanUp, err := devDirectory(o.dataDir)
	if err != nil {
		return err
	}
	d, err := newDev(o, a, exe, dir, nodes)
	if err != nil {
		return errors.Join(err, cleanUp())
	}
	err = d.run(ctx)
	if err != nil || d.strangers() {
		d.say("what they wrote is kept in %s", dir)
		return err
	}
	return cleanUp()
}

// checkPorts refuses to start anything while a port is somebody else's.
func checkPorts(base int) error {
	for i := range devReplicas {
		for offset := range 3 {
			number := base + i*devPortStep + offset
			p, err := holdPort("127.0.0.1", number)
			if t, ok := errors.AsType[*portTaken](err); ok {
				return fmt.Errorf("%s port %s is taken by %s: stop it, or start with another base, like --port %d", t.network, t.address, t.owner, otherBase(base))
			}
			if err != nil {
				return err
			}
			p.release()
		}
	}
	return nil
}

// otherBase is a base whose ports are none of this one's.
func otherBase(base int) int {
	if base == 8000 {
		return 9000
	}
	return 8000
}

// devDirectory makes the directory, and tells how to remove it at the end,
// which for one that the user chose is not at all.
func devDirectory(chosen string) (dir string, cleanUp func() error, err error) {
	if chosen == "" {
		dir, err = os.MkdirTemp("", "rota-dev-")
		return dir, func() error { return os.RemoveAll(dir) }, err
	}
	if dir, err = filepath.Abs(chosen); err != nil {
		return "", nil, fmt.Errorf("--data-dir %s: %w", chosen, err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", nil, fmt.Errorf("--data-dir: %w", err)
	}
	return dir, func() error { return nil }, nil
}

// childSpec is what a child is started with, the first time and again.
type childSpec struct {
	name string
	role string // replica, or the node's type
	args []string
	// api, raft and gossip are where a replica listens; empty for nodes.
	api, raft, gossip string
}

func (s childSpec) isReplica() bool { return s.api != "" }

// planReplicas says how the replicas are started.
func planReplicas(base int, dir string, common []string) []childSpec {
	list := strings.Join(apiAddresses(base), ",")
	specs := make([]childSpec, 0, devReplicas)
	for i, api := range apiAddresses(base) {
		s := childSpec{name: fmt.Sprintf("r%d", i+1), role: "replica", api: api}
		s.raft, s.gossip = loopback(base+i*devPortStep+1), loopback(base+i*devPortStep+2)
		s.args = append([]string{
			"server", "--name", s.name, "--data-dir", filepath.Join(dir, s.name),
			"--api", s.api, "--raft", s.raft, "--gossip", s.gossip,
			"--replicas", list, "--gossip-profile", "local",
		}, common...)
		specs = append(specs, s)
	}
	return specs
}

// planAgents says how the nodes' agents are started.
func planAgents(base int, nodes []devNode, common []string) []childSpec {
	list := strings.Join(apiAddresses(base), ",")
	specs := make([]childSpec, 0, len(nodes))
	for _, n := range nodes {
		args := []string{
			"agent", "--name", n.name, "--type", string(n.nodeType),
			"--servers", list, "--gossip", loopback(0), "--gossip-profile", "local",
		}
		specs = append(specs, childSpec{name: n.name, role: string(n.nodeType), args: append(args, common...)})
	}
	return specs
}

func apiAddresses(base int) []string {
	addresses := make([]string, 0, devReplicas)
	for i := range devReplicas {
		addresses = append(addresses, loopback(base+i*devPortStep))
	}
	return addresses
}

func loopback(port int) string { return "127.0.0.1:" + strconv.Itoa(port) }

// commandLine is what starts the child by hand, in a POSIX shell.
func (s childSpec) commandLine(program string) string {
	words := []string{shellWord(program)}
	for _, arg := range s.args {
		words = append(words, shellWord(arg))
	}
	return strings.Join(words, " ")
}

func shellWord(s string) string {
	plain := func(r rune) bool { return isHostRune(r) || strings.ContainsRune("/:,=+@%", r) }
	if s != "" && !slices.ContainsFunc([]rune(s), func(r rune) bool { return !plain(r) }) {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// programName is how this program is called from a shell: by its name alone
// where the path finds it, else by its file.
func programName(exe string, lookPath func(string) (string, error)) string {
	found, err := lookPath("rota")
	if err != nil {
		return exe
	}
	there, errThere := filepath.EvalSymlinks(found)
	here, errHere := filepath.EvalSymlinks(exe)
	if cmp.Or(errThere, errHere) == nil && there == here {
		return "rota"
	}
	return exe
}
