package replica

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
)

func newTestSnapshots(t *testing.T) *snapshots {
	t.Helper()
	s, err := openSnapshots(t.TempDir(), hclog.NewNullLogger())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *snapshots) mustCreate(t *testing.T, index uint64) raft.SnapshotSink {
	t.Helper()
	_, tr := raft.NewInmemTransport("")
	sink, err := s.Create(1, index, 3, raft.Configuration{}, 1, tr)
	if err != nil {
		t.Fatal(err)
	}
	return sink
}

// holds fails unless these are all that is in the directory of the snapshots.
func (s *snapshots) holds(t *testing.T, want ...string) {
	t.Helper()
	var got []string
	all, err := os.ReadDir(s.dir)
	for _, e := range all {
		got = append(got, e.Name())
	}
	if err != nil || len(got) != len(want) {
		t.Errorf("there are %v (%v), want %v", got, err, want)
	}
}

// TestASnapshotThatCannotBeEndedLeavesNothing, and one that can is there.
func TestASnapshotThatCannotBeEndedLeavesNothing(t *testing.T) {
	t.Parallel()
	s := newTestSnapshots(t)
	sink := s.mustCreate(t, 7)
	meta := filepath.Join(s.dir, sink.ID()+".tmp", "meta.json")
	if err := errors.Join(os.Remove(meta), os.Mkdir(meta, 0o700)); err != nil {
		t.Fatal(err)
	}
	if err := sink.Close(); err == nil {
		t.Error("it was ended without what says what it is")
	}
	s.holds(t)
	if err := sink.Cancel(); err != nil {
		t.Error(err)
	}
	whole := s.mustCreate(t, 9)
	if _, err := whole.Write([]byte("all of it")); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(whole.Close(), whole.Close(), whole.Cancel()); err != nil {
		t.Error(err)
	}
	s.holds(t, whole.ID())
}

// TestASnapshotThatCannotBeBegunLeavesNothing of its own.
func TestASnapshotThatCannotBeBegunLeavesNothing(t *testing.T) {
	t.Parallel()
	s := newTestSnapshots(t)
	other := s.mustCreate(t, 7)
	s.SnapshotStore = full{s.SnapshotStore, s.dir}
	_, tr := raft.NewInmemTransport("")
	if _, err := s.Create(1, 77, 3, raft.Configuration{}, 1, tr); !errors.Is(err, errFull) {
		t.Errorf("it was begun: %v", err)
	}
	s.holds(t, other.ID()+".tmp")
}

var errFull = errors.New("no space left on device")

// full is a store on a disk that takes the name of a snapshot, and no more.
type full struct {
	raft.SnapshotStore
	dir string
}

func (f full) Create(raft.SnapshotVersion, uint64, uint64, raft.Configuration, uint64, raft.Transport) (raft.SnapshotSink, error) {
	return nil, errors.Join(errFull, os.Mkdir(filepath.Join(f.dir, "3-77-1700000000000.tmp"), 0o700))
}
