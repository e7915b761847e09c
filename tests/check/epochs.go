package check

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/anishathalye/porcupine"
	"github.com/rota-registry/rota/registry"
)

// seen is that a pool was at an epoch: just there, for whoever read it, and there
// or later for whoever heard that a change was done that made it so.
type seen struct {
	epoch   registry.Epoch
	orLater bool
	by      *Operation
}

// epochParts are the pools, each an epoch that rises: who reads after a change was
// acknowledged reads nothing that is older than the change, whatever his key. Only
// changes count of which the log shows that they changed the pool.
//
// Of all who read one epoch two are enough: whoever was answered first, after whom
// nobody reads an older one, and whoever was called last, before whom nobody has
// read a newer one.
func (f *Facts) epochParts(ops []Operation) (list []part) {
	type ends struct{ first, last *Operation }
	read, changed := map[registry.PoolName]map[registry.Epoch]*ends{}, map[registry.PoolName][]seen{}
	for i := range ops {
		o := &ops[i]
		if o.Outcome != OK || !o.linearizable() {
			continue
		}
		switch o.Kind {
		case Write:
			for name, epochs := range f.Epochs {
				e := registry.Epoch(f.entries[i])
				if slices.ContainsFunc(epochs, func(of Epoch) bool { return of.Epoch == e }) {
					changed[name] = append(changed[name], seen{e, true, o})
				}
			}
		case HRW, Pool:
			if read[o.Pool] == nil {
				read[o.Pool] = map[registry.Epoch]*ends{}
			}
			of := read[o.Pool][o.Epoch]
			if of == nil {
				of = &ends{o, o}
				read[o.Pool][o.Epoch] = of
			}
			if o.Returned < of.first.Returned {
				of.first = o
			}
			if o.Called > of.last.Called {
				of.last = o
			}
		case RoundRobin, Nodes:
		}
	}
	for name, epochs := range read {
		p := part{of: cursor{pool: name}, model: epochModel(), name: fmt.Sprintf("the epochs of pool %s", name)}
		for _, s := range changed[name] {
			p.add(s.by, s)
		}
		for e, of := range epochs {
			p.add(of.first, seen{epoch: e, by: of.first})
			if of.last != of.first {
				p.add(of.last, seen{epoch: e, by: of.last})
			}
		}
		slices.SortFunc(p.ops, func(a, b porcupine.Operation) int {
			return cmp.Or(cmp.Compare(a.Call, b.Call), cmp.Compare(a.Return, b.Return))
		})
		list = append(list, p)
	}
	return list
}

// epochModel is an epoch that may rise at any time, and never falls.
func epochModel() porcupine.Model {
	return porcupine.Model{
		Init: func() any { return registry.Epoch(0) },
		Step: func(state, input, _ any) (bool, any) {
			at, s := state.(registry.Epoch), input.(seen)
			if s.orLater {
				return true, max(at, s.epoch)
			}
			return s.epoch >= at, s.epoch
		},
	}
}

// String gives the call that saw it.
func (s seen) String() string { return s.by.String() }
