package client_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"

	"github.com/rota-registry/rota/registry"
	"github.com/rota-registry/rota/rpc/client"
	rotav1 "github.com/rota-registry/rota/rpc/gen/rota/v1"
	"github.com/rota-registry/rota/rpc/wire"
)

// cluster is the state behind several fake replicas: the real one. Its pool p
// has so many members that every turn of a test is another one's.
type cluster struct {
	mu     sync.Mutex
	state  *registry.State
	at     registry.Position
	opened int
	leader string // API address that its answers to turns give
}

const clusterNodes = 500

func newCluster(t *testing.T) *cluster {
	t.Helper()
	c := grown()
	state, err := registry.Restore(c.state.Snapshot())
	if err != nil {
		t.Fatal(err)
	}
	return &cluster{state: state, at: c.at}
}

// grown is the cluster that all begin with.
var grown = sync.OnceValue(func() *cluster {
	c := &cluster{state: registry.NewState()}
	c.do(registry.RegisterPool{Spec: registry.Spec{Name: "p", NodeType: "worker"}})
	for i := range clusterNodes {
		name := registry.NodeName(fmt.Sprintf("w-%04d", i))
		c.do(registry.JoinNode{Name: name, Type: "worker", Address: "h:1", Boot: "0123456789abcdef"})
	}
	if p, err := c.state.Pool("p"); err != nil || p.EligibleCount != clusterNodes {
		panic(fmt.Sprintf("%+v, %v", p, err))
	}
	return c
})

func (c *cluster) do(cmd registry.Command) (registry.Result, registry.Position) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at.Index++
	result, err := c.state.Apply(registry.Stamp{Index: c.at.Index, Clock: registry.Millis(c.at.Index)}, cmd)
	if err != nil {
		panic(err)
	}
	return result, c.at
}

func (c *cluster) refusal(cmd registry.Command) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.state.Refuses(cmd)
}

// forget is what time does to sessions.
func (c *cluster) forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	snap := c.state.Snapshot()
	snap.Sessions = nil
	c.state, _ = registry.Restore(snap)
}

// turns is how many were taken.
func (c *cluster) turns(t *testing.T) int {
	cursors := c.cursors(t)
	if len(cursors) > 1 {
		t.Fatalf("cursors %v", cursors)
	}
	if len(cursors) == 0 {
		return 0
	}
	return cursors[0].Next
}

func (c *cluster) cursors(t *testing.T) []registry.Cursor {
	c.mu.Lock()
	defer c.mu.Unlock()
	cursors, err := c.state.Cursors("p")
	if err != nil {
		t.Fatal(err)
	}
	return cursors
}

func (c *cluster) open(r *replica) (*connect.Response[rotav1.OpenSessionResponse], error) {
	c.mu.Lock()
	c.opened++
	id := fmt.Sprintf("%032x", c.opened)
	c.mu.Unlock()
	_, at := c.do(registry.OpenSession{ID: registry.SessionID(id)})
	if r.lose != nil {
		if err := r.lose("OpenSession"); err != nil {
			return nil, err
		}
	}
	return respond(&rotav1.OpenSessionResponse{Session: id, Index: uint64(at.Index), ServedBy: r.name})
}

func (c *cluster) rr(r *replica, msg *rotav1.RrBatchRequest) (*connect.Response[rotav1.RrBatchResponse], error) {
	turns, err := wire.FromTurns(msg)
	if err != nil {
		return nil, err
	}
	cmd := registry.RoundRobin{Turns: turns}
	if r.refuses {
		if err := c.refusal(cmd); err != nil {
			return nil, wire.ToError(err)
		}
	}
	result, at := c.do(cmd)
	if r.lose != nil {
		if err := r.lose("RrBatch"); err != nil {
			return nil, err
		}
	}
	res := &rotav1.RrBatchResponse{Index: uint64(at.Index), Term: uint64(at.Term), ServedBy: r.name, Leader: c.leader}
	for i := range result.Turns {
		res.Turns = append(res.Turns, told(res, &result.Turns[i], at))
	}
	return respond(res)
}

// told puts a turn's answers into a response.
func told(res *rotav1.RrBatchResponse, turn *registry.TurnResult, at registry.Position) *rotav1.RrBatchResponse_Turn {
	if turn.Taken.Index != 0 {
		at = turn.Taken
	}
	out := &rotav1.RrBatchResponse_Turn{
		Count: uint32(turn.Count()), EmptyReason: turn.Reason.String(), Epoch: uint64(turn.Epoch), Index: uint64(at.Index), Term: uint64(at.Term),
	}
	if turn.Err != nil {
		out.Code, out.Error = turn.Err.Code.String(), turn.Err.Text
	}
	for _, a := range turn.Answers {
		out.Lap = append(out.Lap, uint32(len(res.GetChosen())))
		res.Chosen = append(res.Chosen, &rotav1.Chosen{Topic: a.Topic, Node: string(a.Node)})
	}
	return out
}

// loses loses the answers to a method, n times.
func loses(method string, n int, how func() error) func(string) error {
	var mu sync.Mutex
	return func(m string) error {
		mu.Lock()
		lost := m == method && n > 0
		if lost {
			n--
		}
		mu.Unlock()
		if !lost {
			return nil
		}
		return how()
	}
}

// ways are how an answer to what was done gets lost; the last one, until hung is
// closed.
func ways(e *edge, hung chan struct{}) map[string]func() error {
	return map[string]func() error{
		"the connection breaks":     func() error { e.cut(); return nil },
		"the replica does not know": func() error { return wire.ToError(registry.Errorf(registry.OutcomeUnknown, "lost")) },
		"a proxy says unavailable":  func() error { return connect.NewError(connect.CodeUnavailable, errPlain) },
		"the replica hangs":         func() error { <-hung; return nil },
	}
}

// A turn whose answer is lost is asked for again, of another replica, and is
// still one turn.
func TestALostAnswerIsAskedForAgain(t *testing.T) {
	for name := range ways(nil, nil) {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e, c := newEdge(t), newCluster(t)
				a, b := e.serve("a:1", &replica{cluster: c}), e.serve("b:1", &replica{cluster: c})
				hung := make(chan struct{})
				defer close(hung)
				a.lose = loses("RrBatch", 1, ways(e, hung)[name])
				cl := e.client(client.Options{}, "a:1", "b:1")
				got, err := cl.Pool("p").RR(t.Context(), "")
				if err != nil || got.Node != "w-0000" || got.ServedBy != "b" {
					t.Fatalf("got %+v, %v, want b's answer", got, err)
				}
				if c.turns(t) != 1 || got.Index != clusterNodes+3 {
					t.Errorf("%d turns were taken, the answer is from %d; want one, from %d", c.turns(t), got.Index, clusterNodes+3)
				}
				wantCalls(t, a, "OpenSession", "RrBatch")
				wantCalls(t, b, "RrBatch")
				if got, err = cl.Pool("p").RR(t.Context(), ""); err != nil || got.Node != "w-0001" {
					t.Errorf("the next one: %+v, %v", got, err)
				}
				if sent := b.last().message.(*rotav1.RrBatchRequest); sent.GetTurns()[0].GetSerial() != 2 || sent.GetFirstUnacked() != 2 {
					t.Errorf("the next one is %v, want serial 2 and all below acknowledged", sent)
				}
			})
		})
	}
}

// RRN and LogTopic go the same way: under one request to both replicas.
func TestEveryRoundRobinIsRepeatedUnderItsRequest(t *testing.T) {
	for _, m := range methods() {
		if !strings.HasPrefix(m.name, "Rr") {
			continue
		}
		synctest.Test(t, func(t *testing.T) {
			e := newEdge(t)
			a, b := e.serve("a:1", &replica{}), e.serve("b:1", &replica{})
			a.script = func(_ context.Context, method string) error {
				if method == m.name {
					e.cut()
				}
				return nil
			}
			given, err := m.call(t.Context(), e.client(client.Options{}, "a:1", "b:1"))
			if err != nil || given == nil {
				t.Errorf("%s: %v", m.name, err)
			}
			wantCalls(t, a, "OpenSession", m.name)
			wantCalls(t, b, m.name)
			first, second := a.last().message.(*rotav1.RrBatchRequest), b.last().message.(*rotav1.RrBatchRequest)
			if first.GetTurns()[0].GetSerial() != 1 || first.GetSession() == "" || !proto.Equal(first, second) {
				t.Errorf("%s: %v, then %v", m.name, first, second)
			}
		})
	}
}

// Many callers, three replicas that lose answers, and requests that never
// arrive: every call is one turn, and no two have the same.
func TestAStormOfLostAnswersTakesEachTurnOnce(t *testing.T) {
	const callers, each = 20, 20
	synctest.Test(t, func(t *testing.T) {
		e, c := newEdge(t), newCluster(t)
		random, mu := rand.New(rand.NewPCG(1, 2)), sync.Mutex{}
		lost := 0
		unlucky := func() bool {
			mu.Lock()
			defer mu.Unlock()
			if random.IntN(4) > 0 {
				return false
			}
			lost++
			return true
		}
		for _, address := range []string{"a:1", "b:1", "c:1"} {
			e.serve(address, &replica{
				cluster: c,
				script: func(context.Context, string) error {
					if unlucky() {
						return wire.ToError(registry.Errorf(registry.Unavailable, "no leader"))
					}
					return nil
				},
				lose: func(string) error {
					if unlucky() {
						return wire.ToError(registry.Errorf(registry.OutcomeUnknown, "lost"))
					}
					return nil
				},
			})
		}
		cl := e.client(client.Options{}, "a:1", "b:1", "c:1")
		nodes := make(map[registry.NodeName]bool)
		var all sync.WaitGroup
		for range callers {
			all.Go(func() {
				for range each {
					got, err := cl.Pool("p").RR(t.Context(), "")
					mu.Lock()
					if err != nil || nodes[got.Node] {
						t.Errorf("%+v, %v", got, err)
					}
					nodes[got.Node] = true
					mu.Unlock()
				}
			})
		}
		all.Wait()
		if c.turns(t) != callers*each || lost == 0 {
			t.Errorf("%d calls took %d turns; %d answers and requests were lost", callers*each, c.turns(t), lost)
		}
	})
}

// A session that is gone is no matter as long as nothing can have been done
// under it.
func TestAForgottenSessionIsRenewed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, c := newEdge(t), newCluster(t)
		a := e.serve("a:1", &replica{cluster: c})
		cl := e.client(client.Options{}, "a:1")
		for i := range 3 {
			got, err := cl.Pool("p").RR(t.Context(), "")
			if want := registry.NodeName(fmt.Sprintf("w-%04d", i)); err != nil || got.Node != want {
				t.Fatalf("got %+v, %v, want %s", got, err, want)
			}
			c.forget()
		}
		wantCalls(t, a, "OpenSession", "RrBatch", "RrBatch", "OpenSession", "RrBatch", "RrBatch", "OpenSession", "RrBatch")
	})
}

// What may have been done under a session that is gone is not done again.
func TestAForgottenSessionMakesWhatWasDoneUnknown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, c := newEdge(t), newCluster(t)
		a, b := e.serve("a:1", &replica{cluster: c}), e.serve("b:1", &replica{cluster: c})
		a.lose = loses("RrBatch", 1, func() error { c.forget(); e.cut(); return nil })
		cl := e.client(client.Options{}, "a:1", "b:1")
		_, err := cl.Pool("p").RR(t.Context(), "")
		wantCode(t, err, registry.OutcomeUnknown, `rr of pool "p"`, "session", "look before you ask again")
		if c.turns(t) != 1 {
			t.Errorf("%d turns were taken", c.turns(t))
		}
		wantCalls(t, b, "RrBatch")
		if got, err := cl.Pool("p").RR(t.Context(), ""); err != nil || got.Node != "w-0001" {
			t.Errorf("the next one: %+v, %v", got, err)
		}
	})
}

func TestAServerThatForgetsEverySessionIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, c := newEdge(t), newCluster(t)
		a := e.serve("a:1", &replica{cluster: c, lose: func(string) error { c.forget(); return nil }})
		_, err := e.client(client.Options{}, "a:1").Pool("p").RR(t.Context(), "")
		wantCode(t, err, registry.SessionUnknown)
		if n := len(a.got()); n != 8 {
			t.Errorf("it was asked %d times, want four sessions and a turn in each", n)
		}
	})
}

// A batch of a session is refused as a whole or not at all: no part of it is sent
// alone, and then finds the session gone when another part is done.
func TestABatchOfASessionIsNotSentInParts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, c := newEdge(t), newCluster(t)
		refusal := registry.Errorf(registry.Limit, "too much at once")
		refuse := loses("RrBatch", 1, func() error { c.forget(); return wire.ToError(refusal) })
		a := e.serve("a:1", &replica{cluster: c, script: func(_ context.Context, method string) error {
			if method == "OpenSession" {
				time.Sleep(time.Second) // all wait for it, and go together
			}
			return refuse(method)
		}})
		cl := e.client(client.Options{}, "a:1")
		var all sync.WaitGroup
		for i := range 4 {
			all.Go(func() {
				_, err := cl.Pool("p").RR(t.Context(), fmt.Sprint(i))
				wantCode(t, err, registry.Limit, "too much at once")
			})
		}
		all.Wait()
		wantCalls(t, a, "OpenSession", "RrBatch")
		if _, err := cl.Pool("p").RR(t.Context(), ""); err != nil {
			t.Errorf("the next one: %v", err)
		}
	})
}

// Opening is no turn: when its answer is lost another is opened, and when none
// can be, nothing was done.
func TestASessionThatCannotBeOpened(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, c := newEdge(t), newCluster(t)
		unknown := func() error { return wire.ToError(registry.Errorf(registry.OutcomeUnknown, "lost")) }
		a := e.serve("a:1", &replica{cluster: c, lose: loses("OpenSession", 1, unknown)})
		cl := e.client(client.Options{}, "a:1")
		if got, err := cl.Pool("p").RR(t.Context(), ""); err != nil || got.Node != "w-0000" {
			t.Fatalf("%+v, %v", got, err)
		}
		wantCalls(t, a, "OpenSession", "OpenSession", "RrBatch")

		e.serve("b:1", &replica{cluster: c, lose: loses("OpenSession", 1000, unknown)})
		_, err := e.client(client.Options{}, "b:1").Pool("p").RR(t.Context(), "")
		wantCode(t, err, registry.Unavailable, `session for rr of pool "p"`)
		if c.turns(t) != 1 {
			t.Errorf("%d turns were taken", c.turns(t))
		}
	})
}

// All callers wait for one session; who may not wait so long says so.
func TestOneSessionIsOpenedForAllWhoWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, c := newEdge(t), newCluster(t)
		a := e.serve("a:1", &replica{cluster: c, lose: loses("OpenSession", 1, func() error { time.Sleep(time.Second); return nil })})
		cl := e.client(client.Options{}, "a:1")
		var callers sync.WaitGroup
		for range 50 {
			callers.Go(func() {
				if _, err := cl.Pool("p").RR(t.Context(), ""); err != nil {
					t.Error(err)
				}
			})
		}
		synctest.Wait()
		short, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		_, err := cl.Pool("p").RR(short, "")
		wantCode(t, err, registry.Deadline, "nothing was done")
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v is not the context's", err)
		}
		callers.Wait()
		wantCalls(t, a, "OpenSession", "RrBatch")
		if c.opened != 1 || c.turns(t) != 50 {
			t.Errorf("%d sessions, %d turns; want 1, 50", c.opened, c.turns(t))
		}
	})
}

// Who opens the session for others may leave; then another one does.
func TestWhoOpensTheSessionMayLeave(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, c := newEdge(t), newCluster(t)
		hung := make(chan struct{})
		defer close(hung)
		e.serve("a:1", &replica{cluster: c, lose: loses("OpenSession", 1, func() error { <-hung; return nil })})
		cl := e.client(client.Options{}, "a:1")
		first, leave := context.WithCancel(t.Context())
		left := make(chan error, 1)
		go func() {
			_, err := cl.Pool("p").RR(first, "")
			left <- err
		}()
		synctest.Wait()
		done := make(chan error, 1)
		go func() {
			_, err := cl.Pool("p").RR(t.Context(), "")
			done <- err
		}()
		synctest.Wait()
		leave()
		if err := <-left; !errors.Is(err, context.Canceled) || registry.CodeOf(err) != registry.Deadline {
			t.Errorf("who left got %v", err)
		}
		if err := <-done; err != nil || c.turns(t) != 1 {
			t.Errorf("who stayed got %v, %d turns", err, c.turns(t))
		}
	})
}

func TestWithoutSessionsNoneIsOpened(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEdge(t)
		a := e.serve("a:1", &replica{})
		if _, err := e.client(client.Options{WithoutSessions: true}, "a:1").Pool("p").RR(t.Context(), ""); err != nil {
			t.Fatal(err)
		}
		wantCalls(t, a, "RrBatch")
		if sent := a.last().message.(*rotav1.RrBatchRequest); sent.GetSession() != "" || sent.GetTurns()[0].GetSerial() != 0 {
			t.Errorf("the request is %v", sent)
		}
	})
}

// What no state could take is refused before a session is opened for it: bad
// input costs no log entry.
func TestNoSessionIsOpenedForBadInput(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEdge(t)
		a := e.serve("a:1", &replica{})
		c := e.client(client.Options{}, "a:1")
		_, err := c.Pool("a b").RR(t.Context(), "")
		wantCode(t, err, registry.Invalid, `pool name "a b"`)
		_, err = c.Pool("p").RRN(t.Context(), "", 0)
		wantCode(t, err, registry.Invalid, "0 answers")
		_, err = c.LogTopic(t.Context(), "", "conn")
		wantCode(t, err, registry.Invalid, "log id is empty")
		wantCalls(t, a)
	})
}
