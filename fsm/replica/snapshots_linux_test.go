package replica

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
)

// TestASnapshotWithoutRoomLeavesNothing: its writes fail from some moment on, as they
// do on a full disk, and so does what Raft does to put it away.
func TestASnapshotWithoutRoomLeavesNothing(t *testing.T) {
	t.Parallel()
	s := newTestSnapshots(t)
	sink := s.mustCreate(t, 7)
	path := filepath.Join(s.dir, sink.ID()+".tmp", "state.bin")
	if _, err := sink.Write(make([]byte, 1<<20)); err != nil {
		t.Fatal(err)
	}
	second, err := os.Open(path) // so that what it keeps can be seen
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	fillDiskUnder(t, path)
	if _, err := sink.Write(make([]byte, 1<<20)); !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("a write to a full disk: %v", err)
	}
	if err := sink.Cancel(); err == nil {
		t.Error("Raft has put it away itself: this shows nothing")
	}
	s.holds(t)
	if is, err := second.Stat(); err != nil || is.Size() > 0 {
		t.Errorf("what is open of it keeps %d bytes (%v)", is.Size(), err)
	}
}

// fillDiskUnder lets what this process has open of a file for writing be a device that
// is full.
func fillDiskUnder(t *testing.T, path string) {
	t.Helper()
	device, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer device.Close()
	open, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range open {
		fd, err := strconv.Atoi(e.Name())
		if to, gone := os.Readlink("/proc/self/fd/" + e.Name()); err != nil || gone != nil || to != path {
			continue
		}
		if mode, _, errno := syscall.Syscall(syscall.SYS_FCNTL, uintptr(fd), syscall.F_GETFL, 0); errno != 0 || mode&syscall.O_ACCMODE == syscall.O_RDONLY {
			continue
		}
		if err := syscall.Dup3(int(device.Fd()), fd, 0); err != nil {
			t.Fatal(err)
		}
		return
	}
	t.Fatalf("nobody has %s open", path)
}
