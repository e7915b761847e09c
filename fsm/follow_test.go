package fsm_test

import (
	"bytes"
	"fmt"
	"io"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/raft"
	"pgregory.net/rapid"

	"github.com/rota-registry/rota/fsm"
	"github.com/rota-registry/rota/registry"
)

// woken takes what is in the follower's slot.
func woken(f *fsm.Follower) bool {
	select {
	case <-f.Woken():
		return true
	default:
		return false
	}
}

// indexes are where a trail's steps are.
func indexes(t fsm.Trail) (at []registry.Index) {
	for _, s := range t.Steps {
		at = append(at, s.At.Index)
	}
	return at
}

// TestAFollowerSeesWithinABatch what readers do not, and is woken for nothing
// else.
func TestAFollowerSeesWithinABatch(t *testing.T) {
	m := newMachine(t)
	apply(t, m, registry.AddNode{Name: "w-1", Type: "worker"})
	f := m.Follow()
	defer f.Stop()
	if first := f.Take(); !first.Lost || len(first.Steps) != 0 || first.Now.At.Index != 1 {
		t.Fatalf("at first: %+v, want what is, and that the rest is lost", first)
	}
	turn := registry.RoundRobin{Turns: []registry.Turn{{Pool: "worker", Count: 1}}}
	apply(t, m, turn, registry.TermStart{Leader: "r1"}, registry.AddNode{Name: "w-1", Type: "worker"})
	if woken(f) {
		t.Error("it was woken for entries that changed no pool and no node")
	}
	if idle := f.Take(); len(idle.Steps) != 0 || idle.Lost || idle.Now.At.Index != 4 {
		t.Errorf("%+v, want nothing but the position", idle)
	}
	apply(t, m, registry.AddNode{Name: "w-2", Type: "worker"}, turn, registry.ForgetNode{Name: "w-2"}, turn)
	if !woken(f) || woken(f) {
		t.Error("a batch wakes it once")
	}
	got := f.Take()
	if diff := cmp.Diff([]registry.Index{5, 7}, indexes(got)); diff != "" || got.Now.At.Index != 8 || got.Lost {
		t.Fatalf("%+v (-want +got):\n%s", got, diff)
	}
	between, _ := got.Steps[0].View.Pool("worker")
	if now, _ := got.Now.View.Pool("worker"); len(between.Members) != 2 || len(now.Members) != 1 {
		t.Errorf("the node that came and went: %d members, then %d", len(between.Members), len(now.Members))
	}
}

// TestASlowFollowerLoses what it did not take, at the bound and one past it.
func TestASlowFollowerLoses(t *testing.T) {
	m := newMachine(t)
	f, other := m.Follow(), m.Follow()
	defer f.Stop()
	defer other.Stop()
	f.Take()
	add := func(n int) {
		for range n {
			apply(t, m, registry.AddNode{Name: registry.NodeName(fmt.Sprintf("p-%d", m.At().Index)), Type: "proxy"})
		}
	}
	add(registry.FollowStepsMax)
	if got := f.Take(); len(got.Steps) != registry.FollowStepsMax || got.Lost {
		t.Errorf("at the bound: %d steps, lost %t", len(got.Steps), got.Lost)
	}
	add(registry.FollowStepsMax + 1)
	if got := f.Take(); len(got.Steps) != 0 || !got.Lost || got.Now.At != m.At() {
		t.Errorf("one past the bound: %d steps, lost %t, at %+v", len(got.Steps), got.Lost, got.Now.At)
	}
	add(1)
	if got := f.Take(); len(got.Steps) != 1 || got.Lost {
		t.Errorf("afterwards: %d steps, lost %t", len(got.Steps), got.Lost)
	}
	if got := other.Take(); !got.Lost {
		t.Error("another follower that took nothing has lost nothing")
	}
}

// TestASnapshotIsNoStep: what lies between is not known.
func TestASnapshotIsNoStep(t *testing.T) {
	m, ahead := newMachine(t), newMachine(t)
	apply(t, ahead, registry.AddNode{Name: "w-1", Type: "worker"}, registry.AddNode{Name: "w-2", Type: "worker"})
	f := m.Follow()
	f.Take()
	apply(t, m, registry.AddNode{Name: "w-1", Type: "worker"})
	if err := m.Restore(io.NopCloser(bytes.NewReader(bytesOf(t, ahead)))); err != nil {
		t.Fatal(err)
	}
	if got := f.Take(); !got.Lost || got.Now.At.Index != 2 || !woken(f) {
		t.Errorf("%+v, want lost, at 2, and woken", got)
	}
	f.Stop()
	apply(t, m, registry.AddNode{Name: "w-3", Type: "worker"})
	if woken(f) {
		t.Error("it was woken after Stop")
	}
}

// TestAFollowerMissesNothing: whoever goes from step to step sees every state
// of every pool, however the entries were batched.
func TestAFollowerMissesNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m, alone := newMachine(t), newMachine(t)
		f := m.Follow()
		defer f.Stop()
		f.Take()
		last := fsm.Step{View: viewOf(m)}
		for range rapid.IntRange(1, 10).Draw(t, "batches") {
			cmds := rapid.SliceOfN(rapid.Custom(drawNodeCommand), 1, 8).Draw(t, "batch")
			apply(t, m, cmds...)
			trail := f.Take()
			for _, cmd := range cmds {
				apply(t, alone, cmd)
				if len(trail.Steps) > 0 && trail.Steps[0].At == alone.At() {
					last, trail.Steps = trail.Steps[0], trail.Steps[1:]
				}
				if diff := cmp.Diff(viewOf(alone).Pools(), last.View.Pools()); diff != "" {
					t.Fatalf("after %d (-want +got):\n%s", alone.At().Index, diff)
				}
			}
			if trail.Lost || len(trail.Steps) != 0 || trail.Now.At != m.At() {
				t.Fatalf("left over: %+v", trail)
			}
		}
	})
}

func viewOf(m *fsm.Machine) *registry.View {
	view, _ := m.View()
	return view
}

// drawNodeCommand draws of few nodes and pools, so that commands hit.
func drawNodeCommand(t *rapid.T) registry.Command {
	name := rapid.SampledFrom([]registry.NodeName{"w-1", "w-2", "w-3"}).Draw(t, "node")
	switch rapid.IntRange(0, 6).Draw(t, "command") {
	case 0:
		return registry.ForgetNode{Name: name}
	case 1:
		return registry.DrainNode{Name: name, Draining: rapid.Bool().Draw(t, "draining")}
	case 2:
		return registry.LeaveNode{Name: name, Boot: boot("1")}
	case 3:
		return registry.RegisterPool{Spec: registry.Spec{Name: "p", NodeType: "worker"}}
	case 4:
		return registry.UnregisterPool{Name: "p"}
	}
	return registry.JoinNode{Name: name, Type: "worker", Address: "h:1", Boot: boot("1")}
}

// BenchmarkApplyFollowed: what a follower costs who applies.
func BenchmarkApplyFollowed(b *testing.B) {
	for _, followed := range []bool{false, true} {
		b.Run(fmt.Sprintf("followed=%t", followed), func(b *testing.B) {
			m := fsm.NewMachine(func(err error) { b.Fatal(err) })
			if followed {
				defer m.Follow().Stop()
			}
			turn := entry(b, 1, fsm.Entry{Command: registry.RoundRobin{Turns: []registry.Turn{{Pool: "worker", Count: 1}}}})
			for b.Loop() {
				m.ApplyBatch([]*raft.Log{turn})
			}
		})
	}
}
