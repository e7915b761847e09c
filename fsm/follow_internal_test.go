package fsm

import (
	"testing"

	"github.com/rota-registry/rota/registry"
)

// TestAFollowerKeepsNoMoreThanItMay: at the bound and one past it, and one view
// alone whatever it costs.
func TestAFollowerKeepsNoMoreThanItMay(t *testing.T) {
	const most = registry.FollowTurnoverMax
	for _, test := range []struct {
		costs []int
		steps int // 0: lost
	}{
		{[]int{2 * most}, 1},
		{[]int{2 * most, 1}, 0},
		{[]int{1, 2 * most}, 0},
		{[]int{1, most - 1}, 2},
		{[]int{1, most - 1, 1}, 0},
		{[]int{1, most, 1}, 0},
	} {
		f := &Follower{}
		for _, cost := range test.costs {
			f.note(Step{}, cost)
		}
		if len(f.steps) != test.steps || f.lost != (test.steps == 0) {
			t.Errorf("%v: %d steps, lost %t; want %d", test.costs, len(f.steps), f.lost, test.steps)
		}
	}
}
