package fsm_test

import (
	"bytes"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"

	"github.com/rota-registry/rota/fsm"
	"github.com/rota-registry/rota/registry"
	"github.com/rota-registry/rota/registry/hrw"
)

// benchTurns is how many turns the entries and outcomes of the benchmarks have.
const benchTurns = 1024

// batch is what a replica combines under load: turns of a few pools and many
// sessions, half of them of one hot cursor and half of one of their own.
func batch() registry.RoundRobin {
	turns := make([]registry.Turn, benchTurns)
	for i := range turns {
		turns[i] = registry.Turn{
			Pool: registry.PoolName([]string{"worker", "proxy", "scan-detection", "logger"}[i%4]), Key: "Cluster::intel", Count: 1,
			Request: registry.RequestID{Session: benchSession(i % 64), Serial: uint64(70_000 + i), FirstUnacked: uint64(69_900 + i)},
		}
		if i%2 == 1 {
			turns[i].Key = fmt.Sprintf("flow-%011d", i)
		}
	}
	return registry.RoundRobin{Turns: turns}
}

func benchSession(i int) registry.SessionID {
	return registry.SessionID(fmt.Sprintf("%08x", uint32(i)*2654435761) + strings.Repeat("5a", 12))
}

// answers are those to batch, of pools of 500 nodes.
func answers() fsm.Outcome {
	o := fsm.Outcome{At: registry.Position{Index: 1_000_000, Term: 7}}
	o.Result.Changed = true
	for i := range benchTurns {
		node := registry.NodeName(fmt.Sprintf("worker-%d", i%500))
		o.Result.Turns = append(o.Result.Turns, registry.TurnResult{
			Answers: []registry.Answer{{Node: node, Topic: "zeek/cluster/node/" + string(node) + "/"}}, Epoch: 900_000,
		})
	}
	return o
}

// besideAState makes the heap that of a replica with a state, which these
// benchmarks have none of: in an empty one the collector runs all the time.
func besideAState(b *testing.B) {
	state := make([]byte, 64<<20)
	b.Cleanup(func() { runtime.KeepAlive(state) })
	b.ReportAllocs()
}

// perTurn reports what one turn takes.
func perTurn(b *testing.B) {
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/benchTurns, "ns/turn")
}

func BenchmarkEncodeEntry(b *testing.B) {
	e := fsm.Entry{Clock: 1_000_000, Wall: 1_763_848_800_000, Command: batch()}
	besideAState(b)
	for b.Loop() {
		if _, err := fsm.EncodeEntry(e); err != nil {
			b.Fatal(err)
		}
	}
	perTurn(b)
}

func BenchmarkDecodeEntry(b *testing.B) {
	encoded, err := fsm.EncodeEntry(fsm.Entry{Clock: 1_000_000, Wall: 1_763_848_800_000, Command: batch()})
	if err != nil {
		b.Fatal(err)
	}
	besideAState(b)
	for b.Loop() {
		if _, err := fsm.DecodeEntry(encoded); err != nil {
			b.Fatal(err)
		}
	}
	perTurn(b)
}

func BenchmarkEncodeOutcome(b *testing.B) {
	o := answers()
	besideAState(b)
	for b.Loop() {
		fsm.EncodeOutcome(o)
	}
	perTurn(b)
}

func BenchmarkDecodeOutcome(b *testing.B) {
	encoded := fsm.EncodeOutcome(answers())
	besideAState(b)
	for b.Loop() {
		if _, err := fsm.DecodeOutcome(encoded); err != nil {
			b.Fatal(err)
		}
	}
	perTurn(b)
}

// atTheBounds is the largest state that there can be but for its sessions, of
// which it has one tenth, with four answers each.
func atTheBounds() registry.Snapshot {
	snap := registry.NewState().Snapshot()
	snap.Clock = 1_000_000
	for i := range registry.NodesMax {
		snap.Nodes = append(snap.Nodes, registry.Node{
			Name: benchNode(i), Type: "worker", Address: fmt.Sprintf("10.0.%d.%d:7790", i/250, i%250), Boot: boot("1"),
			State: registry.Alive, Since: 400_000, SinceClock: 900_000, SinceWall: 1_763_848_800_000, Joined: 300_000, Reason: "joined", By: "agent",
		})
	}
	pools := registry.PoolsMax - len(snap.Pools)
	most := uint32(registry.MembershipsMax / pools)
	var own []registry.PoolSnapshot
	for i := range pools {
		name := registry.PoolName(fmt.Sprintf("a-%03d", i))
		p := registry.PoolSnapshot{Spec: registry.Spec{Name: name, Topic: registry.Topic("zeek/cluster/pool/" + name), NodeType: "worker", MaxNodes: &most}, Epoch: 700_000}
		for j := range int(most) {
			node := benchNode((i*int(most) + j) % registry.NodesMax)
			alias := hrw.Alias(string(node), 0)
			p.Members = append(p.Members, registry.MemberSnapshot{Node: node, Alias: alias, SiteID: hrw.SiteID(hrw.Zeek71, alias)})
		}
		for j := range registry.CursorsMax / pools {
			p.Cursors = append(p.Cursors, registry.CursorSnapshot{Key: fmt.Sprintf("flow-%011d", j), Next: j, Used: 900_000})
		}
		own = append(own, p)
	}
	snap.Pools = append(own, snap.Pools...)
	for i := range registry.SessionsMax / 10 {
		s := registry.SessionSnapshot{ID: registry.SessionID(fmt.Sprintf("%032x", i)), Used: 900_000, FirstUnacked: 5000}
		for j := range 4 {
			node := benchNode((i + j) % registry.NodesMax)
			s.Stored = append(s.Stored, registry.StoredTurn{Serial: uint64(5000 + j), Result: registry.TurnResult{
				Answers: []registry.Answer{{Node: node, Topic: "zeek/cluster/node/" + string(node) + "/"}}, Epoch: 700_000,
				Taken: registry.Position{Index: 950_000, Term: 7},
			}})
		}
		snap.Sessions = append(snap.Sessions, s)
	}
	return snap
}

func benchNode(i int) registry.NodeName { return registry.NodeName(fmt.Sprintf("worker-%04d", i)) }

func BenchmarkWriteSnapshotAtTheBounds(b *testing.B) {
	snap := atTheBounds()
	b.ReportAllocs()
	for b.Loop() {
		if err := fsm.WriteSnapshot(io.Discard, snap, registry.Position{Index: 1_000_000, Term: 7}, fsm.Chain{}); err != nil {
			b.Fatal(err)
		}
	}
}

// snapshotAtTheBounds are the bytes of atTheBounds.
func snapshotAtTheBounds(b *testing.B) []byte {
	b.Helper()
	var buf bytes.Buffer
	if err := fsm.WriteSnapshot(&buf, atTheBounds(), registry.Position{Index: 1_000_000, Term: 7}, fsm.Chain{}); err != nil {
		b.Fatal(err)
	}
	return buf.Bytes()
}

func BenchmarkReadSnapshotAtTheBounds(b *testing.B) {
	encoded := snapshotAtTheBounds(b)
	b.SetBytes(int64(len(encoded)))
	b.ReportAllocs()
	for b.Loop() {
		if _, _, _, err := fsm.ReadSnapshot(bytes.NewReader(encoded)); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkRestoreAtTheBounds is what a replica does that starts, or that was
// sent a snapshot: reading it, and package registry making a state of it.
func BenchmarkRestoreAtTheBounds(b *testing.B) {
	encoded := snapshotAtTheBounds(b)
	m := fsm.NewMachine(func(err error) { b.Errorf("the machine halts: %v", err) })
	b.SetBytes(int64(len(encoded)))
	b.ReportAllocs()
	for b.Loop() {
		if err := m.Restore(reader(encoded)); err != nil {
			b.Fatal(err)
		}
	}
}
