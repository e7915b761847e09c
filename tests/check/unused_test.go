package check_test

import (
	"slices"
	"testing"
	"time"

	"github.com/rota-registry/rota/registry"
)

// TestForgottenCursor claims that a cursor which is forgotten begins anew, and one
// that was used in the meantime goes on.
func TestForgottenCursor(t *testing.T) {
	const half = time.Duration(registry.CursorRetention) * ms / 2
	w := newWorld(t)
	w.anonymous("a", 1)
	w.anonymous("b", 1)
	w.write(registry.SetCursor{Pool: "worker", Key: "c", Next: 2})
	w.write(registry.RegisterPool{Spec: registry.Spec{Name: "p", NodeType: registry.Worker}})
	w.write(registry.SetCursor{Pool: "p", Key: "c", Next: 2})
	w.write(registry.UnregisterPool{Name: "p"})
	w.now += half
	w.anonymous("b", 1)
	w.now += half
	w.commit(registry.ForgetCursors{By: "r1"})
	for _, key := range []string{"a", "c", "b"} {
		w.anonymous(key, 1)
	}
	w.pool()
	for _, v := range w.report().Violations {
		t.Error(v)
	}
	var first []registry.NodeName
	for _, o := range w.ops[len(w.ops)-4 : len(w.ops)-1] {
		first = append(first, o.Answers[0].Node)
	}
	if want := []registry.NodeName{"w1", "w1", "w3"}; !slices.Equal(first, want) {
		t.Errorf("a, c and b went on with %v, want %v", first, want)
	}
}
