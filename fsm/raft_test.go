package fsm_test

import (
	"context"
	"errors"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"

	"github.com/rota-registry/rota/fsm"
	"github.com/rota-registry/rota/registry"
)

// slow is a machine whose entries take a second each.
type slow struct {
	*fsm.Machine
	pause time.Duration
	seen  []raft.LogType
}

func (s *slow) ApplyBatch(entries []*raft.Log) []any {
	for _, e := range entries {
		time.Sleep(s.pause)
		s.seen = append(s.seen, e.Type)
	}
	return s.Machine.ApplyBatch(entries)
}

func (s *slow) StoreConfiguration(uint64, raft.Configuration) { s.seen = append(s.seen, 255) }

// lead gives a Raft of one replica that leads, in virtual time.
func lead(t *testing.T, machine raft.FSM) *raft.Raft {
	t.Helper()
	config := raft.DefaultConfig()
	config.LocalID, config.LogOutput, config.NoLegacyTelemetry = "r1", io.Discard, true
	config.MaxAppendEntries, config.BatchApplyCh = 4, true
	store, snapshots := raft.NewInmemStore(), raft.NewInmemSnapshotStore()
	address, transport := raft.NewInmemTransport("r1")
	servers := []raft.Server{{ID: "r1", Address: address, Suffrage: raft.Voter}}
	if err := raft.BootstrapCluster(config, store, store, snapshots, transport, raft.Configuration{Servers: servers}); err != nil {
		t.Fatal(err)
	}
	r, err := raft.NewRaft(config, machine, store, store, snapshots, transport)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Shutdown().Error(); err != nil {
			t.Error(err)
		}
	})
	select {
	case <-r.LeaderCh():
	case <-time.After(time.Minute):
		t.Fatal("a replica alone does not lead after a minute")
	}
	return r
}

func propose(t *testing.T, r *raft.Raft, cmd registry.Command) raft.ApplyFuture {
	t.Helper()
	b, err := fsm.EncodeCommand(cmd)
	if err != nil {
		t.Fatal(err)
	}
	return r.Apply(b, time.Second)
}

// TestAppliedIndexIsQueued: what Raft calls its applied index is what it has
// queued for the machine; the machine's own is what was applied. A read that
// waited for Raft's would not see the write before it.
func TestAppliedIndexIsQueued(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &slow{Machine: newMachine(t)}
		r := lead(t, m)
		if err := propose(t, r, registry.TermStart{Leader: "r1"}).Error(); err != nil {
			t.Fatal(err)
		}
		start := m.At().Index
		m.pause = time.Second
		var last raft.ApplyFuture
		for range 40 {
			last = propose(t, r, registry.TermStart{Leader: "r1"})
		}
		time.Sleep(10 * time.Second)
		synctest.Wait()
		queued, applied := registry.Index(r.AppliedIndex()), m.At().Index
		if queued != start+40 || applied > start+10 {
			t.Errorf("Raft says %d is applied, the machine has %d of %d: is the machine's own index still needed?", queued, applied, start+40)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := m.Wait(ctx, queued); err != nil || m.At().Index < queued {
			t.Errorf("Wait(%d): %v, at %d", queued, err, m.At().Index)
		}
		if err := last.Error(); err != nil || last.Response().(*fsm.Outcome).At.Index != queued {
			t.Errorf("the last command: %+v, %v", last.Response(), err)
		}
	})
}

// TestConfigurationsMoveThePosition: a change of Raft's configuration comes
// through ApplyBatch, so that waiting for the commit index ends.
func TestConfigurationsMoveThePosition(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &slow{Machine: newMachine(t)}
		r := lead(t, m)
		if err := propose(t, r, registry.TermStart{Leader: "r1"}).Error(); err != nil {
			t.Fatal(err)
		}
		m.seen = nil
		if err := r.AddNonvoter("r2", "r2", 0, time.Second).Error(); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := m.Wait(ctx, registry.Index(r.CommitIndex())); err != nil {
			t.Errorf("waiting for the commit index %d: %v, at %d", r.CommitIndex(), err, m.At().Index)
		}
		if len(m.seen) != 1 || m.seen[0] != raft.LogConfiguration {
			t.Errorf("the machine saw %v, want the configuration through ApplyBatch alone", m.seen)
		}
	})
}

// TestNoOpsDoNotReachTheMachine: a leader's first entry never comes, and a wait
// for it hangs until a command follows. So a leadership starts with TermStart.
func TestNoOpsDoNotReachTheMachine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMachine(t)
		r := lead(t, m)
		time.Sleep(time.Minute)
		committed := registry.Index(r.CommitIndex())
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := m.Wait(ctx, committed); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("waiting for the no-op at %d: %v, at %d: is TermStart still needed?", committed, err, m.At().Index)
		}
		if err := propose(t, r, registry.TermStart{Leader: "r1"}).Error(); err != nil {
			t.Fatal(err)
		}
		if err := m.Wait(t.Context(), committed); err != nil || m.At().Index <= committed {
			t.Errorf("after TermStart: %v, at %d", err, m.At().Index)
		}
	})
}

// TestRefusalIsInTheResponse: what the registry refuses is an outcome of the
// future, and no error of it.
func TestRefusalIsInTheResponse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := lead(t, newMachine(t))
		future := propose(t, r, registry.ForgetNode{Name: "nobody"})
		if err := future.Error(); err != nil {
			t.Fatal(err)
		}
		if o := future.Response().(*fsm.Outcome); o.Err == nil || o.Err.Code != registry.NotFound {
			t.Errorf("forgetting nobody: %+v", o)
		}
	})
}

// TestRaftRestores: a snapshot that Raft itself takes and restores brings the
// same bytes, and later commands go on behind it.
func TestRaftRestores(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMachine(t)
		r := lead(t, m)
		for _, cmd := range story() {
			if err := propose(t, r, cmd).Error(); err != nil {
				t.Fatal(err)
			}
		}
		want, at := bytesOf(t, m), m.At()
		taken := r.Snapshot()
		if err := taken.Error(); err != nil {
			t.Fatal(err)
		}
		meta, from, err := taken.Open()
		if err != nil {
			t.Fatal(err)
		}
		defer from.Close()
		if err := propose(t, r, registry.ForgetNode{Name: "worker-1"}).Error(); err != nil {
			t.Fatal(err)
		}
		if err := r.Restore(meta, from, time.Minute); err != nil {
			t.Fatal(err)
		}
		same(t, "restored by Raft", want, bytesOf(t, m))
		if err := propose(t, r, registry.TermStart{Leader: "r1"}).Error(); err != nil || m.At().Index <= at.Index+1 {
			t.Errorf("after the restore: %v, at %+v", err, m.At())
		}
	})
}
