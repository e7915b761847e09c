package check

import (
	"cmp"
	"maps"
	"slices"

	"github.com/rota-registry/rota/fsm"
	"github.com/rota-registry/rota/registry"
)

// uses is the log clock of each cursor's last use, by what the log says of turns and
// of cursors that were set. It has the cursors that there are, and no others.
type uses map[cursor]registry.Millis

// unused gives the cursors that a ForgetCursors removes at a log clock.
func (u uses) unused(clock registry.Millis) []cursor {
	var list []cursor
	for c, at := range u {
		if clock-at > registry.CursorRetention {
			list = append(list, c)
		}
	}
	slices.SortFunc(list, func(a, b cursor) int {
		return cmp.Or(cmp.Compare(u[a], u[b]), cmp.Compare(a.pool, b.pool), cmp.Compare(a.key, b.key))
	})
	return list[:min(len(list), registry.ForgetMax)]
}

// note keeps up with the entry under way, but for its turns: see take.
func (u uses) note(c registry.Command, out *fsm.Outcome, clock registry.Millis) {
	if out.Err != nil || !out.Result.Changed {
		return
	}
	switch c := c.(type) {
	case registry.SetCursor:
		u[cursor{c.Pool, c.Key}] = clock
	case registry.DeleteCursor:
		delete(u, cursor{c.Pool, c.Key})
	case registry.UnregisterPool:
		maps.DeleteFunc(u, func(of cursor, _ registry.Millis) bool { return of.pool == c.Name })
	}
}

// forget removes the cursors that are unused for too long, of which the model then
// says nothing, and holds those that are left against the registry's.
func (r *replay) forget() {
	for _, c := range r.used.unused(r.clock.highest) {
		delete(r.used, c)
		r.rewound[c] = true
	}
	left := map[cursor]bool{}
	r.machine.State(func(s *registry.State) {
		for _, p := range s.Pools() {
			list, _ := s.Cursors(p.Spec.Name)
			for _, c := range list {
				left[cursor{p.Spec.Name, c.Key}] = true
			}
		}
	})
	for c := range r.used {
		if !left[c] {
			r.faults.add("cursor", "index %d: %s was forgotten, and is in use", r.last.Index, c)
		}
		delete(left, c)
	}
	for c := range left {
		r.faults.add("cursor", "index %d: %s is unused, and was not forgotten", r.last.Index, c)
	}
}
