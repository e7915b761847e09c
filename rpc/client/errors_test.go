package client_test

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"

	"github.com/rota-registry/rota/registry"
	"github.com/rota-registry/rota/rpc/client"
	"github.com/rota-registry/rota/rpc/wire"
)

var sentinels = map[registry.Code]*registry.Error{
	registry.Internal: registry.ErrInternal, registry.Invalid: registry.ErrInvalid, registry.NotFound: registry.ErrNotFound,
	registry.Conflict: registry.ErrConflict, registry.Unavailable: registry.ErrUnavailable, registry.Deadline: registry.ErrDeadline,
	registry.OutcomeUnknown: registry.ErrOutcomeUnknown, registry.Overloaded: registry.ErrOverloaded, registry.Limit: registry.ErrLimit,
	registry.SessionUnknown: registry.ErrSessionUnknown, registry.Unimplemented: registry.ErrUnimplemented,
}

// Every code of a server, of a write that is asked once and of one server alone,
// is the code of the error, and no other is; the server's text is in it.
func TestEveryCodeIsRestored(t *testing.T) {
	for code := registry.Internal; code == registry.Internal || registry.CodeNamed(code.String()) == code; code++ {
		sentinel, known := sentinels[code]
		if !known {
			t.Fatalf("no sentinel for %s: add it here", code)
		}
		t.Run(code.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e := newEdge(t)
				e.serve("a:1", &replica{script: says(wire.ToError(registry.Errorf(code, "pool %q: it is so", "p")))})
				_, err := e.client(client.Options{WithoutSessions: true}, "a:1").Pool("p").RR(t.Context(), "")
				for other, s := range sentinels {
					if errors.Is(err, s) != (s == sentinel) {
						t.Errorf("%v: is %s is %v", err, other, errors.Is(err, s))
					}
				}
				wantCode(t, err, code, `pool "p": it is so`)
			})
		})
	}
}

// What does not depend on the replica is word for word what the server said,
// and no other replica is asked.
func TestAnAnswerThatIsAnErrorIsFinal(t *testing.T) {
	for _, code := range []registry.Code{
		registry.Invalid, registry.NotFound, registry.Conflict, registry.Limit, registry.SessionUnknown, registry.Unimplemented,
	} {
		synctest.Test(t, func(t *testing.T) {
			e := newEdge(t)
			e.serve("a:1", &replica{script: says(wire.ToError(registry.Errorf(code, "pool x: so")))})
			b := e.serve("b:1", &replica{})
			c := e.client(client.Options{}, "a:1", "b:1")
			_, err := hrwOf(t, c)
			coded, ok := errors.AsType[*registry.Error](err)
			if !ok || *coded != (registry.Error{Code: code, Text: "pool x: so"}) {
				t.Errorf("%s: got %#v", code, err)
			}
			wantCalls(t, b)
		})
	}
}

func TestABrokenReplicasErrorNamesIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEdge(t)
		e.serve("a:1", &replica{script: says(wire.ToError(fmt.Errorf("bolt: bad page")))})
		_, err := hrwOf(t, e.client(client.Options{}, "a:1"))
		wantCode(t, err, registry.Internal, "bolt: bad page", "a:1")
	})
}
