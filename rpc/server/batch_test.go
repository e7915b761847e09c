package server_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/rota-registry/rota/registry"
	rotav1 "github.com/rota-registry/rota/rpc/gen/rota/v1"
)

// told gives the nodes that a turn of a batch was answered.
func told(response *rotav1.RrBatchResponse, turn int) []string {
	var nodes []string
	t := response.GetTurns()[turn]
	for i := range t.GetCount() {
		nodes = append(nodes, response.GetChosen()[t.GetLap()[int(i)%len(t.GetLap())]].GetNode())
	}
	return nodes
}

// A batch takes its turns in order; what is refused of it is one turn's alone,
// and asked again under its session it is answered alike.
func TestRrBatch(t *testing.T) {
	onEveryProtocol(t, func(t *testing.T, m *memory, a api) {
		batch := &rotav1.RrBatchRequest{Turns: []*rotav1.RrBatchRequest_Turn{
			{Pool: "proxy", Key: "k", Count: 3},
			{Pool: "nowhere", Count: 1},
			{Pool: "proxy", Key: "k", Count: 1},
			{Pool: "logger", Count: 2},
			{LogId: "Conn::LOG"},
		}}
		for _, session := range []string{"", call(t, a.OpenSession, &rotav1.OpenSessionRequest{}).GetSession()} {
			if session != "" {
				call(t, a.SetCursor, &rotav1.SetCursorRequest{Pool: "proxy", Key: "k", Next: 0})
				for i := range batch.Turns {
					batch.Turns[i].Serial = uint64(i + 1)
				}
			}
			batch.Session = session
			got := call(t, a.RrBatch, batch)
			if first, second := told(got, 0), told(got, 2); len(first) != 3 || first[0] != "proxy-1" || first[1] != "proxy-2" || first[2] != "proxy-1" || len(second) != 1 || second[0] != "proxy-2" {
				t.Errorf("session %q: %v, then %v", session, first, second)
			}
			turns := got.GetTurns()
			if turns[1].GetCode() != "not_found" || turns[1].GetError() == "" || turns[1].GetCount() != 0 {
				t.Errorf("session %q: a pool that is not there: %v", session, turns[1])
			}
			if turns[3].GetCount() != 0 || turns[3].GetEmptyReason() != "no_members" || turns[3].GetCode() != "" {
				t.Errorf("session %q: a pool without members: %v", session, turns[3])
			}
			if fallback := got.GetChosen()[turns[4].GetLap()[0]]; turns[4].GetCount() != 1 || fallback.GetTopic() != "zeek/logs/Conn::LOG" || fallback.GetNode() != "" {
				t.Errorf("session %q: a log without a logger: %v", session, fallback)
			}
			if session == "" {
				continue
			}
			m.do(t, registry.DrainNode{Name: "proxy-2", Draining: true})
			again := call(t, a.RrBatch, batch)
			again.Index, again.Term = got.GetIndex(), got.GetTerm()
			if !proto.Equal(got, again) {
				t.Errorf("asked again:\n%v, first\n%v", again, got)
			}
		}
	})
}

// A batch that nobody can take enters no log.
func TestRrBatchRefused(t *testing.T) {
	onEveryProtocol(t, func(t *testing.T, m *memory, a api) {
		before := m.Self().Applied
		turn := func(n uint32) *rotav1.RrBatchRequest_Turn {
			return &rotav1.RrBatchRequest_Turn{Pool: "proxy", Count: n}
		}
		many := make([]*rotav1.RrBatchRequest_Turn, registry.BatchTurnsMax+1)
		for i := range many {
			many[i] = turn(1)
		}
		fails(t, registry.Invalid, a.RrBatch, &rotav1.RrBatchRequest{})
		fails(t, registry.Limit, a.RrBatch, &rotav1.RrBatchRequest{Turns: many})
		fails(t, registry.Limit, a.RrBatch, &rotav1.RrBatchRequest{Turns: []*rotav1.RrBatchRequest_Turn{turn(registry.BatchAnswersMax), turn(1)}})
		fails(t, registry.Invalid, a.RrBatch, &rotav1.RrBatchRequest{Turns: []*rotav1.RrBatchRequest_Turn{turn(0)}})
		fails(t, registry.Invalid, a.RrBatch, &rotav1.RrBatchRequest{Turns: []*rotav1.RrBatchRequest_Turn{turn(1)}, FirstUnacked: 1})
		fails(t, registry.Invalid, a.RrBatch, &rotav1.RrBatchRequest{Turns: []*rotav1.RrBatchRequest_Turn{turn(1)}, Session: "s"})
		if m.Self().Applied != before {
			t.Error("something that was refused was proposed")
		}
	})
}

// Who leads is told with the turns.
func TestRrBatchTellsTheLeader(t *testing.T) {
	onEveryProtocol(t, func(t *testing.T, m *memory, a api) {
		turns := []*rotav1.RrBatchRequest_Turn{{Pool: "proxy", Count: 1}}
		if got := call(t, a.RrBatch, &rotav1.RrBatchRequest{Turns: turns}); got.GetLeader() != m.Leader() || got.GetLeader() == "" {
			t.Errorf("leader %q, want %q", got.GetLeader(), m.Leader())
		}
	})
}

// Strings are keys, each named by its place, and not to be mixed with others.
func TestHrwTopicsOfStrings(t *testing.T) {
	onEveryProtocol(t, func(t *testing.T, _ *memory, a api) {
		var keys []*rotav1.Key
		var plain []string
		for i := range registry.BatchKeysMax + 1 {
			plain = append(plain, fmt.Sprint("key ", i))
			keys = append(keys, text(plain[i]))
		}
		n := registry.BatchKeysMax
		want := call(t, a.HrwTopics, &rotav1.HrwTopicsRequest{Pool: "proxy", Keys: keys[:n]})
		if got := call(t, a.HrwTopics, &rotav1.HrwTopicsRequest{Pool: "proxy", Strings: plain[:n]}); !slices.Equal(got.GetTopics(), want.GetTopics()) {
			t.Error("the same keys have other topics as strings")
		}
		fails(t, registry.Limit, a.HrwTopics, &rotav1.HrwTopicsRequest{Pool: "proxy", Strings: plain})
		fails(t, registry.Invalid, a.HrwTopics, &rotav1.HrwTopicsRequest{Pool: "proxy", Strings: plain[:1], Keys: keys[:1]})
		plain[2] = strings.Repeat("k", registry.KeyMax+1)
		if err := fails(t, registry.Limit, a.HrwTopics, &rotav1.HrwTopicsRequest{Pool: "proxy", Strings: plain[:9]}); !strings.HasPrefix(err.Text, "strings[2]: ") {
			t.Errorf("a long key among others: %v", err)
		}
	})
}

// The indexed form says the same in fewer bytes.
func TestHrwTopicsIndexed(t *testing.T) {
	onEveryProtocol(t, func(t *testing.T, _ *memory, a api) {
		var keys []*rotav1.Key
		for i := range uint32(100) {
			keys = append(keys, &rotav1.Key{Kind: &rotav1.Key_Digest{Digest: i * 2654435761}})
		}
		plain := call(t, a.HrwTopics, &rotav1.HrwTopicsRequest{Pool: "proxy", Keys: keys})
		short := call(t, a.HrwTopics, &rotav1.HrwTopicsRequest{Pool: "proxy", Keys: keys, Indexed: true})
		if len(short.GetChosen()) != 2 || len(short.GetPicks()) != len(keys) || len(short.GetTopics())+len(short.GetNodes()) != 0 {
			t.Fatalf("%d nodes, %d picks, %d topics", len(short.GetChosen()), len(short.GetPicks()), len(short.GetTopics()))
		}
		for i, at := range short.GetPicks() {
			if got := short.GetChosen()[at]; got.GetTopic() != plain.GetTopics()[i] || got.GetNode() != plain.GetNodes()[i] {
				t.Errorf("key %d: %v, want %s", i, got, plain.GetTopics()[i])
			}
		}
		none := call(t, a.HrwTopics, &rotav1.HrwTopicsRequest{Pool: "logger", Keys: keys, Indexed: true})
		if none.GetEmptyReason() != "no_members" || len(none.GetPicks())+len(none.GetChosen()) != 0 {
			t.Errorf("nothing eligible: %v", none)
		}
	})
}
