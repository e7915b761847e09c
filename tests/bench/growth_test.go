package main

import (
	"testing"

	"github.com/rota-registry/rota/registry"
)

// TestPoolsInTurn: a caller comes to all pools, and callers begin apart.
func TestPoolsInTurn(t *testing.T) {
	pools := []registry.PoolName{"a", "b", "c", "d"}
	next := inTurn(pools)
	begun := make(map[registry.PoolName]int)
	for caller := range growthCallers {
		seen := make(map[registry.PoolName]bool)
		for i := range pools {
			p := next(caller)
			seen[p] = true
			if i == 0 {
				begun[p]++
			}
		}
		if len(seen) != len(pools) {
			t.Errorf("caller %d comes to %v", caller, seen)
		}
	}
	if len(begun) != len(pools) {
		t.Errorf("callers begin at %v", begun)
	}
}
