package client_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"

	"github.com/rota-registry/rota/registry"
	"github.com/rota-registry/rota/registry/hrw"
	"github.com/rota-registry/rota/registry/pace"
	"github.com/rota-registry/rota/rpc/client"
	rotav1 "github.com/rota-registry/rota/rpc/gen/rota/v1"
	"github.com/rota-registry/rota/rpc/wire"
)

// whose asks the state which node a key belongs to.
func (c *cluster) whose(pool string, k *rotav1.Key) (registry.Choice, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	keys, err := wire.FromKeys("key", []*rotav1.Key{k})
	if err != nil {
		return registry.Choice{}, err
	}
	return c.state.HRW(registry.PoolName(pool), keys[0])
}

func (c *cluster) owner(r *replica, msg *rotav1.HrwTopicRequest) (*connect.Response[rotav1.HrwTopicResponse], error) {
	choice, err := c.whose(msg.GetPool(), msg.GetKey())
	if err != nil {
		return nil, wire.ToError(err)
	}
	return respond(&rotav1.HrwTopicResponse{Topic: choice.Topic, Node: string(choice.Node), Epoch: uint64(choice.Epoch), Index: 7, ServedBy: r.name})
}

// keysOf gives the keys of either form.
func keysOf(msg *rotav1.HrwTopicsRequest) []*rotav1.Key {
	keys := msg.GetKeys()
	for _, s := range msg.GetStrings() {
		keys = append(keys, &rotav1.Key{Kind: &rotav1.Key_String_{String_: s}})
	}
	return keys
}

func (c *cluster) owners(r *replica, msg *rotav1.HrwTopicsRequest) (*connect.Response[rotav1.HrwTopicsResponse], error) {
	res := &rotav1.HrwTopicsResponse{Index: 7, ServedBy: r.name}
	for i, key := range keysOf(msg) {
		choice, err := c.whose(msg.GetPool(), key)
		if err != nil {
			return nil, wire.ToError(err)
		}
		res.Epoch = uint64(choice.Epoch)
		res.Chosen = append(res.Chosen, &rotav1.Chosen{Topic: choice.Topic, Node: string(choice.Node)})
		res.Picks = append(res.Picks, uint32(i))
	}
	return respond(res)
}

// gate lets requests of a method wait until it is opened.
type gate struct {
	method string
	open   chan struct{}
	gone   atomic.Int32 // callers who did not wait for it
}

func newGate(method string) *gate { return &gate{method: method, open: make(chan struct{})} }

// script is one of a replica that waits at the gate, or until the caller is gone.
func (g *gate) script(ctx context.Context, method string) error {
	if method != g.method {
		return nil
	}
	select {
	case <-g.open:
		return nil
	case <-ctx.Done():
	}
	select {
	case <-g.open: // whoever was cut off at the open gate has passed it
		return nil
	default:
		g.gone.Add(1)
		return wire.ToError(ctx.Err())
	}
}

// busy gives a client of the replica whose flights all wait at a gate; the
// calls that they carry are answered in the end.
func busy(t *testing.T, e *edge, r *replica, flights *sync.WaitGroup, call func(*client.Client) error) (*client.Client, *gate) {
	t.Helper()
	c := e.client(client.Options{}, "a:1")
	if _, err := c.Pool("p").RR(t.Context(), ""); err != nil { // opens the session
		t.Fatal(err)
	}
	g := newGate("RrBatch")
	r.script = g.script
	for range 2 {
		flights.Go(func() {
			if err := call(c); err != nil {
				t.Error(err)
			}
		})
		time.Sleep(pace.Slow) // before that, the second one waits for the first
		synctest.Wait()
	}
	return c, g
}

func turnOf(pool registry.PoolName) func(*client.Client) error {
	return func(c *client.Client) error {
		_, err := c.Pool(pool).RR(context.Background(), "")
		return err
	}
}

// What waits while others are on their way goes in one request: the calls of a
// cursor as one turn, in order, each log's as one, and what is refused of it is
// told to who asked for it.
func TestWhatWaitsGoesTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, all := newEdge(t), sync.WaitGroup{}
		a := e.serve("a:1", &replica{cluster: newCluster(t)})
		c, g := busy(t, e, a, &all, turnOf("p"))
		var got [6][]registry.NodeName
		for i := range got {
			n := 1 + i%3
			all.Go(func() {
				many, err := c.Pool("p").RRN(t.Context(), "", n)
				if err != nil || len(many.Each) != n {
					t.Errorf("%d answers to %d, %v", len(many.Each), n, err)
				}
				for _, one := range many.Each {
					got[i] = append(got[i], one.Node)
				}
			})
			synctest.Wait() // in this order
		}
		for range 2 {
			all.Go(func() {
				_, err := c.Pool("nowhere").RR(t.Context(), "")
				wantCode(t, err, registry.NotFound, `"nowhere"`)
			})
		}
		all.Go(func() {
			if log, err := c.LogTopic(t.Context(), "Conn::LOG", ""); err != nil || log.Topic != "zeek/logs/Conn::LOG" {
				t.Errorf("%+v, %v", log, err)
			}
		})
		synctest.Wait()
		close(g.open)
		all.Wait()
		var nodes []string
		for _, part := range got {
			for _, node := range part {
				nodes = append(nodes, string(node))
			}
		}
		if len(nodes) != 12 || !slices.IsSorted(nodes) || nodes[0] != "w-0003" || nodes[11] != "w-0014" {
			t.Errorf("they got %v, want the twelve from w-0003 on, in order", nodes)
		}
		sent := a.last().message.(*rotav1.RrBatchRequest)
		counts := map[string]uint32{}
		for i, turn := range sent.GetTurns() {
			counts[turn.GetPool()+turn.GetLogId()] = turn.GetCount()
			if turn.GetSerial() != sent.GetTurns()[0].GetSerial()+uint64(i) {
				t.Errorf("turn %d has serial %d in %v", i, turn.GetSerial(), sent)
			}
		}
		if len(sent.GetTurns()) != 3 || counts["p"] != 12 || counts["nowhere"] != 2 || counts["Conn::LOG"] != 0 {
			t.Errorf("sent %v, want 12 of p, 2 of nowhere and a log", sent)
		}
	})
}

// Who leaves the queue has done nothing; who leaves a batch that others wait for
// does not know; a batch that nobody waits for is broken off.
func TestLeaving(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, all, s := newEdge(t), sync.WaitGroup{}, newCluster(t)
		a := e.serve("a:1", &replica{cluster: s})
		c, g := busy(t, e, a, &all, turnOf("p"))
		short, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		_, err := c.Pool("p").RR(short, "")
		wantCode(t, err, registry.Deadline, `rr of pool "p"`, "nothing was done")
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v is not the context's", err)
		}
		within(t, start, time.Second, time.Second)
		close(g.open)
		all.Wait()
		if s.turns(t) != 3 {
			t.Errorf("%d turns were taken, want those of the three others", s.turns(t))
		}
	})
	synctest.Test(t, func(t *testing.T) {
		e, s := newEdge(t), newCluster(t)
		a := e.serve("a:1", &replica{cluster: s})
		g, both, leave := together(t, e, a, 2)
		leave()
		wantCode(t, <-both, registry.OutcomeUnknown, `rr of pool "p"`, "look before you ask again")
		close(g.open)
		if err := <-both; err != nil || s.turns(t) != 2 {
			t.Errorf("who stayed got %v; %d turns were taken, want both of the batch", err, s.turns(t))
		}
	})
	synctest.Test(t, func(t *testing.T) {
		e := newEdge(t)
		a := e.serve("a:1", &replica{cluster: newCluster(t)})
		g, one, leave := together(t, e, a, 1)
		leave()
		err := <-one
		wantCode(t, err, registry.OutcomeUnknown, "a:1")
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%v is not context.Canceled", err)
		}
		if synctest.Wait(); g.gone.Load() != 1 {
			t.Error("the request goes on, for nobody")
		}
	})
}

// together makes n calls that go in one batch, which waits at the gate; leave
// ends the first.
func together(t *testing.T, e *edge, r *replica, n int) (g *gate, done chan error, leave func()) {
	t.Helper()
	opening, g := newGate("OpenSession"), newGate("RrBatch")
	r.script = func(ctx context.Context, method string) error {
		return errors.Join(opening.script(ctx, method), g.script(ctx, method))
	}
	c := e.client(client.Options{}, "a:1")
	ctx, leave := context.WithCancel(t.Context())
	done = make(chan error, n)
	for i := range n {
		mine := t.Context()
		if i == 0 {
			mine = ctx
		}
		go func() {
			_, err := c.Pool("p").RR(mine, "")
			done <- err
		}()
	}
	synctest.Wait()
	close(opening.open)
	synctest.Wait()
	return g, done, leave
}

// The answers of a batch that may have been taken are not known to any of its
// calls; without a session it is not sent again.
func TestWithoutASessionABatchInDoubtIsUnknownToAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, s := newEdge(t), newCluster(t)
		a := e.serve("a:1", &replica{cluster: s})
		c := e.client(client.Options{WithoutSessions: true}, "a:1")
		g := newGate("RrBatch")
		a.script = g.script
		a.lose = func(string) error { e.cut(); return nil }
		var all sync.WaitGroup
		for range 20 {
			all.Go(func() {
				_, err := c.Pool("p").RR(t.Context(), "")
				wantCode(t, err, registry.OutcomeUnknown, `rr of pool "p"`)
			})
		}
		synctest.Wait()
		close(g.open)
		all.Wait()
		synctest.Wait()
		// Of a request that another one has cut off, connect decides whether it is
		// begun: it is taken or not, and nobody asks for it again.
		if n := len(a.got()); a.answers() != 20 || s.turns(t) < 1 || s.turns(t) > 20 || n > 6 {
			t.Errorf("%d turns were taken in %d requests for %d, want each of 20 asked for once", s.turns(t), n, a.answers())
		}
	})
}

// What is refused as a whole is asked for in parts, so that each call hears of
// its own pool; without a session a replica refuses what no turn can change.
func TestEachCallHearsItsOwnRefusal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEdge(t)
		a := e.serve("a:1", &replica{cluster: newCluster(t)})
		a.refuses = true
		c := e.client(client.Options{WithoutSessions: true}, "a:1")
		g := newGate("RrBatch")
		a.script = g.script
		var all sync.WaitGroup
		for i := range 12 {
			pool := registry.PoolName(fmt.Sprintf("n-%d", i))
			if i%5 == 4 {
				pool = "p"
			}
			all.Go(func() {
				if _, err := c.Pool(pool).RR(t.Context(), ""); pool != "p" {
					wantCode(t, err, registry.NotFound, fmt.Sprintf("%q", pool))
				} else if err != nil {
					t.Error(err)
				}
			})
		}
		synctest.Wait()
		close(g.open)
		all.Wait()
	})
}

// A batch whose replica hangs is sent to the next one when AttemptTimeout is
// over, with the serials that it had.
func TestABatchLeavesAHungReplica(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, s := newEdge(t), newCluster(t)
		a, b := e.serve("a:1", &replica{cluster: s}), e.serve("b:1", &replica{cluster: s})
		hung := make(chan struct{})
		defer close(hung)
		c := e.client(client.Options{}, "a:1", "b:1")
		if _, err := c.Pool("p").RR(t.Context(), ""); err != nil {
			t.Fatal(err)
		}
		a.script = func(context.Context, string) error { <-hung; return nil }
		start := time.Now()
		var all sync.WaitGroup
		for i := range 100 {
			all.Go(func() {
				if got, err := c.Pool("p").RR(t.Context(), ""); err != nil || got.ServedBy != "b" {
					t.Errorf("call %d got %+v, %v, want an answer of b", i, got, err)
				}
			})
		}
		all.Wait()
		within(t, start, 1500*time.Millisecond, 1500*time.Millisecond+pace.Slow)
		if s.turns(t) != 101 {
			t.Errorf("%d turns were taken, want 101", s.turns(t))
		}
		for _, sent := range a.batches()[1:] {
			if !slices.ContainsFunc(b.batches(), func(again *rotav1.RrBatchRequest) bool { return proto.Equal(sent, again) }) {
				t.Errorf("a was sent %v, and b was not", sent)
			}
		}
	})
}

// Keys go together that ask the same of the same pool, in a batch that has not
// been sent: what was acknowledged before the call is in its answer.
func TestKeysGoTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, s := newEdge(t), newCluster(t)
		a := e.serve("a:1", &replica{cluster: s})
		c := e.client(client.Options{}, "a:1")
		g := newGate("HrwTopic")
		a.script = g.script
		var all sync.WaitGroup
		ask := func(i int, opts ...client.ReadOption) {
			all.Go(func() {
				key := hrw.String(fmt.Sprintf("key %d", i))
				want, _ := s.whose("p", &rotav1.Key{Kind: &rotav1.Key_String_{String_: fmt.Sprintf("key %d", i)}})
				if got, err := c.Pool("p").HRW(t.Context(), key, opts...); err != nil || got.Node != want.Node || got.Topic != want.Topic {
					t.Errorf("key %d: %+v, %v, want %+v", i, got, err, want)
				}
			})
		}
		for i := range 2 {
			ask(i)
			time.Sleep(pace.Slow)
			synctest.Wait()
		}
		for i := range 50 {
			ask(i)
		}
		ask(50, client.Local())
		ask(51, client.AtLeast(5))
		all.Go(func() {
			_, err := c.Pool("nowhere").HRW(t.Context(), hrw.Count(1))
			wantCode(t, err, registry.NotFound, `"nowhere"`)
		})
		_, err := c.Pool("p").HRW(t.Context(), hrw.String(strings.Repeat("k", registry.KeyMax+1)))
		wantCode(t, err, registry.Limit, "4097 bytes")
		synctest.Wait()
		if n := a.answers(); n != 5 {
			t.Errorf("%d keys were asked for while two requests of the first kind are on their way, want those and one of each other kind", n)
		}
		leaving, leave := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, leave)
		_, err = c.Pool("p").HRW(leaving, hrw.Count(7))
		wantCode(t, err, registry.Deadline, `hrw of pool "p"`, "nothing was done")
		close(g.open)
		all.Wait()
		sent, _ := a.last().message.(*rotav1.HrwTopicsRequest)
		if len(sent.GetStrings()) != 50 || len(sent.GetKeys()) != 0 || !sent.GetIndexed() || sent.GetConsistency() != "linearizable" || a.answers() != 55 {
			t.Errorf("the 50 were sent as %v, of %d keys in all", sent, a.answers())
		}
	})
}

// A read that does not wait for its batch has had no answer, and that is all.
func TestLeavingABatchOfKeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, all := newEdge(t), sync.WaitGroup{}
		a := e.serve("a:1", &replica{cluster: newCluster(t)})
		c, g := e.client(client.Options{}, "a:1"), newGate("HrwTopic")
		many := newGate("HrwTopics")
		a.script = func(ctx context.Context, method string) error {
			return errors.Join(g.script(ctx, method), many.script(ctx, method))
		}
		ask := func(ctx context.Context, want registry.Code) {
			all.Go(func() {
				if _, err := c.Pool("p").HRW(ctx, hrw.Count(1)); want != 0 || err != nil {
					wantCode(t, err, want, `hrw of pool "p"`, "no answer")
				}
			})
			synctest.Wait()
		}
		ctx, leave := context.WithCancel(t.Context())
		for i := range 4 { // two alone, two in a batch
			if i < 3 {
				ask(t.Context(), 0)
			} else {
				ask(ctx, registry.Deadline)
			}
		}
		close(g.open)
		synctest.Wait()
		leave()
		synctest.Wait()
		close(many.open)
		all.Wait()
	})
}

// Close settles who waits and breaks off what is on its way; nobody is left.
func TestCloseSettlesAllCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEdge(t)
		e.hang("a:1")
		for _, opts := range []client.Options{{}, {WithoutSessions: true}} {
			c := e.client(opts, "a:1")
			var all sync.WaitGroup
			for i := range 50 {
				all.Go(func() {
					var err error
					if i%2 == 0 {
						_, err = c.Pool("p").RR(t.Context(), "")
					} else {
						_, err = c.Pool("p").HRW(t.Context(), hrw.Count(1))
					}
					if code := registry.CodeOf(err); code != registry.Deadline && (code != registry.OutcomeUnknown || !opts.WithoutSessions) {
						t.Errorf("%v", err)
					}
				})
			}
			synctest.Wait()
			start := time.Now()
			c.Close()
			all.Wait()
			_, err := c.Pool("p").RR(t.Context(), "")
			wantCode(t, err, registry.Unavailable, "closed")
			within(t, start, 0, 0)
		}
	})
}

// A batch that hangs keeps a session from being acknowledged any further. When
// that has no room left, it is left to that batch, and another one opened.
func TestAFullSessionIsLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, s := newEdge(t), newCluster(t)
		a := e.serve("a:1", &replica{cluster: s})
		c := e.client(client.Options{Timeout: 30 * time.Second, AttemptTimeout: 30 * time.Second}, "a:1")
		first := make(chan struct{})
		a.lose = loses("RrBatch", 1, func() error { <-first; return nil })
		var slow sync.WaitGroup
		slow.Go(func() {
			if got, err := c.Pool("p").RR(t.Context(), ""); err != nil || got.Node != "w-0000" {
				t.Errorf("the first one: %+v, %v", got, err)
			}
		})
		synctest.Wait()
		for i := range registry.OutstandingMax + 1 {
			got, err := c.Pool("p").RR(t.Context(), "")
			if want := registry.NodeName(fmt.Sprintf("w-%04d", (i+1)%clusterNodes)); err != nil || got.Node != want {
				t.Fatalf("call %d: %+v, %v, want %s", i, got, err, want)
			}
			if want := 1 + i/(registry.OutstandingMax-1); s.opened != want {
				t.Fatalf("call %d: %d sessions were opened, want %d", i, s.opened, want)
			}
		}
		close(first)
		slow.Wait()
	})
}

// Whatever the replicas do, every call returns by its deadline and a second more,
// and says no more than it can know.
func TestNoCallWaitsLongerThanItsDeadline(t *testing.T) {
	for _, opts := range []client.Options{{}, {WithoutSessions: true}, {AttemptTimeout: 100 * time.Millisecond}} {
		synctest.Test(t, func(t *testing.T) {
			e := newEdge(t)
			e.hang("a:1")
			e.hole("b:1")
			s := newCluster(t)
			e.serve("c:1", &replica{cluster: s, lose: func(string) error { return wire.ToError(registry.Errorf(registry.OutcomeUnknown, "lost")) }})
			c := e.client(opts, "a:1", "b:1", "c:1")
			var all sync.WaitGroup
			for i := range 300 {
				all.Go(func() {
					time.Sleep(time.Duration(i%97) * 50 * time.Millisecond)
					start, span := time.Now(), time.Duration(1+i*37%7000)*time.Millisecond
					ctx, cancel := context.WithTimeout(t.Context(), span)
					defer cancel()
					_, err := c.Pool("p").RR(ctx, fmt.Sprint(i%5))
					switch registry.CodeOf(err) {
					case registry.OutcomeUnknown, registry.Deadline, registry.Unavailable:
					default:
						t.Errorf("call %d: %v", i, err)
					}
					if took, most := time.Since(start), min(span, 5*time.Second)+time.Second; took > most {
						t.Errorf("call %d, which had %s, took %s", i, span, took)
					}
				})
			}
			all.Wait()
		})
	}
}
