package registry_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/rota-registry/rota/registry"
	"github.com/rota-registry/rota/registry/hrw"
)

// refusedAs wants the error of a code, with a text that names what it is about.
func refusedAs(t *testing.T, err error, code registry.Code, texts ...string) {
	t.Helper()
	if err == nil || registry.CodeOf(err) != code {
		t.Fatalf("got %v (%v), want %v", err, registry.CodeOf(err), code)
	}
	for _, text := range texts {
		if !strings.Contains(err.Error(), text) {
			t.Errorf("error %q does not say %q", err, text)
		}
	}
}

func apply(t *testing.T, s *registry.State, cmd registry.Command) registry.Result {
	t.Helper()
	res, err := s.Apply(registry.Stamp{Index: 7, Clock: 7}, cmd)
	if err != nil {
		t.Fatalf("%T: %v", cmd, err)
	}
	return res
}

func applyErr(s *registry.State, cmd registry.Command) error {
	_, err := s.Apply(registry.Stamp{Index: 8, Clock: 8}, cmd)
	return err
}

// crowd restores a state with n static workers, w-0000 and on, all in the pool
// worker.
func crowd(t testing.TB, n int) *registry.State {
	t.Helper()
	snap := registry.NewState().Snapshot()
	snap.Clock = 1
	worker := &snap.Pools[2]
	for i := range n {
		name := registry.NodeName(fmt.Sprintf("w-%04d", i))
		snap.Nodes = append(snap.Nodes, registry.Node{Name: name, Type: "worker", State: registry.Failed, Static: true})
		alias := hrw.Alias(string(name), 0)
		worker.Members = append(worker.Members, registry.MemberSnapshot{Node: name, Alias: alias, SiteID: hrw.SiteID(hrw.Zeek71, alias)})
	}
	return restore(t, snap)
}

func restore(t testing.TB, snap registry.Snapshot) *registry.State {
	t.Helper()
	s, err := registry.Restore(snap)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestNodesMax(t *testing.T) {
	s := crowd(t, registry.NodesMax-1)
	apply(t, s, registry.AddNode{Name: "last", Type: "worker"})
	refusedAs(t, applyErr(s, registry.AddNode{Name: "more", Type: "worker"}), registry.Limit, `"more"`, "5000")
	refusedAs(t, applyErr(s, registry.JoinNode{Name: "more", Type: "proxy", Address: "h:1", Boot: boot("1")}), registry.Limit, `"more"`)
	apply(t, s, registry.JoinNode{Name: "last", Type: "worker", Address: "h:1", Boot: boot("1")})
	if p, _ := s.Pool("worker"); len(p.Members) != registry.MembersMax {
		t.Errorf("the pool of all nodes has %d members, want %d", len(p.Members), registry.MembersMax)
	}
	apply(t, s, registry.ForgetNode{Name: "last"})
	apply(t, s, registry.AddNode{Name: "more", Type: "worker"})

	snap := s.Snapshot()
	snap.Nodes = append(snap.Nodes, registry.Node{Name: "z", Type: "worker", State: registry.Failed})
	_, err := registry.Restore(snap)
	refusedAs(t, err, registry.Invalid, "5001 nodes")
}

func TestPoolsMax(t *testing.T) {
	s := registry.NewState()
	for i := len(s.Pools()); i < registry.PoolsMax; i++ {
		apply(t, s, registry.RegisterPool{Spec: registry.Spec{Name: registry.PoolName(fmt.Sprintf("p%d", i)), NodeType: "worker"}})
	}
	more := registry.RegisterPool{Spec: registry.Spec{Name: "more", NodeType: "worker"}}
	refusedAs(t, applyErr(s, more), registry.Limit, `"more"`, "1000")
	apply(t, s, registry.RegisterPool{Spec: registry.Spec{Name: "p9", NodeType: "proxy"}, Replace: true})
	apply(t, s, registry.UnregisterPool{Name: "p9"})
	apply(t, s, more)

	snap := s.Snapshot()
	spec := registry.Spec{Name: "zzz", Topic: "t", NodeType: "worker"}
	snap.Pools = append(snap.Pools, registry.PoolSnapshot{Spec: spec})
	_, err := registry.Restore(snap)
	refusedAs(t, err, registry.Invalid, "1001 pools")
}

// 100 pools of all 5,000 nodes are 500,000 memberships; not one more fits, by
// whatever command it would come.
func TestMembershipsMax(t *testing.T) {
	snap := crowd(t, registry.NodesMax-1).Snapshot()
	worker := snap.Pools[2]
	for i := range registry.MembershipsMax/registry.NodesMax - 1 {
		p := worker
		p.Spec.Name = registry.PoolName(fmt.Sprintf("x%03d", i))
		p.Spec.Topic = registry.Topic(p.Spec.Name)
		snap.Pools = append(snap.Pools, p)
	}
	s := restore(t, snap)
	apply(t, s, registry.AddNode{Name: "w-last", Type: "worker"})
	one := uint32(1)
	more := registry.RegisterPool{Spec: registry.Spec{Name: "more", NodeType: "worker", MaxNodes: &one}}
	before := s.Snapshot()
	refusedAs(t, applyErr(s, more), registry.Limit, "500001", "500000")
	if after := s.Snapshot(); len(after.Pools) != len(before.Pools) {
		t.Errorf("the refused pool is there: %d pools, want %d", len(after.Pools), len(before.Pools))
	}
	apply(t, s, registry.RegisterPool{Spec: registry.Spec{Name: "x000", Topic: "x000", NodeType: "proxy"}, Replace: true})
	apply(t, s, more)
	back := registry.RegisterPool{Spec: registry.Spec{Name: "x000", Topic: "x000", NodeType: "worker"}, Replace: true}
	refusedAs(t, applyErr(s, back), registry.Limit, "500001")
	apply(t, s, registry.ForgetNode{Name: "w-0000"})
	apply(t, s, back)
	rest := uint32(registry.MembershipsMax - 100*4999 - 1) // Each pool lost one member, and more has one.
	apply(t, s, registry.RegisterPool{Spec: registry.Spec{Name: "rest", NodeType: "worker", MaxNodes: &rest}})
	refusedAs(t, applyErr(s, registry.AddNode{Name: "w-more", Type: "worker"}), registry.Limit, "500100", "500000")
	if _, err := s.Node("w-more"); err == nil {
		t.Error("the refused node is in the layout")
	}
}

func TestCursorsMax(t *testing.T) {
	s := registry.NewState()
	apply(t, s, registry.JoinNode{Name: "w", Type: "worker", Address: "h:1", Boot: boot("1")})
	apply(t, s, registry.JoinNode{Name: "w2", Type: "worker", Address: "h:1", Boot: boot("1")})
	apply(t, s, registry.JoinNode{Name: "l", Type: "logger", Address: "h:1", Boot: boot("1")})
	for made := 0; made < registry.CursorsMax; {
		cmd := registry.RoundRobin{}
		for range min(registry.BatchTurnsMax, registry.CursorsMax-made) {
			cmd.Turns = append(cmd.Turns, registry.Turn{Pool: "worker", Key: fmt.Sprint(made), Count: 1})
			made++
		}
		for _, turn := range apply(t, s, cmd).Turns {
			if turn.Err != nil {
				t.Fatal(turn.Err)
			}
		}
	}
	res := apply(t, s, registry.RoundRobin{Turns: []registry.Turn{
		{Pool: "worker", Key: "more", Count: 1}, {LogID: "Conn::LOG"}, {Pool: "worker", Key: "0", Count: 1}, {Pool: "proxy", Key: "x", Count: 1},
	}})
	refusedAs(t, res.Turns[0].Err, registry.Limit, `"more"`, "100000")
	refusedAs(t, res.Turns[1].Err, registry.Limit)
	if res.Turns[2].Err != nil || res.Turns[3].Err != nil {
		t.Errorf("a known cursor, and an empty pool: %v, %v", res.Turns[2].Err, res.Turns[3].Err)
	}
	refusedAs(t, applyErr(s, registry.SetCursor{Pool: "worker", Key: "more", Next: 1}), registry.Limit, `"more"`)
	apply(t, s, registry.SetCursor{Pool: "worker", Key: "7", Next: 0})
	checkCursorsMaxRestored(t, s)
	apply(t, s, registry.DeleteCursor{Pool: "worker", Key: "7"})
	apply(t, s, registry.SetCursor{Pool: "worker", Key: "more", Next: 1})
}

func checkCursorsMaxRestored(t *testing.T, s *registry.State) {
	t.Helper()
	snap := s.Snapshot()
	full := restore(t, snap)
	refusedAs(t, applyErr(full, registry.SetCursor{Pool: "worker", Key: "more", Next: 1}), registry.Limit)
	snap.Pools[0].Cursors = []registry.CursorSnapshot{{Key: "k"}}
	_, err := registry.Restore(snap)
	refusedAs(t, err, registry.Invalid, "100000")
}

func TestReplicasMax(t *testing.T) {
	replica := func(i int) registry.Replica {
		return registry.Replica{Name: registry.ReplicaName(fmt.Sprintf("r%02d", i)), StoreID: registry.StoreID(fmt.Sprintf("%032x", i))}
	}
	found := registry.FoundCluster{ClusterID: registry.ClusterID(strings.Repeat("a", 32))}
	for i := range registry.ReplicasMax {
		found.Replicas = append(found.Replicas, replica(i))
	}
	s := registry.NewState()
	apply(t, s, found)
	refusedAs(t, applyErr(s, registry.SetReplica{Replica: replica(99)}), registry.Limit, `"r99"`, "15")
	found.Replicas = append(found.Replicas, replica(99))
	refusedAs(t, registry.Check(found), registry.Limit, "16")
}

// A turn's answers, a batch's turns and its answers in all, a report's changes.
func TestBatchBounds(t *testing.T) {
	turns := func(n, count int) registry.RoundRobin {
		cmd := registry.RoundRobin{}
		for range n {
			cmd.Turns = append(cmd.Turns, registry.Turn{Pool: "worker", Count: count})
		}
		return cmd
	}
	for _, ok := range []registry.Command{
		turns(1, registry.BatchAnswersMax), turns(registry.BatchTurnsMax, registry.BatchAnswersMax/registry.BatchTurnsMax),
		registry.ReportLiveness{By: "r1", Changes: liveness(registry.LivenessMax)},
	} {
		if err := registry.Check(ok); err != nil {
			t.Errorf("at the bound: %v", err)
		}
	}
	refusedAs(t, registry.Check(turns(1, registry.BatchAnswersMax+1)), registry.Limit, "16385", "16384")
	refusedAs(t, registry.Check(turns(registry.BatchTurnsMax+1, 1)), registry.Limit, "4097", "4096")
	many := turns(2, registry.BatchAnswersMax/2)
	many.Turns = append(many.Turns, registry.Turn{LogID: "Conn::LOG"})
	refusedAs(t, registry.Check(many), registry.Limit, "16384")
	refusedAs(t, registry.Check(registry.ReportLiveness{By: "r1", Changes: liveness(registry.LivenessMax + 1)}), registry.Limit, "1025", "1024")
	refusedAs(t, registry.Check(registry.RoundRobin{}), registry.Invalid)
	refusedAs(t, registry.Check(turns(1, 0)), registry.Invalid, "0 answers")
	refusedAs(t, registry.Check(turns(1, -1)), registry.Invalid)
}

func liveness(n int) []registry.Liveness {
	changes := make([]registry.Liveness, n)
	for i := range changes {
		changes[i] = registry.Liveness{Name: registry.NodeName(fmt.Sprint("n", i)), Boot: boot("1"), State: registry.Alive}
	}
	return changes
}

// A large count costs no more than its answers: the lap is walked once.
func TestCountsBeyondTheLap(t *testing.T) {
	s := crowd(t, 100)
	apply(t, s, registry.JoinNode{Name: "w-0007", Type: "worker", Address: "h:1", Boot: boot("1")})
	res := apply(t, s, registry.RoundRobin{Turns: []registry.Turn{{Pool: "worker", Key: "k", Count: registry.BatchAnswersMax}}})
	turn := res.Turns[0]
	if turn.Count() != registry.BatchAnswersMax || turn.At(0).Node != "w-0007" || turn.At(turn.Count()-1) != turn.At(0) || len(turn.Answers) != 1 {
		t.Errorf("%d answers, the first %v, %d of them kept", turn.Count(), turn.At(0), len(turn.Answers))
	}
}

func TestHRWKeyMax(t *testing.T) {
	s := registry.NewState()
	if _, err := s.HRW("worker", hrw.String(strings.Repeat("k", registry.KeyMax))); err != nil {
		t.Errorf("at the bound: %v", err)
	}
	long := hrw.String(strings.Repeat("k", registry.KeyMax+1))
	_, err := s.HRW("worker", long)
	refusedAs(t, err, registry.Invalid, "4097", "4096")
	_, _, err = s.Rank("worker", long, 1)
	refusedAs(t, err, registry.Invalid, "4097")
	_, _, err = s.Explain("worker", long)
	refusedAs(t, err, registry.Invalid, "4097")
}

// A ranking gives RankMax at most, an explanation all.
func TestRankMax(t *testing.T) {
	s := crowd(t, registry.RankMax+10)
	changes := registry.ReportLiveness{By: "r1"}
	for _, n := range s.Nodes() {
		changes.Changes = append(changes.Changes, registry.Liveness{Name: n.Name, Boot: boot("1"), State: registry.Alive, Since: n.Since})
	}
	apply(t, s, changes)
	for _, limit := range []int{0, registry.RankMax} {
		if list, _, err := s.Rank("worker", hrw.String("k"), limit); err != nil || len(list) != registry.RankMax {
			t.Errorf("limit %d gives %d, %v", limit, len(list), err)
		}
	}
	if list, _, err := s.Explain("worker", hrw.String("k")); err != nil || len(list) != registry.RankMax+10 {
		t.Errorf("explain gives %d, %v", len(list), err)
	}
}
