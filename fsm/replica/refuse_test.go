package replica_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"testing"

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
	}{
		"emptied database":  {harm: func(d string) error { return os.Truncate(db(d), 0) }, code: registry.ErrConflict, says: "forgot its vote"},
		"removed database":  {harm: func(d string) error { return os.Remove(db(d)) }, code: registry.ErrConflict, says: "forgot its vote"},
		"identity lost":     {harm: func(d string) error { return os.Remove(id(d)) }, code: registry.ErrConflict, says: "identity.json"},
		"identity garbled":  {harm: func(d string) error { return os.WriteFile(id(d), []byte(`{"name":`), 0o600) }, says: "identity.json"},
		"identity emptied":  {harm: func(d string) error { return os.Truncate(id(d), 0) }, says: "identity.json"},
		"database garbled":  {harm: func(d string) error { return os.WriteFile(db(d), bytes.Repeat([]byte("x"), 1<<16), 0o600) }, says: "raft.db"},
		"another's":         {harm: func(string) error { return nil }, as: "two", code: registry.ErrConflict, says: "belongs to replica one"},
		"directory no more": {harm: func(d string) error { return errors.Join(os.RemoveAll(d), os.WriteFile(d, nil, 0o600)) }, says: "data directory"},
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
	found := regexp.MustCompile(`log entry (\d+) of term (\d+): CRC32C`).FindStringSubmatch(err.Error())
	if len(found) != 3 || found[1] != decimal(at) || found[2] == "0" {
		t.Errorf("halted with %v, want log entry %d and its term", err, at)
	}
}

func decimal(i registry.Index) string { return strconv.FormatUint(uint64(i), 10) }
