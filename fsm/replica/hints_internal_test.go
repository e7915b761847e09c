package replica

import (
	"fmt"
	"testing"

	"github.com/rota-registry/rota/registry"
)

// Of broken connections as many are kept as are allowed, each once; what is one
// too many is left to gossip.
func TestHintsAreBounded(t *testing.T) {
	h := newHints()
	life := func(i int) registry.Life {
		return registry.Life{Name: registry.NodeName(fmt.Sprintf("w%d", i)), Boot: "0123456789abcdef"}
	}
	for i := range registry.BrokenMax {
		h.add(life(i), life(i))
	}
	h.add(life(registry.BrokenMax))
	select {
	case <-h.added:
	default:
		t.Error("nobody is told that there are some")
	}
	if got := h.take(); len(got) != registry.BrokenMax {
		t.Errorf("%d are kept, want %d", len(got), registry.BrokenMax)
	}
	if got := h.take(); len(got) != 0 {
		t.Errorf("%d are given twice", len(got))
	}
}
