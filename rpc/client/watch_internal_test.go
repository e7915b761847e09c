package client

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"github.com/rota-registry/rota/registry"
	"github.com/rota-registry/rota/registry/hrw"
	rotav1 "github.com/rota-registry/rota/rpc/gen/rota/v1"
	"github.com/rota-registry/rota/rpc/wire"
)

// World is a registry with pool p, which random commands change. It is for the
// tests of this folder's other package, too.
type World struct {
	State *registry.State
	// At is the last command's.
	At registry.Stamp
}

// NewWorld has a pool p and two workers.
func NewWorld() *World {
	w := &World{State: registry.NewState(), At: registry.Stamp{Index: 10, Term: 2}}
	w.apply(registry.RegisterPool{Spec: registry.Spec{Name: "p", NodeType: "worker"}})
	w.apply(joining("w-1", 1))
	w.apply(joining("w-2", 1))
	return w
}

func (w *World) apply(cmd registry.Command) {
	w.At.Index++
	w.At.Clock += 10
	// A command that is refused is one more that changes nothing.
	_, _ = w.State.Apply(w.At, cmd)
}

func joining(name registry.NodeName, boot int) registry.Command {
	return registry.JoinNode{Name: name, Type: "worker", Address: "h:1", Boot: registry.BootID(fmt.Sprintf("%016x", boot))}
}

// Pool is p, or an error.
func (w *World) Pool() (registry.PoolInfo, error) { return w.State.Pool("p") }

// Step applies a command; draw gives a number from 0 to below n.
func (w *World) Step(draw func(n int) int) {
	// Two of them collide in their first aliases.
	name := []registry.NodeName{"node-339ff", "node-78880", "w-1", "w-2", "w-3", "w-4", "w-5"}[draw(7)]
	n, err := w.State.Node(name)
	switch k := draw(20); {
	case err != nil || k < 3:
		rejoin := registry.JoinNode{Name: name, Type: "worker", Address: "h:1", Boot: registry.BootID(fmt.Sprintf("%016x", w.At.Index)), Replaces: n.Boot}
		w.apply(rejoin)
	case k < 7:
		w.apply(registry.LeaveNode{Name: name, Boot: n.Boot})
	case k < 10:
		dead := registry.Liveness{Name: name, Boot: n.Boot, State: registry.Failed, Since: n.Since}
		w.apply(registry.ReportLiveness{By: "r1", Changes: []registry.Liveness{dead}})
	case k < 13:
		w.apply(registry.DrainNode{Name: name, Draining: !n.Draining})
	case k < 15:
		w.apply(registry.ForgetNode{Name: name})
	case k < 16:
		w.apply(registry.UnregisterPool{Name: "p"})
	case k < 17:
		separator := []string{"/", "."}[draw(2)]
		w.apply(registry.SetSettings{Change: registry.SettingsChange{TopicSeparator: &separator}})
	case k < 18: // takes workers from the pool
		some := uint32(draw(3))
		w.apply(registry.RegisterPool{Spec: registry.Spec{Name: "a", NodeType: "worker", Exclusive: true, MaxNodes: &some}, Replace: true})
	default:
		spec := registry.Spec{Name: "p", NodeType: "worker", Hash: hrw.Hash(draw(2))}
		if most := uint32(draw(5)); most > 0 {
			spec.MaxNodes = &most
		}
		w.apply(registry.RegisterPool{Spec: spec, Replace: true})
	}
}

// drawing takes World's draws from rapid.
func drawing(t *rapid.T) func(int) int {
	return func(n int) int { return rapid.IntRange(0, n-1).Draw(t, "n") }
}

// drawKey draws keys whose digests depend on the hash as often as others.
func drawKey(t *rapid.T) hrw.Key {
	if rapid.Bool().Draw(t, "digest") {
		return hrw.Digest(rapid.Uint32().Draw(t, "d"))
	}
	return hrw.String(rapid.StringN(0, 20, -1).Draw(t, "key"))
}

// overTheWire is what arrives of an event.
func overTheWire(t *rapid.T, e *rotav1.WatchResponse) *rotav1.WatchResponse {
	sent, err := proto.Marshal(e)
	arrived := new(rotav1.WatchResponse)
	if err != nil || proto.Unmarshal(sent, arrived) != nil {
		t.Fatal("an event does not survive the wire:", err)
	}
	return arrived
}

// Whatever commands a registry takes, a copy that is told of the changes, now
// and then of the whole pool, answers every key as the registry does.
func TestACopyAnswersAsTheRegistryDoes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := NewWorld()
		before, _ := w.Pool()
		at := &snapshot{view: newView(before), fresh: longAgo}
		for range rapid.IntRange(1, 25).Draw(t, "steps") {
			w.Step(drawing(t))
			after, err := w.Pool()
			if err != nil { // removed, and registered again at a later epoch
				at = &snapshot{view: at.view, removed: true, refusal: err}
				continue
			}
			e := &rotav1.WatchResponse{Index: uint64(w.At.Index), Term: 2, ServedBy: "a"}
			if at.removed || rapid.IntRange(0, 4).Draw(t, "whole") == 0 {
				e.Pool, e.Reset_ = wire.ToPool(after), true
			} else if !cmp.Equal(before, after) {
				e.Change = wire.ToPoolChange(registry.DiffPools(before, after))
			}
			next, _, err := at.after(overTheWire(t, e), 0)
			if err != nil {
				t.Fatal(err)
			}
			before, at = after, next
			answersLike(t, w, at, drawKey(t))
		}
	})
}

func answersLike(t *rapid.T, w *World, at *snapshot, key hrw.Key) {
	t.Helper()
	want, err := w.State.HRW("p", key)
	if err != nil {
		t.Fatal(err)
	}
	got, err := at.hrw(key, 0)
	answer := Answer{Topic: want.Topic, Node: want.Node, EmptyReason: want.Reason, Epoch: want.Epoch, Served: got.Served}
	if diff := cmp.Diff(answer, got); err != nil || diff != "" {
		t.Fatalf("%v, at %d the registry answers another (-registry +copy):\n%s", err, w.At.Index, diff)
	}
	if got.Index != w.At.Index || got.ServedBy != "a" {
		t.Fatalf("answered at %d by %q, want %d by a", got.Index, got.ServedBy, w.At.Index)
	}
	watched := copyOf(at.view.info)
	for _, k := range []int{1, 3, 64} {
		order, epoch, err := w.State.Rank("p", key, k)
		ranking, failed := watched.Rank(key, k)
		if diff := cmp.Diff(order, ranking.Entries); err != nil || failed != nil || diff != "" || ranking.Epoch != epoch {
			t.Fatalf("%v, %v, the registry ranks otherwise (-registry +copy):\n%s", err, failed, diff)
		}
	}
	info, _ := w.Pool()
	info.Spec.Topic = registry.Topic(info.Topic) // as it is sent
	have, err := watched.Info()
	if diff := cmp.Diff(info, have.PoolInfo, cmpopts.EquateEmpty()); err != nil || diff != "" {
		t.Fatalf("%v, another pool (-registry +copy):\n%s", err, diff)
	}
}

// What a replica that is behind, or at fault, says is not taken; what it knew of
// its freshness is.
func TestWhatACopyDoesNotTake(t *testing.T) {
	info := workers(3)
	lost := info
	lost.Members, lost.Epoch = lost.Members[:2], 9
	older := info
	older.Epoch = 4
	foreign := info
	foreign.Spec.Name = "other"
	strange := wire.ToPool(info)
	strange.Spec.Hash = "zeek-99"
	change := func(from, to registry.PoolInfo) *rotav1.WatchResponse {
		return &rotav1.WatchResponse{Change: wire.ToPoolChange(registry.DiffPools(from, to))}
	}
	backwards := change(info, lost)
	backwards.Change.Pool.Epoch = 4
	there := &snapshot{view: newView(info), at: registry.Position{Index: 8, Term: 2}, by: "a", fresh: 100}
	gone := &snapshot{view: newView(info), removed: true}
	for name, test := range map[string]struct {
		at    *snapshot
		event *rotav1.WatchResponse
		gap   bool
	}{
		"an older pool":                 {there, &rotav1.WatchResponse{Pool: wire.ToPool(older)}, false},
		"another pool":                  {there, &rotav1.WatchResponse{Pool: wire.ToPool(foreign)}, false},
		"a hash of a later release":     {there, &rotav1.WatchResponse{Pool: strange}, false},
		"a change of an epoch before":   {there, change(older, lost), true},
		"a change of an epoch after":    {there, change(lost, lost), true},
		"a change back":                 {there, backwards, false},
		"removed: the pool as it was":   {gone, &rotav1.WatchResponse{Pool: wire.ToPool(info)}, false},
		"removed: a change to the same": {gone, change(info, info), false},
		"removed: a sign of life":       {gone, &rotav1.WatchResponse{}, false},
	} {
		_, _, err := test.at.after(test.event, 200)
		if _, is := errors.AsType[*gap](err); err == nil || is != test.gap {
			t.Errorf("%s: %v, want an error, of a gap: %v", name, err, test.gap)
		}
	}
	for _, again := range []*rotav1.WatchResponse{{Pool: wire.ToPool(lost)}, change(info, lost)} {
		if next, joined, err := gone.after(again, 200); err != nil || joined || next.removed || next.refusal != nil {
			t.Errorf("a pool registered again: %+v, %v, %v", next, joined, err)
		}
	}
	// A replica that is not as far in the log, but has been up to date since.
	next, joined, err := there.after(&rotav1.WatchResponse{Index: 7, Term: 2, ServedBy: "b"}, 200)
	if err != nil || !joined || next.at.Index != 8 || next.by != "a" || next.fresh != 200 {
		t.Errorf("a sign of life from before: %+v, %v, %v, want index 8 of a, fresh at 200", next, joined, err)
	}
	if next, _, err = there.after(&rotav1.WatchResponse{Index: 9, ServedBy: "b", AgeMs: 1}, 200); err != nil || next.at.Index != 9 || next.fresh != 100 {
		t.Errorf("a sign of life of an older state: %+v, %v, want index 9, fresh at 100", next, err)
	}
}

// A process that was stopped finds in its sockets what was sent long ago. The
// clock knows, whether it or the reader runs first.
func TestTheClockKnowsThatTheProcessStoodStill(t *testing.T) {
	c := &coarseClock{began: time.Now()}
	const second = int64(time.Second)
	for _, now := range []int64{second / 2, second, 2 * second} { // late, but running
		c.advance(now)
	}
	if c.stoodStill(0, 3*second) {
		t.Error("a tick that is a second late counts as a stop")
	}
	if !c.stoodStill(0, 3*second+1) {
		t.Error("who runs before the first tick does not know that the process stood still")
	}
	c.advance(9 * second)
	if !c.stoodStill(0, 9*second) {
		t.Error("who runs after the first tick does not know that the process stood still")
	}
	if c.stoodStill(c.stills.Load(), 9*second) {
		t.Error("a stream that begins after a stop has been stopped")
	}
}

func TestNothingIsTakenOfAStreamThatStoodStill(t *testing.T) {
	w := copyOf(workers(3))
	w.clock.began = time.Now().Add(-time.Hour)
	w.clock.advance(w.clock.exact() - 2*int64(time.Second))
	s := &stream{began: w.clock.exact(), stills: w.clock.stills.Load()}
	if err := w.take(s, &rotav1.WatchResponse{Index: 99}); !errors.Is(err, errStill) || w.now.Load().at.Index != 0 {
		t.Errorf("with two seconds without a tick: %v, want %v", err, errStill)
	}
	w.clock.advance(w.clock.exact())
	if err := w.take(s, &rotav1.WatchResponse{Index: 99}); !errors.Is(err, errStill) {
		t.Errorf("after a tick that came two seconds late: %v, want %v", err, errStill)
	}
	s.stills = w.clock.stills.Load()
	if err := w.take(s, &rotav1.WatchResponse{Index: 99}); err != nil || w.now.Load().at.Index != 99 {
		t.Errorf("of a stream that began after that: %v", err)
	}
}

// The bound doubles from 100 ms to 2 s, and stays there.
func TestHowSoonAnotherStreamIsAskedFor(t *testing.T) {
	for round, most := range map[int]time.Duration{
		0: 100 * time.Millisecond, 1: 200 * time.Millisecond, 4: 1600 * time.Millisecond, 5: 2 * time.Second, 10: 2 * time.Second, 64: 2 * time.Second,
	} {
		if least, wait := resumeWait(round, 0), resumeWait(round, 0.5); least != 0 || wait != most/2 {
			t.Errorf("round %d: %v to twice %v, want 0 to %v", round, least, wait, most)
		}
	}
}

func TestWatchedAnswersAllocateNothing(t *testing.T) {
	w := copyOf(workers(10))
	n, key := w.As("worker-3"), hrw.String("connection-00017")
	for what, f := range map[string]func(){
		"HRW":    func() { _, _ = w.HRW(key) },
		"IsMine": func() { n.IsMine(key) },
		"Epoch":  func() { w.Epoch() },
		"Age":    func() { w.Age() },
	} {
		if n := testing.AllocsPerRun(100, f); n != 0 {
			t.Errorf("%s allocates %v times", what, n)
		}
	}
}

// What a copy refuses, it refuses in the words of a replica.
func TestWhatACopyRefuses(t *testing.T) {
	w := copyOf(workers(3))
	long := hrw.String(string(make([]byte, registry.KeyMax+1)))
	_, byServer := wire.FromKeys("key", toKeys([]hrw.Key{long}))
	_, err := w.HRW(long)
	if err == nil || err.Error() != byServer.Error() || registry.CodeOf(err) != registry.Limit {
		t.Errorf("a long key: %v, want %v", err, byServer)
	}
	if _, err := w.HRW(hrw.String(string(make([]byte, registry.KeyMax)))); err != nil {
		t.Errorf("a key at the bound: %v", err)
	}
	if mine, _ := w.As("worker-1").IsMine(long); mine {
		t.Error("a long key is someone's")
	}
	for k, code := range map[int]registry.Code{-1: registry.Invalid, registry.RankMax + 1: registry.Limit} {
		if _, err := w.Rank(hrw.String("k"), k); registry.CodeOf(err) != code || err == nil {
			t.Errorf("rank of %d: %v, want %v", k, err, code)
		}
	}
	if r, err := w.Rank(hrw.String("k"), 0); err != nil || len(r.Entries) != 1 {
		t.Errorf("rank of 0: %v, %v, want one", r.Entries, err)
	}
}
