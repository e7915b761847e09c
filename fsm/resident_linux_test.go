package fsm_test

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"testing"

	"github.com/rota-registry/rota/fsm"
	"github.com/rota-registry/rota/registry"
)

// residentMax is what the largest state may take, in bytes, while it is written
// to a snapshot and while another one is restored beside it.
const residentMax = 512 << 20

// residentRole makes this test's own program the one that is measured.
const residentRole = "ROTA_TEST_RESIDENT"

// TestTheLargestStateResidesInBounds measures a process that restores the
// largest snapshot, writes it, and restores it once more while it has the first,
// as a replica does that was sent one.
func TestTheLargestStateResidesInBounds(t *testing.T) {
	if file := os.Getenv(residentRole); file != "" {
		restoreTwice(t, file)
		return
	}
	file := filepath.Join(t.TempDir(), "snapshot")
	f, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(fsm.WriteSnapshot(f, atTheBounds(), registry.Position{Index: 1_000_000, Term: 7}, fsm.Chain{}), f.Close()); err != nil {
		t.Fatal(err)
	}
	child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
	child.Env = append(os.Environ(), residentRole+"="+file)
	out, err := child.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	_, after, found := strings.Cut(string(out), "resident at most ")
	var peak int64
	if _, err := fmt.Sscan(after, &peak); err != nil || !found {
		t.Fatalf("no word of memory in %s", out)
	}
	most := int64(residentMax)
	if info, ok := debug.ReadBuildInfo(); ok && slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"}) {
		most *= 4 // what the race detector takes of it
	}
	t.Logf("at most %d MiB were resident", peak>>20)
	if peak > most {
		t.Errorf("at most %d MiB may be", most>>20)
	}
}

func restoreTwice(t *testing.T, file string) {
	m := fsm.NewMachine(func(err error) { t.Errorf("the machine halts: %v", err) })
	restore := func() {
		f, err := os.Open(file)
		if err != nil {
			t.Fatal(err)
		}
		if err := m.Restore(f); err != nil {
			t.Fatal(err)
		}
	}
	restore()
	snap, err := m.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	if err := snap.Persist(nowhere{}); err != nil {
		t.Fatal(err)
	}
	snap.Release()
	restore()

	fmt.Printf("resident at most %d\n", highWater(t))
}

// nowhere is a sink that keeps nothing.
type nowhere struct{}

func (nowhere) Write(b []byte) (int, error) { return len(b), nil }
func (nowhere) Close() error                { return nil }
func (nowhere) Cancel() error               { return nil }
func (nowhere) ID() string                  { return "nowhere" }

// highWater is the most memory that this process had at a time.
func highWater(t *testing.T) (bytes int64) {
	f, err := os.Open("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if n, _ := fmt.Sscanf(lines.Text(), "VmHWM: %d kB", &bytes); n == 1 {
			return bytes << 10
		}
	}
	t.Fatal("/proc/self/status has no VmHWM")
	return 0
}
