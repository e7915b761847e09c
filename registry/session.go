package registry

import (
	"cmp"
	"container/heap"
	"slices"
)

// sessionTable holds what was answered to requests that may be asked again. Like
// the cursors it is changed in place, and only by commands that are not refused
// any more.
//
// Which sessions it forgets is a function of what each session shows in a
// snapshot, never of the order in which things came about: so a restored
// replica forgets the same ones.
type sessionTable struct {
	of *table[SessionID, *session]
	// queue has every session; see byUse.
	queue byUse
	// weight is that of all stored answers, at most StoredMax.
	weight int
	// copies counts the copies that were made: a session that is older than
	// the last one is shared with it.
	copies int
}

// session is one client's requests from the first unacknowledged one on.
type session struct {
	id   SessionID
	used Millis // the log clock of its last use
	// first is the smallest serial that is not acknowledged; at least 1. What
	// is stored is less than OutstandingMax above it.
	first  uint64
	stored []StoredTurn // sorted by serial; each with Taken set
	weight int          // of stored
	copies int          // the table's, when this one was made
	// at is its index in the queue, and queued what used was when it got there:
	// a use need not move it, for it only ever moves back. They alone are
	// changed in a session that is shared.
	at     int
	queued Millis
}

func newSessionTable() *sessionTable {
	return &sessionTable{of: newTable[SessionID, *session]()}
}

// copy gives what snapshot needs, which stays as it is now.
func (t *sessionTable) copy() *sessionTable {
	t.copies++
	return &sessionTable{of: t.of.copy()}
}

func (t *sessionTable) add(ses *session) {
	ses.copies = t.copies
	t.of.set(ses.id, ses)
	t.weight += ses.weight
	ses.queued = ses.used
	heap.Push(&t.queue, ses)
}

func (t *sessionTable) remove(ses *session) {
	t.of.remove(ses.id)
	t.weight -= ses.weight
	heap.Remove(&t.queue, ses.at)
}

// find gives a session that may be changed, or nil.
func (t *sessionTable) find(id SessionID) *session {
	ses, known := t.of.get(id)
	if !known {
		return nil
	}
	if ses.copies < t.copies {
		own := *ses
		own.stored, own.copies = slices.Clone(ses.stored), t.copies
		ses = &own
		t.of.set(id, ses)
		t.queue[ses.at] = ses
	}
	return ses
}

// oldest gives the session unused for longest, the one of the smallest id if
// there are several; nil if there is none. No session was queued later than it
// was used: the first in the queue that was not used since is older than all.
func (t *sessionTable) oldest() *session {
	for len(t.queue) > 0 {
		first := t.queue[0]
		if first.queued == first.used {
			return first
		}
		first.queued = first.used
		heap.Fix(&t.queue, 0)
	}
	return nil
}

// expire forgets what has not been used for SessionRetention; it reports whether
// there was anything.
func (t *sessionTable) expire(now Millis) bool {
	expired := false
	for {
		ses := t.oldest()
		if ses == nil || now-ses.used <= SessionRetention {
			return expired
		}
		t.remove(ses)
		expired = true
	}
}

// makeRoom forgets the oldest sessions, but not the one to keep, until what is
// stored is within StoredMax. The one to keep must be so alone.
func (t *sessionTable) makeRoom(keep *session) {
	if t.weight <= StoredMax {
		return
	}
	heap.Remove(&t.queue, keep.at)
	for t.weight > StoredMax {
		t.remove(t.oldest())
	}
	heap.Push(&t.queue, keep)
}

// store keeps the answer to a request that has none.
func (t *sessionTable) store(ses *session, serial uint64, res TurnResult) {
	at, _ := ses.find(serial)
	ses.stored = slices.Insert(ses.stored, at, StoredTurn{Serial: serial, Result: res})
	ses.weight += weightOf(res)
	t.weight += weightOf(res)
}

// find gives the index of a request's answer, or where it belongs. Requests
// come in order, but for those that were sent again.
func (ses *session) find(serial uint64) (at int, known bool) {
	if n := len(ses.stored); n == 0 || ses.stored[n-1].Serial < serial {
		return n, false
	}
	return slices.BinarySearchFunc(ses.stored, serial, func(t StoredTurn, serial uint64) int { return cmp.Compare(t.Serial, serial) })
}

// acknowledge forgets the answers below a serial.
func (t *sessionTable) acknowledge(ses *session, first uint64) {
	if first <= ses.first {
		return
	}
	ses.first = first
	below, _ := ses.find(first)
	for i := range below {
		ses.weight -= weightOf(ses.stored[i].Result)
		t.weight -= weightOf(ses.stored[i].Result)
	}
	// What is left moves to the front, where that is no more than what went: so
	// a session that goes on needs no new array.
	if left := len(ses.stored) - below; left <= below {
		copy(ses.stored, ses.stored[below:])
		clear(ses.stored[left:])
		ses.stored = ses.stored[:left]
		return
	}
	clear(ses.stored[:below])
	ses.stored = ses.stored[below:]
}

// weightOf is the number of answers, those that repeat included: entries that
// were written before they were stored once are applied as they were. An empty
// answer and a refusal take room, too.
func weightOf(res TurnResult) int { return max(res.Count(), 1) }

func (t *sessionTable) snapshot() []SessionSnapshot {
	var list []SessionSnapshot
	for _, id := range t.of.sorted() {
		ses, _ := t.of.get(id)
		snap := SessionSnapshot{ID: id, Used: ses.used, FirstUnacked: ses.first}
		if len(ses.stored) > 0 {
			snap.Stored = slices.Clip(ses.stored)
		}
		list = append(list, snap)
	}
	return list
}

func (s *State) openSession(cmd OpenSession) Result {
	changed := s.sessions.expire(s.clock)
	if _, known := s.sessions.of.get(cmd.ID); known {
		return Result{Changed: changed}
	}
	if s.sessions.of.len >= SessionsMax {
		s.sessions.remove(s.sessions.oldest())
	}
	s.sessions.add(&session{id: cmd.ID, used: s.clock, first: 1})
	return Result{Changed: true}
}

// turnOnce takes the turn of a request that is new, and answers one that is
// known as it was answered first. Whatever taking it gave is stored, a refusal
// too: a request that was refused before a pool was there, and whose copy comes
// after, must not move a cursor of which its caller knows nothing. It reports
// whether anything changed.
func (d *dealer) turnOnce(at Position, t *Turn) (TurnResult, bool) {
	id := t.Request
	expired := d.sessions.expire(d.clock)
	ses := d.sessions.find(id.Session)
	if ses == nil {
		return TurnResult{Err: Errorf(SessionUnknown, "session %s was never opened, or is forgotten after %d minutes without use: open another one",
			id.Session, SessionRetention/60_000)}, expired
	}
	ses.used = d.clock
	d.sessions.acknowledge(ses, id.FirstUnacked)
	if at, known := ses.find(id.Serial); known {
		return ses.stored[at].Result, true
	}
	if err := ses.refuse(t); err != nil {
		return TurnResult{Err: err}, true
	}
	res := d.turn(t)
	kept := res
	kept.Taken = at
	d.sessions.store(ses, id.Serial, kept)
	d.sessions.makeRoom(ses)
	return res, true
}

// refuse says why a request that is not stored cannot be taken.
func (ses *session) refuse(t *Turn) *Error {
	serial := t.Request.Serial
	if serial < ses.first {
		return Errorf(Conflict, "request %d of session %s was acknowledged and its answer is forgotten: the session stands at %d", serial, ses.id, ses.first)
	}
	if serial-ses.first >= OutstandingMax {
		return Errorf(Limit, "request %d of session %s: at most %d requests from the first unacknowledged one on, which is %d: acknowledge in first_unacked what was answered",
			serial, ses.id, OutstandingMax, ses.first)
	}
	if ses.weight+t.most() > StoredMax {
		return Errorf(Limit, "request %d of session %s: its unacknowledged requests would hold more than %d answers: acknowledge in first_unacked what was answered",
			serial, ses.id, StoredMax)
	}
	return nil
}

// most is how many answers the turn can have.
func (t *Turn) most() int {
	if t.LogID != "" {
		return 1
	}
	return t.Count
}

// byUse is a heap of sessions, the one unused for longest first, by what their
// last use was when they were queued; see oldest.
type byUse []*session

func (q byUse) Len() int { return len(q) }

func (q byUse) Less(i, j int) bool {
	return cmp.Or(cmp.Compare(q[i].queued, q[j].queued), cmp.Compare(q[i].id, q[j].id)) < 0
}

func (q byUse) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].at, q[j].at = i, j
}

// Push implements heap.Interface.
func (q *byUse) Push(x any) {
	ses := x.(*session)
	ses.at = len(*q)
	*q = append(*q, ses)
}

// Pop implements heap.Interface.
func (q *byUse) Pop() any {
	last := len(*q) - 1
	ses := (*q)[last]
	(*q)[last] = nil
	*q = (*q)[:last]
	return ses
}
