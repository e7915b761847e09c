package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/rota-registry/rota/registry"
	"github.com/rota-registry/rota/rpc/client"
)

// devFollow bounds how long the consequences of a death are looked for.
const devFollow = 30 * time.Second

// devProcess is a row of the table that rota dev begins with.
type devProcess struct {
	Name    string `json:"name"`
	Role    string `json:"role"`
	PID     int    `json:"pid"`
	API     string `json:"api,omitempty"`
	Raft    string `json:"raft,omitempty"`
	Gossip  string `json:"gossip"`
	Log     string `json:"log"`
	Command string `json:"command"`
}

// introduce prints who runs where, on stdout, and what to try.
func (d *dev) introduce(ctx context.Context) error {
	processes, err := d.processes(ctx)
	if err != nil {
		return err
	}
	if d.app.format == formatJSON {
		encoder := json.NewEncoder(d.app.out)
		encoder.SetIndent("", "  ")
		err = encoder.Encode(map[string]any{"directory": d.dir, "processes": processes})
	} else {
		err = printProcesses(d.app.out, processes)
	}
	if err != nil {
		return err
	}
	d.suggest()
	return nil
}

func (d *dev) processes(ctx context.Context) ([]devProcess, error) {
	list, err := d.client.Nodes(ctx)
	if err != nil {
		return nil, err
	}
	gossip := map[string]string{}
	for _, n := range list.Nodes {
		gossip[string(n.Name)] = n.Address
	}
	rows := make([]devProcess, 0, len(d.specs))
	for _, s := range d.specs {
		row := devProcess{Name: s.name, Role: s.role, PID: d.children[s.name].pid, API: s.api, Raft: s.raft, Gossip: s.gossip}
		row.Log, row.Command = d.logFile(s), s.commandLine(d.program)
		if !s.isReplica() {
			row.Gossip = gossip[s.name]
		}
		rows = append(rows, row)
	}
	return rows, nil
}

func printProcesses(out io.Writer, rows []devProcess) error {
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "NAME\tROLE\tPID\tAPI\tRAFT\tGOSSIP")
	for _, r := range rows {
		fmt.Fprintf(table, "%s\t%s\t%d\t%s\t%s\t%s\n", r.Name, r.Role, r.PID, orDash(r.API), orDash(r.Raft), r.Gossip)
	}
	return table.Flush()
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// suggest names three commands, each of which asks another replica.
func (d *dev) suggest() {
	servers := apiAddresses(d.options.port)
	program := shellWord(d.program)
	d.say("\nready; in another terminal, try:")
	d.say("  %s status --server %s", program, strings.Join(servers, ","))
	d.say("  %s hrw worker 192.168.1.5 --type addr --server %s", program, servers[1])
	d.say("  %s rr proxy -n 4 --server %s", program, servers[2])
	d.say("kill any of these processes (kill -9 PID) and see what changes; Ctrl-C stops them all; logs are in %s/logs\n", d.dir)
	if status, err := d.client.Status(d.over); err == nil {
		d.leader.Store(&status.Leader)
	}
}

// replicaDied says what the loss of a replica changes.
func (d *dev) replicaDied(ctx context.Context, c *child) {
	name, died := registry.ReplicaName(c.spec.name), time.Now()
	ctx, cancel := context.WithTimeout(ctx, devFollow)
	defer cancel()
	left := replicasUp(ctx, d.options.port)
	if left == 0 {
		d.say("  none of %d replicas is left: nobody answers", devReplicas)
		return
	}
	if left < devReplicas/2+1 {
		d.say("  %d of %d replicas is no majority: writes, round robin and linearizable reads wait until another is back; local reads go on", left, devReplicas)
		return
	}
	before, err := d.client.Status(ctx)
	if err != nil {
		return
	}
	if !d.wasLeader(name, before) {
		d.say("  it was a follower: %d of %d replicas are left, a majority, and %s leads on; nothing changes for those who ask them", left, devReplicas, before.Leader)
		return
	}
	d.say("  it was the leader: the other %d, a majority, elect one of them", left)
	d.follow(ctx, func() bool {
		now, err := d.client.Status(ctx)
		if err != nil || now.Leader == "" || now.Leader == name && now.Term <= before.Term {
			return false
		}
		d.leader.Store(&now.Leader)
		d.say("%s leads now, in term %d, %.1f s after %s was gone", now.Leader, now.Term, time.Since(died).Seconds(), name)
		return true
	})
}

// replicasUp counts the replicas that answer, whoever has started them.
func replicasUp(ctx context.Context, base int) int {
	up := 0
	for _, api := range apiAddresses(base) {
		if answers(ctx, api, "/healthz") == nil {
			up++
		}
	}
	return up
}

// replicaReturned says when a replica that died is back, whoever has started
// it, which may be long after; and who leads then, for it may be what a
// majority has waited for.
func (d *dev) replicaReturned(ctx context.Context, spec childSpec) {
	d.follow(ctx, func() bool {
		if answers(ctx, spec.api, "/readyz") != nil {
			return false
		}
		now, err := d.client.Status(ctx)
		if err != nil || now.Leader == "" {
			return false
		}
		if d.voice.found(spec) {
			d.leader.Store(&now.Leader)
			d.say("%s is ready again, %s leads", spec.name, now.Leader)
		}
		return true
	})
}

// wasLeader believes a replica that says so, and else, if there has been an
// election already, what was known before.
func (d *dev) wasLeader(name registry.ReplicaName, now client.Status) bool {
	known := d.leader.Load()
	if now.Leader == name || (known != nil && *known == name) {
		return true
	}
	if now.Leader != "" {
		d.leader.Store(&now.Leader)
	}
	return false
}

// nodeDied says which pools lose the node, and when they have.
func (d *dev) nodeDied(ctx context.Context, c *child) {
	name := registry.NodeName(c.spec.name)
	ctx, cancel := context.WithTimeout(ctx, devFollow)
	defer cancel()
	before, err := d.client.Node(ctx, name)
	if err != nil {
		d.say("  what the registry knows of %s: %v", name, err)
		return
	}
	if before.State == registry.Alive {
		d.say("  %s; its broken connection is noticed at once, and probes confirm it", losses(before.Pools))
	}
	d.follow(ctx, func() bool {
		now, err := d.client.Node(ctx, name)
		if err != nil || (now.State == registry.Alive && now.Boot == before.Boot) {
			return false
		}
		d.say("%s is %s now%s", name, now.State, d.remains(ctx, now.State, now.Pools))
		return true
	})
}

func losses(pools []registry.PoolName) string {
	if len(pools) == 0 {
		return "it is in no pool: no answer changes"
	}
	return "pools that lose it: " + joinNames(pools)
}

func joinNames[N ~string](names []N) string {
	words := make([]string, 0, len(names))
	for _, n := range names {
		words = append(words, string(n))
	}
	return strings.Join(words, ", ")
}

// remains says what is left of the pools of a node that is gone.
func (d *dev) remains(ctx context.Context, state registry.NodeState, pools []registry.PoolName) string {
	if state == registry.Alive {
		return ", started again"
	}
	status, err := d.client.Status(ctx)
	if err != nil {
		return ""
	}
	var text strings.Builder
	for _, p := range status.Pools {
		for _, lost := range pools {
			if p.Name == lost {
				fmt.Fprintf(&text, "; pool %s has %d of %d eligible", p.Name, p.EligibleCount, p.MemberCount)
			}
		}
	}
	if text.Len() > 0 {
		text.WriteString(": its hrw keys, and no others, have moved")
	}
	return text.String()
}

// follow polls until seen says that there is nothing more to see, or ctx ends.
func (d *dev) follow(ctx context.Context, seen func() bool) {
	for !seen() {
		if !sleep(ctx, devPoll) {
			return
		}
	}
}
