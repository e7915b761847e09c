package replica

import (
	"reflect"
	"testing"

	"github.com/rota-registry/rota/registry"
)

// TestJudge: a majority decides and counts all voters, also those that say
// nothing; without one nobody is refuted; what begins elsewhere does not count.
func TestJudge(t *testing.T) {
	type checks = []registry.Checkpoint
	at := func(index registry.Index, hash uint64) registry.Checkpoint {
		return registry.Checkpoint{Index: index, Hash: hash}
	}
	later := registry.Checkpoint{Index: 10, From: 5, Hash: 9}
	for name, tt := range map[string]struct {
		mine   checks
		others map[registry.ReplicaName]checks
		voters int
		want   verdict
	}{
		"nothing passed":              {nil, map[registry.ReplicaName]checks{"b": {at(10, 1)}}, 3, verdict{}},
		"alone":                       {checks{at(10, 1)}, nil, 1, verdict{}},
		"all agree":                   {checks{at(10, 1)}, map[registry.ReplicaName]checks{"b": {at(10, 1)}, "c": {at(10, 1)}}, 3, verdict{}},
		"others are elsewhere":        {checks{at(10, 1)}, map[registry.ReplicaName]checks{"b": {at(20, 2)}, "c": {at(20, 2)}}, 3, verdict{}},
		"others began elsewhere":      {checks{at(10, 1)}, map[registry.ReplicaName]checks{"b": {later}, "c": {later}}, 3, verdict{}},
		"two of three are against it": {checks{at(10, 1)}, map[registry.ReplicaName]checks{"b": {at(10, 2)}, "c": {at(10, 2)}}, 3, verdict{at(10, 1), true, 2, []registry.ReplicaName{"b", "c"}}},
		"one of three is against two": {checks{at(10, 1)}, map[registry.ReplicaName]checks{"b": {at(10, 2)}, "c": {at(10, 1)}}, 3, verdict{}},
		"one of two is against it":    {checks{at(10, 1)}, map[registry.ReplicaName]checks{"b": {at(10, 2)}}, 2, verdict{of: at(10, 1), others: []registry.ReplicaName{"b"}}},
		"the third says nothing":      {checks{at(10, 1)}, map[registry.ReplicaName]checks{"b": {at(10, 2)}, "c": nil}, 3, verdict{of: at(10, 1), others: []registry.ReplicaName{"b"}}},
		"all differ":                  {checks{at(10, 1)}, map[registry.ReplicaName]checks{"b": {at(10, 3)}, "c": {at(10, 2)}}, 3, verdict{of: at(10, 1), others: []registry.ReplicaName{"c", "b"}}},
		"two of four are against it":  {checks{at(10, 1)}, map[registry.ReplicaName]checks{"b": {at(10, 2)}, "c": {at(10, 2)}}, 4, verdict{of: at(10, 1), others: []registry.ReplicaName{"b", "c"}}},
		"three of five, by hash":      {checks{at(10, 7)}, map[registry.ReplicaName]checks{"b": {at(10, 8)}, "c": {at(10, 8)}, "d": {at(10, 8)}, "e": {at(10, 1)}}, 5, verdict{at(10, 7), true, 8, []registry.ReplicaName{"b", "c", "d"}}},
		"refuted at the older one": {
			checks{at(10, 1), at(20, 1)},
			map[registry.ReplicaName]checks{"b": {at(10, 2), at(20, 2)}, "c": {at(10, 2)}},
			3,
			verdict{at(10, 1), true, 2, []registry.ReplicaName{"b", "c"}},
		},
		"the newest of two that differ": {
			checks{at(10, 1), at(20, 1)},
			map[registry.ReplicaName]checks{"b": {at(10, 2), at(20, 2)}},
			2,
			verdict{of: at(20, 1), others: []registry.ReplicaName{"b"}},
		},
	} {
		if got := judge(tt.mine, tt.others, tt.voters); !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%s: %+v, want %+v", name, got, tt.want)
		}
	}
}
