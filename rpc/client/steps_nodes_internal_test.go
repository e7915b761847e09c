package client

import (
	"fmt"
	"slices"
	"time"

	"github.com/rota-registry/rota/fsm"
	"github.com/rota-registry/rota/registry"
)

// stepSuspicion is how long gossip takes to find a node dead, at most.
const stepSuspicion = 300 * time.Millisecond

// stepNode is a node of a pool, and its lives.
type stepNode struct {
	w     *stepWorld
	name  registry.NodeName
	of    registry.NodeType
	lives int
	boot  registry.BootID // of the life that lives; empty if none does
}

// populate has all nodes join, before anything goes wrong. The proxies never die;
// the lone one is alone in its pool, so that nobody is eligible when it does.
func (w *stepWorld) populate() {
	w.commit(&stepEntry{data: w.encode(w.reign, registry.RegisterPool{Spec: registry.Spec{Name: "lone", NodeType: "lone"}})})
	for i := range 10 {
		n := &stepNode{w: w, name: registry.NodeName(fmt.Sprintf("n-%d", i)), of: registry.Worker}
		switch {
		case i == 9:
			n.of = "lone"
		case i >= 5:
			n.of = registry.Proxy
		}
		n.lives++
		n.boot = n.life()
		for _, r := range w.replicas {
			r.shown[n.name] = n.boot
		}
		e := &stepEntry{data: w.encode(w.reign, registry.JoinNode{Name: n.name, Type: n.of, Boot: n.boot, Address: "h:1"})}
		w.commit(e)
		if n.of != registry.Proxy {
			w.nodes = append(w.nodes, n)
		}
	}
	w.reign.leader.apply(len(w.log))
}

func (n *stepNode) life() registry.BootID {
	return registry.BootID(fmt.Sprintf("%012x%04x", n.lives, n.name[len(n.name)-1]))
}

// change ends a node's life, or begins another. Gossip hears of it a little
// later, at each replica at another time.
func (n *stepNode) change() {
	w := n.w
	if n.boot != "" {
		n.boot = ""
	} else {
		n.lives++
		n.boot = n.life()
		n.join()
	}
	w.note("node %s lives as %q", n.name, n.boot)
	for _, r := range w.replicas {
		w.after(time.Duration(w.rnd.Int64N(int64(stepSuspicion))), func() { r.show(n) })
	}
}

// join asks a replica to take the new life, which takes over from the last one; the
// node's agent would ask for that one and try again, and gossip does what it could
// not.
func (n *stepNode) join() {
	w := n.w
	if n.boot == "" {
		return
	}
	r := w.replicas[w.rnd.IntN(len(w.replicas))]
	view, _ := r.machine.View()
	join := registry.JoinNode{Name: n.name, Type: n.of, Boot: n.boot, Address: "h:2"}
	if known, err := view.Node(n.name); err == nil {
		join.Replaces = known.Boot
	}
	if r.up && w.rnd.IntN(3) > 0 {
		r.propose(join, w.now+time.Second, func(fsm.Outcome, error) {})
	}
}

// show makes a replica's gossip show a node as it is.
func (r *stepReplica) show(n *stepNode) {
	if n.boot == "" {
		delete(r.shown, n.name)
	} else {
		r.shown[n.name] = n.boot
	}
}

// glitch makes gossip lose a node that lives, for a while. Its agent sees that and
// joins again, as often as it likes.
func (w *stepWorld) glitch(n *stepNode) {
	w.note("node %s is out of sight", n.name)
	for _, r := range w.replicas {
		delete(r.shown, n.name)
		w.after(2*stepSuspicion+w.soon(), func() { r.show(n) })
	}
	for range 4 {
		w.after(time.Duration(w.rnd.Int64N(int64(stepSuspicion))), n.join)
	}
}

// reconcile is a pass of the leader, if it believes to be that.
func (w *stepWorld) reconcile() {
	for _, r := range w.replicas {
		if r.reign != nil {
			r.reconcile()
		}
	}
}

// reconcile reports whether it is to look again soon.
func (r *stepReplica) reconcile() bool {
	now := registry.Millis((r.w.now - r.reign.began).Milliseconds())
	suspicion := registry.Millis(stepSuspicion.Milliseconds())
	view, _ := r.machine.View()
	in := registry.ReconcileInput{
		State: view, Now: now, WarmUp: now < 2*suspicion, Suspicion: suspicion, Replicas: len(r.w.replicas), Memory: r.reign.memory, By: r.name,
	}
	for name, boot := range r.shown { // any order: Decide sorts
		in.View = append(in.View, registry.Seen{Name: name, Boot: boot, Addr: "h:3"})
	}
	out := registry.Decide(in)
	if len(out.Suspects) > 0 {
		in.Memory, in.Said = out.Memory, r.w.whoSees(out.Suspects)
		out = registry.Decide(in)
	}
	r.reign.memory = out.Memory
	if len(out.Command.Changes) == 0 {
		return out.Wake > 0
	}
	r.w.note("%s reports %d changes", r.name, len(out.Command.Changes))
	r.reign.propose(r.w, &stepEntry{data: r.w.encode(r.reign, out.Command)})
	return true
}

// whoSees has the replicas that can be reached say what they see of suspects, or
// whether they answer.
func (w *stepWorld) whoSees(suspects []registry.Suspect) (said []registry.Said) {
	for _, s := range suspects {
		one := registry.Said{Life: s.Life, Probed: s.Probe}
		for _, r := range w.replicas {
			if !r.up || w.odds(3) {
				continue
			}
			sees := r.shown[s.Name] == s.Boot
			if s.Probe {
				sees = slices.ContainsFunc(w.nodes, func(n *stepNode) bool { return n.name == s.Name && n.boot == s.Boot })
			}
			if sees {
				one.SeenBy = r.name
				w.count("suspect seen by another")
			} else {
				one.Missed++
			}
		}
		said = append(said, one)
	}
	return said
}

// heal ends all that is wrong, and has the leader look until it has nothing more
// to say.
func (w *stepWorld) heal() {
	for _, r := range w.replicas {
		for _, n := range w.nodes {
			r.show(n)
		}
	}
	w.elect()
	if w.reign == nil {
		w.fatalf("nobody leads though all are up")
	}
	w.after(3*stepSuspicion, func() { w.settle(20) })
}

func (w *stepWorld) settle(passes int) {
	if passes == 0 {
		w.fatalf("the reconciler finds something to do in every pass")
	}
	if w.reign.leader.reconcile() {
		w.after(stepSuspicion/2, func() { w.settle(passes - 1) })
	}
}

// layout: in the end the nodes are as they are.
func (a *stepAudit) layout() {
	view, _ := a.machine.View()
	for _, n := range a.w.nodes {
		is, err := view.Node(n.name)
		if err != nil || (is.State == registry.Alive) != (n.boot != "") || n.boot != "" && is.Boot != n.boot {
			a.w.fatalf("in the end node %s is %+v, %v, and lives as %q", n.name, is, err, n.boot)
		}
	}
}

// liveness: a change does something only to the record that it was decided on, and
// a node that fails is known by the life that failed.
func (a *stepAudit) liveness(before *registry.View, cmd registry.ReportLiveness) {
	after, _ := a.machine.View()
	for _, c := range cmd.Changes {
		was, err := before.Node(c.Name)
		is, missing := after.Node(c.Name)
		if err != nil || missing != nil {
			a.w.fatalf("a change of %s, which is not there: %v, %v", c.Name, err, missing)
		}
		switch {
		case was.Since != c.Since && is.Node != was.Node:
			a.w.fatalf("a change decided at %d made %+v of %+v", c.Since, is.Node, was.Node)
		case was.Since != c.Since:
			a.w.count("stale liveness skipped")
		case c.State == registry.Failed && is.State == registry.Failed:
			a.w.count("node failed")
			if is.Boot != c.Boot {
				a.w.fatalf("the failure of %s is noted for %s", c.Boot, is.Boot)
			}
		case c.State == registry.Alive && is.State == registry.Alive:
			a.w.count("node came back")
		}
	}
}

// membersOf gives a pool's members, and who of them is eligible.
func membersOf(view *registry.View, name registry.PoolName) (members []registry.NodeName, eligible []bool) {
	pool, err := view.Pool(name)
	if err != nil {
		return nil, nil
	}
	for _, m := range pool.Members {
		members, eligible = append(members, m.Name), append(eligible, m.Eligible)
	}
	return members, eligible
}

func anyTrue(list []bool) bool { return slices.Contains(list, true) }
