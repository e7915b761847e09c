package replica

import (
	"errors"
	"testing"

	"github.com/hashicorp/raft"
)

// TestASnapshotIsRefusedWhileAnotherWaits: Raft begins to write the one that it has
// while the next one waits for it, and then that.
func TestASnapshotIsRefusedWhileAnotherWaits(t *testing.T) {
	in := &installs{holds: func(uint64, uint64) bool { return true }, term: func() uint64 { return 2 }}
	for _, index := range []uint64{10, 20} {
		in.given(&raft.InstallSnapshotRequest{Term: 2, LastLogIndex: index, LastLogTerm: 1})
	}
	for _, index := range []uint64{10, 20} {
		if err := in.refuse(index, 1); !errors.Is(err, errNeedless) {
			t.Errorf("the one at index %d: %v, want %v", index, err, errNeedless)
		}
	}
	if err := in.refuse(30, 1); err != nil {
		t.Errorf("one of its own: %v", err)
	}
}
