package replica

import (
	"errors"
	"testing"
)

// TestSpaceNeeded: 64 MiB, of a small disk a hundredth, and a quarter more to
// come back.
func TestSpaceNeeded(t *testing.T) {
	const mib = 1 << 20
	for _, tt := range []struct {
		total uint64
		short bool
		want  uint64
	}{
		{1 << 40, false, 64 * mib},
		{1 << 40, true, 80 * mib},
		{6400 * mib, false, 64 * mib},
		{1000 * mib, false, 10 * mib},
		{1000 * mib, true, 12*mib + mib/2},
		{0, false, 0}, // a file system that has no size has no lack of room either
	} {
		if got := (space{total: tt.total}).need(tt.short); got != tt.want {
			t.Errorf("of %d bytes, short %t: %d, want %d", tt.total, tt.short, got, tt.want)
		}
	}
}

// TestFreeSpace asks the system that this runs on.
func TestFreeSpace(t *testing.T) {
	s, err := freeSpace(t.TempDir())
	if errors.Is(err, errSpaceUnknown) {
		return
	}
	if err != nil || s.total == 0 || s.free > s.total {
		t.Errorf("%+v, %v", s, err)
	}
	if _, err := freeSpace(t.TempDir() + "/nowhere"); err == nil {
		t.Error("a directory that is not there has room")
	}
}
