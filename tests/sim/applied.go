package sim

import (
	"bytes"
	"fmt"
	"sync"

	"github.com/hashicorp/raft"

	"github.com/rota-registry/rota/fsm"
	"github.com/rota-registry/rota/registry"
)

// Applied is what the cluster has committed, as its replicas applied it. Each
// entry that a replica applies is compared with what was applied at its index
// before. It may be used from any goroutine.
type Applied struct {
	story *Timeline
	mu    struct {
		sync.Mutex
		entries map[registry.Index]*raft.Log
		last    registry.Index
		faults  []string
		// at is, of each replica, the index that it applied last.
		at map[registry.ReplicaName]registry.Index
		// skipped are the indexes that a replica went over, as one does over Raft's
		// no-ops: nobody may apply anything there.
		skipped   map[registry.Index]registry.ReplicaName
		installed int
		// watchers are told of each entry when the first replica applies it.
		watchers []func(*raft.Log, fsm.Entry)
	}
}

func newApplied(story *Timeline) *Applied {
	a := &Applied{story: story}
	a.mu.entries = make(map[registry.Index]*raft.Log)
	a.mu.at = make(map[registry.ReplicaName]registry.Index)
	a.mu.skipped = make(map[registry.Index]registry.ReplicaName)
	return a
}

// skippedMax is how many indexes in a row can be no-ops, one an election; who
// skips more has restored a snapshot. Whoever sees to it that replicas keep more
// entries behind a snapshot can tell the two apart.
const skippedMax = 20

// life is what one run of a replica's process calls before it applies.
func (a *Applied) life(name registry.ReplicaName) func([]*raft.Log) {
	var last registry.Index
	return func(entries []*raft.Log) {
		a.mu.Lock()
		defer a.mu.Unlock()
		for _, l := range entries {
			index := registry.Index(l.Index)
			if index <= last {
				a.faultLocked("%s applies %d after %d", name, index, last)
			}
			a.followsLocked(name, last, index)
			last = index
			a.mu.at[name] = index
			a.noteLocked(name, l)
		}
	}
}

// followsLocked looks at what lies between two entries that a replica applied,
// last being 0 for its first.
func (a *Applied) followsLocked(name registry.ReplicaName, last, index registry.Index) {
	if index > max(last, a.mu.at[name])+skippedMax {
		a.story.note("%s goes on at %d with a snapshot of another, after %d", name, index, a.mu.at[name])
		a.mu.installed++
		return
	}
	if last == 0 || index > last+skippedMax {
		return
	}
	for i := last + 1; i < index; i++ {
		if a.mu.skipped[i] = name; a.mu.entries[i] != nil {
			a.faultLocked("%s does not apply %d, and others do", name, i)
		}
	}
}

// Installed is how often a replica went on with a snapshot of another one.
func (a *Applied) Installed() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.mu.installed
}

func (a *Applied) noteLocked(name registry.ReplicaName, l *raft.Log) {
	index := registry.Index(l.Index)
	if was := a.mu.entries[index]; was != nil {
		if was.Term != l.Term || was.Type != l.Type || !bytes.Equal(was.Data, l.Data) {
			a.faultLocked("%s applies something else at %d than was applied there: term %d, %x, not term %d, %x", name, index, l.Term, l.Data, was.Term, was.Data)
		}
		return
	}
	if other, ok := a.mu.skipped[index]; ok {
		a.faultLocked("%s applies %d, and %s did not", name, index, other)
	}
	kept := &raft.Log{Index: l.Index, Term: l.Term, Type: l.Type, Data: bytes.Clone(l.Data)}
	a.mu.entries[index] = kept
	a.mu.last = max(a.mu.last, index)
	if l.Type != raft.LogCommand {
		return
	}
	e, err := fsm.DecodeEntry(l.Data)
	if err != nil {
		a.faultLocked("%s applies what cannot be decoded at %d: %v", name, index, err)
		return
	}
	switch c := e.Command.(type) {
	case registry.TermStart:
		a.story.note("%s leads in term %d, at %d", c.Leader, l.Term, l.Index)
	case registry.ReportLiveness:
		for _, n := range c.Changes {
			a.story.note("node %s is %s: %s", n.Name, n.State, n.Reason)
		}
	}
	for _, w := range a.mu.watchers {
		w(kept, e)
	}
}

func (a *Applied) faultLocked(format string, args ...any) {
	f := fmt.Sprintf(format, args...)
	a.story.note("FAULT: %s", f)
	a.mu.faults = append(a.mu.faults, f)
}

// Watch tells w of each command, once, when a replica is the first to apply it.
func (a *Applied) Watch(w func(*raft.Log, fsm.Entry)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.mu.watchers = append(a.mu.watchers, w)
}

// Faults are the differences between replicas that were found.
func (a *Applied) Faults() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.mu.faults
}

// Last is the highest index that was applied.
func (a *Applied) Last() registry.Index {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.mu.last
}

// Entries gives what was committed, in order.
func (a *Applied) Entries() (entries []*raft.Log) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for i := registry.Index(1); i <= a.mu.last; i++ {
		if l := a.mu.entries[i]; l != nil {
			entries = append(entries, l)
		}
	}
	return entries
}
