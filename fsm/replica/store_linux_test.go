package replica

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
)

// TestAStoreThatHangsWhileItIsOpenedHalts: a pipe that nobody writes to stands for a
// file of which a disk gives nothing.
func TestAStoreThatHangsWhileItIsOpenedHalts(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	pipe := filepath.Join(dir, identityFile)
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	halted, opened := make(chan error, 10), make(chan error, 1)
	d := newDisk(dir, diskHooks{callMax: 200 * time.Millisecond}, func(err error) { halted <- err })
	go func() {
		_, err := openStore(d, "one", hclog.NewNullLogger())
		opened <- err
	}()
	late := time.After(10 * time.Second)
	for heard := false; !heard; {
		select {
		case err := <-halted: // for the test write, too, if it is slow
			heard = strings.Contains(err.Error(), "opening it has taken more than 1.2s: the disk hangs")
		case <-late:
			t.Error("it hangs in silence")
			heard = true
		}
	}
	f, err := os.OpenFile(pipe, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Error(err)
	}
	if err := <-opened; err == nil || !strings.Contains(err.Error(), "not readable") {
		t.Errorf("with an empty file: %v", err)
	}
}
