package replica

import (
	"context"
	"slices"
	"time"

	"github.com/rota-registry/rota/registry"
)

const (
	greetEvery     = 5 * time.Second
	greetEveryLost = time.Second // while somebody does not answer
)

// greetOthers keeps the book right for as long as the replica runs.
func (r *Replica) greetOthers() {
	said := time.Now()
	var slow sloth
	for {
		every := greetEvery
		targets := r.greetTargets()
		var lost []string
		answers := r.greet(r.life.ctx, targets)
		r.heard.Store(&answers)
		r.compare(answers)
		for i, a := range answers {
			if a.err != nil {
				every, lost = greetEveryLost, append(lost, targets[i])
			}
		}
		if name, _ := r.leader(); name != "" || r.stopping.Load() {
			said = time.Now()
		} else if time.Since(said) >= joinSayEvery {
			said = time.Now()
			r.log.Warn("there is no leader: a majority of the replicas must be up", "unreachable", lost)
		}
		r.yieldIfSlow(&slow, answers)
		if pause(r.life.ctx, every) != nil {
			return
		}
	}
}

// greetTargets gives every API address at which a replica is or was, or was
// said to be.
func (r *Replica) greetTargets() []string {
	targets := slices.Clone(r.opts.Replicas)
	for _, o := range r.replicas() {
		targets = append(targets, o.API)
	}
	if g := r.members.Load(); g != nil {
		for _, m := range g.Members() {
			targets = append(targets, m.API)
		}
	}
	targets = slices.DeleteFunc(targets, func(a string) bool { return a == "" || a == r.opts.API })
	slices.Sort(targets)
	return slices.Compact(targets)
}

// Hello answers another replica, and learns from it.
func (r *Replica) Hello(_ context.Context, from registry.Greeting) (registry.Greeting, error) {
	if from.Name == "" { // somebody who only asks
		return r.Self(), nil
	}
	if err := r.note(from); err != nil {
		return registry.Greeting{}, err
	}
	return r.Self(), nil
}

// note takes a greeting into the book, if it is one of this cluster's.
func (r *Replica) note(g registry.Greeting) error {
	if err := registry.Check(registry.SetReplica{Replica: g.Replica}); err != nil {
		return err
	}
	if g.StoreID == r.store.storeID {
		return nil // this replica itself, under another address
	}
	mine, known, ok := r.known(g.Name)
	switch {
	case mine != "" && g.ClusterID != "" && mine != g.ClusterID:
		return registry.Errorf(registry.Conflict, "replica %s at %s belongs to cluster %s, not to %s: take it out of --replicas", g.Name, g.API, g.ClusterID, mine)
	case g.Name == r.opts.Name && mine != "":
		return registry.Errorf(registry.Conflict, "a second replica named %s is at %s: stop it, or give it another --name", g.Name, g.API)
	case ok && known.StoreID != g.StoreID:
		// It is told: the answer's roster is what makes it refuse to start.
		return nil
	case mine != "" && !ok:
		return nil // a stranger: it is told who belongs to the cluster, no more
	case g.Name == r.opts.Name:
		return nil // the book says where this replica is, not its namesake
	}
	news := r.book.note(g.Replica)
	if news {
		r.log.Debug("replica met", "name", g.Name, "api", g.API, "raft", g.Raft, "gossip", g.Gossip)
		r.lead.poke()
	}
	if news || r.unkept.Load() {
		r.keepBook()
	}
	return nil
}

// keepBook writes the book for the next start. It is a hint there, and no reason
// to stop when it cannot be written: each greeting tries again.
func (r *Replica) keepBook() {
	r.keeping.Lock()
	defer r.keeping.Unlock()
	err := r.remember(func(i *identity) { i.Book = r.replicas() })
	if was := r.unkept.Swap(err != nil); err != nil && !was {
		r.log.Warn("where the replicas are could not be written, it is tried again", "error", err)
	}
}

// known gives this cluster's id and what the log has under a replica's name.
func (r *Replica) known(name registry.ReplicaName) (id registry.ClusterID, of registry.Replica, ok bool) {
	view, _ := r.machine.View()
	of, ok = view.Replica(name)
	return view.ClusterID(), of, ok
}
