package registry_test

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/rota-registry/rota/registry"
)

// Refuses says what Apply then does, with the same error, and changes nothing;
// of turns, an error says that not one of them is taken.
func TestRefusesForetellsApply(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t, registry.AssignStable)
		for range rapid.IntRange(1, 40).Draw(t, "commands") {
			cmd := w.drawCommand()
			before := w.state.Snapshot()
			foretold := w.state.Refuses(cmd)
			w.same("the state after Refuses", before, w.state.Snapshot())
			res, err := w.apply(cmd)
			if _, turns := cmd.(registry.RoundRobin); turns && err == nil {
				w.foretoldTurns(foretold, res)
				continue
			}
			if (foretold == nil) != (err == nil) || err != nil && foretold.Error() != err.Error() {
				t.Fatalf("%+v: foretold %v, refused with %v", cmd, foretold, err)
			}
		}
	})
}

func (w *world) foretoldTurns(foretold error, res registry.Result) {
	w.Helper()
	unknown := 0
	for _, turn := range res.Turns {
		if turn.Err != nil && turn.Err.Code == registry.NotFound {
			unknown++
		}
	}
	if all := unknown == len(res.Turns); all != (foretold != nil) {
		w.Fatalf("foretold %v, and %d of %d turns found no pool", foretold, unknown, len(res.Turns))
	}
}

// An agent's address is dialled, so it must be one.
func TestAddressesAreHostAndPort(t *testing.T) {
	join := func(address string) error {
		return registry.Check(registry.JoinNode{Name: "n", Type: "worker", Address: address, Boot: boot("1")})
	}
	for _, good := range []string{"h:1", "10.0.0.1:7702", "[2001:db8::1]:65535", "node-1.example:443"} {
		if err := join(good); err != nil {
			t.Errorf("%s: %v", good, err)
		}
	}
	for _, bad := range []string{"", "garbage", "h:", ":1", "h:0", "h:65536", "h:+1", "2001:db8::1:7702", "a b:1"} {
		if registry.CodeOf(join(bad)) != registry.Invalid {
			t.Errorf("%q was taken", bad)
		}
	}
}
