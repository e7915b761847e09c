package fsm

import (
	"context"
	"fmt"
	"io"
	"sync"

	"github.com/hashicorp/raft"
	"github.com/rota-registry/rota/registry"
)

// Machine is the state machine that Raft drives. Its position is kept here,
// under the lock of the state, because Raft's own AppliedIndex says what was
// queued for the machine and not what it has applied.
//
// It implements raft.BatchingFSM: so entries that change Raft's configuration
// reach it too, and its position covers them. No-ops never reach it; whoever
// waits for a commit index must first have seen a TermStart of that term.
type Machine struct {
	halt func(error)

	mu struct {
		sync.RWMutex
		state *registry.State
		at    registry.Position
		// moved is closed, and made anew, when at has moved on; nil while
		// nobody waits.
		moved chan struct{}
	}
}

var _ raft.BatchingFSM = (*Machine)(nil)

// NewMachine gives a machine with an empty registry. Halt is called once with
// an entry that cannot be applied and must not return to a living replica:
// when it does return, the machine panics.
func NewMachine(halt func(error)) *Machine {
	m := &Machine{halt: halt}
	m.mu.state = registry.NewState()
	return m
}

// Apply is Raft's call for one entry.
func (m *Machine) Apply(entry *raft.Log) any { return m.ApplyBatch([]*raft.Log{entry})[0] }

// ApplyBatch applies committed entries in order; a command's response is its
// *Outcome.
func (m *Machine) ApplyBatch(entries []*raft.Log) []any {
	decoded := make([]Entry, len(entries))
	for i, l := range entries {
		decoded[i] = m.mustDecode(l)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	out := make([]any, len(entries))
	for i, l := range entries {
		out[i] = m.applyLocked(l, decoded[i])
	}
	m.wakeLocked()
	return out
}

// mustDecode gives the entry of a command, and an empty one for a change of
// Raft's configuration.
func (m *Machine) mustDecode(l *raft.Log) Entry {
	if l.Type != raft.LogCommand {
		return Entry{}
	}
	e, err := DecodeEntry(l.Data)
	if err != nil {
		err = fmt.Errorf("log entry %d of term %d cannot be applied: %w", l.Index, l.Term, err)
		m.halt(err)
		panic(err)
	}
	return e
}

func (m *Machine) applyLocked(l *raft.Log, e Entry) any {
	m.mu.at = registry.Position{Index: registry.Index(l.Index), Term: registry.Term(l.Term)}
	if e.Command == nil {
		return nil
	}
	stamp := registry.Stamp{Index: m.mu.at.Index, Term: m.mu.at.Term, Clock: e.Clock, Wall: e.Wall}
	result, err := m.mu.state.Apply(stamp, e.Command)
	if _, asked := e.Command.(registry.RebalancePools); !asked {
		result.Moves = nil // nobody reads them, and a node that joins may move megabytes
	}
	return &Outcome{Result: result, Err: codedError(err), At: m.mu.at}
}

// codedError keeps an error of the registry as it is; there are no others.
func codedError(err error) *registry.Error {
	switch e := err.(type) { //nolint:errorlint // Apply returns *registry.Error itself.
	case nil:
		return nil
	case *registry.Error:
		return e
	default:
		return registry.Errorf(registry.Internal, "%v", err)
	}
}

func (m *Machine) wakeLocked() {
	if m.mu.moved != nil {
		close(m.mu.moved)
		m.mu.moved = nil
	}
}

// At gives the position of the last entry applied.
func (m *Machine) At() registry.Position {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.mu.at
}

// View calls f with the state and its position, under the state's read lock: f
// must neither block nor keep the state.
func (m *Machine) View(f func(*registry.State, registry.Position)) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	f(m.mu.state, m.mu.at)
}

// Wait returns when the entry at index has been applied, or with ctx's error.
func (m *Machine) Wait(ctx context.Context, index registry.Index) error {
	for {
		moved := m.waitChan(index)
		if moved == nil {
			return nil
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// waitChan gives a channel that closes when the position has moved; nil when
// index is already reached.
func (m *Machine) waitChan(index registry.Index) <-chan struct{} {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.mu.at.Index >= index {
		return nil
	}
	if m.mu.moved == nil {
		m.mu.moved = make(chan struct{})
	}
	return m.mu.moved
}

// Snapshot copies the state; writing it goes on beside further entries.
func (m *Machine) Snapshot() (raft.FSMSnapshot, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return &snapshot{state: m.mu.state.Snapshot(), at: m.mu.at}, nil
}

// Restore replaces the state by a snapshot's. A snapshot that cannot be read
// leaves the state as it was.
func (m *Machine) Restore(from io.ReadCloser) error {
	snap, at, err := ReadSnapshot(from)
	if err != nil {
		return err
	}
	state, err := registry.Restore(snap)
	if err != nil {
		return fmt.Errorf("snapshot at index %d: %w", at.Index, err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.mu.state, m.mu.at = state, at
	m.wakeLocked()
	return nil
}
