package replica

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/rota-registry/rota/registry"
)

// reconcileEvery is how often the leader looks without having been woken; up
// to a half is added at random.
const reconcileEvery = 10 * time.Second

// cursorsEvery is how often the leader looks for unused cursors at most, on the log
// clock.
const cursorsEvery = registry.Millis(60_000)

// reconcile makes the log follow what gossip shows and the book says, for as
// long as the leadership seq lasts. One goroutine, on the leader alone; it
// compares whole states, so that being woken once too little costs one period.
func (r *Replica) reconcile(seq uint64) {
	l := look{began: time.Now()}
	var due registry.Millis // when to look for cursors to forget, on the log clock
	r.lead.takeThaws()      // those of an earlier leadership
	defer r.lead.tell(look{})
	for r.leads(seq) {
		wake := r.foundOrMoved()
		d := r.decide(l)
		r.sayFreezes(l.memory, d.Memory)
		l.memory, l.said = d.Memory, nil
		r.lead.tell(l)
		if len(d.Command.Changes) > 0 {
			// Whatever it came to, it is looked at again: the memory of a life
			// that was just taken on begins with the next decision.
			r.report(d.Command)
			wake = true
		}
		if len(d.Suspects) > 0 {
			l.said = r.ask(d.Suspects)
			continue
		}
		due = r.forgetCursors(due)
		r.awaitWake(l.began, d.Wake, wake || due <= r.lead.clock())
	}
}

// look is what a leader brings to its next decision.
type look struct {
	began  time.Time // zero of its clock
	memory registry.Memory
	said   []registry.Said
}

// awaitWake waits for news, for the time that Decide named, or for the period.
func (r *Replica) awaitWake(began time.Time, at registry.Millis, soon bool) {
	wait := reconcileEvery + rand.N(reconcileEvery/2)
	if at > 0 {
		wait = min(wait, max(time.Duration(at)*time.Millisecond-time.Since(began), 0)+time.Millisecond)
	}
	if soon {
		wait = retryEvery
	}
	t := time.NewTimer(wait)
	defer t.Stop()
	var changed <-chan struct{}
	if g := r.members.Load(); g != nil {
		changed = g.Changed()
	}
	select {
	case <-t.C:
	case <-changed:
	case <-r.lead.woken:
	case <-r.life.ctx.Done():
	}
}

// decide asks the registry what the gossip view means.
func (r *Replica) decide(l look) registry.Decision {
	lives, replicas := r.lives()
	if replicas == 0 { // gossip has not started
		return registry.Decision{Memory: l.memory}
	}
	members := len(lives) + replicas
	suspicion := registry.Millis(r.opts.GossipProfile.Suspicion(members).Milliseconds())
	view, _ := r.machine.View()
	in := registry.ReconcileInput{
		State:     view,
		View:      lives,
		Now:       registry.Millis(time.Since(l.began).Milliseconds()),
		Clock:     r.lead.clock(),
		Suspicion: suspicion,
		Rumor:     registry.Millis(r.opts.GossipProfile.Rumor(members).Milliseconds()),
		Replicas:  len(voters(r.raft.Load())),
		Broken:    r.hints.take(),
		Said:      l.said,
		Thaw:      r.lead.takeThaws(),
		Memory:    l.memory,
		By:        r.opts.Name,
	}
	in.WarmUp = in.Now < 2*suspicion || replicas < 2 && in.Replicas > 1
	out := registry.Decide(in)
	if warm := 2 * suspicion; in.Now < warm && (out.Wake == 0 || warm < out.Wake) {
		out.Wake = warm
	}
	return out
}

// report commits what was decided. That it is committed also confirms that this
// replica still leads: nobody is declared failed by one that only believes so.
func (r *Replica) report(cmd registry.ReportLiveness) {
	ctx, cancel := context.WithTimeout(r.life.ctx, raftIOTimeout)
	defer cancel()
	out, err := r.apply(ctx, r.raft.Load(), cmd, r.lead.clock())
	if err == nil && out.Err != nil {
		err = out.Err
	}
	if err != nil {
		r.log.Warn("liveness of nodes was not committed, it is looked at again", "nodes", len(cmd.Changes), "error", err)
		return
	}
	view, _ := r.machine.View()
	for _, c := range cmd.Changes {
		if out.Result.Skipped == 0 || shows(view, c, out.At.Index) {
			r.log.Info("node is "+c.State.String(), "node", c.Name, "boot", c.Boot, "reason", c.Reason, "index", out.At.Index)
		}
	}
}

// shows reports whether a view has the node as the entry at index left it by this
// change, or that it is gone: it is for people, and what has changed since is not seen.
func shows(view *registry.View, c registry.Liveness, index registry.Index) bool {
	n, err := view.Node(c.Name)
	if c.State == registry.Forgotten {
		return err != nil
	}
	return err == nil && n.Since == index
}

// forgetCursors has cursors forgotten that have not been used for too long, and gives
// when to look again: at once after some were due, for there may be more. The state
// stands still while all cursors are looked at; so otherwise that is not before one
// can be due, and once cursorsEvery.
func (r *Replica) forgetCursors(due registry.Millis) registry.Millis {
	clock := r.lead.clock()
	if clock < due {
		return due
	}
	r.machine.State(func(s *registry.State) { due = s.CursorsDue() })
	if clock < due {
		return max(due, clock+cursorsEvery)
	}
	r.settle(registry.ForgetCursors{By: r.opts.Name})
	return due
}

// foundOrMoved commits the cluster's first command, and where replicas have
// moved to. It reports whether there is more to do soon.
func (r *Replica) foundOrMoved() (again bool) {
	view, _ := r.machine.View()
	if view.ClusterID() == "" {
		return r.commitFounding()
	}
	for _, was := range view.Replicas() {
		if is, ok := r.book.lookup(was.Name); ok && is != was && is.StoreID == was.StoreID {
			again = !r.settle(registry.SetReplica{Replica: is}) || again
		}
	}
	return again
}

func (r *Replica) commitFounding() (again bool) {
	found := registry.FoundCluster{ClusterID: registry.ClusterID(newID(registry.ClusterIDLen / 2))}
	for _, name := range voters(r.raft.Load()) {
		of, ok := r.book.lookup(name)
		if !ok {
			return true
		}
		found.Replicas = append(found.Replicas, of)
	}
	return !r.settle(found)
}

// settle commits a command of the leader's own. It is false when that is worth
// trying again; what the registry refuses is not.
func (r *Replica) settle(cmd registry.Command) bool {
	if err := registry.Check(cmd); err != nil {
		r.log.Warn("not proposed", "error", err)
		return true
	}
	ctx, cancel := context.WithTimeout(r.life.ctx, raftIOTimeout)
	defer cancel()
	out, err := r.apply(ctx, r.raft.Load(), cmd, r.lead.clock())
	if err != nil {
		r.log.Debug("not committed, tried again", "error", err)
		return false
	}
	if out.Err != nil {
		r.log.Warn("refused", "error", out.Err)
	}
	return true
}
