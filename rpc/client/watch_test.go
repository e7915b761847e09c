package client_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rota-registry/rota/registry"
	"github.com/rota-registry/rota/registry/hrw"
	"github.com/rota-registry/rota/rpc/client"
	rotav1 "github.com/rota-registry/rota/rpc/gen/rota/v1"
	"github.com/rota-registry/rota/rpc/wire"
)

// watch begins one of p, which must succeed.
func watch(t *testing.T, c *client.Client) *client.WatchedPool {
	t.Helper()
	w, err := c.Pool("p").Watch(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.Close() })
	return w
}

// wantOwner checks whom the copy gives a key to, once all is quiet.
func wantOwner(t *testing.T, w *client.WatchedPool, node registry.NodeName, epoch registry.Epoch) client.Answer {
	t.Helper()
	synctest.Wait()
	a, err := w.HRW(hrw.String("k"))
	if err != nil || a.Node != node || a.Epoch != epoch {
		t.Fatalf("got %+v, %v, want %s at epoch %d", a, err, node, epoch)
	}
	return a
}

func wantAge(t *testing.T, w *client.WatchedPool, want time.Duration) {
	t.Helper()
	synctest.Wait()
	if age := w.Age(); age < want-time.Millisecond || age > want+200*time.Millisecond {
		t.Errorf("the copy is %v old, want %v", age, want)
	}
}

// wantAsked checks the epochs that streams of the replica were asked to go on
// from.
func wantAsked(t *testing.T, r *teller, want ...registry.Epoch) {
	t.Helper()
	got := []registry.Epoch{}
	for _, asked := range r.watches() {
		got = append(got, registry.Epoch(asked.GetAfterEpoch()))
	}
	if !slices.Equal(got, want) {
		t.Errorf("%s was asked for streams from epochs %v, want %v", r.name, got, want)
	}
}

func event(index registry.Index) *rotav1.WatchResponse {
	return &rotav1.WatchResponse{Index: uint64(index), Term: 2, ServedBy: "a"}
}

func whole(p *registry.PoolInfo) *rotav1.WatchResponse {
	e := event(registry.Index(p.Epoch))
	e.Pool, e.Reset_ = wire.ToPool(*p), true
	return e
}

func change(from, to *registry.PoolInfo) *rotav1.WatchResponse {
	e := event(registry.Index(to.Epoch))
	e.Change = wire.ToPoolChange(registry.DiffPools(*from, *to))
	return e
}

func TestAWatchedPoolAnswersWithoutAsking(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEdge(t)
		said := toldOf(poolAt(5, "w-1"))
		a := e.watchers(said, "a:1")[0]
		w := watch(t, e.client(client.Options{By: "ops"}, "a:1"))
		got := wantOwner(t, w, "w-1", 5)
		want := client.Answer{
			Topic: "t/w-1/", Node: "w-1", Epoch: 5,
			Served: client.Served{Position: registry.Position{Index: 5, Term: 2}, ServedBy: "a"},
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("another answer (-want +got):\n%s", diff)
		}
		said.add(6, poolAt(6, "w-2"))
		a.apply(6)
		wantOwner(t, w, "w-2", 6)
		said.add(7, poolAt(7))
		a.apply(7)
		if got := wantOwner(t, w, "", 7); got.EmptyReason != registry.NoMembers || got.Topic != "" {
			t.Errorf("of a pool without members: %+v", got)
		}
		wantCalls(t, a.replica, "GetPool")
		wantAsked(t, a, 5)
		if a.mu.by != "ops" || w.Name() != "p" || w.Epoch() != 7 || w.Err() != nil {
			t.Errorf("asked by %q; %q at epoch %d, %v", a.mu.by, w.Name(), w.Epoch(), w.Err())
		}
	})
}

// The first state is as fresh as a read: by default it is not the one of a
// replica that is behind.
func TestAWatchBeginsWithWhatWasAcknowledged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEdge(t)
		a := e.watchers(toldOf(poolAt(5, "w-1"), poolAt(6, "w-2")), "a:1")[0]
		a.mu.applied = 5
		c := e.client(client.Options{}, "a:1")
		late := time.AfterFunc(time.Second, func() { a.apply(6) })
		defer late.Stop()
		start := time.Now()
		wantOwner(t, watch(t, c), "w-2", 6)
		within(t, start, time.Second, time.Second)

		a.apply(5)
		w, err := c.Pool("p").Watch(t.Context(), client.Local())
		if err != nil {
			t.Fatal(err)
		}
		defer w.Close()
		wantOwner(t, w, "w-1", 5)
	})
}

func TestTheAgeOfACopy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEdge(t)
		a := e.watchers(toldOf(poolAt(5, "w-1")), "a:1")[0]
		w := watch(t, e.client(client.Options{}, "a:1"))
		wantAge(t, w, 0)
		time.Sleep(990 * time.Millisecond)
		wantAge(t, w, 990*time.Millisecond)
		if got, err := w.HRW(hrw.String("k")); err != nil || got.Age != 990*time.Millisecond {
			t.Errorf("%v, an answer is %v old, want 990ms", err, got.Age)
		}
		time.Sleep(20 * time.Millisecond) // a sign of life
		wantAge(t, w, 10*time.Millisecond)
		a.set(func() { a.mu.stale = 1500 * time.Millisecond }) // the leader is lost
		wantAge(t, w, 10*time.Millisecond)                     // this was known then
		for n := range 20 {
			time.Sleep(time.Second)
			a.set(func() { a.mu.stale += time.Second })
			wantAge(t, w, time.Duration(n+1)*time.Second)
			wantOwner(t, w, "w-1", 5)
		}
		a.set(func() { a.mu.stale = 0 })
		wantAge(t, w, 0)
		wantAsked(t, a, 5)
	})
}

// A replica that is cut off from the others is left for one that need not be.
func TestAReplicaWithoutALeaderIsLeftForAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEdge(t)
		all := e.watchers(toldOf(poolAt(5, "w-1")), "a:1", "b:1")
		w := watch(t, e.client(client.Options{}, "a:1", "b:1"))
		all[0].set(func() { all[0].mu.stale = 5001 * time.Millisecond })
		time.Sleep(5 * time.Second)
		wantAsked(t, all[1])
		time.Sleep(1200 * time.Millisecond)
		wantAsked(t, all[0], 5)
		wantAsked(t, all[1], 5)
		if age := w.Age(); age > time.Second {
			t.Errorf("the copy is %v old with a good replica there", age)
		}
		all[1].set(func() { all[1].mu.stale = time.Minute }) // no quorum anywhere
		time.Sleep(time.Minute)
		if streams := len(all[0].watches()) + len(all[1].watches()); streams < 8 || streams > 14 {
			t.Errorf("%d streams in a minute, want one each 5 s or so", streams)
		}
		wantOwner(t, w, "w-1", 5)
	})
}

// The ways in which a stream ends, and how long until the next replica tells.
func TestAStreamThatBreaksGoesOnElsewhere(t *testing.T) {
	for name, test := range map[string]struct {
		breaks func(e *edge, a *teller)
		most   time.Duration
	}{
		"connection broken": {func(e *edge, _ *teller) { e.cut() }, 0},
		"process killed":    {func(e *edge, _ *teller) { e.down("a:1") }, 0},
		"ended":             {nil, 0},
		"unavailable":       {nil, 0},
		"hung":              {nil, 3 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e := newEdge(t)
				said := toldOf(poolAt(5, "w-1"))
				all := e.watchers(said, "a:1", "b:1")
				end := make(chan error)
				all[0].script = func(ctx context.Context, _ *rotav1.WatchRequest, send sender) error {
					if err := send(event(5)); err != nil || name == "hung" {
						<-ctx.Done()
						return err
					}
					return <-end
				}
				w := watch(t, e.client(client.Options{}, "a:1", "b:1"))
				wantOwner(t, w, "w-1", 5)
				said.add(6, poolAt(6, "w-2"))
				said.add(7, poolAt(7, "w-3"))
				all[1].apply(7)
				switch name {
				case "ended":
					end <- nil
				case "unavailable":
					end <- wire.ToError(registry.Errorf(registry.Unavailable, "it is stopping"))
				case "hung":
				default:
					test.breaks(e, all[0])
					close(end)
				}
				synctest.Wait()
				wantOwner(t, w, "w-1", 5)
				if err := w.Err(); name != "hung" && (registry.CodeOf(err) != registry.Unavailable || err == nil) {
					t.Errorf("between two streams: %v, want unavailable", err)
				}
				time.Sleep(test.most + 100*time.Millisecond)
				wantOwner(t, w, "w-3", 7)
				wantAsked(t, all[1], 5)
				if err := w.Err(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// With no replica there the copy answers on, and says why it ages.
func TestACopyOutlivesItsReplicas(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEdge(t)
		said := toldOf(poolAt(5, "w-1"))
		e.watchers(said, "a:1")
		w := watch(t, e.client(client.Options{}, "a:1"))
		e.down("a:1")
		time.Sleep(time.Minute)
		if a := wantOwner(t, w, "w-1", 5); a.Age != time.Minute {
			t.Errorf("the answer is %v old, want a minute", a.Age)
		}
		wantCode(t, w.Err(), registry.Unavailable, `watch of pool "p"`, "a:1", "refused")
		if len(e.dials) > 1000 {
			t.Errorf("dialled %d times in a minute", len(e.dials))
		}
		said.add(6, poolAt(6, "w-2"))
		a := e.watchers(said, "a:1")[0]
		time.Sleep(3 * time.Second)
		wantOwner(t, w, "w-2", 6)

		time.Sleep(5 * time.Second)
		e.cut() // the first break of a stream that held is not the last of many
		time.Sleep(100 * time.Millisecond)
		synctest.Wait()
		wantAsked(t, a, 5, 6)
	})
}

// A change that fits nothing is not taken: the whole pool is asked for.
func TestAGapIsClosedByTheWholePool(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEdge(t)
		a := e.watchers(toldOf(poolAt(5, "w-1")), "a:1")[0]
		five, six, seven, eight := poolAt(5, "w-1"), poolAt(6, "w-2"), poolAt(7, "w-3"), poolAt(8, "w-4")
		a.script = func(ctx context.Context, asked *rotav1.WatchRequest, send sender) error {
			events := []*rotav1.WatchResponse{event(5), change(five, six), change(seven, eight)}
			switch len(a.watches()) {
			case 1:
			case 2: // not what was asked for
				events = events[:1]
			default:
				events = []*rotav1.WatchResponse{whole(eight)}
			}
			for _, e := range events {
				if err := send(e); err != nil {
					return err
				}
			}
			<-ctx.Done()
			return ctx.Err()
		}
		w := watch(t, e.client(client.Options{}, "a:1"))
		wantOwner(t, w, "w-2", 6)
		time.Sleep(time.Second)
		wantOwner(t, w, "w-4", 8)
		wantAsked(t, a, 5, 0, 0)
	})
}

// After a gap a replica is not asked at the copy's epoch; so one that knows no such
// pool may be from before it, and is asked again at that epoch.
func TestAReplicaFromBeforeThePoolRemovesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEdge(t)
		all := e.watchers(toldOf(poolAt(5, "w-1")), "a:1", "b:1")
		five, six, seven, eight := poolAt(5, "w-1"), poolAt(6, "w-2"), poolAt(7, "w-3"), poolAt(8, "w-4")
		arrived := make(chan struct{})
		tell := func(ctx context.Context, send sender, events ...*rotav1.WatchResponse) error {
			for _, e := range events {
				if err := send(e); err != nil {
					return err
				}
			}
			<-ctx.Done()
			return ctx.Err()
		}
		script := func(ctx context.Context, asked *rotav1.WatchRequest, send sender) error {
			if len(all[0].watches())+len(all[1].watches()) == 1 {
				return tell(ctx, send, event(5), change(five, six), change(seven, eight))
			}
			if asked.GetAfterEpoch() == 0 {
				return wire.ToError(notThere())
			}
			select { // a replica that is behind waits
			case <-arrived:
				return tell(ctx, send, whole(eight))
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		all[0].script, all[1].script = script, script
		w := watch(t, e.client(client.Options{}, "a:1", "b:1"))
		time.Sleep(time.Second)
		wantOwner(t, w, "w-2", 6)
		close(arrived)
		time.Sleep(10 * time.Second)
		wantOwner(t, w, "w-4", 8)
	})
}

// A server that had to drop changes sends the whole pool in their place.
func TestASlowWatchIsReset(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEdge(t)
		a := e.watchers(toldOf(poolAt(5, "w-1")), "a:1")[0]
		a.script = func(ctx context.Context, _ *rotav1.WatchRequest, send sender) error {
			for _, e := range []*rotav1.WatchResponse{event(5), whole(poolAt(9, "w-9")), change(poolAt(9, "w-9"), poolAt(10, "w-1"))} {
				if err := send(e); err != nil {
					return err
				}
			}
			<-ctx.Done()
			return ctx.Err()
		}
		wantOwner(t, watch(t, e.client(client.Options{}, "a:1")), "w-1", 10)
		wantAsked(t, a, 5)
	})
}

// State from before is not taken, wherever it comes from.
func TestAReplicaThatIsBehindIsLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEdge(t)
		all := e.watchers(toldOf(poolAt(5, "w-1"), poolAt(6, "w-2")), "a:1", "b:1")
		all[0].script = func(ctx context.Context, _ *rotav1.WatchRequest, send sender) error {
			if err := send(whole(poolAt(5, "w-1"))); err != nil {
				return err
			}
			<-ctx.Done()
			return ctx.Err()
		}
		w := watch(t, e.client(client.Options{}, "a:1", "b:1"))
		wantOwner(t, w, "w-2", 6)
		wantAsked(t, all[0], 6)
		wantAsked(t, all[1], 6)
	})
}

func TestAPoolThatIsRemovedAndComesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEdge(t)
		said := toldOf(poolAt(5, "w-1"))
		all := e.watchers(said, "a:1", "b:1")
		a := all[0]
		w := watch(t, e.client(client.Options{}, "a:1", "b:1"))
		said.add(6, nil)
		a.apply(6)
		synctest.Wait()
		wantGone := func() {
			t.Helper()
			_, err := w.HRW(hrw.String("k"))
			wantCode(t, err, registry.NotFound, `pool "p"`)
			_, err = w.Rank(hrw.String("k"), 1)
			wantCode(t, err, registry.NotFound)
			_, err = w.Info()
			wantCode(t, err, registry.NotFound)
			_, err = w.HRWWithin(t.Context(), hrw.String("k"), 5*time.Second)
			wantCode(t, err, registry.NotFound)
			wantCode(t, w.Err(), registry.NotFound)
			if mine, _ := w.As("w-1").IsMine(hrw.String("k")); mine {
				t.Error("a key of no pool is someone's")
			}
		}
		wantGone()
		time.Sleep(time.Minute)
		wantGone()
		if n := len(a.watches()); n < 20 || n > 120 {
			t.Errorf("asked %d times in a minute whether the pool is back", n)
		}
		e.down("a:1") // and b, which has not heard of the removal, still tells of it
		time.Sleep(10 * time.Second)
		if len(all[1].watches()) == 0 {
			t.Error("b was never asked")
		}
		_, err := w.HRW(hrw.String("k"))
		wantCode(t, err, registry.NotFound)
		said.add(9, poolAt(9, "w-1"))
		all[1].apply(9)
		time.Sleep(3 * time.Second)
		wantOwner(t, w, "w-1", 9)
	})
}

func TestHRWWithinAsksWhenTheCopyIsTooOld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEdge(t)
		a := e.watchers(toldOf(poolAt(5, "w-1")), "a:1")[0]
		a.script = func(ctx context.Context, _ *rotav1.WatchRequest, send sender) error {
			if err := send(event(5)); err != nil {
				return err
			}
			<-ctx.Done()
			return ctx.Err()
		}
		w := watch(t, e.client(client.Options{Consistency: registry.Local}, "a:1"))
		time.Sleep(2 * time.Second)
		key := hrw.String("k")
		if got, err := w.HRWWithin(t.Context(), key, 2*time.Second); err != nil || got.Node != "w-1" || got.Age != 2*time.Second {
			t.Errorf("%+v, %v, want the copy's answer", got, err)
		}
		for want, opts := range map[string][]client.ReadOption{"linearizable": nil, "at_least": {client.AtLeast(7)}} {
			got, err := w.HRWWithin(t.Context(), key, 2*time.Second-1, opts...)
			sent, _ := a.last().message.(*rotav1.HrwTopicRequest)
			if err != nil || got.Node != "called" || sent.GetConsistency() != want {
				t.Errorf("%+v, %v, want a call's answer, %s", got, err, want)
			}
		}
		e.down("a:1")
		_, err := w.HRWWithin(t.Context(), key, time.Second)
		wantCode(t, err, registry.Unavailable, `hrw of pool "p"`)
	})
}

func TestAWatchThatCannotBegin(t *testing.T) {
	overloaded := func(context.Context, *rotav1.WatchRequest, sender) error {
		return wire.ToError(registry.Errorf(registry.Overloaded, "there are 1024 watchers"))
	}
	for name, test := range map[string]struct {
		prepare func(e *edge)
		code    registry.Code
		texts   []string
		most    time.Duration
	}{
		"no such pool": {
			func(e *edge) { e.watchers(&chronicle{}, "a:1", "b:1") },
			registry.NotFound,
			[]string{`pool "p"`},
			0,
		},
		"removed just then": {
			func(e *edge) {
				e.watchers(toldOf(poolAt(5)), "a:1")[0].script = func(context.Context, *rotav1.WatchRequest, sender) error {
					return wire.ToError(notThere())
				}
			},
			registry.NotFound,
			[]string{`pool "p"`},
			0,
		},
		"no replica": {
			func(*edge) {}, registry.Unavailable, []string{`watch of pool "p"`, "a:1, b:1"}, 5 * time.Second,
		},
		"hung replicas": {
			func(e *edge) { e.hang("a:1"); e.hang("b:1") },
			registry.Deadline,
			[]string{`watch of pool "p"`, "a:1, b:1"},
			5 * time.Second,
		},
		"too many watchers": {
			func(e *edge) {
				for _, w := range e.watchers(toldOf(poolAt(5)), "a:1", "b:1") {
					w.script = overloaded
				}
			},
			registry.Overloaded,
			[]string{"1024 watchers"},
			5 * time.Second,
		},
		"an earlier release": {
			func(e *edge) {
				e.watchers(toldOf(poolAt(5)), "a:1")[0].script = func(context.Context, *rotav1.WatchRequest, sender) error {
					return wire.ToError(registry.Errorf(registry.Unimplemented, "Watch is not there yet"))
				}
			},
			registry.Unimplemented,
			[]string{"Watch"},
			0,
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e := newEdge(t)
				test.prepare(e)
				start := time.Now()
				_, err := e.client(client.Options{}, "a:1", "b:1").Pool("p").Watch(t.Context())
				wantCode(t, err, test.code, test.texts...)
				within(t, start, 0, test.most)
			})
		})
	}
}

// A replica that has too many watchers is not the only one.
func TestAWatchBeginsAtAnotherReplica(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEdge(t)
		all := e.watchers(toldOf(poolAt(5, "w-1")), "a:1", "b:1")
		all[0].script = func(context.Context, *rotav1.WatchRequest, sender) error {
			return wire.ToError(registry.Errorf(registry.Overloaded, "there are 1024 watchers"))
		}
		wantOwner(t, watch(t, e.client(client.Options{}, "a:1", "b:1")), "w-1", 5)
	})
}

// The context bounds the start, not the watch.
func TestTheContextOfAWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEdge(t)
		e.hang("a:1")
		c := e.client(client.Options{}, "a:1", "b:1")
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		start := time.Now()
		_, err := c.Pool("p").Watch(ctx)
		wantCode(t, err, registry.Deadline)
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v is not context.DeadlineExceeded", err)
		}
		within(t, start, time.Second, time.Second)
		cancel()

		said := toldOf(poolAt(5, "w-1"))
		b := e.watchers(said, "b:1")[0]
		ctx, cancel = context.WithCancel(t.Context())
		w, err := c.Pool("p").Watch(ctx)
		if err != nil {
			t.Fatal(err)
		}
		defer w.Close()
		cancel()
		said.add(6, poolAt(6, "w-2"))
		b.apply(6)
		wantOwner(t, w, "w-2", 6)
		wantAsked(t, b, 5)
	})
}

// A goroutine that is left behind would panic the bubble.
func TestCloseEndsAWatch(t *testing.T) {
	for name, end := range map[string]func(*client.Client, *client.WatchedPool) error{
		"the watch":  func(_ *client.Client, w *client.WatchedPool) error { return w.Close() },
		"the client": func(c *client.Client, _ *client.WatchedPool) error { return c.Close() },
	} {
		for _, there := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, replica there: %v", name, there), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					e := newEdge(t)
					e.watchers(toldOf(poolAt(5, "w-1")), "a:1")
					c := e.client(client.Options{}, "a:1")
					w := watch(t, c)
					if !there {
						e.down("a:1")
						time.Sleep(time.Second)
					}
					changes := make(chan int)
					go func() {
						n := 0
						for range w.Changes(t.Context()) {
							n++
						}
						changes <- n
					}()
					stop := w.As("w-1").Follow(client.ShareEvents{OnGain: func(client.ShareChange) {}})
					synctest.Wait()
					start := time.Now()
					for range 2 {
						if err := end(c, w); err != nil {
							t.Error(err)
						}
					}
					if n := <-changes; n != 1 {
						t.Errorf("%d changes, want the first", n)
					}
					_, err := w.HRW(hrw.String("k"))
					wantCode(t, err, registry.Unavailable, "closed", "Watch")
					_, err = w.HRWWithin(t.Context(), hrw.String("k"), 0)
					wantCode(t, err, registry.Unavailable, "closed")
					wantCode(t, w.Err(), registry.Unavailable)
					stop()
					w.As("w-1").Follow(client.ShareEvents{OnGain: func(client.ShareChange) { t.Error("called after Close") }})()
					for range w.Changes(t.Context()) {
						t.Error("a change after Close")
					}
					within(t, start, 0, 0)
				})
			})
		}
	}
	c, err := client.Dial([]string{"a:1"}, client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
	_, err = c.Pool("p").Watch(t.Context())
	wantCode(t, err, registry.Unavailable, "closed")
}

// Many watches of one Client share its connection and its clock.
func TestManyWatchesOfOneClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEdge(t)
		said := toldOf(poolAt(5, "w-1"))
		a := e.watchers(said, "a:1")[0]
		c := e.client(client.Options{}, "a:1")
		all := make([]*client.WatchedPool, 20)
		for i := range all {
			all[i] = watch(t, c)
		}
		all[0].Close()
		said.add(6, poolAt(6, "w-2"))
		a.apply(6)
		time.Sleep(500 * time.Millisecond)
		for _, w := range all[1:] {
			if a := wantOwner(t, w, "w-2", 6); a.Age != 500*time.Millisecond {
				t.Errorf("the copy is %v old, want 500ms", a.Age)
			}
		}
		if len(e.dials) != 1 {
			t.Errorf("dialled %v, want once", e.dials)
		}
	})
}
