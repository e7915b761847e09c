package replica

import (
	"errors"
	"fmt"
	"time"
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
			_ = r.handOver(anyone) // it has said what went wrong, unless nobody is ready, and is tried again
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
