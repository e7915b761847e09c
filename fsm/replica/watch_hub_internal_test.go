package replica

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/rota-registry/rota/fsm"
	"github.com/rota-registry/rota/registry"
)

// told is a hub on a state that is fed each entry as it comes.
type told struct {
	t     *testing.T
	h     hub
	state *registry.State
	at    registry.Position
	now   time.Duration
	last  watcherID
}

// newTold has the nodes w-1 and w-2 in the pool worker, at index 2.
func newTold(t *testing.T) *told {
	w := &told{t: t, h: newHub(), state: registry.NewState()}
	w.misses(joins("w-1"))
	w.misses(joins("w-2"))
	w.lose()
	return w
}

func joins(name registry.NodeName) registry.JoinNode {
	return registry.JoinNode{Name: name, Type: "worker", Address: "h:1", Boot: registry.BootID(strings.Repeat("1", registry.BootIDLen))}
}

// misses applies a command that the hub does not hear of.
func (w *told) misses(cmd registry.Command) {
	w.t.Helper()
	w.at.Index++
	if _, err := w.state.Apply(registry.Stamp{Index: w.at.Index}, cmd); err != nil {
		w.t.Fatal(err)
	}
}

// do applies a command and tells the hub.
func (w *told) do(cmd registry.Command) {
	w.t.Helper()
	w.misses(cmd)
	view := w.state.View
	step := fsm.Step{View: &view, At: w.at}
	w.h.advance(fsm.Trail{Steps: []fsm.Step{step}, Now: step}, w.now)
}

// lose lets the hub know what is, and nothing of how it came about.
func (w *told) lose() {
	view := w.state.View
	w.h.advance(fsm.Trail{Lost: true, Now: fsm.Step{View: &view, At: w.at}}, w.now)
}

// reports says that a node is gone or back, which for one that drains is no new
// epoch.
func (w *told) reports(name registry.NodeName, state registry.NodeState) {
	n, _ := w.state.Node(name)
	w.do(registry.ReportLiveness{By: "r1", Changes: []registry.Liveness{{Name: name, Boot: n.Boot, State: state, Since: n.Since}}})
}

func (w *told) arrive(pool registry.PoolName, after registry.Epoch) watcherID {
	w.t.Helper()
	w.last++
	if err := w.h.arrive(w.last, pool, after); err != nil {
		w.t.Fatal(err)
	}
	return w.last
}

// takes wants a watcher to be told just this: "whole 4", "reset 4", "change 3-4"
// or "alive" with the index, and the epochs otherwise.
func (w *told) takes(id watcherID, want ...string) {
	w.t.Helper()
	var got []string
	for {
		e, ok, err := w.h.take(w.now, id)
		switch {
		case err != nil:
			got = append(got, registry.CodeOf(err).String())
		case !ok:
		case e.Change != nil:
			got = append(got, fmt.Sprintf("change %d-%d", e.Change.From, e.Change.Pool.Epoch))
		case e.Pool == nil:
			got = append(got, fmt.Sprintf("alive %d", e.Index))
		case e.Reset:
			got = append(got, fmt.Sprintf("reset %d", e.Pool.Epoch))
		default:
			got = append(got, fmt.Sprintf("whole %d", e.Pool.Epoch))
		}
		if !ok {
			break
		}
	}
	if strings.Join(got, ", ") != strings.Join(want, ", ") {
		w.t.Errorf("watcher %d at index %d is told %q, want %q", id, w.at.Index, got, want)
	}
}

func TestWatcherIsToldEachChange(t *testing.T) {
	w := newTold(t)
	id := w.arrive("worker", 0)
	w.takes(id, "whole 2")
	w.do(joins("w-3"))
	w.do(registry.AddNode{Name: "p-1", Type: "proxy"})
	w.do(joins("w-4"))
	w.takes(id, "change 2-3", "change 3-5")
	w.takes(id)
	w.h.beat(w.now)
	w.h.beat(w.now)
	w.takes(id, "alive 5")
}

// Where nobody has watched: what is asked for is what there is, or it is not
// known what lies between.
func TestWatcherComesToWhereNobodyWatched(t *testing.T) {
	w := newTold(t)
	w.takes(w.arrive("worker", 2), "alive 2")
	w.takes(w.arrive("proxy", 1), "reset 0")
	w = newTold(t)
	w.takes(w.arrive("worker", 1), "reset 2")
}

// Within an epoch a draining node dies: the epoch alone does not say who has it.
func TestWatcherComesInTheMiddleOfAnEpoch(t *testing.T) {
	w := newTold(t)
	w.do(registry.DrainNode{Name: "w-2", Draining: true})
	first := w.arrive("worker", 3)
	w.takes(first, "alive 3")
	w.reports("w-2", registry.Failed)
	w.takes(first, "change 3-3")
	w.reports("w-2", registry.Alive)
	w.takes(first, "change 3-3")
	w.takes(w.arrive("worker", 3), "change 3-3", "change 3-3", "alive 5")
	w.takes(w.arrive("worker", 2), "reset 3")
	w.do(joins("w-3"))
	w.takes(w.arrive("worker", 3), "change 3-3", "change 3-3", "change 3-6", "alive 6")

	unwatched := newTold(t)
	unwatched.do(registry.DrainNode{Name: "w-2", Draining: true})
	unwatched.reports("w-2", registry.Failed)
	unwatched.takes(unwatched.arrive("worker", 3), "whole 3")
}

// What is forgotten of an epoch may be just what a watcher lacks.
func TestWatcherLacksTheOldestOfAnEpoch(t *testing.T) {
	w := newTold(t)
	w.do(registry.DrainNode{Name: "w-2", Draining: true})
	w.h.changesMax = 1
	w.arrive("worker", 0)
	w.reports("w-2", registry.Failed)
	w.takes(w.arrive("worker", 3), "change 3-3", "alive 4")
	w.reports("w-2", registry.Alive)
	w.takes(w.arrive("worker", 3), "whole 3")
	w.do(joins("w-3"))
	w.takes(w.arrive("worker", 3), "reset 6")
	w.do(joins("w-4"))
	w.takes(w.arrive("worker", 6), "change 6-7", "alive 7")
}

func TestSlowWatcherIsReset(t *testing.T) {
	w := newTold(t)
	w.h.changesMax = 3
	slow, slower := w.arrive("worker", 0), w.arrive("worker", 0)
	w.takes(slow, "whole 2")
	w.takes(slower, "whole 2")
	for i := range 3 {
		w.do(joins(registry.NodeName(fmt.Sprintf("w-%d", 3+i))))
	}
	w.takes(slow, "change 2-3", "change 3-4", "change 4-5")
	w.do(joins("w-6"))
	w.takes(slow, "change 5-6")
	w.takes(slower, "reset 6")
}

// A snapshot, or a machine that was faster than its follower.
func TestWatchersLose(t *testing.T) {
	w := newTold(t)
	w.do(registry.AddNode{Name: "p-1", Type: "proxy"})
	worker, proxy, slow := w.arrive("worker", 0), w.arrive("proxy", 0), w.arrive("worker", 2)
	w.takes(worker, "whole 2")
	w.takes(proxy, "whole 3")
	w.do(joins("w-3"))
	w.takes(worker, "change 2-4")
	w.misses(joins("w-4"))
	w.misses(joins("w-5"))
	w.lose()
	w.takes(worker, "reset 6")
	w.takes(slow, "reset 6")
	w.takes(proxy)
	w.takes(w.arrive("worker", 6), "alive 6")
	w.takes(w.arrive("worker", 4), "reset 6")
	w.do(registry.DrainNode{Name: "w-5", Draining: true})
	w.takes(worker, "change 6-7")

	// Within an epoch the last of what was lost says it all.
	n, _ := w.state.Node("w-5")
	w.misses(registry.LeaveNode{Name: "w-5", Boot: n.Boot})
	w.lose()
	w.takes(worker, "change 7-7")
}

func TestWatchedPoolIsRemoved(t *testing.T) {
	w := newTold(t)
	if err := w.h.arrive(9, "p", 0); !errors.Is(err, registry.ErrNotFound) {
		t.Errorf("no such pool: %v", err)
	}
	w.do(registry.RegisterPool{Spec: registry.Spec{Name: "p", NodeType: "worker"}})
	id := w.arrive("p", 0)
	w.takes(id, "whole 3")
	w.do(registry.UnregisterPool{Name: "p"})
	w.do(registry.RegisterPool{Spec: registry.Spec{Name: "p", NodeType: "worker"}})
	w.takes(id, "not_found")
	w.takes(id, "not_found")
	w.takes(w.arrive("p", 3), "reset 5")
	w.h.leave(w.now, id)
}

func TestPoolIsFollowedForAWhile(t *testing.T) {
	w := newTold(t)
	id := w.arrive("worker", 0)
	w.takes(id, "whole 2")
	w.h.leave(w.now, id)
	w.now += followedFor - 1
	w.h.beat(w.now)
	w.do(joins("w-3"))
	id = w.arrive("worker", 2)
	w.takes(id, "change 2-3", "alive 3")
	w.h.leave(w.now, id)
	w.now += followedFor
	w.h.beat(w.now)
	if !w.h.rest() || w.h.view != nil {
		t.Errorf("nobody came back, and the hub holds on to %d pools", len(w.h.pools))
	}
}

// The age of an event is counted from when the replica last knew that nothing
// had come after it.
func TestWatcherIsToldHowOldItIs(t *testing.T) {
	w := newTold(t)
	age := func(id watcherID, want time.Duration) {
		t.Helper()
		if e, ok, err := w.h.take(w.now, id); !ok || err != nil || e.Age != registry.Millis(want.Milliseconds()) {
			t.Errorf("%+v, %t, %v; want age %s", e, ok, err, want)
		}
	}
	id := w.arrive("worker", 0)
	w.now = 70 * time.Millisecond
	age(id, w.now)
	w.do(joins("w-3"))
	w.now += time.Second
	w.h.beat(w.now)
	age(id, time.Second)
	age(id, time.Second)
}

func TestWatchersMax(t *testing.T) {
	w := newTold(t)
	for range registry.WatchersMax {
		w.arrive("worker", 0)
	}
	if err := w.h.arrive(0, "worker", 0); !errors.Is(err, registry.ErrOverloaded) {
		t.Errorf("one more than may be: %v", err)
	}
	w.h.leave(w.now, 1)
	w.arrive("worker", 0)
}

func TestWatchHistoryHasBounds(t *testing.T) {
	w := newTold(t)
	first := w.arrive("worker", 0)
	w.takes(first, "whole 2")
	flip := func(n int) {
		for range n {
			w.do(registry.DrainNode{Name: "w-1", Draining: !draining(w.state, "w-1")})
		}
	}
	flip(registry.WatchChangesMax)
	if got := w.h.order.Len(); got != registry.WatchChangesMax || w.h.members != got {
		t.Errorf("%d changes with %d members are remembered", got, w.h.members)
	}
	if _, ok := w.h.pools["worker"].resume(2); !ok {
		t.Error("the oldest is forgotten at the bound")
	}
	flip(1)
	if _, ok := w.h.pools["worker"].resume(2); ok || w.h.order.Len() != registry.WatchChangesMax {
		t.Error("one past the bound the oldest is remembered")
	}

	w.h.membersMax = w.h.members - 5
	flip(1)
	if w.h.members != w.h.membersMax || w.h.order.Len() != w.h.membersMax {
		t.Errorf("%d members are remembered, %d may be", w.h.members, w.h.membersMax)
	}
}

func draining(s *registry.State, name registry.NodeName) bool {
	n, err := s.Node(name)
	return err == nil && n.Draining
}

func TestHubIsClosed(t *testing.T) {
	w := newTold(t)
	id := w.arrive("worker", 0)
	if woken := w.h.close(registry.ErrUnavailable); len(woken) != 1 {
		t.Errorf("%v are woken", woken)
	}
	w.takes(id, "unavailable")
	if err := w.h.arrive(2, "worker", 0); !errors.Is(err, registry.ErrUnavailable) {
		t.Errorf("who comes later: %v", err)
	}
	w.do(joins("w-3"))
	w.h.leave(w.now, id)
}
