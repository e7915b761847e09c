package registry_test

import (
	"cmp"
	"fmt"
	"slices"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/rota-registry/rota/registry"
)

// naive is the sessions once more, from the rules: every question looks at
// everything. What a turn answers it asks a state that knows of no sessions,
// which so takes each turn exactly once.
type naive struct {
	once     *registry.State
	sessions []*naiveSession
	clock    registry.Millis
}

type naiveSession struct {
	id    registry.SessionID
	used  registry.Millis
	first uint64
	kept  map[uint64]registry.TurnResult
}

func (n *naive) find(id registry.SessionID) *naiveSession {
	for _, ses := range n.sessions {
		if ses.id == id {
			return ses
		}
	}
	return nil
}

// forget drops what was not used for too long.
func (n *naive) forget() {
	n.sessions = slices.DeleteFunc(n.sessions, func(ses *naiveSession) bool { return n.clock-ses.used > registry.SessionRetention })
}

// turn gives the answer to a turn, or the code of its refusal by the session.
func (n *naive) turn(t *rapid.T, at registry.Stamp, turn registry.Turn) (registry.TurnResult, registry.Code) {
	id := turn.Request
	n.clock = max(n.clock, at.Clock)
	n.forget()
	ses := n.find(id.Session)
	if ses == nil {
		return registry.TurnResult{}, registry.SessionUnknown
	}
	ses.used = n.clock
	ses.first = max(ses.first, id.FirstUnacked)
	for serial := range ses.kept {
		if serial < ses.first {
			delete(ses.kept, serial)
		}
	}
	if res, ok := ses.kept[id.Serial]; ok {
		return res, 0
	}
	switch {
	case id.Serial < ses.first:
		return registry.TurnResult{}, registry.Conflict
	case id.Serial >= ses.first+registry.OutstandingMax:
		return registry.TurnResult{}, registry.Limit
	}
	turn.Request = registry.RequestID{}
	out, err := n.once.Apply(at, registry.RoundRobin{Turns: []registry.Turn{turn}})
	if err != nil {
		t.Fatal(err)
	}
	res := out.Turns[0]
	kept := res
	kept.Taken = registry.Position{Index: at.Index, Term: at.Term}
	ses.kept[id.Serial] = kept
	return res, 0
}

// drawRequest draws from few ids, so that most are repeated.
func drawRequest(t *rapid.T) registry.RequestID {
	id := registry.RequestID{Session: sessionID(rapid.SampledFrom([]string{"a", "b", "c", "d"}).Draw(t, "session"))}
	id.Serial = rapid.SampledFrom([]uint64{1, 2, 3, 4, 5, 1024, 1025, 1026}).Draw(t, "serial")
	id.FirstUnacked = rapid.Uint64Range(0, min(id.Serial, 4)).Draw(t, "unacked")
	return id
}

// A storm of requests that are asked again, in any order and any batches, over
// snapshots, in which sessions come and go, answers as the naive twin does: each
// request moves its cursor at most once, and gets the same answer every time.
func TestARequestCountsOnceAndIsAnsweredAlike(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t, registry.AssignStable)
		for i := range 5 {
			w.apply(registry.JoinNode{Name: registry.NodeName(fmt.Sprintf("w-%d", i)), Type: "worker", Address: "h:1", Boot: boot("1")})
		}
		twin := &naive{once: restored(w)}
		for range rapid.IntRange(1, 60).Draw(t, "commands") {
			w.at.Term = registry.Term(w.at.Index / 10)
			w.at.Clock += registry.Millis(rapid.SampledFrom([]int{0, 0, 0, 0, 3_000_000, 3_599_990, 3_599_991}).Draw(t, "wait"))
			switch rapid.IntRange(0, 9).Draw(t, "kind") {
			case 0, 1:
				w.openBoth(twin, sessionID(rapid.SampledFrom([]string{"a", "b", "c", "d"}).Draw(t, "open")))
			case 2:
				cmd := registry.DrainNode{Name: "w-1", Draining: rapid.Bool().Draw(t, "draining")}
				w.apply(cmd)
				_, _ = twin.once.Apply(w.at, cmd)
				twin.clock = w.at.Clock
			case 3:
				w.state = restored(w)
			default:
				w.stormBoth(twin)
			}
			w.sameSessions(twin)
		}
	})
}

func restored(w *world) *registry.State {
	s, err := registry.Restore(w.state.Snapshot())
	if err != nil {
		w.Fatal(err)
	}
	w.same("restored", w.state.Snapshot(), s.Snapshot())
	return s
}

func (w *world) openBoth(twin *naive, id registry.SessionID) {
	if _, err := w.apply(registry.OpenSession{ID: id}); err != nil {
		w.Fatal(err)
	}
	twin.clock = w.at.Clock
	twin.forget()
	if twin.find(id) == nil {
		twin.sessions = append(twin.sessions, &naiveSession{id: id, used: twin.clock, first: 1, kept: make(map[uint64]registry.TurnResult)})
	}
}

func (w *world) stormBoth(twin *naive) {
	cmd := registry.RoundRobin{}
	for range rapid.IntRange(1, 6).Draw(w.T, "turns") {
		turn := registry.Turn{Pool: drawPoolName(w.T), Key: "k", Count: rapid.SampledFrom([]int{1, 1, 2, 7}).Draw(w.T, "count")}
		if rapid.IntRange(0, 5).Draw(w.T, "log") == 0 {
			turn.LogID = "Conn::LOG"
		}
		turn.Request = drawRequest(w.T)
		cmd.Turns = append(cmd.Turns, turn)
	}
	res, err := w.apply(cmd)
	if err != nil {
		w.Fatal(err)
	}
	for i, turn := range cmd.Turns {
		want, code := twin.turn(w.T, w.at, turn)
		if code != 0 {
			if got := res.Turns[i]; got.Err == nil || got.Err.Code != code || got.Answers != nil {
				w.Fatalf("turn %+v: %+v, want %s", turn, got, code)
			}
			continue
		}
		w.same(fmt.Sprintf("turn %+v", turn), want, res.Turns[i])
	}
}

func (w *world) sameSessions(twin *naive) {
	var want []registry.SessionSnapshot
	for _, ses := range twin.sessions {
		snap := registry.SessionSnapshot{ID: ses.id, Used: ses.used, FirstUnacked: ses.first}
		for serial, res := range ses.kept {
			snap.Stored = append(snap.Stored, registry.StoredTurn{Serial: serial, Result: res})
		}
		slices.SortFunc(snap.Stored, func(a, b registry.StoredTurn) int { return cmp.Compare(a.Serial, b.Serial) })
		want = append(want, snap)
	}
	slices.SortFunc(want, func(a, b registry.SessionSnapshot) int { return cmp.Compare(a.ID, b.ID) })
	is, plain := w.state.Snapshot(), twin.once.Snapshot()
	w.same("sessions", want, is.Sessions)
	w.same("cursors and all else", plain.Pools, is.Pools)
}

// numbered is a session id by number.
func numbered(n int) registry.SessionID { return registry.SessionID(fmt.Sprintf("%032x", n)) }

// stampAt applies a command at a log clock.
func stampAt(t *testing.T, s *registry.State, clock registry.Millis, cmd registry.Command) registry.Result {
	t.Helper()
	res, err := s.Apply(registry.Stamp{Index: 9, Term: 1, Clock: clock}, cmd)
	if err != nil {
		t.Fatalf("%T: %v", cmd, err)
	}
	return res
}

// rr is the turn of one request, of count answers of the pool worker.
func rr(id registry.SessionID, serial, first uint64, count int) registry.RoundRobin {
	return registry.RoundRobin{Turns: []registry.Turn{{
		Pool: "worker", Count: count, Request: registry.RequestID{Session: id, Serial: serial, FirstUnacked: first},
	}}}
}

func sessionsOf(s *registry.State) []registry.SessionID {
	var ids []registry.SessionID
	for _, ses := range s.Snapshot().Sessions {
		ids = append(ids, ses.ID)
	}
	return ids
}

// At SessionsMax the session unused for longest goes, of several the one of the
// smallest id; a restored state forgets the same ones in the same order.
func TestSessionsMax(t *testing.T) {
	s := registry.NewState()
	for i := range registry.SessionsMax {
		stampAt(t, s, registry.Millis(1+i/4), registry.OpenSession{ID: numbered(i ^ 3)})
	}
	stampAt(t, s, 50_000, rr(numbered(1), 1, 0, 1))
	if n := len(sessionsOf(s)); n != registry.SessionsMax {
		t.Fatalf("%d sessions at the bound, want all %d", n, registry.SessionsMax)
	}
	again := restore(t, s.Snapshot())
	for i := range 5 {
		more := registry.OpenSession{ID: numbered(registry.SessionsMax + i)}
		stampAt(t, s, 50_000, more)
		stampAt(t, again, 50_000, more)
	}
	ids := sessionsOf(s)
	if want := []registry.SessionID{numbered(1), numbered(6), numbered(7)}; len(ids) != registry.SessionsMax || !slices.Equal(ids[:3], want) {
		t.Errorf("%d sessions, the first %v; want 0, 2, 3, 4 and 5 to be gone, for 1 was used", len(ids), ids[:3])
	}
	if !slices.Equal(ids, sessionsOf(again)) {
		t.Error("a restored state forgot others")
	}
	snap := s.Snapshot()
	snap.Sessions = append(snap.Sessions, registry.SessionSnapshot{ID: registry.SessionID(hex("f")), FirstUnacked: 1})
	_, err := registry.Restore(snap)
	refusedAs(t, err, registry.Invalid, "100001 sessions")
}

// StoredMax is reached by answers, not by requests; past it the oldest session
// goes, and one session that would fill it alone is refused before its turn.
func TestStoredMax(t *testing.T) {
	s := registry.NewState()
	apply(t, s, registry.JoinNode{Name: "w", Type: "worker", Address: "h:1", Boot: boot("1")})
	for i, id := range []int{3, 1, 2} {
		stampAt(t, s, registry.Millis(10+i), registry.OpenSession{ID: numbered(id)})
	}
	stampAt(t, s, 20, rr(numbered(3), 1, 0, 1))
	left := registry.StoredMax - 1
	for serial := uint64(1); left > 0; serial++ {
		n := min(left, registry.BatchAnswersMax)
		if res := stampAt(t, s, 21, rr(numbered(2), serial, 0, n)).Turns[0]; res.Count() != n {
			t.Fatalf("serial %d: %v", serial, res.Err)
		}
		left -= n
	}
	if n := len(sessionsOf(s)); n != 3 {
		t.Fatalf("at the bound there are %d sessions, want 3", n)
	}
	full := s.Snapshot()
	restore(t, full)
	full.Sessions[0].Stored = append(full.Sessions[0].Stored, registry.StoredTurn{Serial: 1, Result: full.Sessions[2].Stored[0].Result})
	_, err := registry.Restore(full)
	refusedAs(t, err, registry.Invalid, "in all")

	cursor := func() int { c, _ := s.Cursors("worker"); return len(c) }
	stampAt(t, s, 21, registry.DeleteCursor{Pool: "worker"})
	refusedAs(t, stampAt(t, s, 21, rr(numbered(2), 900, 0, 2)).Turns[0].Err, registry.Limit, "1000000")
	if cursor() != 0 {
		t.Error("the refused turn has moved the cursor")
	}
	if res := stampAt(t, s, 21, rr(numbered(2), 901, 0, 1)).Turns[0]; res.Err != nil {
		t.Errorf("with %d of its own and one of another: %v", registry.StoredMax-1, res.Err)
	}
	if got := sessionsOf(s); !slices.Equal(got, []registry.SessionID{numbered(2)}) {
		t.Errorf("left are %v; want 1, unused for longest, and then 3 to have made room", got)
	}
	refusedAs(t, stampAt(t, s, 21, rr(numbered(2), 902, 0, 1)).Turns[0].Err, registry.Limit)
	if res := stampAt(t, s, 21, rr(numbered(2), 902, 2, 1)).Turns[0]; res.Err != nil {
		t.Errorf("after acknowledging: %v", res.Err)
	}
}

// What could not have been stored is refused when it is restored.
func TestRestoreRefusesGarbageSessions(t *testing.T) {
	good := func() registry.Snapshot {
		snap := registry.NewState().Snapshot()
		snap.Clock = 9
		taken := registry.Position{Index: 3, Term: 1}
		snap.Sessions = []registry.SessionSnapshot{{ID: numbered(1), FirstUnacked: 1}, {ID: numbered(2), Used: 9, FirstUnacked: 5, Stored: []registry.StoredTurn{
			{Serial: 5, Result: registry.TurnResult{Taken: taken, Reason: registry.NoMembers}},
			{Serial: 1028, Result: registry.TurnResult{Taken: taken, Answers: []registry.Answer{{Topic: "t"}}}},
		}}}
		return snap
	}
	if diff := gocmp.Diff(good(), restore(t, good()).Snapshot()); diff != "" {
		t.Fatal(diff)
	}
	for name, c := range map[string]struct {
		spoil func([]registry.SessionSnapshot)
		text  string
	}{
		"unsorted":         {func(l []registry.SessionSnapshot) { l[0], l[1] = l[1], l[0] }, "sorted"},
		"id":               {func(l []registry.SessionSnapshot) { l[1].ID = "f" }, "session id"},
		"used in future":   {func(l []registry.SessionSnapshot) { l[0].Used = 10 }, "log clock"},
		"used before time": {func(l []registry.SessionSnapshot) { l[0].Used = -1 }, "log clock"},
		"first":            {func(l []registry.SessionSnapshot) { l[0].FirstUnacked = 0 }, "serial 0"},
		"serials unsorted": {func(l []registry.SessionSnapshot) { l[1].Stored[1].Serial = 5 }, "sorted"},
		"acknowledged":     {func(l []registry.SessionSnapshot) { l[1].Stored[0].Serial = 4 }, "answer to 4"},
		"too far":          {func(l []registry.SessionSnapshot) { l[1].Stored[1].Serial = 1029 }, "answer to 1029"},
		"nowhere":          {func(l []registry.SessionSnapshot) { l[1].Stored[0].Result.Taken = registry.Position{} }, "nowhere"},
		"reason":           {func(l []registry.SessionSnapshot) { l[1].Stored[0].Result.Reason = 9 }, "reason 9"},
		"nothing":          {func(l []registry.SessionSnapshot) { l[1].Stored[0].Result.Reason = 0 }, "neither"},
		"both":             {func(l []registry.SessionSnapshot) { l[1].Stored[1].Result.Err = registry.ErrLimit }, "refused"},
		"many answers": {func(l []registry.SessionSnapshot) {
			l[1].Stored[1].Result.Answers = make([]registry.Answer, registry.BatchAnswersMax+1)
		}, "16385"},
	} {
		t.Run(name, func(t *testing.T) {
			snap := good()
			c.spoil(snap.Sessions)
			_, err := registry.Restore(snap)
			refusedAs(t, err, registry.Invalid, c.text)
		})
	}
}
