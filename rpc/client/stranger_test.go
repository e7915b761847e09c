package client_test

import (
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rota-registry/rota/registry"
	"github.com/rota-registry/rota/rpc/client"
)

// stranger puts a server that is not rota at an address: it answers everything
// with a status of HTTP. What it gives counts the requests.
func (e *edge) stranger(address string, status int) (asked *int) {
	asked = new(int)
	e.hosts[address] = e.host(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		*asked++
		w.WriteHeader(status)
	}))
	return asked
}

// statuses are what a server that is not rota, or is behind a guard, answers.
var statuses = []int{http.StatusNotFound, http.StatusUnauthorized, http.StatusForbidden}

// Something else in a replica's place has done nothing: the next one is asked,
// whatever the method.
func TestNoMethodIsLeftToAServerThatIsNotRota(t *testing.T) {
	for _, status := range statuses {
		for _, m := range methods() {
			synctest.Test(t, func(t *testing.T) {
				e := newEdge(t)
				e.stranger("a:1", status)
				e.serve("b:1", &replica{})
				start := time.Now()
				if _, err := m.call(t.Context(), e.client(client.Options{WithoutSessions: true}, "a:1", "b:1")); err != nil {
					t.Errorf("%d: %s: %v", status, m.name, err)
				}
				within(t, start, 0, 0)
			})
		}
	}
}

// It is asked once: later calls begin with the replica that answered.
func TestAServerThatIsNotRotaIsLeft(t *testing.T) {
	for _, status := range statuses {
		synctest.Test(t, func(t *testing.T) {
			e, s := newEdge(t), newCluster(t)
			asked := e.stranger("a:1", status)
			e.serve("b:1", &replica{cluster: s})
			c := e.client(client.Options{}, "a:1", "b:1")
			for range 3 {
				turn, err := c.Pool("p").RR(t.Context(), "")
				read, readErr := hrwOf(t, c)
				if err != nil || readErr != nil || turn.ServedBy != "b" || read.ServedBy != "b" {
					t.Fatalf("%d: %+v, %v; %+v, %v", status, turn, err, read, readErr)
				}
			}
			if *asked != 1 || s.turns(t) != 3 {
				t.Errorf("%d: it was asked %d times, want once; %d turns, want 3", status, *asked, s.turns(t))
			}
		})
	}
}

// Only when no server of the list is rota does a call say so, at once; while one
// of them gives no answer, that may be one.
func TestServersOfWhichNoneIsRota(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEdge(t)
		servers := []string{"a:1", "b:1", "d:1"}
		for _, address := range servers {
			e.stranger(address, http.StatusNotFound)
		}
		c := e.client(client.Options{}, servers...)
		start := time.Now()
		_, err := hrwOf(t, c)
		wantCode(t, err, registry.Unimplemented, "d:1", "is it a rota server")
		within(t, start, 0, 0)
		e.down("b:1")
		_, err = hrwOf(t, c)
		wantCode(t, err, registry.Unavailable, "a:1", "b:1", "d:1", "no replica could do it")
		time.AfterFunc(time.Second, func() { e.up("b:1", e.host((&replica{name: "b"}).handler())) })
		if a, err := hrwOf(t, c); err != nil || a.ServedBy != "b" {
			t.Errorf("%+v, %v", a, err)
		}
	})
}
