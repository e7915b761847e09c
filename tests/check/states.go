package check

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"slices"

	"github.com/hashicorp/raft"
	"github.com/rota-registry/rota/fsm"
	"github.com/rota-registry/rota/registry"
)

// State is all that a replica had at one index: the bytes of a snapshot, which say
// at which.
type State struct {
	Name  registry.ReplicaName
	Bytes []byte
}

// Snapshots reads what Raft's file store keeps in a replica's directory. Those that
// go away meanwhile, and those that are not whole yet, are left out.
func Snapshots(name registry.ReplicaName, dir string) (states []State, err error) {
	paths, err := filepath.Glob(filepath.Join(dir, "snapshots", "*[0-9]", "state.bin")) // those under way end with .tmp
	if err != nil {
		return nil, err
	}
	for _, path := range paths {
		b, err := os.ReadFile(path)
		if os.IsNotExist(err) {
			continue
		}
		if err != nil {
			return nil, err
		}
		states = append(states, State{Name: name, Bytes: b})
	}
	return states, nil
}

// States puts the log through a state machine, and compares what it holds at the
// index of each state with that state: the bytes of both, and what a replica that
// restores these bytes would hold. It gives how many it has compared.
func States(log Log, states []State) (compared int, found []Violation) {
	var f faults
	held := make([]heldState, 0, len(states))
	for _, s := range states {
		_, at, _, err := fsm.ReadSnapshot(bytes.NewReader(s.Bytes))
		if err == nil && at.Index > registry.Index(len(log)) {
			err = fmt.Errorf("it is of index %d, and the log ends at %d", at.Index, len(log))
		}
		if err != nil {
			f.add("state", "%s: %v", s.Name, err)
			continue
		}
		held = append(held, heldState{s, at})
	}
	slices.SortStableFunc(held, func(a, b heldState) int { return cmp.Compare(a.at.Index, b.at.Index) })
	machine := fsm.NewMachine(func(error) {})
	next := 0
	for _, one := range held {
		for ; next < int(one.at.Index); next++ {
			if err := log[next].applyTo(machine); err != nil {
				f.add("state", "index %d: %v", log[next].Index, err)
				return 0, f.list
			}
		}
		if differs := one.compare(machine); differs != "" {
			f.add("state", "%s at index %d: %s", one.Name, one.at.Index, differs)
		}
	}
	return len(held), f.list
}

// heldState is a state and where it says that it stands.
type heldState struct {
	State
	at registry.Position
}

// applyTo applies the entry. What is no command is to the machine a change of Raft's
// configuration, which moves its position and nothing else.
func (e *Entry) applyTo(m *fsm.Machine) error {
	l := &raft.Log{Index: uint64(e.Index), Term: uint64(e.Term), Type: raft.LogCommand, Data: e.Data}
	if len(e.Data) == 0 {
		l.Type = raft.LogConfiguration
	} else if _, err := fsm.DecodeEntry(e.Data); err != nil {
		return err
	}
	m.Apply(l)
	return nil
}

// compare says where a state differs from that of a machine at its index; it is
// empty if it does nowhere.
func (s *heldState) compare(machine *fsm.Machine) string {
	want, err := encoded(machine)
	if err != nil {
		return err.Error()
	}
	restored := fsm.NewMachine(func(error) {})
	if err := restored.Restore(io.NopCloser(bytes.NewReader(s.Bytes))); err != nil {
		return err.Error()
	}
	if differs := firstDifference("state", reflect.ValueOf(contents(restored)), reflect.ValueOf(contents(machine))); differs != "" {
		return differs
	}
	if bytes.Equal(s.Bytes, want) {
		return ""
	}
	at := 0
	for at < min(len(s.Bytes), len(want)) && s.Bytes[at] == want[at] {
		at++
	}
	return fmt.Sprintf("it has %d bytes, and by the log %d, of which byte %d is the first that differs", len(s.Bytes), len(want), at)
}

// contents gives all of a machine's state.
func contents(m *fsm.Machine) (s registry.Snapshot) {
	m.State(func(state *registry.State) { s = state.Snapshot() })
	return s
}

// encoded gives the machine's snapshot.
func encoded(m *fsm.Machine) ([]byte, error) {
	s, err := m.Snapshot()
	if err != nil {
		return nil, err
	}
	var to memory
	err = s.Persist(&to)
	return to.Bytes(), err
}

// memory is where a snapshot is written to.
type memory struct{ bytes.Buffer }

var _ raft.SnapshotSink = (*memory)(nil)

// ID implements raft.SnapshotSink.
func (*memory) ID() string { return "memory" }

// Cancel implements raft.SnapshotSink.
func (*memory) Cancel() error { return nil }

// Close implements raft.SnapshotSink.
func (*memory) Close() error { return nil }

// firstDifference names the part of a state in which two differ first, and is empty
// if they do nowhere.
func firstDifference(part string, is, want reflect.Value) string {
	if reflect.DeepEqual(is.Interface(), want.Interface()) {
		return ""
	}
	switch is.Kind() {
	case reflect.Struct:
		for i := range is.NumField() {
			if field := is.Type().Field(i); field.IsExported() {
				if differs := firstDifference(part+"."+field.Name, is.Field(i), want.Field(i)); differs != "" {
					return differs
				}
			}
		}
	case reflect.Slice:
		for i := range min(is.Len(), want.Len()) {
			if differs := firstDifference(fmt.Sprintf("%s[%d]", part, i), is.Index(i), want.Index(i)); differs != "" {
				return differs
			}
		}
		if is.Len() != want.Len() {
			return fmt.Sprintf("%s has %d, and by the log %d", part, is.Len(), want.Len())
		}
	}
	return fmt.Sprintf("%s is %+v, and by the log %+v", part, is, want)
}
