package replica

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/hashicorp/raft"
	"github.com/rota-registry/rota/registry"
)

// Roles that Self and Status give besides Raft's own.
const (
	RoleWaiting     = "waiting"     // Raft has not started
	RoleUnreachable = "unreachable" // it did not answer
)

// Self is what this replica says of itself, from the moment it is open.
func (r *Replica) Self() registry.Greeting {
	g := registry.Greeting{Replica: r.self(), Version: r.opts.Version, Listed: r.listed, Role: RoleWaiting, Applied: r.machine.At().Index, Checkpoints: r.machine.Checkpoints(), AppendTime: r.appendTime()}
	view, _ := r.machine.View()
	g.ClusterID, g.Roster = view.ClusterID(), view.Replicas()
	r.mu.Lock()
	waiting := r.mu.waiting
	if len(g.Roster) == 0 {
		g.Roster = slices.Clone(r.store.id.Founding)
	}
	if g.ClusterID == "" {
		g.ClusterID = r.store.id.ClusterID
	}
	r.mu.Unlock()
	_, g.GossipMembers = r.lives()
	rf := r.raft.Load()
	if rf == nil {
		g.Empty = !r.store.existing && len(g.Roster) == 0
		g.NotReadyReason = "it waits for " + waiting
		return g
	}
	g.Role = strings.ToLower(rf.State().String())
	g.Term = registry.Term(rf.CurrentTerm())
	g.Committed = registry.Index(rf.CommitIndex())
	g.Leader, _ = r.leader()
	if r.leading() != 0 {
		g.FrozenTypes = r.frozenTypes()
	}
	g.Voter = slices.Contains(voters(rf), r.opts.Name)
	g.NotReadyReason = r.notReady(g)
	g.Ready = g.NotReadyReason == ""
	return g
}

func (r *Replica) notReady(g registry.Greeting) string {
	short := r.short.Load()
	switch {
	case r.stopping.Load():
		return "it is stopping"
	case short != nil:
		return *short
	case g.Leader == "":
		return "there is no leader: a majority of the replicas must be up"
	case !r.caughtUp.Load():
		return fmt.Sprintf("it is catching up: applied %d, committed %d", g.Applied, g.Committed)
	}
	return ""
}

// Status asks every replica how it is. It answers with or without a leader.
func (r *Replica) Status(ctx context.Context) registry.ClusterStatus {
	self := r.Self()
	out := registry.ClusterStatus{Leader: self.Leader, Term: self.Term, Replicas: []registry.Greeting{self}}
	var others []registry.Replica
	var apis []string
	for _, o := range r.inCluster() {
		if o.Name != r.opts.Name {
			others, apis = append(others, o), append(apis, o.API)
		}
	}
	for i, a := range r.greet(ctx, apis) {
		if a.err != nil || a.Name != others[i].Name {
			a.Greeting = registry.Greeting{Replica: others[i], Role: RoleUnreachable, Voter: r.votes(others[i].Name)}
		}
		out.Replicas = append(out.Replicas, a.Greeting)
	}
	for _, g := range out.Replicas {
		if g.Name == out.Leader {
			out.Warnings = append(out.Warnings, frozenWarnings(g.FrozenTypes)...)
		}
	}
	slices.SortFunc(out.Replicas, func(a, b registry.Greeting) int { return strings.Compare(string(a.Name), string(b.Name)) })
	return out
}

// frozenWarnings says of the types that a leader has frozen what to do.
func frozenWarnings(types []registry.NodeType) (out []string) {
	for _, t := range types {
		out = append(out, fmt.Sprintf("too many nodes of type %s were lost at once, and none of them is declared failed: `rota liveness show` names them, `rota liveness thaw %s` lets them fail", t, t))
	}
	return out
}

// inCluster gives the replicas of Raft's configuration, or those of the book
// before there is one.
func (r *Replica) inCluster() []registry.Replica {
	all := r.replicas()
	rf := r.raft.Load()
	if rf == nil {
		return all
	}
	conf := rf.GetConfiguration()
	if conf.Error() != nil || len(conf.Configuration().Servers) == 0 {
		return all
	}
	return slices.DeleteFunc(all, func(o registry.Replica) bool {
		return !slices.ContainsFunc(conf.Configuration().Servers, func(s raft.Server) bool { return s.ID == raft.ServerID(o.Name) })
	})
}

func (r *Replica) votes(name registry.ReplicaName) bool {
	rf := r.raft.Load()
	return rf != nil && slices.Contains(voters(rf), name)
}
