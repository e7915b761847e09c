package registry_test

import (
	"fmt"
	"testing"

	"github.com/rota-registry/rota/registry"
)

// Of many that have left for long, a bounded number is forgotten at a time, and the
// leader looks again at once; in the end all are.
func TestSomeAreForgottenAtATime(t *testing.T) {
	const n = 40
	s := registry.NewState()
	for i := range n {
		name := registry.NodeName(fmt.Sprintf("w-%04d", i))
		apply(t, s, registry.JoinNode{Name: name, Type: registry.Worker, Address: "h:1", Boot: boot("1")})
		apply(t, s, registry.LeaveNode{Name: name, Boot: boot("1")})
	}
	last, err := s.Node("w-0039")
	if err != nil {
		t.Fatal(err)
	}
	in := registry.ReconcileInput{
		State: &s.View, Now: 60_000, Clock: last.SinceClock + registry.LeftRetention + 1,
		Suspicion: suspicion, Replicas: 3, By: "r1",
	}
	var took []int
	for {
		d := registry.Decide(in)
		if len(d.Command.Changes) == 0 {
			break
		}
		if more := len(s.Nodes()) > len(d.Command.Changes); more != (d.Wake == in.Now) {
			t.Errorf("of %d nodes %d are forgotten, and it is looked again at %d; now is %d", len(s.Nodes()), len(d.Command.Changes), d.Wake, in.Now)
		}
		took, in.Memory = append(took, len(d.Command.Changes)), d.Memory
		at := registry.Stamp{Index: last.Since + registry.Index(len(took)), Clock: in.Clock}
		if _, err := s.Apply(at, d.Command); err != nil {
			t.Fatal(err)
		}
	}
	if left := len(s.Nodes()); left > 0 || fmt.Sprint(took) != "[16 16 8]" {
		t.Errorf("%v were forgotten, and %d nodes are left", took, left)
	}
}
