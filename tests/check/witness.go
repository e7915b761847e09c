package check

import (
	"cmp"
	"fmt"
	"reflect"
	"slices"

	"github.com/rota-registry/rota/fsm"
	"github.com/rota-registry/rota/registry"
	"github.com/rota-registry/rota/registry/hrw"
)

// byReturn gives the answers in the order in which they came.
func byReturn(ops []Operation) []*Operation {
	var list []*Operation
	for i := range ops {
		if ops[i].Outcome == OK && ops[i].Returned != Never {
			list = append(list, &ops[i])
		}
	}
	slices.SortFunc(list, func(a, b *Operation) int { return cmp.Compare(a.Returned, b.Returned) })
	return list
}

// look compares one answer with the state at its index, which is the machine's
// now.
func (r *replay) look(e *Entry, o *Operation) {
	if o.Term != e.Term {
		r.faults.add("witness", "%s: the entry at that index is of term %d", o, e.Term)
		return
	}
	var err error
	switch o.Kind {
	case RoundRobin:
		err = r.lookTurn(o)
	case HRW:
		err = r.lookHRW(o)
	case Pool:
		err = r.lookPool(o)
	case Nodes:
		view, _ := r.machine.View()
		err = same("nodes", told(view.Nodes()), told(o.Nodes))
	case Write: // see written
	}
	if err != nil {
		r.faults.add("witness", "%s: %v", o, err)
	}
}

// lookTurn looks for the turn that gave the answers. One without a known request
// may have shared a turn with others of its caller: all that is known of it is
// that no answer is given twice.
func (r *replay) lookTurn(o *Operation) error {
	var mine []Taken
	for _, t := range r.taken {
		if t.cursor() != o.cursor() || t.Result.Taken != (registry.Position{}) || o.Session != "" && t.request() != o.request() {
			continue
		}
		mine = append(mine, t)
	}
	switch {
	case len(mine) == 0:
		return fmt.Errorf("the entry at that index has no such turn")
	case mine[0].Result.Epoch != o.Epoch:
		return fmt.Errorf("the epoch was %d", mine[0].Result.Epoch)
	case len(o.Answers) == 0:
		return emptyTurn(mine, o)
	case o.Session != "":
		return same("answers", mine[0].answers(), o.Answers)
	}
	return r.spend(mine, o)
}

func emptyTurn(mine []Taken, o *Operation) error {
	for _, t := range mine {
		if t.Result.Err == nil && t.Result.Count() == 0 && t.Result.Reason == o.Reason {
			return nil
		}
	}
	return fmt.Errorf("no such turn was empty for want of anyone eligible (%q)", o.Reason)
}

// spend takes the operation's answers off those that the entry's turns gave.
func (r *replay) spend(mine []Taken, o *Operation) error {
	if r.spent == nil {
		r.spent = map[cursor]map[registry.Answer]int{}
	}
	left, begun := r.spent[o.cursor()]
	if !begun {
		left = map[registry.Answer]int{}
		r.spent[o.cursor()] = left
		for _, t := range mine {
			for _, a := range t.answers() {
				left[a]++
			}
		}
	}
	for _, a := range o.Answers {
		if left[a]--; left[a] < 0 {
			return fmt.Errorf("the turns at that index did not give %s, or did not give it that often", a.Node)
		}
	}
	return nil
}

func (r *replay) lookHRW(o *Operation) error {
	view, _ := r.machine.View()
	choice, err := view.HRW(o.Pool, hrw.String(o.Key))
	if err != nil {
		return err
	}
	got := registry.Choice{Epoch: o.Epoch, Reason: o.Reason}
	if len(o.Answers) > 0 {
		got.Answer = o.Answers[0]
	}
	return same("choice", choice, got)
}

func (r *replay) lookPool(o *Operation) error {
	view, _ := r.machine.View()
	p, err := view.Pool(o.Pool)
	if err != nil {
		return err
	}
	if p.Epoch != o.Epoch {
		return fmt.Errorf("the epoch was %d", p.Epoch)
	}
	if err := same("members", p.Members, o.Members); err != nil || o.Cursors == nil {
		return err
	}
	r.machine.State(func(s *registry.State) {
		var cursors []registry.Cursor
		if cursors, err = s.Cursors(o.Pool); err == nil {
			err = same("cursors", cursors, o.Cursors)
		}
	})
	return err
}

// same compares what the log says with what a caller was told; an empty slice is
// none.
func same[T any](what string, want, got T) error {
	w, g := reflect.ValueOf(want), reflect.ValueOf(got)
	if w.Kind() == reflect.Slice && w.Len() == 0 && g.Len() == 0 || reflect.DeepEqual(want, got) {
		return nil
	}
	return fmt.Errorf("%s at that index were %+v and not %+v", what, want, got)
}

// told leaves out what replicas keep of nodes for themselves.
func told(nodes []registry.NodeInfo) []registry.NodeInfo {
	nodes = slices.Clone(nodes)
	for i := range nodes {
		nodes[i].Replaced, nodes[i].SinceClock, nodes[i].Joined = "", 0, 0
		if len(nodes[i].Pools) == 0 {
			nodes[i].Pools = nil
		}
	}
	return nodes
}

// subject is the bytes of a command without what its caller does not choose.
func subject(c registry.Command) string {
	switch own := c.(type) {
	case registry.RegisterPool:
		own.By = ""
		c = own
	case registry.UnregisterPool:
		c = registry.UnregisterPool{Name: own.Name}
	case registry.RebalancePools:
		c = registry.RebalancePools{}
	case registry.SetCursor:
		own.By = ""
		c = own
	case registry.DeleteCursor:
		own.By = ""
		c = own
	case registry.SetSettings:
		c = registry.SetSettings{Change: own.Change}
	case registry.JoinNode:
		c = registry.JoinNode{Name: own.Name, Type: own.Type, Boot: own.Boot}
	case registry.AddNode:
		own.By = ""
		c = own
	case registry.DrainNode:
		own.By = ""
		c = own
	case registry.ForgetNode:
		own.By = ""
		c = own
	}
	b, err := fsm.EncodeCommand(c)
	if err != nil {
		return fmt.Sprintf("%T cannot be encoded: %v", c, err)
	}
	return string(b)
}
