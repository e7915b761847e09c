package replica_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/raft"
	"github.com/rota-registry/rota/fsm/replica"
	"github.com/rota-registry/rota/registry"
	"go.etcd.io/bbolt"
)

// TestAWipedReplicaRefuses: it has forgotten its vote, so it must not vote, and
// says which store the cluster expects and which it has.
func TestAWipedReplicaRefuses(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	rs := c.startAll(3)
	list := []string{rs[0].api, rs[1].api, rs[2].api}
	for _, r := range []*running{rs[2], rs[0]} { // one that followed, and the founder
		was := r.Self().StoreID
		c.kill(r)
		if err := os.RemoveAll(r.dir); err != nil {
			t.Fatal(err)
		}
		wiped := c.start(r.name, r.api, list)
		err, is := c.haltOf(wiped), wiped.Self().StoreID
		if !errors.Is(err, registry.ErrConflict) || is == was || !strings.Contains(err.Error(), string(was)) || !strings.Contains(err.Error(), string(is)) {
			t.Errorf("%s halted with %v, want a conflict that names stores %s and %s", r.name, err, was, is)
		}
		advises(t, err)
		if wiped.Raft() != nil {
			t.Errorf("%s started Raft", r.name)
		}
		c.kill(wiped)
		if r == rs[2] { // a majority is needed for what follows
			c.put(rs[1], "without-r3")
		}
	}
}

// TestAStoreThatIsNotWholeIsRefused before anything is asked of anybody.
func TestAStoreThatIsNotWholeIsRefused(t *testing.T) {
	t.Parallel()
	db := func(dir string) string { return filepath.Join(dir, "raft.db") }
	id := func(dir string) string { return filepath.Join(dir, "identity.json") }
	for name, tt := range map[string]struct {
		harm func(dir string) error
		as   registry.ReplicaName
		code error  // nil: any
		says string // besides the directory
		fine bool   // no copy need be put back
	}{
		"emptied database":  {harm: func(d string) error { return os.Truncate(db(d), 0) }, code: registry.ErrConflict, says: "forgot its vote"},
		"removed database":  {harm: func(d string) error { return os.Remove(db(d)) }, code: registry.ErrConflict, says: "forgot its vote"},
		"identity lost":     {harm: func(d string) error { return os.Remove(id(d)) }, code: registry.ErrConflict, says: "identity.json"},
		"identity garbled":  {harm: func(d string) error { return os.WriteFile(id(d), []byte(`{"name":`), 0o600) }, says: "identity.json"},
		"identity emptied":  {harm: func(d string) error { return os.Truncate(id(d), 0) }, says: "identity.json"},
		"database garbled":  {harm: func(d string) error { return os.WriteFile(db(d), bytes.Repeat([]byte("x"), 1<<16), 0o600) }, says: "raft.db"},
		"database cut off":  {harm: func(d string) error { return os.Truncate(db(d), 1<<14) }, says: "cut off"},
		"another's":         {harm: func(string) error { return nil }, as: "two", code: registry.ErrConflict, says: "belongs to replica one", fine: true},
		"directory no more": {harm: func(d string) error { return errors.Join(os.RemoveAll(d), os.WriteFile(d, nil, 0o600)) }, says: "data directory", fine: true},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCluster(t)
			c.tune = func(o *replica.Options) { o.DataDir = filepath.Join(c.dir, "data") }
			r := c.start("one", freePort(t), nil)
			c.ready(r)
			c.kill(r)
			if err := tt.harm(r.dir); err != nil {
				t.Fatal(err)
			}
			as := tt.as
			if as == "" {
				as = "one"
			}
			_, err := c.tryStart(as, r.api, nil)
			if err == nil || !strings.Contains(err.Error(), r.dir) || !strings.Contains(err.Error(), tt.says) || tt.code != nil && !errors.Is(err, tt.code) {
				t.Errorf("open: %v, want %v with %s and %q", err, tt.code, r.dir, tt.says)
			}
			if !tt.fine {
				advises(t, err)
			}
		})
	}
}

// TestADirectoryHasOneProcess, and so has a port: who comes second is told what is
// taken, and leaves the first alone.
func TestADirectoryHasOneProcess(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	r := c.start("one", freePort(t), nil)
	c.ready(r)
	if _, err := c.tryStart("one", freePort(t), nil); !errors.Is(err, registry.ErrConflict) || !strings.Contains(err.Error(), "in use") || !strings.Contains(err.Error(), r.dir) {
		t.Errorf("a second one in the directory: %v", err)
	}
	for _, what := range []string{"raft", "gossip"} {
		taken := r.Self().Raft
		c.tune = func(o *replica.Options) { o.RaftBind = taken }
		if what == "gossip" {
			taken = r.Self().Gossip
			c.tune = func(o *replica.Options) { o.GossipBind = taken }
		}
		if _, err := c.tryStart("two", freePort(t), nil); err == nil || !strings.Contains(err.Error(), what+" address "+taken) {
			t.Errorf("a second one at %s address %s: %v", what, taken, err)
		}
	}
	c.put(r, "undisturbed")
}

// TestOptionsAreCheckedTogether: every fault is in one error.
func TestOptionsAreCheckedTogether(t *testing.T) {
	t.Parallel()
	_, err := replica.Open(replica.Options{Name: "no good", API: "x", Replicas: make([]string, registry.ReplicasMax+1)})
	if !errors.Is(err, registry.ErrInvalid) {
		t.Fatalf("open: %v, want invalid", err)
	}
	for _, want := range []string{"no good", "data directory", "API address", "Raft address", "gossip address", "replica address", "Caller", "16 replicas", "listed twice"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q says nothing of %q", err, want)
		}
	}
}

// TestAFlippedByteHaltsTheReplica: bbolt has no checksum on its data pages, so
// what was changed on disk is found by the entry's own, and named.
func TestAFlippedByteHaltsTheReplica(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	r := c.start("one", freePort(t), nil)
	c.ready(r)
	at := c.put(r, "flip-me")
	c.put(r, "unharmed")
	c.kill(r)
	editBolt(t, r.dir, func(tx *bbolt.Tx) error {
		logs := tx.Bucket([]byte("logs"))
		for k, v := logs.Cursor().First(); k != nil; k, v = logs.Cursor().Seek(append(k, 0)) {
			if i := bytes.Index(v, []byte("flip-me")); i >= 0 {
				v = bytes.Clone(v)
				v[i] ^= 1
				return logs.Put(bytes.Clone(k), v)
			}
		}
		return errors.New("no entry has the pool's name")
	})
	c.tune = func(o *replica.Options) {
		halt := o.Halt
		o.Halt = func(err error) { // as the end of the process: it does not return
			halt(err)
			runtime.Goexit()
		}
	}
	err := c.haltOf(c.start("one", r.api, nil))
	advises(t, err)
	if !strings.Contains(err.Error(), r.dir) {
		t.Errorf("halted with %v, and says nothing of %s", err, r.dir)
	}
	found := regexp.MustCompile(`log entry (\d+) of term (\d+): CRC32C`).FindStringSubmatch(err.Error())
	if len(found) != 3 || found[1] != decimal(at) || found[2] == "0" {
		t.Errorf("halted with %v, want log entry %d and its term", err, at)
	}
}

// TestAnEntryThatIsNotReadHaltsTheReplica, with a word about where it is and what to do:
// a copy helps when its bytes were changed, and the right release when it is another's.
func TestAnEntryThatIsNotReadHaltsTheReplica(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		change func(data []byte) []byte
		says   string
	}{
		"changed": {func(b []byte) []byte { b[len(b)/2] ^= 1; return b }, registry.LostDataAdvice},
		"cut off": {func(b []byte) []byte { return b[:2] }, registry.LostDataAdvice},
		"newer": {func(b []byte) []byte {
			b[0] = 99
			return binary.LittleEndian.AppendUint32(b[:len(b)-4], crc32.Checksum(b[:len(b)-4], crc32.MakeTable(crc32.Castagnoli)))
		}, "start the release that wrote it"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newCluster(t)
			var once sync.Once
			c.tune = func(o *replica.Options) {
				endsProcess(o)
				o.Tamper(0, func(l *raft.Log) *raft.Log {
					if !bytes.Contains(l.Data, []byte("other-")) {
						return l
					}
					changed := *l
					once.Do(func() { changed.Data = tt.change(bytes.Clone(l.Data)) })
					return &changed
				})
			}
			r := c.start("one", freePort(t), nil)
			c.ready(r)
			_, _, _ = r.Propose(within(t, time.Second), registry.RegisterPool{Spec: registry.Spec{Name: "other-1", NodeType: registry.Worker}})
			if err := c.haltOf(r); !strings.Contains(err.Error(), r.dir) || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("halted with %v, want %s and %q", err, r.dir, tt.says)
			}
		})
	}
}

// advises fails unless an error ends with what to do about data that is lost.
func advises(t *testing.T, err error) {
	t.Helper()
	if err == nil || !strings.HasSuffix(err.Error(), registry.LostDataAdvice) {
		t.Errorf("%v\ndoes not end with: %s", err, registry.LostDataAdvice)
	}
}

func decimal(i registry.Index) string { return strconv.FormatUint(uint64(i), 10) }
