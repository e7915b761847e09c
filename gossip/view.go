package gossip

import (
	"fmt"
	"slices"
	"strconv"
	"sync"

	"github.com/hashicorp/memberlist"
)

// view is who is alive, as memberlist's callbacks told it. The callbacks run
// while memberlist holds its lock: they note, poke and return, and never call
// memberlist or write a log.
type view struct {
	meta    []byte        // our own, constant
	changed chan struct{} // one slot: the view is not what it was
	refused chan struct{} // one slot: there are refusals to report

	mu struct {
		sync.Mutex
		lives map[string]Member
		// lost is where those were that are out of view: LivesMax of them, whichever.
		lost map[string]string
		// known are the names that were refused once, to be reported once; at
		// refusalsMax nothing is added any more.
		known   map[string]struct{}
		pending []refusal
	}
}

// refusal is a record that was kept out of the view.
type refusal struct {
	member string // as it called itself, clipped and quoted
	reason error
}

func newView(meta []byte) *view {
	v := &view{meta: meta, changed: make(chan struct{}, 1), refused: make(chan struct{}, 1)}
	v.mu.lives, v.mu.lost = map[string]Member{}, map[string]string{}
	v.mu.known = map[string]struct{}{}
	return v
}

// members is a sorted copy.
func (v *view) members() []Member {
	v.mu.Lock()
	all := make([]Member, 0, len(v.mu.lives))
	for _, m := range v.mu.lives {
		all = append(all, m)
	}
	v.mu.Unlock()
	slices.SortFunc(all, Member.compare)
	return all
}

func (v *view) get(id string) (Member, bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	m, ok := v.mu.lives[id]
	return m, ok
}

// lastAddr is where a life is, or was when it went out of view; empty if that is
// not remembered.
func (v *view) lastAddr(id string) string {
	v.mu.Lock()
	defer v.mu.Unlock()
	if m, shown := v.mu.lives[id]; shown {
		return m.Addr
	}
	return v.mu.lost[id]
}

// addrs are the gossip addresses in view.
func (v *view) addrs() map[string]struct{} {
	v.mu.Lock()
	defer v.mu.Unlock()
	all := make(map[string]struct{}, len(v.mu.lives))
	for _, m := range v.mu.lives {
		all[m.Addr] = struct{}{}
	}
	return all
}

// takeRefusals gives what has been refused since it was last called.
func (v *view) takeRefusals() []refusal {
	v.mu.Lock()
	defer v.mu.Unlock()
	all := v.mu.pending
	v.mu.pending = nil
	return all
}

// NotifyAlive implements memberlist.AliveDelegate: an error keeps the record
// out of memberlist, and so out of every view and every probe.
func (v *view) NotifyAlive(n *memberlist.Node) error {
	_, err := memberOf(n)
	if err == nil {
		err = validateVersions(n)
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if _, seen := v.mu.lives[n.Name]; err == nil && !seen && len(v.mu.lives) >= LivesMax {
		err = fmt.Errorf("%d members are in view already", LivesMax)
	}
	if err != nil {
		v.noteRefusal(refusal{member: strconv.Quote(clip(n.Name)), reason: err})
	}
	return err
}

// noteRefusal needs the lock.
func (v *view) noteRefusal(r refusal) {
	if _, told := v.mu.known[r.member]; told || len(v.mu.known) >= refusalsMax {
		return
	}
	v.mu.known[r.member] = struct{}{}
	v.mu.pending = append(v.mu.pending, r)
	poke(v.refused)
}

// NotifyJoin implements memberlist.EventDelegate.
func (v *view) NotifyJoin(n *memberlist.Node) { v.note(n) }

// NotifyUpdate implements memberlist.EventDelegate.
func (v *view) NotifyUpdate(n *memberlist.Node) { v.note(n) }

// note copies a record that NotifyAlive has let in.
func (v *view) note(n *memberlist.Node) {
	m, err := memberOf(n)
	if err != nil {
		return
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.mu.lives[n.Name] = m
	delete(v.mu.lost, n.Name)
	poke(v.changed)
}

// NotifyLeave implements memberlist.EventDelegate. It comes for the dead and
// for those who left, and does not tell them apart.
func (v *view) NotifyLeave(n *memberlist.Node) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if m, shown := v.mu.lives[n.Name]; shown {
		v.lose(m)
	}
	poke(v.changed)
}

// lose needs the lock.
func (v *view) lose(m Member) {
	id := lifeID(m.Name, m.Boot)
	delete(v.mu.lives, id)
	if len(v.mu.lost) >= LivesMax {
		for other := range v.mu.lost { // any
			delete(v.mu.lost, other)
			break
		}
	}
	v.mu.lost[id] = m.Addr
}

// poke never blocks: a full slot says the same as one more poke.
func poke(slot chan<- struct{}) {
	select {
	case slot <- struct{}{}:
	default:
	}
}

// NodeMeta implements memberlist.Delegate; metadata is shorter than any limit
// that memberlist has.
func (v *view) NodeMeta(int) []byte { return v.meta }

// NotifyMsg implements memberlist.Delegate. Members send each other nothing:
// what arrives is a stranger's.
func (v *view) NotifyMsg([]byte) {}

// GetBroadcasts implements memberlist.Delegate.
func (v *view) GetBroadcasts(int, int) [][]byte { return nil }

// LocalState implements memberlist.Delegate.
func (v *view) LocalState(bool) []byte { return nil }

// MergeRemoteState implements memberlist.Delegate.
func (v *view) MergeRemoteState([]byte, bool) {}
