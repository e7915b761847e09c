package fsm_test

import (
	"bytes"
	"slices"
	"testing"

	"github.com/hashicorp/raft"
	"pgregory.net/rapid"

	"github.com/rota-registry/rota/fsm"
	"github.com/rota-registry/rota/registry"
)

// checked gives a machine with a checkpoint every so many entries.
func checked(t rapid.TB, every registry.Index) *fsm.Machine {
	return fsm.NewCheckedMachine(func(err error) { t.Errorf("the machine halts: %v", err) }, every)
}

// drawLog draws committed entries as Raft hands them on: some indexes are
// no-ops, which it keeps, and some change its own configuration.
func drawLog(t *rapid.T) (log []*raft.Log) {
	index := uint64(0)
	for range rapid.IntRange(1, 80).Draw(t, "entries") {
		index += rapid.SampledFrom([]uint64{1, 1, 1, 2, 7}).Draw(t, "gap")
		if rapid.IntRange(0, 5).Draw(t, "configuration") == 0 {
			log = append(log, &raft.Log{Index: index, Term: 1, Type: raft.LogConfiguration})
			continue
		}
		log = append(log, entry(t, index, fsm.Entry{Clock: registry.Millis(index), Command: drawNode(t)}))
	}
	return log
}

// TestEqualLogsHaveEqualChains: whatever batches they come in and whatever
// snapshots are taken and restored between, two machines with the same log pass
// the same checkpoints; but for those behind a snapshot, which are not
// remembered.
func TestEqualLogsHaveEqualChains(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		log := drawLog(t)
		whole, other := checked(t, 5), checked(t, 5)
		for _, l := range log {
			whole.ApplyBatch([]*raft.Log{l})
		}
		since := 0 // checkpoints that whole had passed at the last restore
		for rest := log; len(rest) > 0; {
			n := rapid.IntRange(1, len(rest)).Draw(t, "batch")
			other.ApplyBatch(rest[:n])
			rest = rest[n:]
			if rapid.Bool().Draw(t, "snapshot") {
				b := bytesOf(t, other)
				other = checked(t, 5)
				if err := other.Restore(reader(b)); err != nil {
					t.Fatal(err)
				}
				since = int(other.At().Index)
			}
		}
		want := slices.DeleteFunc(slices.Clone(whole.Checkpoints()), func(c registry.Checkpoint) bool { return int(c.Index) < since })
		if got := other.Checkpoints(); !slices.Equal(want, got) {
			t.Fatalf("replayed, the checkpoints are %v; restored %v", want, got)
		}
		same(t, "replayed and restored", bytesOf(t, whole), bytesOf(t, other))
	})
}

// TestAnotherByteIsAnotherChain: in any field of any command, in its index or
// in its term.
func TestAnotherByteIsAnotherChain(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		log := drawLog(t)
		var commands []int
		for i, l := range log {
			if l.Type == raft.LogCommand {
				commands = append(commands, i)
			}
		}
		if len(commands) == 0 {
			return
		}
		at := rapid.SampledFrom(commands).Draw(t, "which")
		is, was := *log[at], checked(t, 5)
		was.ApplyBatch(log)
		if rapid.Bool().Draw(t, "term") {
			is.Term++
		} else {
			e, err := fsm.DecodeEntry(is.Data)
			if err != nil {
				t.Fatal(err)
			}
			e.Wall++
			is.Data = entry(t, is.Index, e).Data
		}
		log = slices.Clone(log)
		log[at] = &is
		now := checked(t, 5)
		now.ApplyBatch(log)
		if chainOf(t, was) == chainOf(t, now) {
			t.Errorf("entry %d is another one and the chain the same", is.Index)
		}
	})
}

func chainOf(t rapid.TB, m *fsm.Machine) fsm.Chain {
	t.Helper()
	_, _, chain, err := fsm.ReadSnapshot(bytes.NewReader(bytesOf(t, m)))
	if err != nil {
		t.Fatal(err)
	}
	return chain
}

// TestCheckpointsMax: the last few are remembered, and no more.
func TestCheckpointsMax(t *testing.T) {
	m := checked(t, 1)
	for i := range registry.CheckpointsMax + 1 {
		apply(t, m, registry.TermStart{Leader: "r1"})
		if got := len(m.Checkpoints()); got != i {
			t.Errorf("%d entries: %d checkpoints", i+1, got)
		}
	}
	apply(t, m, registry.TermStart{Leader: "r1"})
	checks := m.Checkpoints()
	if len(checks) != registry.CheckpointsMax || checks[0].Index != 2 || checks[len(checks)-1].Index != m.At().Index-1 {
		t.Errorf("at %d: checkpoints %v", m.At().Index, checks)
	}
}

// TestASnapshotWithoutAChain is one of an older release: the chain begins anew
// behind it, and says so in the next snapshot.
func TestASnapshotWithoutAChain(t *testing.T) {
	old := told(t)
	snap, at, _, err := fsm.ReadSnapshot(bytes.NewReader(bytesOf(t, old)))
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := fsm.WriteSnapshot(&b, snap, at, fsm.Chain{}); err != nil {
		t.Fatal(err)
	}
	m := restored(t, b.Bytes())
	begun := chainOf(t, m)
	if begun.From != at.Index || begun.Hash == 0 {
		t.Fatalf("restored at %d, the chain is %+v", at.Index, begun)
	}
	apply(t, m, registry.TermStart{Leader: "r1"})
	if after := chainOf(t, m); after.From != begun.From || after.Hash == begun.Hash {
		t.Errorf("one entry later the chain is %+v, it was %+v", after, begun)
	}
}
