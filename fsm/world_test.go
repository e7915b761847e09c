package fsm_test

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/raft"
	"pgregory.net/rapid"

	"github.com/rota-registry/rota/fsm"
	"github.com/rota-registry/rota/registry"
)

// newMachine gives a machine that fails the test when it halts.
func newMachine(t rapid.TB) *fsm.Machine {
	return fsm.NewMachine(func(err error) { t.Errorf("the machine halts: %v", err) })
}

// entry is a committed command as Raft hands it on.
func entry(t rapid.TB, index uint64, e fsm.Entry) *raft.Log {
	t.Helper()
	b, err := fsm.EncodeEntry(e)
	if err != nil {
		t.Fatal(err)
	}
	return &raft.Log{Index: index, Term: 1 + index/10, Type: raft.LogCommand, Data: b}
}

// apply puts commands into the machine, from its next index on, in one batch.
func apply(t rapid.TB, m *fsm.Machine, cmds ...registry.Command) []*fsm.Outcome {
	t.Helper()
	next := uint64(m.At().Index) + 1
	entries := make([]*raft.Log, len(cmds))
	for i, cmd := range cmds {
		at := next + uint64(i)
		entries[i] = entry(t, at, fsm.Entry{Clock: registry.Millis(at * 10), Command: cmd})
	}
	var out []*fsm.Outcome
	for _, response := range m.ApplyBatch(entries) {
		out = append(out, response.(*fsm.Outcome))
	}
	return out
}

// bytesOf is the machine's snapshot, as its Persist writes it.
func bytesOf(t rapid.TB, m *fsm.Machine) []byte {
	t.Helper()
	snap, err := m.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	sink := &bufferSink{}
	if err := snap.Persist(sink); err != nil || !sink.closed || sink.cancelled {
		t.Fatalf("Persist: %v; closed %t, cancelled %t", err, sink.closed, sink.cancelled)
	}
	snap.Release()
	return sink.Bytes()
}

// bufferSink is a raft.SnapshotSink in memory.
type bufferSink struct {
	bytes.Buffer
	onWrite           func() error
	closed, cancelled bool
}

func (s *bufferSink) Write(b []byte) (int, error) {
	if s.onWrite != nil {
		if err := s.onWrite(); err != nil {
			return 0, err
		}
	}
	return s.Buffer.Write(b)
}

func (s *bufferSink) ID() string { return "1-1-1" }

func (s *bufferSink) Close() error {
	s.closed = true
	return nil
}

func (s *bufferSink) Cancel() error {
	s.cancelled = true
	return nil
}

// same fails the test when two machines do not hold the same bytes.
func same(t rapid.TB, what string, want, got []byte) {
	t.Helper()
	if !bytes.Equal(want, got) {
		t.Fatalf("%s: not the same bytes (-want +got):\n%s", what, cmp.Diff(readable(want), readable(got)))
	}
}

func readable(b []byte) string {
	s, at, chain, err := fsm.ReadSnapshot(bytes.NewReader(b))
	return fmt.Sprintf("%+v\n%+v\n%+v\n%v", at, chain, s, err)
}

func boot(digit string) registry.BootID {
	return registry.BootID(strings.Repeat(digit, registry.BootIDLen))
}

func sessionID(digit string) registry.SessionID {
	return registry.SessionID(strings.Repeat(digit, registry.SessionIDLen))
}

// story is a log whose state has something in every section and field.
func story() []registry.Command {
	two, prefix := uint32(2), registry.Topic("n/")
	cmds := []registry.Command{
		registry.FoundCluster{ClusterID: registry.ClusterID(strings.Repeat("c", 32)), Replicas: []registry.Replica{
			{Name: "r1", StoreID: registry.StoreID(strings.Repeat("1", 32)), API: "a:1", Raft: "a:2", Gossip: "a:3"},
			{Name: "r2", StoreID: registry.StoreID(strings.Repeat("2", 32)), API: "b:1", Raft: "b:2", Gossip: "b:3"},
		}},
		registry.TermStart{Leader: "r1"},
		registry.SetSettings{Change: registry.SettingsChange{NodeTopicPrefix: &prefix}, By: "ann"},
		registry.RegisterPool{Spec: registry.Spec{Name: "pair", NodeType: "worker", MaxNodes: &two, Exclusive: true}, By: "ann"},
		registry.RegisterPool{Spec: registry.Spec{Name: "old", NodeType: "proxy", Hash: 1}, By: "ann"},
	}
	for i, name := range []registry.NodeName{"worker-1", "worker-2", "worker-3", "worker-4"} {
		cmds = append(cmds, registry.JoinNode{Name: name, Type: "worker", Address: fmt.Sprintf("w:%d", i+1), Boot: boot("1"), By: "agent"})
	}
	return append(
		cmds,
		registry.AddNode{Name: "proxy-1", Type: "proxy", By: "ann"},
		registry.DrainNode{Name: "worker-3", Draining: true, Reason: "disk", By: "ann"},
		registry.JoinNode{Name: "worker-2", Type: "worker", Address: "w:9", Boot: boot("2"), Replaces: boot("1"), By: "agent"},
		registry.LeaveNode{Name: "worker-4", Boot: boot("1"), Reason: "goodbye"},
		registry.RoundRobin{Turns: []registry.Turn{{Pool: "pair", Key: "k", Count: 3}, {Pool: "worker", Count: 1}, {LogID: "Conn::LOG"}}},
		registry.SetCursor{Pool: "pair", Key: "l", Next: 1, By: "ann"},
		registry.OpenSession{ID: sessionID("5")},
		registry.OpenSession{ID: sessionID("4")},
		registry.RoundRobin{Turns: []registry.Turn{
			{Pool: "worker", Count: 2, Request: registry.RequestID{Session: sessionID("5"), Serial: 2}},
			{Pool: "nowhere", Count: 1, Request: registry.RequestID{Session: sessionID("5"), Serial: 3, FirstUnacked: 2}},
			{Pool: "logger", Count: 1, Request: registry.RequestID{Session: sessionID("4"), Serial: 1}},
		}},
	)
}

// told gives a machine to which story has happened.
func told(t rapid.TB) *fsm.Machine {
	m := newMachine(t)
	for i, o := range apply(t, m, story()...) {
		if o.Err != nil {
			t.Fatalf("%T: %v", story()[i], o.Err)
		}
	}
	return m
}

// drawCommand draws a command of few names, so that commands meet, and mostly
// one that the machine's state allows.
func drawCommand(t *rapid.T, m *fsm.Machine) registry.Command {
	drawLife := func(t *rapid.T) registry.Command { return drawLife(t, m) }
	draws := []func(*rapid.T) registry.Command{
		drawPool, drawPool, drawLife, drawLife, drawLife, drawLife, drawNode, drawNode, drawNode, drawTurns, drawTurns, drawRest,
	}
	return rapid.SampledFrom(draws).Draw(t, "kind")(t)
}

func poolName(t *rapid.T) registry.PoolName {
	return rapid.SampledFrom([]registry.PoolName{"worker", "proxy", "logger", "a", "b", "c"}).Draw(t, "pool")
}

func nodeName(t *rapid.T) (registry.NodeName, registry.NodeType) {
	typ := rapid.SampledFrom([]registry.NodeType{"worker", "worker", "worker", "proxy", "logger", "manager"}).Draw(t, "type")
	return registry.NodeName(fmt.Sprintf("%s-%d", typ, rapid.IntRange(1, 3).Draw(t, "number"))), typ
}

func drawPool(t *rapid.T) registry.Command {
	if rapid.IntRange(0, 4).Draw(t, "unregister") == 0 {
		return registry.UnregisterPool{Name: poolName(t)}
	}
	spec := registry.Spec{Name: poolName(t), NodeType: rapid.SampledFrom([]registry.NodeType{"worker", "proxy", "logger"}).Draw(t, "type")}
	spec.Exclusive = rapid.IntRange(0, 3).Draw(t, "exclusive") == 0
	if spec.Exclusive || rapid.Bool().Draw(t, "capped") {
		n := rapid.Uint32Range(0, 3).Draw(t, "max")
		spec.MaxNodes = &n
	}
	return registry.RegisterPool{Spec: spec, Replace: rapid.Bool().Draw(t, "replace"), By: "ann"}
}

func drawNode(t *rapid.T) registry.Command {
	name, typ := nodeName(t)
	switch rapid.IntRange(0, 5).Draw(t, "node") {
	case 0, 1, 2:
		return registry.AddNode{Name: name, Type: typ, Address: "h:1"}
	case 3, 4:
		return registry.JoinNode{Name: name, Type: typ, Address: "h:1", Boot: boot("1")}
	}
	return registry.ForgetNode{Name: name, Reason: "gone"}
}

func drawLife(t *rapid.T, m *fsm.Machine) registry.Command {
	view, _ := m.View()
	nodes := view.Nodes()
	if len(nodes) == 0 {
		return drawNode(t)
	}
	n := rapid.SampledFrom(nodes).Draw(t, "node")
	life := rapid.SampledFrom([]registry.BootID{n.Boot, boot("1"), boot("2")}).Draw(t, "boot")
	switch rapid.IntRange(0, 4).Draw(t, "life") {
	case 0:
		return registry.LeaveNode{Name: n.Name, Boot: life}
	case 1:
		return registry.DrainNode{Name: n.Name, Draining: rapid.Bool().Draw(t, "draining"), Reason: "disk"}
	case 2:
		return registry.JoinNode{Name: n.Name, Type: n.Type, Address: "h:2", Boot: boot("2"), Replaces: n.Boot}
	}
	state := rapid.SampledFrom([]registry.NodeState{registry.Alive, registry.Failed}).Draw(t, "state")
	change := registry.Liveness{Name: n.Name, Boot: life, State: state, Since: n.Since - registry.Index(rapid.IntRange(0, 4).Draw(t, "late")/4)}
	return registry.ReportLiveness{Changes: []registry.Liveness{change}, By: "r1"}
}

func drawTurns(t *rapid.T) registry.Command {
	turns := make([]registry.Turn, rapid.IntRange(1, 4).Draw(t, "turns"))
	for i := range turns {
		turns[i] = registry.Turn{Pool: poolName(t), Key: rapid.SampledFrom([]string{"", "k"}).Draw(t, "key"), Count: rapid.IntRange(1, 5).Draw(t, "count")}
	}
	for i := range turns {
		if rapid.Bool().Draw(t, "request") {
			turns[i].Request = registry.RequestID{
				Session:      sessionID(rapid.SampledFrom([]string{"4", "5"}).Draw(t, "session")),
				Serial:       rapid.Uint64Range(1, 4).Draw(t, "serial"),
				FirstUnacked: rapid.Uint64Range(0, 1).Draw(t, "unacked"),
			}
		}
	}
	turns[0].LogID = rapid.SampledFrom([]string{"", "", "Conn::LOG"}).Draw(t, "log")
	return registry.RoundRobin{Turns: turns}
}

func drawRest(t *rapid.T) registry.Command {
	zeek := rapid.SampledFrom([]registry.Assignment{registry.AssignStable, registry.AssignZeek}).Draw(t, "assignment")
	types := rapid.SampledFrom([][]registry.NodeType{nil, {"worker", "proxy", "logger"}}).Draw(t, "types")
	return rapid.SampledFrom([]registry.Command{
		registry.TermStart{Leader: "r2"},
		story()[0],
		registry.RebalancePools{},
		registry.SetReplica{Replica: registry.Replica{Name: "r1", StoreID: registry.StoreID(strings.Repeat("1", 32)), API: "z:1"}},
		registry.SetSettings{Change: registry.SettingsChange{Assignment: &zeek, NodeTypes: &types}},
		registry.SetCursor{Pool: poolName(t), Key: "k", Next: rapid.IntRange(0, 3).Draw(t, "next")},
		registry.DeleteCursor{Pool: poolName(t), Key: "k"},
		registry.ForgetCursors{By: "r1"},
		registry.OpenSession{ID: sessionID("4")},
		registry.OpenSession{ID: sessionID("5")},
	}).Draw(t, "rest")
}
