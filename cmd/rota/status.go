package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/rota-registry/rota/registry"
	"github.com/rota-registry/rota/rpc/client"
	rotav1 "github.com/rota-registry/rota/rpc/gen/rota/v1"
	"github.com/rota-registry/rota/rpc/wire"
)

// What fits on one screen; JSON has everything.
const (
	statusPoolsMost    = 16
	statusWarningsMost = 10
)

func newStatusCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "status",
		Short: "Show the whole cluster on one screen",
		Long: `Show the whole cluster on one screen: the leader, the replicas and how many log
entries each is behind, the pools with their eligible of all members, the nodes
that are draining, failed or left, and what to look at. Any replica answers, with
or without a leader; without one the exit code is 4.`,
		Example: `  rota status
  rota status --server 127.0.0.1:7710 -o json`,
		Args:              takes(),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE:              func(cmd *cobra.Command, _ []string) error { return a.ask(cmd, a.status) },
	}
}

func (a *app) status(ctx context.Context, c *client.Client) error {
	s, err := c.Status(ctx)
	if err != nil {
		return err
	}
	if err := a.emit(statusMessage(s), statusText(s)); err != nil {
		return err
	}
	if s.Leader == "" {
		return exitWith(exitUnreachable, errors.New("the replicas have no leader: nothing can be changed until a majority of them is up and can reach each other"))
	}
	return nil
}

// statusMessage puts the status back into the API's form.
func statusMessage(s client.Status) *rotav1.StatusResponse {
	m := &rotav1.StatusResponse{
		ClusterId: string(s.ClusterID), Leader: string(s.Leader), Term: uint64(s.Term),
		Nodes: &rotav1.StatusResponse_NodeCounts{
			Alive: uint32(s.Nodes.Alive), Failed: uint32(s.Nodes.Failed), Draining: uint32(s.Nodes.Draining), Left: uint32(s.Nodes.Left),
		},
		Warnings: s.Warnings, Index: uint64(s.Index), ServedBy: string(s.ServedBy),
		DrainingNodes: wire.Strings(s.DrainingNodes), FailedNodes: wire.Strings(s.FailedNodes), LeftNodes: wire.Strings(s.LeftNodes),
	}
	for _, r := range s.Replicas {
		m.Replicas = append(m.Replicas, &rotav1.StatusResponse_Replica{
			Name: string(r.Name), ApiAddress: r.API, State: r.State, Voter: r.Voter,
			AppliedIndex: uint64(r.Applied), CommitIndex: uint64(r.Committed), Version: r.Version,
		})
	}
	for _, p := range s.Pools {
		m.Pools = append(m.Pools, &rotav1.StatusResponse_PoolSummary{
			Name: string(p.Name), AliveCount: uint32(p.AliveCount), EligibleCount: uint32(p.EligibleCount),
			MemberCount: uint32(p.MemberCount), Satisfied: p.Satisfied, Reason: p.Reason,
		})
	}
	return m
}

func statusText(s client.Status) string {
	leader := string(s.Leader)
	if leader == "" {
		leader = "none"
	}
	head := newTable()
	head.add("cluster", string(s.ClusterID))
	head.add("leader", fmt.Sprintf("%s in term %d", leader, s.Term))
	head.add("answered by", fmt.Sprintf("%s at index %d", s.ServedBy, s.Index))
	sections := []string{head.String(), replicaTable(s), poolSummary(s.Pools), nodeSummary(s)}
	if len(s.Warnings) > 0 {
		sections = append(sections, warningText(s.Warnings))
	}
	return strings.Join(sections, "\n")
}

// replicaTable shows how far behind the leader each replica is.
func replicaTable(s client.Status) string {
	t := newTable("REPLICA", "STATE", "API", "APPLIED", "LAG", "VERSION")
	head := committed(s)
	for _, r := range s.Replicas {
		state, applied, lag := r.State, decimal(r.Applied), decimal(head-min(head, r.Applied))
		switch {
		case r.State == "unreachable":
			applied, lag = "", ""
		case !r.Voter:
			state += ", no vote"
		}
		t.add(string(r.Name), state, r.API, applied, lag, r.Version)
	}
	return t.String()
}

// committed is how far the log is committed: as the leader knows it, and
// without one as any replica does.
func committed(s client.Status) registry.Index {
	var most registry.Index
	for _, r := range s.Replicas {
		if r.Name == s.Leader && r.State == "leader" {
			return r.Committed
		}
		most = max(most, r.Committed)
	}
	return most
}

// poolSummary shows as many pools as fit, those with something to look at
// first.
func poolSummary(pools []client.PoolSummary) string {
	shown := slices.Clone(pools)
	if len(shown) > statusPoolsMost {
		slices.SortStableFunc(shown, func(x, y client.PoolSummary) int { return trouble(y) - trouble(x) })
		shown = shown[:statusPoolsMost]
	}
	t := newTable("POOL", "ELIGIBLE", "NOTE")
	for _, p := range shown {
		t.add(string(p.Name), share(p.EligibleCount, p.MemberCount), unsatisfied(p.Satisfied, p.Reason))
	}
	text := t.String()
	if more := len(pools) - len(shown); more > 0 {
		text += fmt.Sprintf("and %d more: see `rota pool list`\n", more)
	}
	return text
}

// trouble orders pools by how much an operator would want to know of them.
func trouble(p client.PoolSummary) int {
	switch {
	case p.EligibleCount == 0:
		return 3
	case !p.Satisfied:
		return 2
	case p.EligibleCount < p.MemberCount:
		return 1
	default:
		return 0
	}
}

func nodeSummary(s client.Status) string {
	t := newTable()
	t.add("nodes", fmt.Sprintf("%d alive, %d failed, %d left, %d draining", s.Nodes.Alive, s.Nodes.Failed, s.Nodes.Left, s.Nodes.Draining))
	for _, group := range []struct {
		state string
		names []registry.NodeName
	}{{"draining", s.DrainingNodes}, {"failed", s.FailedNodes}, {"left", s.LeftNodes}} {
		if len(group.names) > 0 {
			t.add(group.state, few(group.names, namesMost, "rota node list"))
		}
	}
	return t.String()
}

func warningText(warnings []string) string {
	var out strings.Builder
	for _, w := range warnings[:min(len(warnings), statusWarningsMost)] {
		out.WriteString("warning: " + cell(w) + "\n")
	}
	if more := len(warnings) - statusWarningsMost; more > 0 {
		fmt.Fprintf(&out, "and %d more warnings: see `rota status -o json`\n", more)
	}
	return out.String()
}
