package check

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"maps"
	"slices"

	"github.com/rota-registry/rota/registry"
)

// Entry is one entry of a log. Data is empty for what is no command: a no-op, a
// change of Raft's configuration.
type Entry struct {
	registry.Position
	Data []byte
}

// ReplicaLog is what one replica had in its log, at one time or another: a later
// entry of an index takes the place of an earlier one. Its front may be gone.
type ReplicaLog struct {
	Name    registry.ReplicaName
	Entries []Entry
	// Applied is the highest index that the replica is known to have applied;
	// what is behind it another leader may have replaced elsewhere.
	Applied registry.Index
}

// Log is the one log that was applied, from index 1 on.
type Log []Entry

// At gives the entry at an index.
func (l Log) At(i registry.Index) (Entry, bool) {
	if i == 0 || i > registry.Index(len(l)) {
		return Entry{}, false
	}
	return l[i-1], true
}

// digest stands for all bytes of one entry.
type digest [sha256.Size]byte

func (e *Entry) digest() digest {
	head := binary.BigEndian.AppendUint64(nil, uint64(e.Index))
	head = binary.BigEndian.AppendUint64(head, uint64(e.Term))
	return sha256.Sum256(append(head, e.Data...))
}

// Merge gives the log that the replicas applied, and where two of them applied
// another thing at one index, or none has an index that was applied. Equal
// digests all along are equal chains, and say besides where the first fork is.
func Merge(logs ...ReplicaLog) (Log, []Violation) {
	var f faults
	all, from := map[registry.Index]Entry{}, map[registry.Index]registry.ReplicaName{}
	last := registry.Index(0)
	for _, l := range logs {
		last = max(last, l.Applied)
		for _, e := range l.latest() {
			known, ok := all[e.Index]
			if !ok {
				all[e.Index], from[e.Index] = e, l.Name
			} else if known.digest() != e.digest() {
				f.add("log", "index %d: %s applied %d bytes of term %d, %s %d bytes of term %d, and they differ",
					e.Index, from[e.Index], len(known.Data), known.Term, l.Name, len(e.Data), e.Term)
			}
		}
	}
	merged := make(Log, 0, last)
	for i := registry.Index(1); i <= last; i++ {
		e, ok := all[i]
		if !ok {
			f.add("log", "index %d was applied, up to %d, and no replica's log has it", i, last)
			e = Entry{Position: registry.Position{Index: i}}
		}
		merged = append(merged, e)
	}
	for i := 1; i < len(merged); i++ {
		if merged[i].Term != 0 && merged[i].Term < merged[i-1].Term {
			f.add("log", "index %d is of term %d, and the one before it of %d", merged[i].Index, merged[i].Term, merged[i-1].Term)
		}
	}
	return merged, f.list
}

// latest gives the last entry of each index that was applied, by index.
func (l *ReplicaLog) latest() []Entry {
	last := map[registry.Index]Entry{}
	for _, e := range l.Entries {
		if e.Index <= l.Applied {
			last[e.Index] = e
		}
	}
	list := slices.Collect(maps.Values(last))
	slices.SortFunc(list, func(a, b Entry) int { return cmp.Compare(a.Index, b.Index) })
	return list
}
