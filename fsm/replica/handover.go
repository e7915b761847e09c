package replica

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/hashicorp/raft"
	"github.com/rota-registry/rota/registry"
)

const (
	// handOverEvery is how often a leader that should not lead looks for another.
	handOverEvery = 5 * time.Second
	// handOversStuck are the tries in a row that find the one before them still
	// under way, which Raft may take for ever (raft #696), with all writes refused.
	handOversStuck = 3
	// transferGrace is how much longer than Raft a handover is waited for.
	transferGrace = 100 * time.Millisecond
)

// passOn has another replica lead, if this one does. It tries one voter after the
// other until one has taken over or ctx ends: nobody misses a leader that stops and
// goes on with its heartbeats, and it takes no writes.
func (r *Replica) passOn(ctx context.Context) {
	if !r.beginHanding(ctx) {
		return
	}
	defer r.endHanding()
	var tried []registry.ReplicaName
	for first := true; ctx.Err() == nil && r.life.ctx.Err() == nil && r.raftLeads(); first = false {
		rf := r.raft.Load()
		all := voters(rf)
		if len(all) < 2 {
			return
		}
		to, named := r.heir(all, tried)
		if !named && !first { // what Raft chose has failed
			if len(tried) >= len(all)-1 {
				tried = nil
			}
			to, named = r.untried(all, tried)
		}
		err := r.transfer(ctx, rf, to, named)
		switch {
		case err == nil:
			return
		case errors.Is(err, raft.ErrLeadershipTransferInProgress): // the one before: it ends soon
			_ = pause(ctx, retryEvery)
			continue
		case named:
			tried = append(tried, to.Name)
		}
		say := r.log.Debug
		if first {
			say = r.log.Warn
		}
		say("leadership was not handed over, another replica is tried", "to", to.Name, "error", err)
		_ = pause(ctx, retryEvery) // it may have failed at once, and will again
	}
}

// beginHanding waits until no other handover is under way, or until ctx ends.
func (r *Replica) beginHanding(ctx context.Context) bool {
	select {
	case r.handing.turn <- struct{}{}:
		return true
	case <-ctx.Done():
		return false
	}
}

func (r *Replica) endHanding() { <-r.handing.turn }

// transfer has Raft hand leadership over, to the one that is named or whom it
// chooses. Raft gives up after an election time-out; it is given a little more, so
// that it has when the next one is tried.
func (r *Replica) transfer(ctx context.Context, rf *raft.Raft, to registry.Replica, named bool) error {
	ctx, cancel := context.WithTimeout(ctx, r.opts.Timings.Election+transferGrace)
	defer cancel()
	if !named {
		return await(ctx, rf.LeadershipTransfer())
	}
	return await(ctx, rf.LeadershipTransferToServer(raft.ServerID(to.Name), raft.ServerAddress(to.Raft)))
}

// anyone may lead that is ready.
func anyone(registry.Greeting) bool { return true }

// errNoSuccessor is no reason to warn: the leader goes on.
var errNoSuccessor = errors.New("nobody is ready to take leadership over")

// handOver gives leadership to a replica that is ready and fit, if there is one.
// Who calls it does so again, every handOverEvery, until it has succeeded: so it
// finds out that Raft is stuck.
func (r *Replica) handOver(fit func(registry.Greeting) bool) error {
	if !r.beginHanding(r.life.ctx) {
		return r.life.ctx.Err()
	}
	defer r.endHanding()
	to, ok := r.successor(fit)
	if !ok {
		r.log.Debug(errNoSuccessor.Error())
		return errNoSuccessor
	}
	err := r.transfer(r.life.ctx, r.raft.Load(), to, true)
	if r.handing.stuck++; !errors.Is(err, raft.ErrLeadershipTransferInProgress) {
		r.handing.stuck = 0
	}
	if r.handing.stuck == handOversStuck {
		r.halt(fmt.Errorf("replica %s: Raft has been handing leadership over for %s, and takes no writes: start the replica again", r.opts.Name, handOversStuck*handOverEvery))
	}
	if err != nil {
		r.log.Warn("leadership was not handed over, it is tried again", "to", to.Name, "error", err)
		return err
	}
	r.log.Info("leadership was handed over", "to", to.Name)
	return nil
}

// successor is the voter that is ready and fit and has applied most, by its own
// word. One that answers no heartbeat may say so, too, while its disk hangs: Raft would
// take no writes until it has given up, and be stuck with the second try.
func (r *Replica) successor(fit func(registry.Greeting) bool) (to registry.Replica, ok bool) {
	var asked []registry.ReplicaName
	var apis []string
	for _, name := range voters(r.raft.Load()) {
		if of, known := r.book.lookup(name); known && name != r.opts.Name && r.hears(name) {
			asked, apis = append(asked, name), append(apis, of.API)
		}
	}
	var most registry.Index
	for i, a := range r.greet(r.life.ctx, apis) {
		if a.err == nil && a.Name == asked[i] && a.Ready && fit(a.Greeting) && a.Applied >= most {
			to, most, ok = a.Replica, a.Applied, true
		}
	}
	return to, ok
}

// heir is who should lead when this replica stops, by what the others have last
// said: nobody is asked, for a planned stop is to be quick. It is none of those that
// were tried, nor one that Raft has not heard from lately.
func (r *Replica) heir(voters, tried []registry.ReplicaName) (to registry.Replica, ok bool) {
	heard := r.heard.Load()
	if heard == nil {
		return to, false
	}
	return heirOf(r.opts.Name, voters, *heard, func(name registry.ReplicaName) bool {
		return slices.Contains(tried, name) || !r.hears(name)
	})
}

// hears reports whether a voter has answered this leader's heartbeats lately.
func (r *Replica) hears(name registry.ReplicaName) bool {
	return r.network.Load().reaches(raft.ServerID(name), r.opts.Timings.Heartbeat/2)
}

// untried is any other voter that was not tried, one that Raft hears from if there
// is such.
func (r *Replica) untried(voters, tried []registry.ReplicaName) (to registry.Replica, ok bool) {
	for _, name := range voters {
		if name == r.opts.Name || slices.Contains(tried, name) {
			continue
		}
		of, known := r.book.lookup(name)
		if !known {
			continue
		}
		if r.hears(name) {
			return of, true
		}
		to, ok = of, true
	}
	return to, ok
}

// heirOf picks a voter that is ready and not lost, whose disk is not much slower than
// another one's, and that has applied most. When all are so it picks nobody, as when none
// is: Raft knows better than old greetings who has most of the log.
func heirOf(self registry.ReplicaName, voters []registry.ReplicaName, heard []answered, lost func(registry.ReplicaName) bool) (to registry.Replica, ok bool) {
	ready := make(map[registry.ReplicaName]registry.Greeting)
	for _, a := range heard {
		if a.err == nil && a.Ready && a.Name != self && !lost(a.Name) && slices.Contains(voters, a.Name) {
			ready[a.Name] = a.Greeting
		}
	}
	var most registry.Index
	fit := 0
	for _, name := range voters {
		g, is := ready[name]
		slower := func(other registry.ReplicaName) bool {
			return muchSlower(g.AppendTime, ready[other].AppendTime)
		}
		if !is || slices.ContainsFunc(voters, slower) {
			continue
		}
		if fit++; !ok || g.Applied > most {
			to, most, ok = g.Replica, g.Applied, true
		}
	}
	return to, ok && fit < len(voters)-1
}
