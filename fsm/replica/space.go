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
	// spaceMin is the room in the data directory below which a replica is not
	// ready: some minutes of a busy log, or a snapshot of a large state.
	spaceMin = 64 << 20
	// spaceShare is the part of a small disk, one in so many, that is enough.
	spaceShare = 100
	// spaceBack is the part of that room, one in so many, which there must be on
	// top of it before the replica is ready again: so it does not come and go.
	spaceBack = 4
	spaceLook = time.Second
	// handOverEvery is how often a leader that should not lead looks for another.
	handOverEvery = 5 * time.Second
	// handOversStuck are the tries in a row that find the one before them still
	// under way, which Raft may take for ever (raft #696), with all writes refused.
	handOversStuck = 3
	// transferGrace is how much longer than Raft a handover is waited for.
	transferGrace = 100 * time.Millisecond
)

// errSpaceUnknown is for systems on which nothing is checked.
var errSpaceUnknown = errors.New("this system does not tell how much room there is")

// space is the room on a disk, in bytes.
type space struct{ free, total uint64 }

// need is the room that there must be; for a replica that was short of it, a
// little more.
func (s space) need(short bool) uint64 {
	n := min(spaceMin, s.total/spaceShare)
	if short {
		n += n / spaceBack
	}
	return n
}

// watchSpace looks after the room in the data directory for as long as the
// replica runs. While there is too little, the replica is not ready and does not
// lead if another can; it goes on answering, and voting.
func (r *Replica) watchSpace() {
	var tried time.Time
	for {
		if err := r.lookAtSpace(); errors.Is(err, errSpaceUnknown) {
			return
		} else if err != nil {
			r.log.Debug("room not known", "directory", r.opts.DataDir, "error", err)
		}
		if r.short.Load() != nil && r.leading() != 0 && time.Since(tried) >= handOverEvery {
			tried = time.Now()
			_ = r.handOver(anyone) // it has said what went wrong, and is tried again
		}
		if pause(r.life.ctx, spaceLook) != nil {
			return
		}
	}
}

// lookAtSpace notes whether there is room enough, and says so when that changes.
func (r *Replica) lookAtSpace() error {
	watch := r.store.disk.watch("asking for free space")
	is, err := r.store.disk.hooks.free(r.opts.DataDir)
	watch.end()
	if err != nil {
		return err
	}
	was := r.short.Load()
	need := is.need(was != nil)
	if is.free >= need {
		if r.short.Store(nil); was != nil {
			r.log.Info("there is room in the data directory again", "directory", r.opts.DataDir, "free", mebibytes(is.free))
		}
		return nil
	}
	why := fmt.Sprintf("its disk is nearly full: %s has %s free, and needs %s: free some space", r.opts.DataDir, mebibytes(is.free), mebibytes(need))
	if r.short.Store(&why); was == nil {
		r.log.Warn("there is too little room in the data directory: the replica is not ready until some is freed", "directory", r.opts.DataDir, "free", mebibytes(is.free), "needed", mebibytes(need))
	}
	return nil
}

func mebibytes(n uint64) string { return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20)) }

// anyone may lead that is ready.
func anyone(registry.Greeting) bool { return true }

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
		r.log.Debug("nobody is ready to take leadership over")
		return nil
	}
	ctx, cancel := context.WithTimeout(r.life.ctx, 2*r.opts.Timings.Election)
	defer cancel()
	err := await(ctx, r.raft.Load().LeadershipTransferToServer(raft.ServerID(to.Name), raft.ServerAddress(to.Raft)))
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
// word.
func (r *Replica) successor(fit func(registry.Greeting) bool) (to registry.Replica, ok bool) {
	var asked []registry.ReplicaName
	var apis []string
	for _, name := range voters(r.raft.Load()) {
		if of, known := r.book.lookup(name); known && name != r.opts.Name {
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
	tr := r.network.Load()
	return heirOf(r.opts.Name, voters, *heard, func(name registry.ReplicaName) bool {
		return slices.Contains(tried, name) || !tr.reaches(raft.ServerID(name), r.opts.Timings.Heartbeat/2)
	})
}

// untried is any other voter that was not tried, one that Raft hears from if there
// is such.
func (r *Replica) untried(voters, tried []registry.ReplicaName) (to registry.Replica, ok bool) {
	tr := r.network.Load()
	for _, name := range voters {
		if name == r.opts.Name || slices.Contains(tried, name) {
			continue
		}
		of, known := r.book.lookup(name)
		if !known {
			continue
		}
		if tr.reaches(raft.ServerID(name), r.opts.Timings.Heartbeat/2) {
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
