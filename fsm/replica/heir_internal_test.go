package replica

import (
	"errors"
	"testing"

	"github.com/rota-registry/rota/registry"
)

// Who stops hands over to a voter that is ready and not much slower than another
// one, and to the one of those that has applied most; where all are as good, or
// nobody is known to be, Raft chooses.
func TestTheHeirOfALeaderThatStops(t *testing.T) {
	all := []registry.ReplicaName{"a", "b", "c", "d"}
	is := func(name registry.ReplicaName, applied registry.Index, append registry.Micros) answered {
		return answered{Greeting: registry.Greeting{Replica: registry.Replica{Name: name}, Ready: true, Applied: applied, AppendTime: append}}
	}
	short, gone := is("b", 9, 0), is("b", 9, 0)
	short.Ready, gone.err = false, errors.New("no answer")
	nobody := func(registry.ReplicaName) bool { return false }
	for what, c := range map[string]struct {
		heard []answered
		want  registry.ReplicaName // empty: Raft chooses
	}{
		"nothing is known":         {nil, ""},
		"all are well":             {[]answered{is("b", 9, 900), is("c", 5, 0), is("d", 7, 900)}, ""},
		"one is not ready":         {[]answered{short, is("c", 5, 0), is("d", 7, 0)}, "d"},
		"one does not answer":      {[]answered{gone, is("c", 8, 0), is("d", 7, 0)}, "c"},
		"one is unknown":           {[]answered{is("c", 5, 0), is("d", 7, 0)}, "d"},
		"one is much slower":       {[]answered{is("b", 9, 200_000), is("c", 5, 2_000), is("d", 7, 0)}, "d"},
		"nobody is ready":          {[]answered{short}, ""},
		"others are no voters":     {[]answered{is("x", 9, 0), is("a", 9, 0), short}, ""},
		"it is heard of twice":     {[]answered{short, is("c", 5, 0), is("c", 5, 0)}, "c"},
		"the slow one is alone":    {[]answered{is("b", 9, 200_000), short}, "b"},
		"a stranger's disk is not": {[]answered{is("b", 9, 200_000), is("x", 9, 10), is("c", 1, 100_000)}, "b"},
	} {
		if to, ok := heirOf("a", all, c.heard, nobody); ok != (c.want != "") || ok && to.Name != c.want {
			t.Errorf("%s: %q, %t; want %q", what, to.Name, ok, c.want)
		}
	}
	well := []answered{is("b", 9, 900), is("c", 5, 0), is("d", 7, 900)}
	for lost, want := range map[registry.ReplicaName]registry.ReplicaName{"b": "d", "d": "b", "x": ""} {
		if to, ok := heirOf("a", all, well, func(name registry.ReplicaName) bool { return name == lost }); ok != (want != "") || to.Name != want && ok {
			t.Errorf("%s is lost: %q, %t; want %q", lost, to.Name, ok, want)
		}
	}
}
