package check

import (
	"testing"

	"github.com/hashicorp/raft"
	"github.com/rota-registry/rota/fsm"
	"github.com/rota-registry/rota/registry"
)

// TestForgettingOtherwise claims that a registry which has forgotten a cursor that was
// in use is found out, and one that has kept a cursor that was not.
func TestForgettingOtherwise(t *testing.T) {
	const late = registry.CursorRetention + 10
	k, other := cursor{"worker", "k"}, cursor{"worker", "other"}
	for name, test := range map[string]struct {
		used uses // the registry has k
		want int
	}{
		"as the log says": {uses{k: 10, other: 9}, 0},
		"kept":            {uses{k: 9}, 1},
		"forgotten":       {uses{k: 10, other: 10}, 1},
	} {
		r := &replay{Facts: Facts{rewound: map[cursor]bool{}}, machine: fsm.NewMachine(func(err error) { t.Fatal(err) }), used: test.used}
		r.clock.highest = late
		for i, c := range []registry.Command{
			registry.JoinNode{Name: "w", Type: registry.Worker, Address: "h:1", Boot: "1111111111111111"},
			registry.SetCursor{Pool: k.pool, Key: k.key},
		} {
			data, err := fsm.EncodeEntry(fsm.Entry{Clock: 10, Command: c})
			if err != nil {
				t.Fatal(err)
			}
			r.machine.Apply(&raft.Log{Index: uint64(i + 1), Term: 1, Type: raft.LogCommand, Data: data})
		}
		r.forget()
		if len(r.faults.list) != test.want {
			t.Errorf("%s: found %v, want %d", name, r.faults.list, test.want)
		}
	}
}
