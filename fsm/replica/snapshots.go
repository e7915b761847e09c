package replica

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
)

const (
	// Raft's snapshots are directories below this one, of these names while they are
	// written, with the state in this file.
	snapshotsDir       = "snapshots"
	unfinishedSuffix   = ".tmp"
	snapshotsStateFile = "state.bin"
)

// snapshots is Raft's store of snapshots, which leaves what one has written that
// fails, for lack of room above all: it would keep the room that it lacked. Here it
// is removed.
type snapshots struct {
	raft.SnapshotStore
	dir string // the directories of all snapshots are in it
	// refuse says why a snapshot must not be written; nil asks nobody.
	refuse func(index, term uint64) error
}

func openSnapshots(dataDir string, logger hclog.Logger) (*snapshots, error) {
	of, err := raft.NewFileSnapshotStoreWithLogger(dataDir, snapshotsKept, logger)
	if err != nil {
		return nil, err
	}
	return &snapshots{SnapshotStore: of, dir: filepath.Join(dataDir, snapshotsDir)}, nil
}

// Create begins a snapshot.
func (s *snapshots) Create(version raft.SnapshotVersion, index, term uint64, conf raft.Configuration, confIndex uint64, tr raft.Transport) (raft.SnapshotSink, error) {
	if s.refuse != nil {
		if err := s.refuse(index, term); err != nil {
			return nil, err
		}
	}
	sink, err := s.SnapshotStore.Create(version, index, term, conf, confIndex, tr)
	if err != nil {
		// Raft does not say which one it was; their names begin with these.
		left, also := unfinished(s.dir, fmt.Sprintf("%d-%d-", term, index))
		err = errors.Join(err, also)
		for _, path := range left {
			err = errors.Join(err, dropUnfinished(path))
		}
		return nil, err
	}
	return &snapshotSink{sink, filepath.Join(s.dir, sink.ID()+unfinishedSuffix)}, nil
}

// snapshotSink is a snapshot that is being written.
type snapshotSink struct {
	raft.SnapshotSink
	path string
}

// Close ends one that is whole.
func (s *snapshotSink) Close() error { return s.dropIf(s.SnapshotSink.Close()) }

// Cancel ends one that is not; Raft does so after a Write that failed.
func (s *snapshotSink) Cancel() error { return s.dropIf(s.SnapshotSink.Cancel()) }

func (s *snapshotSink) dropIf(err error) error {
	if err == nil {
		return nil
	}
	return errors.Join(err, dropUnfinished(s.path))
}

// dropUnfinished removes one that is not whole, if it is there. Raft may not have
// closed its file, which would keep the room until it is.
func dropUnfinished(path string) error {
	if err := os.Truncate(filepath.Join(path, snapshotsStateFile), 0); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return os.RemoveAll(path)
}

// unfinished gives the paths of those that are not whole and begin so.
func unfinished(dir, prefix string) (paths []string, err error) {
	all, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	for _, e := range all {
		if strings.HasPrefix(e.Name(), prefix) && strings.HasSuffix(e.Name(), unfinishedSuffix) {
			paths = append(paths, filepath.Join(dir, e.Name()))
		}
	}
	return paths, err
}

// dropUnfinished removes the snapshots that a crash has cut off, before there must
// be room for anything. It holds the store meanwhile, for they may be those of a
// process that runs.
func (s *store) dropUnfinished(logger hclog.Logger) error {
	defer s.disk.watch("removing unfinished snapshots").end()
	left, err := unfinished(filepath.Join(s.dir, snapshotsDir), "")
	if err != nil {
		return fmt.Errorf("data directory %s: %w", s.dir, err)
	}
	if len(left) == 0 {
		return nil
	}
	db, err := bbolt.Open(filepath.Join(s.dir, storeFile), 0o600, &bbolt.Options{ReadOnly: true, Timeout: boltOpenTimeout})
	if errors.Is(err, bolterrors.ErrTimeout) {
		return s.inUse()
	}
	if err == nil { // else nobody has it open, and opening it for good says what is wrong
		defer func() { _ = db.Close() }()
	}
	for _, path := range left {
		if err := dropUnfinished(path); err != nil {
			return fmt.Errorf("data directory %s: removing an unfinished snapshot: %w; repair the disk, then start the replica again", s.dir, err)
		}
		logger.Info("an unfinished snapshot was removed", "path", path)
	}
	return nil
}
