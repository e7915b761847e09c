package replica

import (
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/hashicorp/raft"
	"github.com/rota-registry/rota/registry"
)

// book says where the replicas are. Hello feeds it in both directions; what
// the log knows, and what was remembered at the last run, fills the gaps.
type book struct {
	mu struct {
		sync.Mutex
		known map[registry.ReplicaName]registry.Replica
	}
}

func newBook(remembered []registry.Replica) *book {
	b := &book{}
	b.mu.known = make(map[registry.ReplicaName]registry.Replica)
	for _, r := range remembered {
		b.mu.known[r.Name] = r
	}
	return b
}

// note takes what a replica said of itself; it reports whether that is news.
// More names than a cluster may have are nobody's.
func (b *book) note(r registry.Replica) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	was, known := b.mu.known[r.Name]
	if was == r || !known && len(b.mu.known) >= registry.ReplicasMax {
		return false
	}
	b.mu.known[r.Name] = r
	return true
}

func (b *book) lookup(name registry.ReplicaName) (registry.Replica, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	r, ok := b.mu.known[name]
	return r, ok
}

// all gives the replicas by name.
func (b *book) all() []registry.Replica {
	b.mu.Lock()
	defer b.mu.Unlock()
	out := make([]registry.Replica, 0, len(b.mu.known))
	for _, r := range b.mu.known {
		out = append(out, r)
	}
	slices.SortFunc(out, func(a, b registry.Replica) int { return strings.Compare(string(a.Name), string(b.Name)) })
	return out
}

// ServerAddr answers Raft's transport. An error makes it use the address in
// Raft's configuration, which is where the replica was when it came in.
func (b *book) ServerAddr(id raft.ServerID) (raft.ServerAddress, error) {
	r, ok := b.lookup(registry.ReplicaName(id))
	if !ok || r.Raft == "" {
		return "", fmt.Errorf("replica %s has not been met", id)
	}
	return raft.ServerAddress(r.Raft), nil
}

// replicas gives those of the cluster, by name, where the book has met them
// last; until the log has told who they are, all that the book has.
func (r *Replica) replicas() []registry.Replica {
	view, _ := r.machine.View()
	out := view.Replicas()
	if len(out) == 0 {
		return r.book.all()
	}
	for i, committed := range out {
		if met, ok := r.book.lookup(committed.Name); ok && met.StoreID == committed.StoreID {
			out[i] = met
		}
	}
	return out
}
