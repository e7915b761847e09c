package replica

import (
	"cmp"
	"context"
	"errors"
	"slices"

	"github.com/rota-registry/rota/gossip"
	"github.com/rota-registry/rota/registry"
)

// Join admits a node, or a new life of one. When another life of it is on
// record as alive, that life is asked directly: if it answers, two processes
// have one name, and the newcomer is refused; if not, it is taken at once. While that
// cannot be told of a life that gossip shows, it is to ask again.
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
	calls := call(ctx, g, was)
	for _, c := range calls {
		if c.reply == gossip.Answered {
			return registry.Errorf(registry.Conflict, "node %s is alive at %s, and a second one at %s would take its place: stop one of the two, or give it another --name", node.Name, c.addr, node.Address)
		}
		if c.fault != nil && errors.Is(ctx.Err(), context.DeadlineExceeded) {
			return registry.Errorf(registry.Deadline, "node %s: its former life at %s was being asked when the deadline passed: ask again", node.Name, c.addr)
		}
	}
	if at := doubted(ctx, g, calls, node.Address); at != "" && r.inView(g)(registry.Life{Name: was.Name, Boot: was.Boot}) == registry.Sees {
		return registry.Errorf(registry.Unavailable, "node %s: its former life at %s cannot be asked whether it is alive, and a second one at %s is taken when gossip has lost it: ask again", node.Name, at, node.Address)
	}
	return nil
}

// doubted gives where a life that has not answered may be all the same, or nothing.
// The first address that it could be asked at decides, since gossip has it there: it
// may be there if something takes connections that is not the newcomer.
func doubted(ctx context.Context, g *gossip.Gossip, calls []called, newcomer string) (at string) {
	for _, c := range calls {
		switch {
		case c.fault != nil:
			at = cmp.Or(at, c.addr)
		case c.reply == gossip.Silent || g.SameAddr(ctx, c.addr, newcomer):
			return at
		default:
			return c.addr
		}
	}
	return at
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
