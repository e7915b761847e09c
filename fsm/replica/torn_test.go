package replica_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rota-registry/rota/fsm/replica"
	"github.com/rota-registry/rota/registry"
)

// TestATornSnapshotDoesNotCostTheLog: the newest snapshot is of an index behind the
// end of the log, so it took the log's place; but it is torn. The replica does not
// start, and keeps the log: once the torn one is out of the way nothing is lost.
func TestATornSnapshotDoesNotCostTheLog(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	c.tune = func(o *replica.Options) { o.Compact(10, 8) }
	r := c.start("one", freePort(t), nil)
	c.ready(r)
	c.put(r, "in-the-snapshot")
	if err := r.Raft().Snapshot().Error(); err != nil {
		t.Fatal(err)
	}
	c.put(r, "in-the-log")
	c.kill(r)
	first := firstOf(t, r.dir)
	torn := tornSnapshot(t, filepath.Join(r.dir, "snapshots"))

	c.tune = func(o *replica.Options) { endsProcess(o) }
	r, err := c.tryStart("one", r.api, nil)
	if err == nil {
		err = c.haltOf(r)
		c.kill(r)
	}
	if err == nil || !strings.Contains(err.Error(), "does not reach back to the newest snapshot") {
		t.Errorf("with a torn snapshot it ends with %v", err)
	}
	advises(t, err)
	if now := firstOf(t, filepath.Join(c.dir, "one")); now != first {
		t.Fatalf("the log began at %d, and begins at %d", first, now)
	}
	if err := os.RemoveAll(torn); err != nil {
		t.Fatal(err)
	}
	r = c.start("one", freePort(t), nil)
	c.ready(r)
	for _, name := range []registry.PoolName{"in-the-snapshot", "in-the-log"} {
		if !c.shows(r, name, registry.ReadOptions{}) {
			t.Errorf("%s is lost", name)
		}
	}
}

// tornSnapshot adds one that is newer than the one there is by far, and cut off.
func tornSnapshot(t *testing.T, dir string) (path string) {
	t.Helper()
	whole, err := os.ReadDir(dir)
	if err != nil || len(whole) != 1 {
		t.Fatalf("%d snapshots, %v; want the one that was made", len(whole), err)
	}
	from := filepath.Join(dir, whole[0].Name())
	var meta map[string]any
	written, err := os.ReadFile(filepath.Join(from, "meta.json"))
	if err == nil {
		err = json.Unmarshal(written, &meta)
	}
	if err != nil {
		t.Fatal(err)
	}
	const id = "9-9000-1700000000000"
	meta["ID"], meta["Index"], meta["Term"] = id, 9000, 9
	if written, err = json.Marshal(meta); err != nil {
		t.Fatal(err)
	}
	state, err := os.ReadFile(filepath.Join(from, "state.bin"))
	if err != nil {
		t.Fatal(err)
	}
	path = filepath.Join(dir, id)
	if err := os.Mkdir(path, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string][]byte{"meta.json": written, "state.bin": state[:len(state)/2]} {
		if err := os.WriteFile(filepath.Join(path, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return path
}
