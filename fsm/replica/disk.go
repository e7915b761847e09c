package replica

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"
	"github.com/rota-registry/rota/fsm"
	"github.com/rota-registry/rota/registry"
)

const (
	// storeCallMax is how long a call of the store may take. A leader whose disk
	// hangs goes on with its heartbeats, which Raft sends beside the log, so that
	// the others elect nobody: the cluster stands still for as long as it lives.
	storeCallMax = 10 * time.Second
	// storeCallTicks are the parts in which that time is counted: a process that
	// was itself stopped meanwhile misses one of them and not all.
	storeCallTicks = 10
	// openCalls is how many times as long opening the store may take: bbolt reads
	// all of its tree for what is free, and there may be a snapshot to verify.
	openCalls = 6
	// deleteChunk is how many entries one transaction of a compaction deletes;
	// who appends to the log waits for one, and not for all of them.
	deleteChunk = 1024
)

// diskHooks stand in for a real disk's faults, in this package's tests; none is
// set otherwise.
type diskHooks struct {
	// around makes each call of the store, which fails with what it returns, and
	// hangs as long as it does.
	around func(call string, do func() error) error
	// callMax is in place of storeCallMax, and chunk of deleteChunk.
	callMax time.Duration
	chunk   uint64
	// free is in place of what the operating system says of room.
	free func(dir string) (space, error)
}

// disk is under the log and the stable store, and crash-only: the first error of
// either is the last thing that this replica does. A failed fsync is not tried
// again, because the kernel may say that it is well when the bytes are lost.
type disk struct {
	dir    string
	hooks  diskHooks
	halt   func(error)
	closed atomic.Bool // errors are no news any more
	// appends are how long the log's took.
	appends appends
}

func newDisk(dir string, hooks diskHooks, halt func(error)) *disk {
	setDefault(&hooks.callMax, storeCallMax)
	setDefault(&hooks.chunk, deleteChunk)
	if hooks.around == nil {
		hooks.around = func(_ string, do func() error) error { return do() }
	}
	if hooks.free == nil {
		hooks.free = freeSpace
	}
	return &disk{dir: dir, hooks: hooks, halt: halt}
}

// do makes one call of the store. Any error but that nothing is there halts the
// replica.
func (d *disk) do(call string, f func() error) error {
	defer d.watch(call).end()
	err := d.hooks.around(call, f)
	if err == nil || errors.Is(err, raft.ErrLogNotFound) || errors.Is(err, raftboltdb.ErrKeyNotFound) {
		return err
	}
	if !d.closed.Load() {
		d.halt(fmt.Errorf("store %s: %s: %w; nothing more is written there: look at the disk, then start the replica again", d.dir, call, err))
	}
	return err
}

// watch halts the replica when it is not ended in time.
func (d *disk) watch(call string) *callWatch { return d.watchFor(call, d.hooks.callMax) }

// watchFor is watch for what may take another time.
func (d *disk) watchFor(call string, most time.Duration) *callWatch {
	w := &callWatch{disk: d, call: call, most: most}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.mu.timer = time.AfterFunc(most/storeCallTicks, w.tick)
	return w
}

// callWatch is the watch over one call.
type callWatch struct {
	disk *disk
	call string
	most time.Duration
	mu   struct {
		sync.Mutex
		timer *time.Timer
		ticks int
		over  bool
	}
}

func (w *callWatch) end() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.mu.over = true
	w.mu.timer.Stop()
}

func (w *callWatch) tick() {
	if w.late() {
		w.disk.halt(fmt.Errorf("store %s: %s has taken more than %s: the disk hangs; look at it, then start the replica again", w.disk.dir, w.call, w.most))
	}
}

// late counts one more part of the time, and reports whether it was the last.
func (w *callWatch) late() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.mu.over {
		return false
	}
	if w.mu.ticks++; w.mu.ticks < storeCallTicks {
		w.mu.timer.Reset(w.most / storeCallTicks)
		return false
	}
	w.mu.over = true
	return true
}

// checkedLogs is the log on the disk. It finds changed bytes of an entry when
// it is read, before they are sent to another replica: bbolt's data pages have
// no checksum.
type checkedLogs struct {
	disk *disk
	logs raft.LogStore
}

// FirstIndex gives the index of the first entry, 0 for none.
func (c *checkedLogs) FirstIndex() (index uint64, err error) {
	err = c.disk.do("FirstIndex", func() (err error) { index, err = c.logs.FirstIndex(); return err })
	return index, err
}

// LastIndex gives the index of the last entry, 0 for none.
func (c *checkedLogs) LastIndex() (index uint64, err error) {
	err = c.disk.do("LastIndex", func() (err error) { index, err = c.logs.LastIndex(); return err })
	return index, err
}

// GetLog reads one entry; one with a wrong CRC halts the replica.
func (c *checkedLogs) GetLog(index uint64, log *raft.Log) error {
	if err := c.disk.do("GetLog", func() error { return c.logs.GetLog(index, log) }); err != nil {
		return err
	}
	if log.Type != raft.LogCommand {
		return nil
	}
	if err := fsm.CheckEntry(log.Data); err != nil {
		err = fmt.Errorf("store %s: log entry %d of term %d: %w; %s", c.disk.dir, log.Index, log.Term, err, registry.LostDataAdvice)
		c.disk.halt(err)
		return err
	}
	return nil
}

// StoreLog appends one entry.
func (c *checkedLogs) StoreLog(log *raft.Log) error { return c.StoreLogs([]*raft.Log{log}) }

// StoreLogs appends entries.
func (c *checkedLogs) StoreLogs(logs []*raft.Log) error {
	began := time.Now()
	defer func() {
		now := time.Now()
		c.disk.appends.note(now, now.Sub(began))
	}()
	return c.disk.do("StoreLogs", func() error { return c.logs.StoreLogs(logs) })
}

// DeleteRange deletes entries. Those at the front, which a snapshot has made
// superfluous, go in chunks, the first ones first: a crash in between leaves a
// log that begins earlier, which the next compaction takes up. Those at the end,
// which another leader's replace, go in one transaction: Raft does not start
// over a log with a hole in it.
func (c *checkedLogs) DeleteRange(first, last uint64) error {
	end, err := c.LastIndex()
	if err != nil {
		return err
	}
	for first <= last {
		upTo := last
		if last < end {
			upTo = min(last, first+c.disk.hooks.chunk-1)
		}
		if err := c.disk.do("DeleteRange", func() error { return c.logs.DeleteRange(first, upTo) }); err != nil {
			return err
		}
		first = upTo + 1
	}
	return nil
}

// IsMonotonic implements raft.MonotonicLogStore: when a snapshot from another
// replica takes the log's place, Raft removes all of it. Otherwise it keeps the
// last entries, which may be those of a leader that was cut off and had them alone:
// leading again, it would send them to others as committed.
func (c *checkedLogs) IsMonotonic() bool { return true }

// checkedVotes is the stable store on the disk, where Raft keeps its term and
// its vote.
type checkedVotes struct {
	disk  *disk
	votes raft.StableStore
}

// Set stores bytes.
func (c *checkedVotes) Set(key, value []byte) error {
	return c.disk.do("Set", func() error { return c.votes.Set(key, value) })
}

// Get reads bytes.
func (c *checkedVotes) Get(key []byte) (value []byte, err error) {
	err = c.disk.do("Get", func() (err error) { value, err = c.votes.Get(key); return err })
	return value, err
}

// SetUint64 stores a number.
func (c *checkedVotes) SetUint64(key []byte, value uint64) error {
	return c.disk.do("SetUint64", func() error { return c.votes.SetUint64(key, value) })
}

// GetUint64 reads a number.
func (c *checkedVotes) GetUint64(key []byte) (value uint64, err error) {
	err = c.disk.do("GetUint64", func() (err error) { value, err = c.votes.GetUint64(key); return err })
	return value, err
}
