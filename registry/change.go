package registry

import "slices"

// PoolChange leads from one epoch of a pool to another: what a watcher is told
// instead of the whole pool.
type PoolChange struct {
	// From is the epoch that it is a change of.
	From Epoch
	// Pool is the pool as it is now, without its members.
	Pool PoolInfo
	// Edits make the members before into those now, one after the other.
	Edits []MemberEdit
}

// MemberEdit replaces Removed members, from index At on, by Members.
type MemberEdit struct {
	At, Removed int
	Members     []MemberInfo
}

// DiffPools gives the change that leads from one state of a pool to another.
// Members that keep their place are not in it, unless they changed themselves.
func DiffPools(before, after PoolInfo) PoolChange {
	change := PoolChange{From: before.Epoch, Pool: after}
	change.Pool.Members = nil
	change.Edits = lists{
		before: len(before.Members), after: len(after.Members),
		same: func(i, j int) bool { return before.Members[i] == after.Members[j] },
		part: func(from, to int) []MemberInfo { return slices.Clone(after.Members[from:to]) },
	}.edits()
	return change
}

// lists are the members of a pool before and after a change.
type lists struct {
	before, after int                             // how many they are
	same          func(i, j int) bool             // compares one of before with one of after
	part          func(from, to int) []MemberInfo // of after
}

// edits makes the one list into the other.
func (l lists) edits() []MemberEdit {
	if l.before == l.after {
		return l.replacements()
	}
	head, was, is := 0, l.before, l.after
	for head < min(was, is) && l.same(head, head) {
		head++
	}
	for was > head && is > head && l.same(was-1, is-1) {
		was, is = was-1, is-1
	}
	return []MemberEdit{{At: head, Removed: was - head, Members: l.part(head, is)}}
}

// replacements gives an edit for each run of members that differ.
func (l lists) replacements() []MemberEdit {
	var edits []MemberEdit
	for from := 0; from < l.before; from++ {
		to := from
		for to < l.before && !l.same(to, to) {
			to++
		}
		if to > from {
			edits = append(edits, MemberEdit{At: from, Removed: to - from, Members: l.part(from, to)})
			from = to
		}
	}
	return edits
}

// Apply gives the pool that the change makes of the one before, which stays as
// it is. The error says why it is no change of that pool.
func (c PoolChange) Apply(before PoolInfo) (PoolInfo, error) {
	if before.Spec.Name != c.Pool.Spec.Name || before.Epoch != c.From {
		return PoolInfo{}, Errorf(Invalid, "change of pool %q from epoch %d: there is pool %q at epoch %d", c.Pool.Spec.Name, c.From, before.Spec.Name, before.Epoch)
	}
	members := slices.Clone(before.Members)
	for _, e := range c.Edits {
		if e.At < 0 || e.Removed < 0 || e.Removed > len(members)-e.At {
			return PoolInfo{}, Errorf(Invalid, "change of pool %q to epoch %d: it replaces %d members from index %d on, of %d", c.Pool.Spec.Name, c.Pool.Epoch, e.Removed, e.At, len(members))
		}
		members = slices.Replace(members, e.At, e.At+e.Removed, e.Members...)
	}
	after := c.Pool
	after.Members = members
	return after, nil
}
