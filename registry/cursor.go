package registry

import "iter"

// cursorTable holds the cursors of all pools. It is changed in place, for a turn
// must be cheap; so it is only changed once a command can no longer be refused.
type cursorTable struct {
	of map[PoolName]*table[string, cursor]
	// count is how many there are in all.
	count int
}

// cursor is one key's place in a pool's rotation.
type cursor struct {
	// next is the index of the member that is next; 0 in an empty pool.
	next int
	// used is the log clock when it last gave an answer or was set.
	used Millis
}

func newCursorTable() *cursorTable {
	return &cursorTable{of: make(map[PoolName]*table[string, cursor])}
}

// get gives a cursor, and the table of its pool if that has one.
func (t *cursorTable) get(p PoolName, key string) (c cursor, known bool) {
	if keys := t.of[p]; keys != nil {
		return keys.get(key)
	}
	return cursor{}, false
}

func (t *cursorTable) set(p PoolName, key string, c cursor) {
	keys := t.of[p]
	if keys == nil {
		keys = newTable[string, cursor]()
		t.of[p] = keys
	}
	before := keys.len
	keys.set(key, c)
	t.count += keys.len - before
}

func (t *cursorTable) remove(p PoolName, key string) {
	if keys := t.of[p]; keys != nil && keys.remove(key) {
		t.count--
	}
}

func (t *cursorTable) removePool(p PoolName) {
	if keys := t.of[p]; keys != nil {
		t.count -= keys.len
		delete(t.of, p)
	}
}

// copy gives a table that stays as this one is now.
func (t *cursorTable) copy() *cursorTable {
	same := &cursorTable{of: make(map[PoolName]*table[string, cursor], len(t.of)), count: t.count}
	for p, keys := range t.of { // any order
		same.of[p] = keys.copy()
	}
	return same
}

// follow makes the cursors follow the pools from one view to the next, once
// nothing can be refused any more.
func (t *cursorTable) follow(before, after *View) {
	for _, q := range before.pools {
		p, err := after.pool(q.spec.Name)
		switch {
		case err != nil:
			t.removePool(q.spec.Name)
		case p.roster != q.roster && !sameNames(q.members, p.members):
			t.remap(q.spec.Name, q.members, p.members)
		}
	}
}

// remap keeps each cursor of a pool on the node it pointed at or, if that one
// left, on the next in the old order, going round, that is still there.
func (t *cursorTable) remap(p PoolName, before, after []member) {
	keys := t.of[p]
	if keys == nil || keys.len == 0 {
		return
	}
	moved := remapping(before, after)
	keys.update(func(c cursor) cursor {
		if c.next < len(moved) {
			c.next = moved[c.next]
		} else {
			c.next = 0
		}
		return c
	})
}

// remapping gives, for each index before, the index after of the first member
// from there on, going round, that is still there; 0 if none is.
func remapping(before, after []member) []int {
	place := make(map[NodeName]int, len(after))
	for i := range after {
		place[after[i].name] = i
	}
	moved := make([]int, len(before))
	next := 0
	for lap := range 2 { // The first lap finds what the last indices wrap to.
		for i := len(before) - 1; i >= 0; i-- {
			if at, ok := place[before[i].name]; ok {
				next = at
			}
			if lap == 1 {
				moved[i] = next
			}
		}
	}
	return moved
}

// Cursors lists a pool's cursors, sorted by key.
func (s *State) Cursors(name PoolName) ([]Cursor, error) {
	p, err := s.pool(name)
	if err != nil {
		return nil, err
	}
	list := []Cursor{}
	for key, at := range s.cursors.sorted(name) {
		c := Cursor{Key: key, Next: at.next}
		if c.Next < len(p.members) {
			c.Node = p.members[c.Next].name
		}
		list = append(list, c)
	}
	return list, nil
}

// sorted gives a pool's cursors by key.
func (t *cursorTable) sorted(p PoolName) iter.Seq2[string, cursor] {
	return func(yield func(string, cursor) bool) {
		keys := t.of[p]
		if keys == nil {
			return
		}
		for _, key := range keys.sorted() {
			if c, _ := keys.get(key); !yield(key, c) {
				return
			}
		}
	}
}

// noRoom refuses a new cursor when there are CursorsMax.
func (t *cursorTable) noRoom(p PoolName, key string) *Error {
	if t.count < CursorsMax {
		return nil
	}
	return Errorf(Limit, "cursor %q of pool %q would be one more than the %d that all pools may have: delete unused ones",
		clip(key), p, CursorsMax)
}

// mayNotSet says why a cursor cannot be set.
func (s *State) mayNotSet(cmd SetCursor) error {
	p, err := s.pool(cmd.Pool)
	if err != nil {
		return err
	}
	if cmd.Next >= len(p.members) {
		return Errorf(Conflict, "cursor %q of pool %q cannot point at %d: the pool has %d members, counted from 0",
			clip(cmd.Key), cmd.Pool, cmd.Next, len(p.members))
	}
	if _, known := s.cursors.get(cmd.Pool, cmd.Key); !known {
		if full := s.cursors.noRoom(cmd.Pool, cmd.Key); full != nil {
			return full
		}
	}
	return nil
}

func (s *State) setCursor(cmd SetCursor) (Result, error) {
	if err := s.mayNotSet(cmd); err != nil {
		return Result{}, err
	}
	if c, known := s.cursors.get(cmd.Pool, cmd.Key); known && c.next == cmd.Next {
		return Result{}, nil
	}
	s.cursors.set(cmd.Pool, cmd.Key, cursor{next: cmd.Next, used: s.clock})
	return Result{Changed: true}, nil
}

// mayNotDelete says why a cursor cannot be deleted.
func (s *State) mayNotDelete(cmd DeleteCursor) error {
	if _, err := s.pool(cmd.Pool); err != nil {
		return err
	}
	if _, known := s.cursors.get(cmd.Pool, cmd.Key); !known {
		return Errorf(NotFound, "cursor %q of pool %q does not exist: it stands at 0 until it is first used",
			clip(cmd.Key), cmd.Pool)
	}
	return nil
}

func (s *State) deleteCursor(cmd DeleteCursor) (Result, error) {
	if err := s.mayNotDelete(cmd); err != nil {
		return Result{}, err
	}
	s.cursors.remove(cmd.Pool, cmd.Key)
	return Result{Changed: true}, nil
}

func (s *State) roundRobin(at Stamp, cmd RoundRobin) Result {
	res := Result{Turns: make([]TurnResult, len(cmd.Turns))}
	d := dealer{State: s}
	for i := range cmd.Turns {
		t := &cmd.Turns[i]
		changed := false
		if t.Request == (RequestID{}) {
			res.Turns[i] = d.turn(t)
			changed = res.Turns[i].moved()
		} else {
			res.Turns[i], changed = d.turnOnce(Position{Index: at.Index, Term: at.Term}, t)
		}
		res.Changed = res.Changed || changed
	}
	return res
}

// dealer takes the turns of one command. Most are of the pool that the one
// before was of: so it looks a pool up only when it is another.
type dealer struct {
	*State
	last *pool // nil at first
}

func (d *dealer) turn(t *Turn) TurnResult {
	if t.LogID != "" {
		return d.logTurn(t.LogID)
	}
	return d.take(t.Pool, t.Key, t.Count)
}

// logTurn is Zeek's rr_log_topic.
func (d *dealer) logTurn(id string) TurnResult {
	res := TurnResult{}
	if d.settings.EnableRoundRobinLogging {
		res = d.take(PoolName(Logger), RoundRobinLogKey, 1)
	} else if p, err := d.pool(PoolName(Logger)); err == nil {
		res.Epoch = p.epoch
	}
	if len(res.Answers) == 0 && res.Err == nil {
		res.Answers = []Answer{{Topic: d.settings.Show(d.settings.LogTopicPrefix + Topic(id))}}
	}
	return res
}

// take gives the next count answers of a cursor, each behind the one before.
func (d *dealer) take(name PoolName, key string, count int) TurnResult {
	if d.last == nil || d.last.spec.Name != name {
		p, err := d.pool(name)
		if err != nil {
			return TurnResult{Err: Errorf(CodeOf(err), "%v", err)}
		}
		d.last = p
	}
	p := d.last
	c, known := d.cursors.get(name, key)
	lap, next := p.lap(c.next, count)
	if len(lap) == 0 {
		return TurnResult{Epoch: p.epoch, Reason: d.emptyReason(p)}
	}
	if !known {
		if err := d.cursors.noRoom(name, key); err != nil {
			return TurnResult{Epoch: p.epoch, Err: err}
		}
	}
	d.cursors.set(name, key, cursor{next: next, used: d.clock})
	return TurnResult{Answers: lap, More: count - len(lap), Epoch: p.epoch}
}

// lap gives the answers of the next count turns from an index on, no more than
// one time round, after which they repeat, and the index behind the last turn's.
func (p *pool) lap(start, count int) (answers []Answer, next int) {
	last := 0
	for i := range p.eligible {
		at := start + i
		if at >= len(p.eligible) {
			at -= len(p.eligible)
		}
		if !p.eligible[at] {
			continue
		}
		if count == 1 {
			return p.answers[at : at+1 : at+1], p.behind(at)
		}
		if answers == nil {
			answers = make([]Answer, 0, min(count, len(p.eligible)-i))
		}
		answers = append(answers, p.answers[at])
		last = at
		if len(answers) == count {
			return answers, p.behind(last)
		}
	}
	if len(answers) > 0 && count%len(answers) != 0 {
		last = p.find(answers[count%len(answers)-1].Node)
	}
	return answers, p.behind(last)
}

// behind is the index after one, going round; 0 in an empty pool.
func (r *roster) behind(at int) int { return (at + 1) % max(len(r.members), 1) }
