package replica_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/rota-registry/rota/registry"
)

func within(t testing.TB, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

// TestThreeReplicasAnswerAlike: what one replica acknowledged, every other one
// shows in a linearizable read that begins afterwards.
func TestThreeReplicasAnswerAlike(t *testing.T) {
	c := newCluster(t)
	rs := c.startAll(3)
	for i := range 30 {
		writer, reader := rs[i%3], rs[(i+1)%3]
		name := registry.PoolName("pool-" + string(rune('a'+i%26)) + string(rune('a'+i/26)))
		_, at, err := writer.Propose(within(t, 5*time.Second), registry.RegisterPool{Spec: registry.Spec{Name: name, NodeType: registry.Worker}})
		if err != nil {
			t.Fatalf("register %s at %s: %v", name, writer.name, err)
		}
		view, info, err := reader.Read(within(t, 5*time.Second), registry.ReadOptions{})
		if err != nil || info.Index < at.Index {
			t.Fatalf("read at %s: index %d, want %d or more: %v", reader.name, info.Index, at.Index, err)
		}
		if _, err := view.Pool(name); err != nil {
			t.Errorf("%s does not show %s, which %s acknowledged", reader.name, name, writer.name)
		}
	}
	if _, _, err := rs[1].Propose(within(t, 5*time.Second), registry.UnregisterPool{Name: "nothing"}); !errors.Is(err, registry.ErrNotFound) {
		t.Errorf("removing an unknown pool: %v, want not_found", err)
	}
}
