package replica

import (
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"
)

// calls are all of the log's and the stable store's, by name.
func calls(d *disk, s *raft.InmemStore) map[string]func() error {
	logs, votes := &checkedLogs{disk: d, logs: s}, &checkedVotes{disk: d, votes: s}
	return map[string]func() error{
		"FirstIndex":  func() error { _, err := logs.FirstIndex(); return err },
		"LastIndex":   func() error { _, err := logs.LastIndex(); return err },
		"GetLog":      func() error { return logs.GetLog(1, &raft.Log{}) },
		"StoreLog":    func() error { return logs.StoreLog(&raft.Log{Index: 1, Type: raft.LogNoop}) },
		"StoreLogs":   func() error { return logs.StoreLogs([]*raft.Log{{Index: 1, Type: raft.LogNoop}}) },
		"DeleteRange": func() error { return logs.DeleteRange(1, 1) },
		"Set":         func() error { return votes.Set([]byte("k"), []byte("v")) },
		"Get":         func() error { _, err := votes.Get([]byte("k")); return err },
		"SetUint64":   func() error { return votes.SetUint64([]byte("n"), 1) },
		"GetUint64":   func() error { _, err := votes.GetUint64([]byte("n")); return err },
	}
}

// inMemory is a store that has what calls ask for.
func inMemory(t *testing.T) *raft.InmemStore {
	t.Helper()
	s := raft.NewInmemStore()
	if err := errors.Join(s.Set([]byte("k"), []byte("v")), s.SetUint64([]byte("n"), 1), s.StoreLog(&raft.Log{Index: 1, Type: raft.LogNoop})); err != nil {
		t.Fatal(err)
	}
	return s
}

// TestEveryStoreErrorHalts, naming the directory and the call, and reaches who
// called, too.
func TestEveryStoreErrorHalts(t *testing.T) {
	broken := errors.New("input/output error")
	for name := range calls(nil, nil) {
		var halts []error
		d := newDisk("/d", diskHooks{around: func(string, func() error) error { return broken }}, func(err error) { halts = append(halts, err) })
		if err := calls(d, inMemory(t))[name](); !errors.Is(err, broken) {
			t.Errorf("%s: %v, want the store's error", name, err)
		}
		call := name
		switch name {
		case "StoreLog":
			call = "StoreLogs" // of one
		case "DeleteRange":
			call = "LastIndex" // which it asks first
		}
		if len(halts) != 1 || !errors.Is(halts[0], broken) || !strings.Contains(halts[0].Error(), "store /d: "+call+":") {
			t.Errorf("%s: halted with %v", name, halts)
		}
	}
}

// TestNothingThereIsNoError: Raft asks for what it has never stored. Nor is
// what is asked of a store that was closed.
func TestNothingThereIsNoError(t *testing.T) {
	bolt, err := raftboltdb.NewBoltStore(filepath.Join(t.TempDir(), storeFile))
	if err != nil {
		t.Fatal(err)
	}
	d := newDisk("/d", diskHooks{}, func(err error) { t.Errorf("halted: %v", err) })
	logs, votes := &checkedLogs{disk: d, logs: bolt}, &checkedVotes{disk: d, votes: bolt}
	if err := logs.GetLog(7, &raft.Log{}); !errors.Is(err, raft.ErrLogNotFound) {
		t.Errorf("an entry that is not there: %v", err)
	}
	// Raft compares the text.
	if _, err := votes.GetUint64([]byte("CurrentTerm")); err == nil || err.Error() != "not found" {
		t.Errorf("a term that is not there: %v", err)
	}
	d.closed.Store(true)
	if err := bolt.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := logs.LastIndex(); err == nil {
		t.Error("a closed store answered")
	}
}

// TestACallThatHangsHalts after ten seconds, and one of a little less does not.
func TestACallThatHangsHalts(t *testing.T) {
	for name := range calls(nil, nil) {
		bubble(t, func(t *testing.T) {
			var takes time.Duration
			halted := make(chan error, 1)
			d := newDisk("/d", diskHooks{around: func(_ string, do func() error) error { time.Sleep(takes); return do() }}, func(err error) { halted <- err })
			call := calls(d, inMemory(t))[name]
			takes = storeCallMax - time.Millisecond
			_ = call()
			synctest.Wait()
			if len(halted) > 0 {
				t.Fatalf("%s: %v, after less than %s", name, <-halted, storeCallMax)
			}
			began := time.Now()
			takes = time.Hour
			go func() { _ = call() }()
			err := <-halted
			if took := time.Since(began); took != storeCallMax || !strings.Contains(err.Error(), "/d") || !strings.Contains(err.Error(), "hangs") {
				t.Errorf("%s: halted after %s with %v", name, took, err)
			}
			time.Sleep(3 * time.Hour) // DeleteRange makes two calls
		})
	}
}

// TestAProcessThatWasStoppedIsNoHungDisk: when it goes on, all its timers are
// overdue, and each fires once.
func TestAProcessThatWasStoppedIsNoHungDisk(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var halts int
		w := newDisk("/d", diskHooks{}, func(error) { halts++ }).watch("StoreLogs")
		w.tick() // after whatever time
		if halts > 0 {
			t.Error("halted by one timer that was late")
		}
		w.end()
		w.tick() // it had fired already when the call ended
		time.Sleep(2 * storeCallMax)
		if halts > 0 {
			t.Error("halted by a call that has ended")
		}
	})
}

// recorder notes what is deleted.
type recorder struct {
	raft.LogStore
	ranges [][2]uint64
}

func (r *recorder) DeleteRange(first, last uint64) error {
	r.ranges = append(r.ranges, [2]uint64{first, last})
	return r.LogStore.DeleteRange(first, last)
}

// TestCompactionDeletesInChunks, from the front; what is at the end goes at once.
// Bolt deletes each entry of a range and none beside it.
func TestCompactionDeletesInChunks(t *testing.T) {
	bolt, err := raftboltdb.NewBoltStore(filepath.Join(t.TempDir(), storeFile))
	if err != nil {
		t.Fatal(err)
	}
	defer bolt.Close()
	var entries []*raft.Log
	for i := range uint64(5000) {
		entries = append(entries, &raft.Log{Index: i + 1, Type: raft.LogNoop})
	}
	r := &recorder{LogStore: bolt}
	logs := &checkedLogs{disk: newDisk("/d", diskHooks{}, func(err error) { t.Errorf("halted: %v", err) }), logs: r}
	if err := logs.StoreLogs(entries); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		first, last uint64
		want        [][2]uint64
		left        int
	}{
		{1, 1, [][2]uint64{{1, 1}}, 4999},
		{2, 1025, [][2]uint64{{2, 1025}}, 3975},
		{1026, 2500, [][2]uint64{{1026, 2049}, {2050, 2500}}, 2500},
		{2800, 5000, [][2]uint64{{2800, 5000}}, 299}, // replaced by another leader's
		{9, 8, nil, 299},
		{2501, 2799, [][2]uint64{{2501, 2799}}, 0}, // all that is left
	} {
		r.ranges = nil
		if err := logs.DeleteRange(tt.first, tt.last); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(r.ranges, tt.want) {
			t.Errorf("%d to %d: deleted %v, want %v", tt.first, tt.last, r.ranges, tt.want)
		}
		if got := count(t, bolt); got != tt.left {
			t.Errorf("%d to %d: %d entries are left, want %d", tt.first, tt.last, got, tt.left)
		}
	}
}

// count gives how many entries a log has.
func count(t *testing.T, bolt *raftboltdb.BoltStore) (n int) {
	t.Helper()
	for i := uint64(1); i <= 5000; i++ {
		switch err := bolt.GetLog(i, &raft.Log{}); {
		case err == nil:
			n++
		case !errors.Is(err, raft.ErrLogNotFound):
			t.Fatal(err)
		}
	}
	return n
}
