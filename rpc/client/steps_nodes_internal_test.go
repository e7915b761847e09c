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
		life := registry.Life{Name: n.name, Boot: n.boot}
		n.boot = ""
		if w.rnd.IntN(3) > 0 { // the host may have died with its process, and says nothing
			w.count("hint of the dead")
			w.hint(life)
		}
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

// hint tells whoever leads, a moment later, that a life's connection has broken.
func (w *stepWorld) hint(life registry.Life) {
	w.after(w.soon(), func() {
		for _, r := range w.replicas {
			if r.reign != nil {
				r.reign.broken = append(r.reign.broken, life)
			}
		}
	})
}

// breakOff breaks a connection whose node did not die, or of a life that is over
// or that nobody knows.
func (w *stepWorld) breakOff() {
	n := w.nodes[w.rnd.IntN(len(w.nodes))]
	life := registry.Life{Name: n.name, Boot: n.boot}
	switch w.rnd.IntN(4) {
	case 0:
		life.Boot = registry.BootID(fmt.Sprintf("%016x", w.rnd.Uint64()))
	case 1:
		life.Name = "nobody"
	}
	if life.Name == n.name && life.Boot == n.boot && n.boot != "" {
		w.count("hint of the living")
	} else {
		w.count("hint of a stranger")
	}
	w.note("the connection of %s as %q breaks", life.Name, life.Boot)
	w.hint(life)
}

// flap ends a node's life and begins another, several times.
func (w *stepWorld) flap(n *stepNode) {
	w.note("node %s flaps", n.name)
	for i := range 8 {
		w.after(time.Duration(i)*(60*time.Millisecond+w.soon()), n.change)
	}
}

// manyDie ends all workers at once. Some come back soon.
func (w *stepWorld) manyDie() {
	w.note("many nodes die")
	for _, n := range w.nodes {
		if n.of != registry.Worker || n.boot == "" {
			continue
		}
		n.change()
		w.after(time.Duration(w.rnd.Int64N(int64(3*time.Second))), func() {
			if n.boot == "" && w.now < w.end {
				n.change()
			}
		})
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

// reconcile gives when it is to look again, 0 for never.
func (r *stepReplica) reconcile() (again time.Duration) {
	now := registry.Millis((r.w.now - r.reign.began).Milliseconds())
	suspicion := registry.Millis(stepSuspicion.Milliseconds())
	view, _ := r.machine.View()
	in := registry.ReconcileInput{
		State: view, Now: now, WarmUp: now < 2*suspicion, Suspicion: suspicion, Replicas: len(r.w.replicas), Memory: r.reign.memory, By: r.name,
		Broken: r.reign.broken, Thaw: r.reign.thaw,
	}
	r.reign.broken, r.reign.thaw = nil, nil
	for name, boot := range r.shown { // any order: Decide sorts
		in.View = append(in.View, registry.Seen{Name: name, Boot: boot, Addr: "h:3"})
	}
	out := r.decide(in)
	if len(out.Suspects) > 0 && len(out.Command.Changes) == 0 {
		in.Memory, in.Said, in.Broken, in.Thaw = out.Memory, r.w.whoSees(out.Suspects), nil, nil
		out = r.decide(in)
	}
	if len(out.Command.Changes) > 0 {
		r.w.note("%s reports %d changes", r.name, len(out.Command.Changes))
		r.reign.propose(r.w, &stepEntry{data: r.w.encode(r.reign, out.Command)})
		return r.w.now + suspicionOver
	}
	if out.Wake == 0 {
		return 0
	}
	return max(r.w.now+suspicionOver, r.reign.began+time.Duration(out.Wake)*time.Millisecond)
}

// suspicionOver is the least time between two passes when all is over.
const suspicionOver = stepSuspicion / 2

// decide makes one decision, and looks at what it must not be, and what it is.
func (r *stepReplica) decide(in registry.ReconcileInput) registry.Decision {
	out := registry.Decide(in)
	r.reign.memory = out.Memory
	for _, c := range out.Command.Changes {
		if c.State == registry.Failed {
			r.sentenced(&in, &out, registry.Life{Name: c.Name, Boot: c.Boot})
		}
	}
	for t := range out.Memory.Frozen { // any order: it is counted
		if _, was := in.Memory.Frozen[t]; !was {
			r.froze(t)
		}
	}
	for t := range in.Memory.Frozen { // any order
		switch _, is := out.Memory.Frozen[t]; {
		case is:
		case slices.Contains(in.Thaw, t):
			r.w.count("type thawed by an operator")
		default:
			r.w.count("freeze over")
		}
	}
	for name, s := range out.Memory.Nodes { // any order
		if s.Flaps.Until > in.Memory.Nodes[name].Flaps.Until {
			r.w.count("node to be held back")
		}
	}
	for _, held := range out.Memory.Report(in.State, in.Now).Held {
		isHeld := func(c registry.Liveness) bool { return c.Name == held.Name }
		if r.shown[held.Name] != "" && !slices.ContainsFunc(out.Command.Changes, isHeld) {
			r.w.count("node held back")
		}
	}
	return out
}

// froze has an operator thaw a type, now and then, and one that is not frozen.
func (r *stepReplica) froze(t registry.NodeType) {
	r.w.count("type frozen")
	r.w.note("%s freezes type %s", r.name, t)
	reign := r.reign
	if t != registry.Worker {
		r.w.fatalf("type %s is frozen, of which never so many die", t)
	}
	if r.w.rnd.IntN(2) == 0 {
		r.w.after(r.w.soon()+50*time.Millisecond, func() { reign.thaw = append(reign.thaw, t, registry.Proxy) })
	}
}

// sentenced: nobody is declared failed whom somebody has just seen, nor, of a type
// that is frozen, whom not most replicas have called in vain.
func (r *stepReplica) sentenced(in *registry.ReconcileInput, out *registry.Decision, life registry.Life) {
	var said registry.Said
	for _, s := range in.Said {
		if s.Life == life {
			said = s
		}
	}
	if said.SeenBy != "" {
		r.w.fatalf("%s declares %+v failed, whom %s sees", r.name, life, said.SeenBy)
	}
	record, err := in.State.Node(life.Name)
	if err != nil {
		r.w.fatalf("%s declares %+v failed: %v", r.name, life, err)
	}
	if _, frozen := out.Memory.Frozen[record.Type]; frozen && (!said.Probed || 2*said.Missed <= in.Replicas) {
		r.w.fatalf("%s declares %+v failed, of a type that is frozen, on the word of %+v", r.name, life, said)
	}
	if said.Probed {
		r.w.count("failed by probes")
	}
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
				if sees && w.odds(10) {
					w.count("probe lost")
					sees = false
				}
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
	if again := w.reign.leader.reconcile(); again > 0 {
		w.at(again, func() { w.settle(passes - 1) })
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
