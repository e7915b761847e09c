package replica_test

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/rota-registry/rota/fsm/replica"
	"github.com/rota-registry/rota/registry"
)

// TestAStartRemovesWhatACrashLeftOfASnapshot, before it looks for room: it may be all
// the room there was. What another process is about to write stays.
func TestAStartRemovesWhatACrashLeftOfASnapshot(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	hog := filepath.Join(c.dir, "one", "snapshots", "1-10-1700000000000.tmp")
	c.tune = func(o *replica.Options) {
		o.FailStore(func(call string) error {
			if _, err := os.Stat(hog); call == "the test write" && err == nil {
				return syscall.ENOSPC
			}
			return nil
		}, 0)
	}
	r := c.start("one", freePort(t), nil)
	c.ready(r)
	if err := os.Mkdir(hog, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(hog, "state.bin"), make([]byte, 1<<16), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := c.tryStart("one", freePort(t), nil); !errors.Is(err, registry.ErrConflict) {
		t.Errorf("a second start in the directory: %v", err)
	}
	if _, err := os.Stat(filepath.Join(hog, "state.bin")); err != nil {
		t.Errorf("a second start took the snapshot of the first: %v", err)
	}
	c.kill(r)
	r, err := c.tryStart("one", r.api, nil)
	if err != nil {
		t.Fatalf("a start with a disk that an unfinished snapshot has filled: %v", err)
	}
	c.ready(r)
}
