package client

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/rota-registry/rota/fsm"
	"github.com/rota-registry/rota/registry"
	"github.com/rota-registry/rota/registry/hrw"
	rotav1 "github.com/rota-registry/rota/rpc/gen/rota/v1"
)

func asking(turn registry.Turn) *turnAsk { return &turnAsk{turn: [1]registry.Turn{turn}} }

// A batch is filled to its bounds, and no further: of turns, of answers, of what
// the session has room for.
func TestABatchIsFilledToItsBounds(t *testing.T) {
	s := newSession("s")
	for _, test := range []struct {
		name string
		load *turnCargo
		each func(int) registry.Turn
		room int
	}{
		{"turns", newTurnCargo(nil), func(i int) registry.Turn { return registry.Turn{Pool: "p", Key: fmt.Sprint(i), Count: 1} }, turnsMax},
		{"logs", newTurnCargo(s), func(int) registry.Turn { return registry.Turn{LogID: "l"} }, turnsMax},
		{"answers", newTurnCargo(s), func(int) registry.Turn { return registry.Turn{Pool: "p", Count: 1} }, registry.BatchAnswersMax},
		{"room", &turnCargo{session: s, room: 3}, func(i int) registry.Turn { return registry.Turn{Pool: "p", Key: fmt.Sprint(i), Count: 1} }, 3},
		{"one of all", newTurnCargo(s), func(int) registry.Turn { return registry.Turn{Pool: "p", Count: registry.BatchAnswersMax} }, 1},
	} {
		n := 0
		for test.load.add(asking(test.each(n))) {
			n++
		}
		if n != test.room {
			t.Errorf("%s: it takes %d, want %d", test.name, n, test.room)
		}
	}
	s.draw(registry.OutstandingMax - 1)
	if room := newTurnCargo(s).room; room != 1 {
		t.Errorf("a session with room for one gives a batch with room for %d", room)
	}
}

// Whatever fits by number fits by length, into a request and into a log entry.
func TestTheLongestBatchFits(t *testing.T) {
	session := newSession(strings.Repeat("a", registry.SessionIDLen))
	session.draw(1 << 40)
	load := newTurnCargo(session)
	load.room = turnsMax
	var cmd registry.RoundRobin
	for i := range turnsMax {
		turn := registry.Turn{
			Pool: registry.PoolName(strings.Repeat("p", registry.NameMax)), Key: fmt.Sprintf("%0*d", registry.RRKeyMax, i),
			Count: registry.BatchAnswersMax / turnsMax,
		}
		if !load.add(asking(turn)) {
			t.Fatalf("turn %d does not fit", i)
		}
		turn.Request = registry.RequestID{Session: registry.SessionID(session.id), Serial: 1<<40 + uint64(i), FirstUnacked: 1 << 40}
		cmd.Turns = append(cmd.Turns, turn)
	}
	load.seal()
	if n := proto.Size(load.request(0, turnsMax)); n > registry.BatchBodyMax {
		t.Errorf("the request has %d bytes, at most %d are allowed", n, registry.BatchBodyMax)
	}
	if entry, err := fsm.EncodeEntry(fsm.Entry{Command: cmd}); err != nil || len(entry) > registry.EntryMax {
		t.Errorf("the log entry has %d bytes, at most %d are allowed: %v", len(entry), registry.EntryMax, err)
	}
}

func TestTheLongestBatchOfKeysFits(t *testing.T) {
	for _, size := range []int{0, 100, 250, registry.KeyMax} {
		load := &keyCargo{question: question{pool: registry.PoolName(strings.Repeat("p", registry.NameMax)), consistency: registry.AtLeast, atLeast: 1 << 62}}
		for load.add(&keyAsk{key: hrw.String(strings.Repeat("k", size))}) {
		}
		// A list with other keys is longer than one of strings alone.
		n := proto.Size(&rotav1.HrwTopicsRequest{
			Pool: string(load.pool), Keys: toKeys(load.keys), Consistency: load.consistency.String(), AtLeastIndex: uint64(load.atLeast), Indexed: true,
		})
		full := len(load.keys) == registry.BatchKeysMax || n+size+2*(keyOverhead+questionBytes)+len(load.keys)*keyOverhead > registry.BatchBodyMax
		if n > registry.BatchBodyMax || len(load.keys) > registry.BatchKeysMax || !full {
			t.Errorf("keys of %d bytes: %d of them in %d bytes", size, len(load.keys), n)
		}
	}
}

// Who has to do something first tells all who waited for it what came of it, and
// has the time that the most patient of them has.
func TestABoardingInVain(t *testing.T) {
	m := newCombiner[turnAsk](counted)
	launches := func() bool { begins, _ := m.launch(0); return begins }
	calls := make([]*caller[turnAsk], 3)
	for i := range calls {
		calls[i] = &caller[turnAsk]{ask: *asking(registry.Turn{Pool: "p", Count: 1}), deadline: time.Duration(3-i) * time.Second}
	}
	m.arrive(calls[0])
	first := launches()
	m.arrive(calls[1])
	if !first || launches() {
		t.Fatal("want one flight")
	}
	if until := m.prepare(); until != 3*time.Second {
		t.Errorf("there is time until %s, want the latest deadline", until)
	}
	m.arrive(calls[2])
	if patience, _ := m.leave(2*time.Second, calls[1]); patience != 0 || textOf(calls[1].err) != "deadline" {
		t.Errorf("it waits %s for what ends a second after it, %v", patience, calls[1].err)
	}
	if patience, _ := m.leave(3*time.Second, calls[0]); patience != endGrace {
		t.Errorf("it waits %s for what ends now, want %s", patience, endGrace)
	}
	if told := m.refuse(registry.ErrUnavailable); len(told) != 1 || told[0] != calls[0] || calls[0].err != error(registry.ErrUnavailable) {
		t.Errorf("told %d", len(told))
	}
	m.end()
	if !launches() {
		t.Error("who came since is left")
	}
}
