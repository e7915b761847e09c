package replica_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/rota-registry/rota/fsm/replica"
	"github.com/rota-registry/rota/registry"
)

// failing is a disk that can be made to fail, or to hang.
type failing struct {
	call string
	with atomic.Pointer[error]
	hang atomic.Pointer[chan struct{}]
	held atomic.Int32 // calls that hang
}

func (f *failing) fault(call string) error {
	if call != f.call {
		return nil
	}
	if c := f.hang.Load(); c != nil {
		f.held.Add(1)
		<-*c
		f.held.Add(-1)
	}
	if err := f.with.Load(); err != nil {
		return *err
	}
	return nil
}

// endsProcess makes a halt what it is to a process: nothing goes on after it.
func endsProcess(o *replica.Options) {
	halt := o.Halt
	o.Halt = func(err error) {
		halt(err)
		runtime.Goexit()
	}
}

// onDisks gives each replica that is started from now on a disk of its own.
func (c *cluster) onDisks(call string, callMax time.Duration) map[registry.ReplicaName]*failing {
	disks := map[registry.ReplicaName]*failing{"r1": {call: call}, "r2": {call: call}, "r3": {call: call}}
	c.tune = func(o *replica.Options) {
		endsProcess(o)
		o.FailStore(disks[o.Name].fault, callMax)
	}
	return disks
}

// TestALeaderWhoseDiskFailsHalts: the others go on with all that was
// acknowledged, and it comes back when its disk is well.
func TestALeaderWhoseDiskFailsHalts(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	disks := c.onDisks("StoreLogs", 0)
	rs := c.startAll(3)
	old, others := c.leader()
	c.put(old, "before")
	full := errors.New("no space left on device")
	disks[old.name].with.Store(&full)
	_, _, err := old.Propose(within(t, 2*time.Second), registry.RegisterPool{Spec: registry.Spec{Name: "lost", NodeType: registry.Worker}})
	if !errors.Is(err, registry.ErrOutcomeUnknown) && !errors.Is(err, registry.ErrUnavailable) {
		t.Errorf("a write at the failed disk: %v", err)
	}
	if err := c.haltOf(old); !errors.Is(err, full) || !strings.Contains(err.Error(), old.dir) {
		t.Errorf("halted with %v", err)
	}
	c.kill(old)
	c.leader()
	c.put(others[0], "after")
	disks[old.name].with.Store(nil)
	back := c.start(old.name, old.api, []string{rs[0].api, rs[1].api, rs[2].api})
	c.ready(back)
	for _, pool := range []registry.PoolName{"before", "after"} {
		if !c.shows(back, pool, registry.ReadOptions{}) {
			t.Errorf("%s does not have %s", back.name, pool)
		}
	}
}

// TestAFollowerWhoseVoteIsNotKeptHalts: it must not vote again.
func TestAFollowerWhoseVoteIsNotKeptHalts(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	disks := c.onDisks("SetUint64", 0)
	c.startAll(3)
	old, others := c.leader()
	broken := errors.New("input/output error")
	disks[others[0].name].with.Store(&broken)
	c.kill(old)
	if err := c.haltOf(others[0]); !errors.Is(err, broken) {
		t.Errorf("halted with %v", err)
	}
}

// TestALeaderWhoseDiskHangsHalts: without that, its heartbeats keep the others
// waiting for ever.
func TestALeaderWhoseDiskHangsHalts(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	disks := c.onDisks("StoreLogs", 2*time.Second)
	c.startAll(3)
	old, others := c.leader()
	c.put(old, "before")
	hung := make(chan struct{})
	disks[old.name].hang.Store(&hung)
	asked := make(chan error, 1)
	go func() {
		_, _, err := old.Propose(within(t, 10*time.Second), registry.RegisterPool{Spec: registry.Spec{Name: "hung", NodeType: registry.Worker}})
		asked <- err
	}()
	if err := c.haltOf(old); !strings.Contains(err.Error(), "hangs") || !strings.Contains(err.Error(), old.dir) {
		t.Errorf("halted with %v", err)
	}
	disks[old.name].hang.Store(nil)
	close(hung) // a process would have ended; here its goroutines must
	c.kill(old)
	if err := <-asked; err == nil {
		t.Log("the write that hung was committed after all")
	}
	c.leader()
	c.put(others[0], "after")
}

// firstOf gives the index of the first entry in a log that nobody has open.
func firstOf(t *testing.T, dir string) (first uint64) {
	t.Helper()
	editBolt(t, dir, func(tx *bbolt.Tx) error {
		k, _ := tx.Bucket([]byte("logs")).Cursor().First()
		if k == nil {
			return errors.New("the log is empty")
		}
		first = binary.BigEndian.Uint64(k)
		return nil
	})
	return first
}

// TestACompactionThatIsCutOff leaves a log that begins a little later; Raft
// starts over it, and the next compaction takes the rest.
func TestACompactionThatIsCutOff(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	var deletes atomic.Int32
	crash := errors.New("power is gone")
	c.tune = func(o *replica.Options) {
		endsProcess(o)
		o.Compact(10, 8)
		o.FailStore(func(call string) error {
			if call == "DeleteRange" && deletes.Add(1) == 3 {
				return crash
			}
			return nil
		}, 0)
	}
	r := c.start("one", freePort(t), nil)
	c.ready(r)
	for i := range 60 {
		c.put(r, registry.PoolName(fmt.Sprintf("p-%d", i)))
	}
	go r.Raft().Snapshot()
	if err := c.haltOf(r); !errors.Is(err, crash) {
		t.Fatalf("halted with %v", err)
	}
	c.kill(r)
	if first := firstOf(t, r.dir); first != 17 {
		t.Fatalf("the log begins at %d: two chunks of eight were to be deleted", first)
	}
	r = c.start("one", r.api, nil)
	c.ready(r)
	for i := range 60 {
		if !c.shows(r, registry.PoolName(fmt.Sprintf("p-%d", i)), registry.ReadOptions{}) {
			t.Fatalf("p-%d is lost", i)
		}
	}
	c.put(r, "more")
	if err := r.Raft().Snapshot().Error(); err != nil {
		t.Fatal(err)
	}
	last := r.Raft().LastIndex()
	c.kill(r)
	if first := firstOf(t, r.dir); first != last-9 {
		t.Errorf("the log begins at %d and ends at %d, want ten entries", first, last)
	}
}

// TestASnapshotThatIsCutOff: a process that is killed while it writes a snapshot
// leaves a part of one. That is not taken for the whole; the one before it and the
// log have everything, and the next snapshot is made.
func TestASnapshotThatIsCutOff(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	c.tune = func(o *replica.Options) { o.Compact(10, 8) }
	r := c.start("one", freePort(t), nil)
	c.ready(r)
	for i := range 40 {
		c.put(r, registry.PoolName(fmt.Sprintf("p-%d", i)))
	}
	if err := r.Raft().Snapshot().Error(); err != nil {
		t.Fatal(err)
	}
	for i := range 20 {
		c.put(r, registry.PoolName(fmt.Sprintf("p-%d", 40+i)))
	}
	c.kill(r)
	dir := filepath.Join(r.dir, "snapshots")
	whole, err := os.ReadDir(dir)
	if err != nil || len(whole) != 1 {
		t.Fatalf("%d snapshots, %v; want the one that was made", len(whole), err)
	}
	state, err := os.ReadFile(filepath.Join(dir, whole[0].Name(), "state.bin"))
	if err != nil {
		t.Fatal(err)
	}
	cut := filepath.Join(dir, "9-99-1700000000000.tmp") // newer than the whole one
	if err := os.Mkdir(cut, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(cut, "state.bin"), state[:len(state)/2], 0o600); err != nil {
		t.Fatal(err)
	}

	r = c.start("one", r.api, nil)
	c.ready(r)
	for i := range 60 {
		if !c.shows(r, registry.PoolName(fmt.Sprintf("p-%d", i)), registry.ReadOptions{}) {
			t.Fatalf("p-%d is lost", i)
		}
	}
	c.put(r, "more")
	if err := r.Raft().Snapshot().Error(); err != nil {
		t.Errorf("the next snapshot: %v", err)
	}
	c.kill(r)
	r = c.start("one", r.api, nil)
	c.ready(r)
	if !c.shows(r, "more", registry.ReadOptions{}) {
		t.Error("what the next snapshot had is lost")
	}
}
