package replica

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"
	"github.com/rota-registry/rota/registry"
	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
)

const (
	storeFile       = "raft.db"
	snapshotsKept   = 2
	logCacheEntries = 512
	boltOpenTimeout = time.Second
	boltMetricsTime = 10 * time.Second
)

// storeIDKey is where the stable store holds its own id.
func storeIDKey() []byte { return []byte("rota/store-id") }

// store is a replica's disk: log, votes, snapshots and identity.
type store struct {
	dir       string
	disk      *disk
	bolt      *raftboltdb.BoltStore
	logs      raft.LogStore
	votes     raft.StableStore
	snapshots *snapshots
	id        *identity // guarded by the owner's lock once it runs
	storeID   registry.StoreID
	existing  bool // it has held a term, an entry or a snapshot

	metricsDone chan struct{}
	metricsStop context.CancelFunc
}

// openStore opens or makes the store of that name. It refuses a directory that
// is another replica's, in use, or not whole.
func openStore(d *disk, name registry.ReplicaName, logger hclog.Logger) (*store, error) {
	defer d.watchFor("opening it", openCalls*d.hooks.callMax).end()
	if err := os.MkdirAll(d.dir, 0o700); err != nil {
		return nil, fmt.Errorf("data directory: %w", err)
	}
	s := &store{dir: d.dir, disk: d}
	err := s.open(name, logger)
	if err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

func (s *store) open(name registry.ReplicaName, logger hclog.Logger) (err error) {
	if err := s.dropUnfinished(logger); err != nil {
		return err
	}
	if err := s.testWrite(); err != nil {
		return err
	}
	if s.id, err = readIdentity(s.dir); err != nil {
		return err
	}
	if s.id != nil && s.id.Name != name {
		return registry.Errorf(registry.Conflict, "data directory %s belongs to replica %s, not to %s: give another --data-dir or --name", s.dir, s.id.Name, name)
	}
	if s.id != nil && s.id.Refused != "" {
		return registry.Errorf(registry.Conflict, "data directory %s was refused before: %s", s.dir, s.id.Refused)
	}
	if err := s.openBolt(); err != nil {
		return err
	}
	if s.snapshots, err = openSnapshots(s.dir, logger.Named("snapshot")); err != nil {
		return fmt.Errorf("data directory %s: snapshots: %w", s.dir, err)
	}
	if s.existing, err = raft.HasExistingState(s.bolt, s.bolt, s.snapshots); err != nil {
		return fmt.Errorf("data directory %s: %w", s.dir, err)
	}
	if err := s.identify(name); err != nil {
		return err
	}
	s.storeID = s.id.StoreID
	s.votes = &checkedVotes{disk: s.disk, votes: s.bolt}
	if s.logs, err = raft.NewLogCache(logCacheEntries, &checkedLogs{disk: s.disk, logs: s.bolt}); err != nil {
		return err
	}
	if err := s.dropReplaced(); err != nil {
		return fmt.Errorf("data directory %s: %w", s.dir, err)
	}
	s.runMetrics()
	return nil
}

// dropReplaced removes a log that ends before the newest snapshot: one from another
// replica took its place, and a crash came before Raft had removed it; see
// checkedLogs.IsMonotonic. While that snapshot is not whole the log stays, for it
// has what came after the one before; newRaft refuses to start then.
func (s *store) dropReplaced() error {
	first, err := s.bolt.FirstIndex()
	if err != nil || first == 0 {
		return err
	}
	last, err := s.bolt.LastIndex()
	if err != nil || last >= s.newestSnapshot() || !s.newestIsWhole() {
		return err
	}
	return s.logs.DeleteRange(first, last)
}

// newestIsWhole reads the newest snapshot, whose sum is verified thereby.
func (s *store) newestIsWhole() bool {
	kept, err := s.snapshots.List()
	if err != nil || len(kept) == 0 {
		return false
	}
	_, state, err := s.snapshots.Open(kept[0].ID) // it says in the log what is wrong
	if err != nil {
		return false
	}
	return state.Close() == nil
}

// newestSnapshot gives the index of the newest snapshot, whole or not; 0 for none.
func (s *store) newestSnapshot() uint64 {
	kept, err := s.snapshots.List()
	if err != nil || len(kept) == 0 {
		return 0
	}
	return kept[0].Index
}

func (s *store) openBolt() (err error) {
	path := filepath.Join(s.dir, storeFile)
	if err := checkLength(path); err != nil {
		return err
	}
	s.bolt, err = raftboltdb.New(raftboltdb.Options{
		Path:                    path,
		MsgpackUseNewTimeFormat: true,
		BoltOptions:             &bbolt.Options{Timeout: boltOpenTimeout, NoFreelistSync: true, FreelistType: bbolt.FreelistMapType},
	})
	if errors.Is(err, bolterrors.ErrTimeout) {
		return s.inUse()
	}
	if err != nil {
		return fmt.Errorf("store %s: %w; %s", path, err, registry.LostDataAdvice)
	}
	return nil
}

func (s *store) inUse() error {
	return registry.Errorf(registry.Conflict, "data directory %s is in use by another process: stop that one first, or give another --data-dir", s.dir)
}

// checkLength refuses a file that is shorter than it says: bbolt maps it, and a
// read past its end ends the process.
func checkLength(path string) error {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) || err == nil && info.Size() == 0 {
		return nil
	}
	if err != nil {
		return fmt.Errorf("store %s: %w", path, err)
	}
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{ReadOnly: true, Timeout: boltOpenTimeout})
	if err != nil {
		return nil //nolint:nilerr // opening it for good says what is wrong
	}
	var says int64
	err = db.View(func(tx *bbolt.Tx) error { says = tx.Size(); return nil })
	if err = errors.Join(err, db.Close()); err == nil && says > info.Size() {
		err = fmt.Errorf("it was cut off: it has %d bytes of %d; %s", info.Size(), says, registry.LostDataAdvice)
	}
	if err != nil {
		return fmt.Errorf("store %s: %w", path, err)
	}
	return nil
}

// identify makes the store's id when it is new, and compares the two places
// where it stands when it is not.
func (s *store) identify(name registry.ReplicaName) error {
	held, err := s.bolt.Get(storeIDKey())
	if err != nil && err.Error() != raftboltdb.ErrKeyNotFound.Error() {
		return fmt.Errorf("store %s: %w", s.dir, err)
	}
	switch {
	case s.id == nil && s.existing:
		return registry.Errorf(registry.Conflict, "data directory %s has a log and no %s: put back a copy of that file, or %s", s.dir, identityFile, registry.LostDataAdvice)
	case s.id == nil:
		return s.newIdentity(name, registry.StoreID(held))
	case string(held) != string(s.id.StoreID):
		return registry.Errorf(registry.Conflict, "data directory %s: %s says store %s and %s says %q: the store was emptied or replaced, and a replica that forgot its vote must not vote; %s", s.dir, identityFile, s.id.StoreID, storeFile, held, registry.LostDataAdvice)
	}
	return nil
}

// newIdentity writes the store's copy first: a crash between the two writes
// leaves an id without a file, which the next start takes up.
func (s *store) newIdentity(name registry.ReplicaName, id registry.StoreID) error {
	if id == "" {
		id = registry.StoreID(newID(registry.StoreIDLen / 2))
		if err := s.bolt.Set(storeIDKey(), []byte(id)); err != nil {
			return fmt.Errorf("store %s: %w", s.dir, err)
		}
	}
	s.id = &identity{Name: name, StoreID: id}
	return s.id.write(s.dir)
}

// configured is nil when the store holds the first entry of every log, which
// is Raft's configuration, or a snapshot of it.
func (s *store) configured() error {
	last, err := s.bolt.LastIndex()
	if err != nil {
		return err
	}
	kept, err := s.snapshots.List()
	if err == nil && last == 0 && len(kept) == 0 {
		return errors.New("the store has no configuration")
	}
	return err
}

// bootstrap writes what raft.BootstrapCluster writes. That one refuses a store
// that has a term, which is what a crash in its own middle leaves.
func (s *store) bootstrap(conf raft.Configuration) error {
	if err := s.votes.SetUint64([]byte("CurrentTerm"), 1); err != nil {
		return err
	}
	return s.logs.StoreLog(&raft.Log{Index: 1, Term: 1, Type: raft.LogConfiguration, Data: raft.EncodeConfiguration(conf)})
}

// testWrite finds a full, read-only or hung disk before Raft does.
func (s *store) testWrite() error {
	const call = "the test write"
	defer s.disk.watch(call).end()
	err := s.disk.hooks.around(call, func() error {
		f, err := os.CreateTemp(s.dir, "write-test.*")
		if err != nil {
			return err
		}
		_, err = f.Write(make([]byte, 4096))
		return errors.Join(err, f.Sync(), f.Close(), os.Remove(f.Name()))
	})
	if err != nil {
		return fmt.Errorf("data directory %s cannot be written: %w; free some space or repair the disk, then start the replica again", s.dir, err)
	}
	return nil
}

func (s *store) runMetrics() {
	ctx, stop := context.WithCancel(context.Background())
	s.metricsStop, s.metricsDone = stop, make(chan struct{})
	go func() {
		defer close(s.metricsDone)
		s.bolt.RunMetrics(ctx, boltMetricsTime)
	}()
}

func (s *store) close() error {
	if s.metricsStop != nil {
		s.metricsStop()
		<-s.metricsDone
	}
	if s.bolt == nil {
		return nil
	}
	s.disk.closed.Store(true)
	defer s.disk.watch("Close").end()
	return s.bolt.Close()
}
