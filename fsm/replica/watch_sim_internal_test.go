package replica

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/rota-registry/rota/fsm"
	"github.com/rota-registry/rota/registry"
)

const simSeeds = 400

// watching is a log, replicas that have more or less of it, and clients that
// watch at one after another and hold what they are told against the log.
type watching struct {
	t       *testing.T
	seed    uint64
	random  *rand.Rand
	state   *registry.State
	log     []logged // by index; 0 is before the first entry
	hubs    []*simHub
	clients []*simClient
	now     time.Duration
	ids     watcherID
	seen    map[string]int // what has happened at all
}

// logged is the registry after an entry, and whether a follower would be told.
type logged struct {
	fsm.Step
	changed bool
}

type simHub struct {
	hub
	lossy bool // it has lost some of the log since it followed
}

// simClient is somebody who applies what it is told to what it has.
type simClient struct {
	hub  *simHub // nil while it watches nowhere
	id   watcherID
	pool registry.PoolName
	has  *registry.PoolInfo
	// index is up to where has is the pool as the log has it: when it moved to a
	// replica that is behind, events of what it knows may come first.
	index registry.Index
	lossy bool // it has been at a hub that was
}

func newWatching(t *testing.T, seed uint64) *watching {
	w := &watching{t: t, seed: seed, random: rand.New(rand.NewPCG(seed, 0)), state: registry.NewState(), seen: make(map[string]int)}
	view := w.state.View
	w.log = []logged{{Step: fsm.Step{View: &view}}}
	for range 1 + w.random.IntN(3) {
		h := &simHub{hub: newHub()}
		h.changesMax, h.membersMax = 1+w.random.IntN(20), 1+w.random.IntN(60)
		w.hubs = append(w.hubs, h)
		w.feed(h, 0, true)
	}
	for range 1 + w.random.IntN(4) {
		w.clients = append(w.clients, &simClient{pool: w.drawPool()})
	}
	return w
}

func (w *watching) fatalf(format string, args ...any) {
	w.t.Helper()
	w.t.Fatalf("seed %d: "+format, append([]any{w.seed}, args...)...)
}

func draw[T any](w *watching, list ...T) T { return list[w.random.IntN(len(list))] }

func (w *watching) last() registry.Index { return registry.Index(len(w.log) - 1) }

// commit appends an entry to the log.
func (w *watching) commit(cmd registry.Command) {
	before := w.state.View
	at := registry.Stamp{Index: registry.Index(len(w.log)), Term: 1, Clock: registry.Millis(len(w.log))}
	_, _ = w.state.Apply(at, cmd) // a refusal is an entry, too
	view := w.state.View
	w.log = append(w.log, logged{
		fsm.Step{View: &view, At: registry.Position{Index: at.Index, Term: 1}}, registry.Turnover(&before, &view) > 0,
	})
}

// feed gives a hub the log up to an index.
func (w *watching) feed(h *simHub, to registry.Index, lost bool) {
	trail := fsm.Trail{Lost: lost, Now: w.log[to].Step}
	for _, entry := range w.log[min(h.at.Index, to)+1 : to+1] {
		if entry.changed && !lost {
			trail.Steps = append(trail.Steps, entry.Step)
		}
	}
	if lost && to > h.at.Index {
		h.lossy = true
	}
	h.advance(trail, w.now)
}

// pools are those that the clients watch; b is exclusive.
func (w *watching) drawPool() registry.PoolName {
	return draw[registry.PoolName](w, "worker", "worker", "a", "b")
}

func (w *watching) drawCommand() registry.Command {
	name := draw[registry.NodeName](w, "w-1", "w-2", "w-3", "w-4")
	n, _ := w.state.Node(name)
	boot := registry.BootID(strings.Repeat(draw(w, "1", "2"), registry.BootIDLen))
	switch w.random.IntN(16) {
	case 0:
		return registry.ForgetNode{Name: name}
	case 1, 2, 3:
		return registry.DrainNode{Name: name, Draining: w.random.IntN(3) > 0}
	case 4:
		return registry.LeaveNode{Name: name, Boot: n.Boot}
	case 5:
		return registry.UnregisterPool{Name: w.drawPool()}
	case 6, 7:
		pool, most := w.drawPool(), uint32(w.random.IntN(4))
		return registry.RegisterPool{Replace: true, Spec: registry.Spec{Name: pool, NodeType: "worker", MaxNodes: &most, Exclusive: pool == "b"}}
	case 8:
		separator := draw(w, "/", ".")
		return registry.SetSettings{Change: registry.SettingsChange{TopicSeparator: &separator}}
	case 9, 10, 11:
		return registry.JoinNode{Name: name, Type: "worker", Address: "h:1", Boot: boot, Replaces: n.Boot}
	case 12:
		return registry.RoundRobin{Turns: []registry.Turn{{Pool: "worker", Count: 1}}}
	}
	state := draw(w, registry.Alive, registry.Failed)
	return registry.ReportLiveness{By: "r1", Changes: []registry.Liveness{{Name: name, Boot: n.Boot, State: state, Since: n.Since}}}
}

// come lets a client watch somewhere, from what it has or from anywhere.
func (w *watching) come(c *simClient, h *simHub) {
	after := registry.Epoch(0)
	switch c.has {
	case nil:
		c.index = 0
		after = registry.Epoch(w.random.IntN(len(w.log)) * w.random.IntN(2))
	default:
		after = c.has.Epoch
	}
	if registry.Index(after) > h.at.Index {
		return // who drives the hub waits
	}
	w.ids++
	err := h.arrive(w.ids, c.pool, after)
	if _, missing := h.view.Pool(c.pool); (err != nil) != (missing != nil) || err != nil && !errors.Is(err, registry.ErrNotFound) {
		w.fatalf("client of %s at index %d: %v, the view says %v", c.pool, h.at.Index, err, missing)
	}
	if err != nil {
		c.has = nil
		return
	}
	c.hub, c.id = h, w.ids
	if c.has == nil && after != 0 { // It only says that it had it.
		event, ok, err := h.take(w.now, c.id)
		if _, known := h.pools[c.pool]; !known || !ok || err != nil {
			w.fatalf("a newcomer is told nothing: %t, %v", ok, err)
		}
		if event.Pool == nil {
			w.leave(c)
			return
		}
		w.told(c, event)
	}
}

func (w *watching) leave(c *simClient) {
	c.hub.leave(w.now, c.id)
	c.hub = nil
}

// take lets a client take at most some events.
func (w *watching) take(c *simClient, most int) {
	for ; c.hub != nil && most > 0; most-- {
		event, ok, err := c.hub.take(w.now, c.id)
		switch {
		case err != nil:
			w.ended(c, err)
		case !ok:
			w.upToDate(c)
			return
		default:
			w.told(c, event)
		}
	}
}

// ended wants the end to be that of the pool.
func (w *watching) ended(c *simClient, err error) {
	gone := slices.ContainsFunc(w.log[:c.hub.at.Index+1], func(l logged) bool {
		_, missing := l.View.Pool(c.pool)
		return missing != nil && l.At.Index >= c.index
	})
	if !gone || !errors.Is(err, registry.ErrNotFound) {
		w.fatalf("client of %s that knew index %d, at %d: %v", c.pool, c.index, c.hub.at.Index, err)
	}
	w.seen["removed"]++
	w.leave(c)
	c.has = nil
}

// told applies an event, and holds it against the log.
func (w *watching) told(c *simClient, event registry.PoolEvent) {
	was, knew := c.has, c.index
	c.lossy = c.lossy || c.hub.lossy
	switch {
	case event.Pool != nil:
		c.has, c.index = event.Pool, event.Index
		w.seen[fmt.Sprintf("whole, reset %t", event.Reset)]++
		if was != nil && was.Epoch != 0 && was.Epoch != event.Pool.Epoch && !event.Reset {
			w.fatalf("client of %s at epoch %d is told epoch %d whole, and not that it is reset", c.pool, was.Epoch, event.Pool.Epoch)
		}
	case event.Change != nil:
		after, err := event.Change.Apply(*c.has)
		if err != nil {
			w.fatalf("client of %s at index %d, told of %d: %v", c.pool, c.index, event.Index, err)
		}
		c.has = &after
		w.seen["change"]++
	default:
		w.seen["alive"]++
	}
	if event.Pool == nil && event.Index < knew {
		w.seen["replayed"]++ // It is told again what it knows.
		return
	}
	c.index = event.Index
	want, err := w.log[c.index].View.Pool(c.pool)
	if diff := cmp.Diff(want, *c.has, cmpopts.EquateEmpty()); err != nil || diff != "" {
		w.fatalf("client at index %d, told %+v: %v (-want +got):\n%s", c.index, event, err, diff)
	}
	if event.Pool == nil {
		w.nothingMissed(c, was, knew)
	}
}

// nothingMissed wants the pool to have been what the client had, at all entries
// until it was told of another.
func (w *watching) nothingMissed(c *simClient, was *registry.PoolInfo, knew registry.Index) {
	for _, l := range w.log[knew:max(c.index, knew)] {
		pool, err := l.View.Pool(c.pool)
		if err != nil || pool.Epoch != was.Epoch {
			w.fatalf("client of %s was told of index %d after %d, and not of %d: %v", c.pool, c.index, knew, l.At.Index, err)
		}
		if diff := cmp.Diff(pool, *was, cmpopts.EquateEmpty()); diff != "" && !c.lossy {
			w.fatalf("client of %s was told of index %d after %d, and not of %d (-want +got):\n%s", c.pool, c.index, knew, l.At.Index, diff)
		}
	}
}

// upToDate wants who has taken everything to have what its replica has.
func (w *watching) upToDate(c *simClient) {
	if c.has == nil || c.hub.at.Index < c.index {
		return
	}
	want, err := c.hub.view.Pool(c.pool)
	if diff := cmp.Diff(want, *c.has, cmpopts.EquateEmpty()); err != nil || diff != "" {
		w.fatalf("client of %s has taken all, at %d: %v (-want +got):\n%s", c.pool, c.hub.at.Index, err, diff)
	}
}

// step lets one thing happen.
func (w *watching) step() {
	h := draw(w, w.hubs...)
	c := draw(w, w.clients...)
	switch w.random.IntN(14) {
	case 0, 1, 2:
		w.commit(w.drawCommand())
	case 3, 4:
		to := h.at.Index + registry.Index(w.random.IntN(1+int(w.last()-h.at.Index)))
		w.feed(h, to, w.random.IntN(15) == 0)
	case 5, 6, 7:
		if c.hub == nil {
			w.come(c, h)
		} else {
			w.take(c, 1+w.random.IntN(5))
		}
	case 8:
		if c.hub != nil {
			w.leave(c)
		}
	case 9:
		w.now += draw(w, beatEvery, beatEvery, followedFor)
		w.feed(h, h.at.Index, false)
		h.beat(w.now)
		if h.rest() { // The driver follows anew when somebody comes.
			w.feed(h, h.at.Index, true)
			h.lossy = false
		}
	default:
		w.take(c, 100)
	}
}

// end lets everybody hear of everything.
func (w *watching) end() {
	for _, h := range w.hubs {
		w.feed(h, w.last(), false)
		h.beat(w.now)
		if h.members > h.membersMax || h.order.Len() > h.changesMax {
			w.fatalf("%d changes with %d members are remembered", h.order.Len(), h.members)
		}
	}
	for _, c := range w.clients {
		if w.take(c, 1000); c.hub != nil && c.index != w.last() {
			w.fatalf("client of %s has heard of index %d at last, the log ends at %d", c.pool, c.index, w.last())
		}
		if c.hub != nil {
			w.leave(c)
		}
	}
	for _, h := range w.hubs {
		h.beat(w.now + followedFor)
		if !h.rest() || h.order.Len() != 0 || h.members != 0 || len(h.watchers) != 0 || len(h.names) != 0 {
			w.fatalf("the hub holds on to %d pools, %d changes, %d members, %d watchers", len(h.pools), h.order.Len(), h.members, len(h.watchers))
		}
	}
}

// TestWatchersHaveThePool: whoever applies what it is told has the pool as the
// log has it, at the index that it is told, and misses no state of it unless it
// is told so; however slow it is, wherever it comes back, whatever is lost.
func TestWatchersHaveThePool(t *testing.T) {
	total := make(map[string]int)
	for seed := range uint64(simSeeds) {
		w := newWatching(t, seed)
		for range w.random.IntN(300) {
			w.step()
		}
		w.end()
		for what, n := range w.seen {
			total[what] += n
		}
	}
	for _, what := range []string{"whole, reset false", "whole, reset true", "change", "alive", "replayed", "removed"} {
		if total[what] == 0 {
			t.Errorf("it never happened: %s; only %v", what, total)
		}
	}
	t.Log(total)
}
