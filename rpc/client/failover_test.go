package client_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"connectrpc.com/connect"

	"github.com/rota-registry/rota/registry"
	"github.com/rota-registry/rota/registry/hrw"
	"github.com/rota-registry/rota/rpc/client"
	"github.com/rota-registry/rota/rpc/transport/transporttest"
	"github.com/rota-registry/rota/rpc/wire"
)

// within checks that what began at start took want, give or take the waits that
// are drawn at random.
func within(t *testing.T, start time.Time, least, most time.Duration) {
	t.Helper()
	if took := time.Since(start); took < least || took > most {
		t.Errorf("it took %v, want %v to %v", took, least, most)
	}
}

func wantCode(t *testing.T, err error, code registry.Code, texts ...string) {
	t.Helper()
	if err == nil || registry.CodeOf(err) != code {
		t.Fatalf("got %v (%v), want %s", err, registry.CodeOf(err), code)
	}
	for _, text := range texts {
		if !strings.Contains(err.Error(), text) {
			t.Errorf("%q does not say %q", err, text)
		}
	}
}

func hrwOf(t *testing.T, c *client.Client) (client.Answer, error) {
	return c.Pool("p").HRW(t.Context(), hrw.String("k"))
}

func TestAReadMovesOnFromARefusingServerAndStays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEdge(t)
		b := e.serve("b:1", &replica{})
		c := e.client(client.Options{}, "a:1", "b:1")
		start := time.Now()
		for range 3 {
			if a, err := hrwOf(t, c); err != nil || a.ServedBy != "b" {
				t.Fatalf("got %+v, %v, want an answer of b", a, err)
			}
		}
		within(t, start, 0, 0)
		wantCalls(t, b, "HrwTopic", "HrwTopic", "HrwTopic")
		if len(e.dials) != 2 {
			t.Errorf("dialled %v, want a once and b once", e.dials)
		}
	})
}

// Turns go to the server that leads, if it is one of the client's, and reads go
// on where they went; of a leader that is gone, the others are asked.
func TestTurnsGoToTheLeader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, s := newEdge(t), newCluster(t)
		a, b := e.serve("a:1", &replica{cluster: s}), e.serve("b:1", &replica{cluster: s})
		c := e.client(client.Options{}, "a:1", "b:1")
		asks := func(rr, hrw registry.ReplicaName) {
			t.Helper()
			turn, err := c.Pool("p").RR(t.Context(), "")
			read, readErr := hrwOf(t, c)
			if err != nil || readErr != nil || turn.ServedBy != rr || read.ServedBy != hrw {
				t.Errorf("a turn of %s (%v), a read of %s (%v), want %s and %s", turn.ServedBy, err, read.ServedBy, readErr, rr, hrw)
			}
		}
		s.leader = "elsewhere:1"
		asks("a", "a")
		s.leader = "b:1"
		asks("a", "a") // this tells it
		asks("b", "a")
		b.script, s.leader = says(wire.ToError(registry.ErrUnavailable)), ""
		asks("a", "a")
		asks("a", "a")
		b.script, s.leader = nil, "b:1"
		asks("a", "a")
		a.script, s.leader = says(wire.ToError(registry.ErrUnavailable)), "a:1"
		asks("b", "b") // the reads have moved, and do not come back
		asks("b", "b")
		a.script = nil
		asks("a", "b")
	})
}

func TestAReadLeavesAHungServerAfterTheAttemptTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEdge(t)
		e.hang("a:1")
		e.serve("b:1", &replica{})
		c := e.client(client.Options{}, "a:1", "b:1")
		start := time.Now()
		if a, err := hrwOf(t, c); err != nil || a.ServedBy != "b" {
			t.Fatalf("got %+v, %v, want an answer of b", a, err)
		}
		within(t, start, 1500*time.Millisecond, 1500*time.Millisecond)
		start = time.Now()
		if _, err := hrwOf(t, c); err != nil {
			t.Fatal(err)
		}
		within(t, start, 0, 0)
	})
}

func TestAReadGoesOnWhenItsReplicaDies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEdge(t)
		a := e.serve("a:1", &replica{})
		a.script = func(_ context.Context, method string) error {
			if len(a.got()) > 1 {
				e.down("a:1") // takes the request with it
			}
			return nil
		}
		b := e.serve("b:1", &replica{})
		c := e.client(client.Options{}, "a:1", "b:1")
		for _, want := range []registry.ReplicaName{"a", "b"} {
			if got, err := hrwOf(t, c); err != nil || got.ServedBy != want {
				t.Fatalf("got %+v, %v, want an answer of %s", got, err, want)
			}
		}
		wantCalls(t, a, "HrwTopic", "HrwTopic")
		wantCalls(t, b, "HrwTopic")
	})
}

// The ways in which an rr may have been executed without an answer. It is asked
// once, of one replica, and its outcome is unknown at once.
func TestWithoutASessionARoundRobinThatMayHaveRunIsNeverSentAgain(t *testing.T) {
	for name, breaks := range map[string]func(e *edge) func(context.Context, string) error{
		"connection broken": func(e *edge) func(context.Context, string) error {
			return func(context.Context, string) error { e.cut(); return nil }
		},
		"process killed": func(e *edge) func(context.Context, string) error {
			return func(context.Context, string) error { e.down("a:1"); return nil }
		},
		"stream reset": func(*edge) func(context.Context, string) error {
			return func(context.Context, string) error { panic(http.ErrAbortHandler) }
		},
		"the replica does not know": func(*edge) func(context.Context, string) error {
			return says(wire.ToError(registry.Errorf(registry.OutcomeUnknown, "rr: leadership was lost")))
		},
		"a proxy says unavailable": func(*edge) func(context.Context, string) error {
			return says(connect.NewError(connect.CodeUnavailable, errors.New("upstream reset")))
		},
		"a proxy says internal": func(*edge) func(context.Context, string) error {
			return says(connect.NewError(connect.CodeInternal, errors.New("oops")))
		},
		"a proxy says deadline": func(*edge) func(context.Context, string) error {
			return says(connect.NewError(connect.CodeDeadlineExceeded, errors.New("upstream timeout")))
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e := newEdge(t)
				a, b := e.serve("a:1", &replica{}), e.serve("b:1", &replica{})
				a.script = breaks(e)
				c := e.client(client.Options{WithoutSessions: true}, "a:1", "b:1")
				start := time.Now()
				_, err := c.Pool("p").RR(t.Context(), "")
				wantCode(t, err, registry.OutcomeUnknown, `rr of pool "p"`, "a:1", "look before you ask again")
				within(t, start, 0, 0)
				wantCalls(t, a, "RrBatch")
				wantCalls(t, b)

				// The next call is asked of the other one.
				if got, err := c.Pool("p").RR(t.Context(), ""); err != nil || got.ServedBy != "b" {
					t.Errorf("got %+v, %v, want an answer of b", got, err)
				}
			})
		})
	}
}

// net/http would repeat it by itself.
func TestWithoutASessionARoundRobinResetWithProtocolErrorIsNotSentAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEdge(t)
		a, b := e.away("a:1", transporttest.ProtocolError), e.serve("b:1", &replica{})
		c := e.client(client.Options{WithoutSessions: true}, "a:1", "b:1")
		_, err := c.Pool("p").RR(t.Context(), "")
		wantCode(t, err, registry.OutcomeUnknown)
		if a.Requests() != 1 {
			t.Errorf("a was asked %d times, want once", a.Requests())
		}
		wantCalls(t, b)
	})
}

// The ways in which it is certain that nothing was done.
func TestARoundRobinThatCertainlyDidNotRunIsSentToAnother(t *testing.T) {
	for name, prepare := range map[string]func(e *edge){
		"refused":        func(*edge) {},
		"no such host":   func(e *edge) { e.hole("a:1") },
		"GOAWAY":         func(e *edge) { e.away("a:1", transporttest.GoAway) },
		"REFUSED_STREAM": func(e *edge) { e.away("a:1", transporttest.RefusedStream) },
		"unavailable": func(e *edge) {
			e.serve("a:1", &replica{script: says(wire.ToError(registry.Errorf(registry.Unavailable, "no leader")))})
		},
		"overloaded": func(e *edge) {
			e.serve("a:1", &replica{script: says(wire.ToError(registry.Errorf(registry.Overloaded, "too many")))})
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e := newEdge(t)
				b := e.serve("b:1", &replica{})
				prepare(e)
				c := e.client(client.Options{WithoutSessions: true}, "a:1", "b:1")
				start := time.Now()
				if got, err := c.Pool("p").RR(t.Context(), ""); err != nil || got.ServedBy != "b" {
					t.Fatalf("got %+v, %v, want an answer of b", got, err)
				}
				within(t, start, 0, time.Second) // at most the time to connect, or one wait
				wantCalls(t, b, "RrBatch")
			})
		})
	}
}

func TestWithoutASessionARoundRobinAtAHungServerIsUnknownAtTheDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEdge(t)
		hung := make(chan struct{})
		defer close(hung)
		a := e.serve("a:1", &replica{script: func(context.Context, string) error { <-hung; return nil }})
		b := e.serve("b:1", &replica{})
		c := e.client(client.Options{WithoutSessions: true}, "a:1", "b:1")
		start := time.Now()
		_, err := c.Pool("p").RR(t.Context(), "")
		wantCode(t, err, registry.OutcomeUnknown, "no answer")
		within(t, start, 5*time.Second, 5*time.Second)
		wantCalls(t, a, "RrBatch")
		wantCalls(t, b)
	})
}

// A dead machine answers no ping, so that even a long deadline is not waited for.
func TestADeadConnectionIsNoticedByPing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEdge(t)
		e.hang("a:1")
		c := e.client(client.Options{Timeout: 30 * time.Second, WithoutSessions: true}, "a:1")
		start := time.Now()
		_, err := c.Pool("p").RR(t.Context(), "")
		wantCode(t, err, registry.OutcomeUnknown)
		within(t, start, 3*time.Second, 3*time.Second)
	})
}

func TestAllServersUnreachable(t *testing.T) {
	for name, prepare := range map[string]func(e *edge){
		"refused": func(*edge) {},
		"swallowed": func(e *edge) {
			e.hole("a:1")
			e.hole("b:1")
			e.hole("c:1")
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e := newEdge(t)
				prepare(e)
				c := e.client(client.Options{}, "a:1", "b:1", "c:1")
				for _, call := range []func() error{
					func() error { _, err := hrwOf(t, c); return err },
					func() error { _, err := c.Pool("p").RR(t.Context(), ""); return err },
				} {
					start := time.Now()
					wantCode(t, call(), registry.Unavailable, "a:1", "b:1", "c:1", "last ", "check the addresses")
					within(t, start, 4750*time.Millisecond, 5*time.Second)
				}
			})
		})
	}
}

func TestAServerThatComesBackIsFoundWithinTheCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEdge(t)
		timer := time.AfterFunc(2*time.Second, func() {
			e.mu.Lock()
			defer e.mu.Unlock()
			e.serve("a:1", &replica{})
		})
		defer timer.Stop()
		c := e.client(client.Options{}, "a:1")
		start := time.Now()
		if _, err := c.Pool("p").RR(t.Context(), ""); err != nil {
			t.Fatal(err)
		}
		within(t, start, 2*time.Second, 3*time.Second)
	})
}

func TestReadsOfHungServersEndWithDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEdge(t)
		e.hang("a:1")
		e.hang("b:1")
		c := e.client(client.Options{}, "a:1", "b:1")
		start := time.Now()
		_, err := hrwOf(t, c)
		wantCode(t, err, registry.Deadline, `hrw of pool "p"`, "a:1, b:1", "no answer")
		within(t, start, 4750*time.Millisecond, 5*time.Second)
	})
}

// A replica is told an earlier deadline than the client keeps; so what it says
// at its own, that nothing was done, arrives and is not taken for a silence.
func TestTheReplicasOwnWordAtItsDeadlineArrives(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEdge(t)
		a := e.serve("a:1", &replica{script: func(ctx context.Context, _ string) error {
			<-ctx.Done()
			return wire.ToError(registry.Errorf(registry.Unavailable, "rr: no leader was elected in time"))
		}})
		c := e.client(client.Options{WithoutSessions: true}, "a:1")
		_, err := c.Pool("p").RR(t.Context(), "")
		wantCode(t, err, registry.Unavailable, "no leader was elected in time")
		wantCalls(t, a, "RrBatch")
		if left := a.last().left; left != 4900*time.Millisecond {
			t.Errorf("rr had %v, want the call's 5 s less 100 ms", left)
		}
		_, err = hrwOf(t, c)
		wantCode(t, err, registry.Unavailable)
		if left := a.calls[1].left; left != 1400*time.Millisecond {
			t.Errorf("hrw had %v, want an attempt's 1.5 s less 100 ms", left)
		}
	})
}

func TestTheCallersDeadlineAndCancelAreInTheError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEdge(t)
		e.hang("a:1")
		c := e.client(client.Options{WithoutSessions: true}, "a:1")
		short, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		_, err := c.Pool("p").HRW(short, hrw.String("k"))
		wantCode(t, err, registry.Deadline)
		if !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, registry.ErrDeadline) {
			t.Errorf("%v is not both deadlines", err)
		}
		within(t, start, time.Second, time.Second)

		_, err = c.Pool("p").RR(short, "")
		wantCode(t, err, registry.Deadline, "not asked, nothing was done")

		cancelled, stop := context.WithCancel(t.Context())
		defer time.AfterFunc(time.Second, stop).Stop()
		start = time.Now()
		_, err = c.Pool("p").RR(cancelled, "")
		wantCode(t, err, registry.OutcomeUnknown)
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%v is not context.Canceled", err)
		}
		within(t, start, time.Second, time.Second)
	})
}

func TestCloseEndsCallsAndRefusesNewOnes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEdge(t)
		e.hang("a:1")
		c := e.client(client.Options{}, "a:1")
		done := make(chan error, 1)
		start := time.Now()
		go func() {
			_, err := hrwOf(t, c)
			done <- err
		}()
		synctest.Wait()
		c.Close()
		wantCode(t, <-done, registry.Deadline)
		_, err := hrwOf(t, c)
		wantCode(t, err, registry.Unavailable, "closed")
		c.Close()
		within(t, start, 0, 0)
	})
}

func TestWhatCannotBeEncodedIsRefusedAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEdge(t)
		a := e.serve("a:1", &replica{})
		c := e.client(client.Options{}, "a:1")
		start := time.Now()
		_, err := c.Pool("p").RR(t.Context(), "\xff")
		wantCode(t, err, registry.Invalid, "UTF-8")
		_, err = c.Pool("p").RRN(t.Context(), "", -1)
		wantCode(t, err, registry.Invalid, "-1 answers")
		_, err = c.Pool("p").RRN(t.Context(), "", 1<<32)
		wantCode(t, err, registry.Limit, "4294967296 answers")
		within(t, start, 0, 0)
		wantCalls(t, a)
	})
}

func TestSomethingElseThatSpeaksHTTP2IsNamed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEdge(t)
		e.serve("a:1", &replica{script: says(connect.NewError(connect.CodeUnimplemented, errPlain))})
		c := e.client(client.Options{}, "a:1")
		start := time.Now()
		_, err := c.Pool("p").RR(t.Context(), "")
		wantCode(t, err, registry.Unimplemented, "a:1", "is it a rota server")
		within(t, start, 0, 0)
	})
}

// Callers that fail together move on by one server, not by one each.
func TestManyCallersMoveOnTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEdge(t)
		b, d := e.serve("b:1", &replica{}), e.serve("d:1", &replica{})
		c := e.client(client.Options{}, "a:1", "b:1", "d:1")
		var callers sync.WaitGroup
		for range 50 {
			callers.Go(func() {
				if _, err := hrwOf(t, c); err != nil {
					t.Error(err)
				}
			})
		}
		callers.Wait()
		if b.answers() != 50 || len(d.got()) != 0 {
			t.Errorf("b gave %d answers and d was asked %d times, want 50 and 0", b.answers(), len(d.got()))
		}
	})
}
