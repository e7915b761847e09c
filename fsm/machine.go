package fsm

import (
	"context"
	"fmt"
	"io"
	"sync"
	"sync/atomic"

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
	halt       func(error)
	checkEvery registry.Index
	// seen is what readers see, who take no lock: the state's view and the
	// position it stands at, published once a batch.
	seen atomic.Pointer[seen]

	mu struct {
		sync.Mutex
		state *registry.State
		at    registry.Position
		chain Chain
		// checks is replaced and never changed in place.
		checks []registry.Checkpoint
		// moved is closed, and made anew, when at has moved on; nil while
		// nobody waits.
		moved chan struct{}
		// followers is replaced and never changed in place.
		followers []*Follower
	}
}

// seen is a view at a position.
type seen struct {
	view   registry.View
	at     registry.Position
	checks []registry.Checkpoint
}

var _ raft.BatchingFSM = (*Machine)(nil)

// NewMachine gives a machine with an empty registry. Halt is called once with
// an entry that cannot be applied and must not return to a living replica:
// when it does return, the machine panics.
func NewMachine(halt func(error)) *Machine { return NewCheckedMachine(halt, checkpointEvery) }

// NewCheckedMachine is NewMachine with checkpoints of its chain at other indexes,
// the multiples of every, which is not 0. Machines compare what they share.
func NewCheckedMachine(halt func(error), every registry.Index) *Machine {
	m := &Machine{halt: halt, checkEvery: every}
	m.mu.state, m.mu.chain = registry.NewState(), Chain{Hash: chainSeed}
	m.publishLocked()
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
	out, wake := m.applyAll(entries, decoded)
	for _, f := range wake {
		f.wake()
	}
	return out
}

// applyAll gives the responses, and the followers for whom there is something.
func (m *Machine) applyAll(entries []*raft.Log, decoded []Entry) (out []any, wake []*Follower) {
	m.mu.Lock()
	defer m.mu.Unlock()
	out = make([]any, len(entries))
	for i, l := range entries {
		if len(m.mu.followers) == 0 {
			out[i] = m.applyLocked(l, decoded[i])
			continue
		}
		before := m.mu.state.View
		out[i] = m.applyLocked(l, decoded[i])
		if m.noteLocked(&before) {
			wake = m.mu.followers
		}
	}
	m.publishLocked()
	return out, wake
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
	m.checkpointLocked(registry.Index(l.Index))
	m.mu.at = registry.Position{Index: registry.Index(l.Index), Term: registry.Term(l.Term)}
	if e.Command == nil {
		return nil
	}
	m.mu.chain.add(l)
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

// publishLocked shows readers the state as it is now, and wakes who waits for it.
func (m *Machine) publishLocked() {
	m.seen.Store(&seen{m.mu.state.View, m.mu.at, m.mu.checks})
	if m.mu.moved != nil {
		close(m.mu.moved)
		m.mu.moved = nil
	}
}

// At gives the position of the last entry applied.
func (m *Machine) At() registry.Position { return m.seen.Load().at }

// View gives the registry as the last entry applied left it, and that entry's
// position. It takes no lock, and the view may be kept.
func (m *Machine) View() (*registry.View, registry.Position) {
	s := m.seen.Load()
	return &s.view, s.at
}

// State calls f with the whole state, which no entry changes meanwhile: f must
// neither block nor keep it. Cursors and sessions are to be had in no other way.
func (m *Machine) State(f func(*registry.State)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	f(m.mu.state)
}

// Refuses says with which error the state would refuse a command now, or nil.
func (m *Machine) Refuses(cmd registry.Command) (err error) {
	switch cmd.(type) {
	case registry.SetCursor, registry.DeleteCursor:
		m.State(func(s *registry.State) { err = s.Refuses(cmd) })
		return err
	}
	view, _ := m.View()
	return view.Refuses(cmd)
}

// Wait returns when the entry at index has been applied, or with ctx's error.
func (m *Machine) Wait(ctx context.Context, index registry.Index) error {
	for m.At().Index < index {
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
	return nil
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

// Snapshot keeps the state as it is now, which takes no time; copying and writing
// it goes on beside further entries.
func (m *Machine) Snapshot() (raft.FSMSnapshot, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return &snapshot{state: m.mu.state.Freeze(), at: m.mu.at, chain: m.mu.chain}, nil
}

// Restore replaces the state by a snapshot's. A snapshot that cannot be read
// leaves the state as it was.
func (m *Machine) Restore(from io.ReadCloser) error {
	snap, at, chain, err := ReadSnapshot(from)
	if err != nil {
		return err
	}
	state, err := registry.Restore(snap)
	if err != nil {
		return fmt.Errorf("snapshot at index %d: %w", at.Index, err)
	}
	for _, f := range m.replace(state, at, chain.begun(at.Index)) {
		f.wake()
	}
	return nil
}

// replace gives the followers, who have lost what lies between.
func (m *Machine) replace(state *registry.State, at registry.Position, chain Chain) []*Follower {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.mu.state, m.mu.at, m.mu.chain, m.mu.checks = state, at, chain, nil
	m.publishLocked()
	for _, f := range m.mu.followers {
		f.lose()
	}
	return m.mu.followers
}
