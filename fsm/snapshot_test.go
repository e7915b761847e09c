package fsm_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/raft"
	"pgregory.net/rapid"

	"github.com/rota-registry/rota/fsm"
	"github.com/rota-registry/rota/registry"
)

func reader(b []byte) io.ReadCloser { return io.NopCloser(bytes.NewReader(b)) }

// restored gives a machine that came from a snapshot.
func restored(t rapid.TB, b []byte) *fsm.Machine {
	t.Helper()
	m := newMachine(t)
	if err := m.Restore(reader(b)); err != nil {
		t.Fatal(err)
	}
	return m
}

// TestSnapshotHoldsEverything: the story's state has no empty section, and a
// machine made of its bytes has the same bytes, position and answers.
func TestSnapshotHoldsEverything(t *testing.T) {
	m := told(t)
	b := bytesOf(t, m)
	snap, at, chain, err := fsm.ReadSnapshot(bytes.NewReader(b))
	if err != nil || at != m.At() {
		t.Fatalf("read at %+v, %v; the machine stands at %+v", at, err, m.At())
	}
	if chain.Hash == 0 || len(snap.Replicas) == 0 || len(snap.Nodes) == 0 || len(snap.Pools) < 5 || snap.ClusterID == "" || snap.Clock == 0 ||
		len(snap.Sessions) != 2 || len(snap.Sessions[1].Stored) != 2 {
		t.Fatalf("the story leaves something out: %+v", snap)
	}
	twin := restored(t, b)
	same(t, "snapshot → restore → snapshot", b, bytesOf(t, twin))
	if twin.At() != m.At() {
		t.Errorf("restored at %+v, want %+v", twin.At(), m.At())
	}
	next := registry.RoundRobin{Turns: []registry.Turn{{Pool: "pair", Key: "k", Count: 5}, {Pool: "worker", Count: 3}}}
	if diff := cmp.Diff(apply(t, m, next), apply(t, twin, next)); diff != "" {
		t.Errorf("the next answers (-original +restored):\n%s", diff)
	}
}

// TestReplayIsSnapshotAndRest: over any commands, in any batches, a replica
// that came from a snapshot in mid-run answers as one that replayed the log
// from its start, and holds the same bytes.
func TestReplayIsSnapshotAndRest(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		whole, other := newMachine(t), newMachine(t)
		var cmds []registry.Command
		var want, got []*fsm.Outcome
		for range rapid.IntRange(1, 120).Draw(t, "commands") {
			cmds = append(cmds, drawCommand(t, whole))
			want = append(want, apply(t, whole, cmds[len(cmds)-1])...)
		}
		for len(cmds) > 0 {
			n := rapid.IntRange(1, len(cmds)).Draw(t, "batch")
			got = append(got, apply(t, other, cmds[:n]...)...)
			cmds = cmds[n:]
			if rapid.Bool().Draw(t, "snapshot") {
				other = restored(t, bytesOf(t, other))
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("answers (-replayed +restored):\n%s", diff)
		}
		same(t, "replayed and restored", bytesOf(t, whole), bytesOf(t, other))
	})
}

// TestPersistBesideApply: what is written is the state at the snapshot's index,
// however much is applied, and restored, meanwhile. A Persist that held the
// machine's lock would hang here.
func TestPersistBesideApply(t *testing.T) {
	m := told(t)
	for i := range 200 {
		apply(t, m, registry.AddNode{Name: registry.NodeName(fmt.Sprintf("worker-%d", 100+i)), Type: "worker"})
	}
	want := bytesOf(t, m)
	snap, err := m.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	writes := 0
	sink := &bufferSink{onWrite: func() error {
		writes++
		apply(
			t, m,
			registry.RoundRobin{Turns: []registry.Turn{{Pool: "worker", Count: 7}}},
			registry.DrainNode{Name: "worker-100", Draining: writes%2 == 0},
			registry.ForgetNode{Name: registry.NodeName(fmt.Sprintf("worker-%d", 200+writes))},
		)
		return nil
	}}
	if err := snap.Persist(sink); err != nil {
		t.Fatal(err)
	}
	if writes < 3 {
		t.Errorf("only %d writes: nothing was applied in between", writes)
	}
	same(t, "written beside the commands", want, sink.Bytes())
}

// TestSnapshotsRaceApply is TestPersistBesideApply for the race detector: a
// snapshot shares no memory with what is changed.
func TestSnapshotsRaceApply(t *testing.T) {
	m := told(t)
	var appliers sync.WaitGroup
	appliers.Go(func() {
		for i := range 300 {
			apply(
				t, m,
				registry.RoundRobin{Turns: []registry.Turn{{Pool: "worker", Key: fmt.Sprint(i % 9), Count: 3}}},
				registry.DrainNode{Name: "worker-1", Draining: i%2 == 0},
			)
		}
	})
	for range 50 {
		b := bytesOf(t, m)
		same(t, "taken in the middle of it", b, bytesOf(t, restored(t, b)))
	}
	appliers.Wait()
}

// TestPersistFails: a sink that cannot write is cancelled, not closed, so that
// Raft does not keep half a snapshot.
func TestPersistFails(t *testing.T) {
	snap, err := told(t).Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	full := errors.New("no space left")
	sink := &bufferSink{onWrite: func() error { return full }}
	if err := snap.Persist(sink); !errors.Is(err, full) || sink.closed || !sink.cancelled {
		t.Errorf("Persist: %v; closed %t, cancelled %t", err, sink.closed, sink.cancelled)
	}
}

// TestRestoreFromAStore: as Raft does it, through its own snapshot store.
func TestRestoreFromAStore(t *testing.T) {
	m := told(t)
	store := raft.NewInmemSnapshotStore()
	sink, err := store.Create(raft.SnapshotVersionMax, uint64(m.At().Index), uint64(m.At().Term), raft.Configuration{}, 1, nil)
	if err != nil {
		t.Fatal(err)
	}
	snap, err := m.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	if err := snap.Persist(sink); err != nil {
		t.Fatal(err)
	}
	_, from, err := store.Open(sink.ID())
	if err != nil {
		t.Fatal(err)
	}
	twin := newMachine(t)
	if err := twin.Restore(from); err != nil {
		t.Fatal(err)
	}
	same(t, "through the store", bytesOf(t, m), bytesOf(t, twin))
}

// TestSectionMax: a section that no reader would take is not written.
func TestSectionMax(t *testing.T) {
	long := registry.Snapshot{Nodes: []registry.Node{{Address: strings.Repeat("x", 64<<20)}}}
	if err := fsm.WriteSnapshot(io.Discard, long, registry.Position{}, fsm.Chain{}); err == nil || !strings.Contains(err.Error(), "section of kind 3") {
		t.Errorf("a section of more than 64 MiB: %v", err)
	}
}
