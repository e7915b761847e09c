package replica

import (
	"context"
	"errors"
	"slices"

	"github.com/rota-registry/rota/gossip"
	"github.com/rota-registry/rota/registry"
)

// Join admits a node, or a new life of one. When another life of it is on
// record as alive, that life is asked directly: if it answers, two processes
// have one name, and the newcomer is refused; if not, it is taken at once.
func (r *Replica) Join(ctx context.Context, node registry.JoinNode) (registry.Admission, registry.Position, error) {
	if err := registry.Check(node); err != nil {
		return registry.Admission{}, registry.Position{}, err
	}
	view, info, err := r.Read(ctx, registry.ReadOptions{})
	if err != nil {
		return registry.Admission{}, registry.Position{}, err
	}
	was, _ := view.Node(node.Name)
	at := info.Position
	if was.Boot != node.Boot || was.State != registry.Alive || was.Address != node.Address {
		if err := r.refuseSecond(ctx, was.Node, node); err != nil {
			return registry.Admission{}, at, err
		}
		node.Replaces = was.Boot
		if _, at, err = r.Propose(ctx, node); err != nil {
			return registry.Admission{}, at, err
		}
	}
	return r.admission(), at, nil
}

// refuseSecond is an error when the life on record is another one and answers.
func (r *Replica) refuseSecond(ctx context.Context, was registry.Node, node registry.JoinNode) error {
	if was.State != registry.Alive || was.Boot == node.Boot {
		return nil
	}
	g := r.members.Load()
	if g == nil {
		return registry.Errorf(registry.Unavailable, "node %s: replica %s does not gossip yet and cannot ask the node's former life: ask again", node.Name, r.opts.Name)
	}
	for _, addr := range whereSeen(g, was) {
		reply, err := g.Probe(ctx, string(was.Name), string(was.Boot), addr)
		if err != nil && errors.Is(ctx.Err(), context.DeadlineExceeded) {
			return registry.Errorf(registry.Deadline, "node %s: its former life at %s was being asked when the deadline passed: ask again", node.Name, addr)
		}
		if reply == gossip.Answered {
			return registry.Errorf(registry.Conflict, "node %s is alive at %s, and a second one at %s would take its place: stop one of the two, or give it another --name", node.Name, addr, node.Address)
		}
	}
	return nil
}

// whereSeen gives the addresses that a life may answer at: where gossip has it, or
// had it last, and what it said when it joined.
func whereSeen(g *gossip.Gossip, n registry.Node) []string {
	var at []string
	if last := g.LastAddr(string(n.Name), string(n.Boot)); last != "" {
		at = append(at, last)
	}
	if n.Address != "" && !slices.Contains(at, n.Address) {
		at = append(at, n.Address)
	}
	return at
}

func (r *Replica) admission() registry.Admission {
	view, _ := r.machine.View()
	a := registry.Admission{ClusterID: view.ClusterID()}
	for _, o := range r.replicas() {
		if o.API != "" && o.Gossip != "" {
			a.Servers = append(a.Servers, o.API)
			a.Seeds = append(a.Seeds, o.Gossip)
		}
	}
	return a
}
