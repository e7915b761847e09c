package replica

import (
	"context"
	"testing"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
	"github.com/rota-registry/rota/registry"
)

// noOne reaches nobody.
type noOne struct{}

func unreachable() error { return registry.Errorf(registry.Unavailable, "nobody is there") }

func (noOne) Hello(context.Context, string, registry.Greeting) (registry.Greeting, error) {
	return registry.Greeting{}, unreachable()
}

func (noOne) CurrentTerm(context.Context, string, registry.ReplicaName) (registry.Term, error) {
	return 0, unreachable()
}

func (noOne) ReadIndex(context.Context, string) (registry.Index, error) { return 0, unreachable() }

func (noOne) Forward(context.Context, string, []byte) ([]byte, registry.Position, error) {
	return nil, registry.Position{}, unreachable()
}

func (noOne) SeesNodes(context.Context, string, []registry.Life, bool) ([]registry.Sight, error) {
	return nil, unreachable()
}

func (noOne) NodesBroke(context.Context, string, []registry.Life) error { return unreachable() }

func (noOne) Liveness(context.Context, string, bool, registry.NodeType) (registry.LivenessReport, error) {
	return registry.LivenessReport{}, unreachable()
}

// TestARaftThatComesLateIsShutDown: Close found no Raft to end, because it was
// just being started; who started it ends it, before the store is closed.
func TestARaftThatComesLateIsShutDown(t *testing.T) {
	t.Parallel()
	r, err := Open(Options{
		Name: "one", DataDir: t.TempDir(), API: "127.0.0.1:1", RaftBind: "127.0.0.1:0", GossipBind: "127.0.0.1:0",
		Logger: hclog.NewNullLogger(), Caller: noOne{}, Halt: func(err error) { t.Errorf("halted: %v", err) },
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := r.join(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.life.stop() // where Close is when it looks for Raft
	if err := r.startRaft(); err != nil {
		t.Errorf("start: %v", err)
	}
	if state := r.raft.Load().State(); state != raft.Shutdown {
		t.Errorf("raft is a %s, it must be shut down", state)
	}
	if err := r.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
}
