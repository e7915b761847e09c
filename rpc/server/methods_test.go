package server_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"

	"github.com/rota-registry/rota/registry"
	"github.com/rota-registry/rota/registry/hrw"
	rotav1 "github.com/rota-registry/rota/rpc/gen/rota/v1"
	"github.com/rota-registry/rota/rpc/server"
	"github.com/rota-registry/rota/rpc/wire"
)

// call makes a call that must succeed.
func call[Req, Res any](t *testing.T, method func(context.Context, *connect.Request[Req]) (*connect.Response[Res], error), message *Req) *Res {
	t.Helper()
	response, err := method(t.Context(), connect.NewRequest(message))
	if err != nil {
		t.Fatalf("%+v: %v", message, err)
	}
	return response.Msg
}

// fails makes a call that must fail with a code.
func fails[Req, Res any](t *testing.T, want registry.Code, method func(context.Context, *connect.Request[Req]) (*connect.Response[Res], error), message *Req) *registry.Error {
	t.Helper()
	_, err := method(t.Context(), connect.NewRequest(message))
	got, ok := wire.FromError(err)
	if !ok || got.Code != want {
		t.Fatalf("%T: got %v (%v), want %s", message, err, got, want)
	}
	return got
}

// onEveryProtocol runs a story against a fresh replica over each protocol.
func onEveryProtocol(t *testing.T, story func(t *testing.T, m *memory, a api)) {
	for protocol := range protocols() {
		t.Run(protocol, func(t *testing.T) {
			m := withNodes(t)
			story(t, m, newAPI(t, listen(t, newServer(t, server.Options{Replica: m})), protocol))
		})
	}
}

func text(s string) *rotav1.Key { return &rotav1.Key{Kind: &rotav1.Key_String_{String_: s}} }

func TestPools(t *testing.T) {
	onEveryProtocol(t, func(t *testing.T, m *memory, a api) {
		spec := &rotav1.PoolSpec{Topic: "t/p", NodeType: "proxy", MaxNodes: proto.Uint32(1)}
		made := call(t, a.RegisterPool, &rotav1.RegisterPoolRequest{Spec: spec})
		if !made.GetChanged() || made.GetPool().GetSpec().GetName() != "p" || made.GetPool().GetSpec().GetHash() != "zeek-7.1" {
			t.Errorf("registered %+v", made)
		}
		if made.GetIndex() != 14 || made.GetTerm() != 2 || made.GetServedBy() != "r1" {
			t.Errorf("at index %d, term %d by %q, want 14, 2 by r1", made.GetIndex(), made.GetTerm(), made.GetServedBy())
		}
		if again := call(t, a.RegisterPool, &rotav1.RegisterPoolRequest{Spec: spec}); again.GetChanged() {
			t.Error("the identical spec changed something")
		}
		other := proto.CloneOf(spec)
		other.MaxNodes = nil
		fails(t, registry.Conflict, a.RegisterPool, &rotav1.RegisterPoolRequest{Spec: other})
		call(t, a.RegisterPool, &rotav1.RegisterPoolRequest{Spec: other, Replace: true})

		call(t, a.RrTopic, &rotav1.RrTopicRequest{Pool: "p", Key: "k"})
		got := call(t, a.GetPool, &rotav1.GetPoolRequest{Name: "p", WithCursors: true}).GetPool()
		if len(got.GetMembers()) != 2 || got.GetAliveCount() != 2 || len(got.GetCursors()) != 1 || got.GetCursors()[0].GetNode() != "proxy-2" {
			t.Errorf("got %+v", got)
		}
		if bare := call(t, a.GetPool, &rotav1.GetPoolRequest{Name: "p"}).GetPool(); bare.GetCursors() != nil {
			t.Error("cursors came unasked")
		}
		var names []string
		for _, pool := range call(t, a.ListPools, &rotav1.ListPoolsRequest{}).GetPools() {
			names = append(names, pool.GetSpec().GetName())
		}
		if !slices.Equal(names, []string{"logger", "p", "proxy", "worker"}) {
			t.Errorf("pools %v", names)
		}
		call(t, a.UnregisterPool, &rotav1.UnregisterPoolRequest{Name: "p"})
		fails(t, registry.NotFound, a.GetPool, &rotav1.GetPoolRequest{Name: "p"})
		fails(t, registry.Invalid, a.UnregisterPool, &rotav1.UnregisterPoolRequest{Name: "proxy"})
	})
}

// A topic alone names the pool by its last segment, as the settings separate them.
func TestPoolsByTopicAlone(t *testing.T) {
	onEveryProtocol(t, func(t *testing.T, m *memory, a api) {
		long := strings.Repeat("x", registry.NameMax) + "." + strings.Repeat("y", 80-registry.NameMax-1)
		spec := func(topic string) *rotav1.RegisterPoolRequest {
			return &rotav1.RegisterPoolRequest{Spec: &rotav1.PoolSpec{Topic: topic, NodeType: "proxy"}}
		}
		fails(t, registry.Invalid, a.RegisterPool, spec(long))
		call(t, a.SetSettings, &rotav1.SetSettingsRequest{Settings: &rotav1.Settings{TopicSeparator: proto.String(".")}})
		for topic, name := range map[string]string{"t.p": "p", "t/q": "q", "t/u.v": "v", long: long[registry.NameMax+1:]} {
			made := call(t, a.RegisterPool, spec(topic))
			if made.GetPool().GetSpec().GetName() != name || !made.GetChanged() {
				t.Errorf("%s registered %+v, want pool %s", topic, made, name)
			}
		}
		fails(t, registry.Invalid, a.RegisterPool, spec("t/q."))
	})
}

func TestRebalance(t *testing.T) {
	onEveryProtocol(t, func(t *testing.T, m *memory, a api) {
		spec := &rotav1.PoolSpec{Name: "one", NodeType: "proxy", MaxNodes: proto.Uint32(1)}
		call(t, a.RegisterPool, &rotav1.RegisterPoolRequest{Spec: spec})
		m.do(t, join("proxy-0", "proxy")) // Zeek would give it the pool; stable does not
		plan := call(t, a.RebalancePools, &rotav1.RebalancePoolsRequest{DryRun: true})
		if len(plan.GetMoves()) == 0 || plan.GetIndex() != 15 {
			t.Fatalf("plan %+v at %d, want moves at 15", plan.GetMoves(), plan.GetIndex())
		}
		done := call(t, a.RebalancePools, &rotav1.RebalancePoolsRequest{})
		if !slices.EqualFunc(done.GetMoves(), plan.GetMoves(), func(a, b *rotav1.RebalancePoolsResponse_Move) bool { return proto.Equal(a, b) }) {
			t.Errorf("planned %v, did %v", plan.GetMoves(), done.GetMoves())
		}
		if done.GetIndex() != 16 {
			t.Errorf("done at %d, want 16", done.GetIndex())
		}
	})
}

func TestHrw(t *testing.T) {
	onEveryProtocol(t, func(t *testing.T, m *memory, a api) {
		want, err := m.mu.state.HRW("proxy", hrw.String("key"))
		if err != nil {
			t.Fatal(err)
		}
		one := call(t, a.HrwTopic, &rotav1.HrwTopicRequest{Pool: "proxy", Key: text("key")})
		if one.GetTopic() != want.Topic || one.GetNode() != string(want.Node) || one.GetEpoch() != uint64(want.Epoch) || one.AgeMs != nil {
			t.Errorf("got %+v, want %+v", one, want)
		}
		all := call(t, a.HrwTopics, &rotav1.HrwTopicsRequest{Pool: "proxy", Keys: []*rotav1.Key{text("key"), text("other"), text("key")}})
		if len(all.GetTopics()) != 3 || all.GetTopics()[0] != want.Topic || all.GetTopics()[2] != want.Topic || all.GetNodes()[0] != string(want.Node) {
			t.Errorf("got %+v", all)
		}
		ranking := call(t, a.RankNodes, &rotav1.RankNodesRequest{Pool: "proxy", Key: text("key")})
		if len(ranking.GetRanking()) != 1 || ranking.GetRanking()[0].GetNode() != string(want.Node) || ranking.GetDigest() != hrw.String("key").Digest(hrw.Zeek71) {
			t.Errorf("limit 0 gave %+v, want the winner", ranking)
		}
		call(t, a.DrainNode, &rotav1.DrainNodeRequest{Name: string(want.Node)})
		explained := call(t, a.RankNodes, &rotav1.RankNodesRequest{Pool: "proxy", Key: text("key"), Explain: true, Limit: 1000})
		if r := explained.GetRanking(); len(r) != 2 || r[0].GetNode() != string(want.Node) || r[0].GetEligible() || r[0].GetWeight() < r[1].GetWeight() {
			t.Errorf("explained %+v", r)
		}
		fails(t, registry.NotFound, a.HrwTopic, &rotav1.HrwTopicRequest{Pool: "none", Key: text("key")})
	})
}

// As in Zeek: the topic is empty, with the reason, and no error.
func TestNothingEligibleIsNoError(t *testing.T) {
	onEveryProtocol(t, func(t *testing.T, m *memory, a api) {
		if got := call(t, a.HrwTopic, &rotav1.HrwTopicRequest{Pool: "logger", Key: text("k")}); got.GetTopic() != "" || got.GetEmptyReason() != "no_members" {
			t.Errorf("hrw: %+v", got)
		}
		call(t, a.DrainNode, &rotav1.DrainNodeRequest{Name: "worker-1"})
		if got := call(t, a.HrwTopics, &rotav1.HrwTopicsRequest{Pool: "worker", Keys: []*rotav1.Key{text("k")}}); !slices.Equal(got.GetTopics(), []string{""}) || got.GetEmptyReason() != "draining" {
			t.Errorf("hrw of several: %+v", got)
		}
		if got := call(t, a.RrTopic, &rotav1.RrTopicRequest{Pool: "worker"}); got.GetTopic() != "" || got.GetEmptyReason() != "draining" {
			t.Errorf("rr: %+v", got)
		}
		if got := call(t, a.RrTopics, &rotav1.RrTopicsRequest{Pool: "worker", Count: 3}); len(got.GetTopics()) != 0 || got.GetEmptyReason() != "draining" {
			t.Errorf("rr of several: %+v", got)
		}
		if got := call(t, a.RrLogTopic, &rotav1.RrLogTopicRequest{LogId: "Conn::LOG", Path: "conn"}); got.GetTopic() != "zeek/logs/Conn::LOG" || got.GetNode() != "" || got.GetEmptyReason() != "no_members" {
			t.Errorf("log: %+v", got)
		}
	})
}

func TestRoundRobin(t *testing.T) {
	onEveryProtocol(t, func(t *testing.T, m *memory, a api) {
		var nodes []string
		for range 3 {
			nodes = append(nodes, call(t, a.RrTopic, &rotav1.RrTopicRequest{Pool: "proxy"}).GetNode())
		}
		several := call(t, a.RrTopics, &rotav1.RrTopicsRequest{Pool: "proxy", Count: 2})
		nodes = append(nodes, several.GetNodes()...)
		if !slices.Equal(nodes, []string{"proxy-1", "proxy-2", "proxy-1", "proxy-2", "proxy-1"}) || several.GetTopics()[0] != "zeek/cluster/node/proxy-2/" {
			t.Errorf("turns %v, topics %v", nodes, several.GetTopics())
		}
		call(t, a.SetCursor, &rotav1.SetCursorRequest{Pool: "proxy", Next: 0})
		cursors := call(t, a.ListCursors, &rotav1.ListCursorsRequest{Pool: "proxy"}).GetCursors()
		if len(cursors) != 1 || cursors[0].GetNext() != 0 || cursors[0].GetNode() != "proxy-1" {
			t.Errorf("cursors %+v", cursors)
		}
		call(t, a.DeleteCursor, &rotav1.DeleteCursorRequest{Pool: "proxy"})
		if left := call(t, a.ListCursors, &rotav1.ListCursorsRequest{Pool: "proxy"}).GetCursors(); len(left) != 0 {
			t.Errorf("left %+v", left)
		}
		m.do(t, join("logger-1", "logger"))
		if got := call(t, a.RrLogTopic, &rotav1.RrLogTopicRequest{LogId: "Conn::LOG"}); got.GetNode() != "logger-1" || got.GetEmptyReason() != "" {
			t.Errorf("log: %+v", got)
		}
		fails(t, registry.NotFound, a.RrTopic, &rotav1.RrTopicRequest{Pool: "none"})
		fails(t, registry.NotFound, a.ListCursors, &rotav1.ListCursorsRequest{Pool: "none"})
	})
}

func TestSettings(t *testing.T) {
	onEveryProtocol(t, func(t *testing.T, m *memory, a api) {
		before := call(t, a.GetSettings, &rotav1.GetSettingsRequest{}).GetSettings()
		if before.GetTopicSeparator() != "/" || before.GetManagerIsLogger() != "auto" || before.GetAssignment() != "stable" {
			t.Errorf("defaults %+v", before)
		}
		change := &rotav1.Settings{TopicSeparator: proto.String("."), Assignment: proto.String("zeek"), NodeTypes: &rotav1.NodeTypes{}}
		after := call(t, a.SetSettings, &rotav1.SetSettingsRequest{Settings: change})
		if !after.GetChanged() || after.GetSettings().GetTopicSeparator() != "." || after.GetSettings().GetNodeTopicPrefix() != before.GetNodeTopicPrefix() {
			t.Errorf("after %+v", after)
		}
		fails(t, registry.Invalid, a.SetSettings, &rotav1.SetSettingsRequest{})
		fails(t, registry.Invalid, a.SetSettings, &rotav1.SetSettingsRequest{Settings: &rotav1.Settings{Assignment: proto.String("random")}})
	})
}

func TestNodes(t *testing.T) {
	onEveryProtocol(t, func(t *testing.T, m *memory, a api) {
		joined := call(t, a.JoinNode, &rotav1.JoinNodeRequest{Name: "n", Type: "worker", Address: "h:9", BootId: string(boot)})
		if joined.GetClusterId() != string(clusterID) || joined.GetGossipSeeds()[0] != "g:1" || joined.GetServers()[0] != "a:1" || joined.GetNode().GetState() != "alive" || joined.GetNode().GetNodeId() != "n#"+string(boot) {
			t.Errorf("joined %+v", joined)
		}
		added := call(t, a.AddNode, &rotav1.AddNodeRequest{Name: "s", Type: "proxy"})
		if !added.GetChanged() || !added.GetNode().GetStatic() || added.GetNode().GetReason() != registry.NeverSeen || added.GetNode().GetBy() != "api" {
			t.Errorf("added %+v", added)
		}
		drained := call(t, a.DrainNode, &rotav1.DrainNodeRequest{Name: "n", Reason: "disk"})
		if !drained.GetChanged() || !drained.GetNode().GetDraining() || drained.GetNode().GetDrainReason() != "disk" || drained.GetNode().GetEligible() {
			t.Errorf("drained %+v", drained)
		}
		undrained := call(t, a.UndrainNode, &rotav1.UndrainNodeRequest{Name: "n"})
		if !undrained.GetChanged() || undrained.GetNode().GetDraining() || !undrained.GetNode().GetEligible() {
			t.Errorf("undrained %+v", undrained)
		}
		call(t, a.LeaveNode, &rotav1.LeaveNodeRequest{Name: "n", BootId: string(boot), Reason: "bye"})
		if got := call(t, a.GetNode, &rotav1.GetNodeRequest{Name: "n"}).GetNode(); got.GetState() != "left" || got.GetReason() != "bye" {
			t.Errorf("after the goodbye: %+v", got)
		}
		call(t, a.ForgetNode, &rotav1.ForgetNodeRequest{Name: "n"})
		fails(t, registry.NotFound, a.GetNode, &rotav1.GetNodeRequest{Name: "n"})
		if nodes := call(t, a.ListNodes, &rotav1.ListNodesRequest{}).GetNodes(); len(nodes) != 4 || nodes[0].GetName() != "proxy-1" {
			t.Errorf("%d nodes: %+v", len(nodes), nodes)
		}
		fails(t, registry.Invalid, a.JoinNode, &rotav1.JoinNodeRequest{Name: "n", Type: "worker", BootId: string(boot)})
	})
}

func TestStatus(t *testing.T) {
	onEveryProtocol(t, func(t *testing.T, m *memory, a api) {
		m.do(t, registry.AddNode{Name: "lost", Type: "worker"}, registry.DrainNode{Name: "proxy-1", Draining: true})
		m.do(t, registry.LeaveNode{Name: "proxy-2", Boot: boot})
		got := call(t, a.Status, &rotav1.StatusRequest{})
		counts := &rotav1.StatusResponse_NodeCounts{Alive: 2, Failed: 1, Draining: 1, Left: 1}
		if got.GetLeader() != "r1" || got.GetClusterId() != string(clusterID) || !proto.Equal(got.GetNodes(), counts) || got.GetIndex() != 16 {
			t.Errorf("got %+v", got)
		}
		if !slices.Equal(got.GetFailedNodes(), []string{"lost"}) || !slices.Equal(got.GetDrainingNodes(), []string{"proxy-1"}) || !slices.Equal(got.GetLeftNodes(), []string{"proxy-2"}) {
			t.Errorf("failed %v, draining %v, left %v", got.GetFailedNodes(), got.GetDrainingNodes(), got.GetLeftNodes())
		}
		if len(got.GetReplicas()) != 1 || got.GetReplicas()[0].GetState() != "leader" || got.GetReplicas()[0].GetApiAddress() != "a:1" {
			t.Errorf("replicas %+v", got.GetReplicas())
		}
		if p := got.GetPools(); len(p) != 3 || p[1].GetName() != "proxy" || p[1].GetMemberCount() != 2 || p[1].GetAliveCount() != 1 || p[1].GetEligibleCount() != 0 {
			t.Errorf("pools %+v", p)
		}
		if !slices.Contains(got.GetWarnings(), "a warning") {
			t.Errorf("warnings %v", got.GetWarnings())
		}
	})
}

// Status is for finding out what is wrong, so it answers when little works.
func TestStatusWithoutTheState(t *testing.T) {
	m := newMemory()
	m.before = func(_ context.Context, what string) error {
		if what == "Read" {
			return registry.Errorf(registry.Unavailable, "not started")
		}
		return nil
	}
	a := newAPI(t, listen(t, newServer(t, server.Options{Replica: m})), "connect")
	got := call(t, a.Status, &rotav1.StatusRequest{})
	if len(got.GetReplicas()) != 1 || len(got.GetWarnings()) != 2 {
		t.Errorf("got %+v, want the replicas and a warning about the rest", got)
	}
}

func TestReplicasCallEachOther(t *testing.T) {
	onEveryProtocol(t, func(t *testing.T, m *memory, a api) {
		hello := call(t, a.Hello, &rotav1.HelloRequest{Greeting: wire.ToGreeting(registry.Greeting{Replica: registry.Replica{Name: "r2"}})})
		if hello.GetGreeting().GetReplica().GetName() != "r1" || !hello.GetGreeting().GetReady() {
			t.Errorf("hello %+v", hello)
		}
		fails(t, registry.Invalid, a.Hello, &rotav1.HelloRequest{})
		if got := call(t, a.CurrentTerm, &rotav1.CurrentTermRequest{Name: "r1"}).GetTerm(); got != 2 {
			t.Errorf("term %d", got)
		}
		fails(t, registry.NotFound, a.CurrentTerm, &rotav1.CurrentTermRequest{Name: "r2"})
		if got := call(t, a.ReadIndex, &rotav1.ReadIndexRequest{}).GetIndex(); got != 13 {
			t.Errorf("read index %d, want 13", got)
		}
		done := call(t, a.Forward, &rotav1.ForwardRequest{Command: []byte("c")})
		if string(done.GetResult()) != "c" || done.GetIndex() != 5 || done.GetTerm() != 2 {
			t.Errorf("forwarded %+v", done)
		}
		fails(t, registry.Invalid, a.Forward, &rotav1.ForwardRequest{})
		lives := []*rotav1.Life{{Name: "worker-1", BootId: string(boot)}, {Name: "worker-2", BootId: string(boot)}, {Name: "worker-3", BootId: string(boot)}}
		for probe, want := range map[bool][]rotav1.Sight{
			false: {rotav1.Sight_SIGHT_SEES, rotav1.Sight_SIGHT_MISSES, rotav1.Sight_SIGHT_UNSPECIFIED},
			true:  {rotav1.Sight_SIGHT_MISSES, rotav1.Sight_SIGHT_MISSES, rotav1.Sight_SIGHT_MISSES},
		} {
			if got := call(t, a.SeesNodes, &rotav1.SeesNodesRequest{Lives: lives, Probe: probe}).GetSights(); !slices.Equal(got, want) {
				t.Errorf("with probe %t: %v, want %v", probe, got, want)
			}
		}
		call(t, a.NodesBroke, &rotav1.NodesBrokeRequest{Lives: lives[:2]})
		if got := m.broken(); len(got) != 2 || got[1].Name != "worker-2" {
			t.Errorf("broke: %v", got)
		}
		if report := call(t, a.Liveness, &rotav1.LivenessRequest{Thaw: true, Type: "proxy"}).GetLiveness(); len(report.GetFrozen()) != 2 || report.GetLeader() != "r1" {
			t.Errorf("before the thaw: %v", report)
		}
		if report := call(t, a.Liveness, &rotav1.LivenessRequest{}).GetLiveness(); len(report.GetFrozen()) != 1 || report.GetHeld()[0].GetForMs() != 5_000 {
			t.Errorf("after it: %v", report)
		}
		wrong := []*rotav1.Life{{Name: "worker-1", BootId: "x"}}
		fails(t, registry.Invalid, a.SeesNodes, &rotav1.SeesNodesRequest{Lives: wrong})
		fails(t, registry.Invalid, a.NodesBroke, &rotav1.NodesBrokeRequest{Lives: wrong})
		fails(t, registry.Invalid, a.Liveness, &rotav1.LivenessRequest{Type: "Not a type"})
	})
}

// As many lives as are allowed, with the longest names, and one more.
func TestLivesOfACallAreBounded(t *testing.T) {
	m := withNodes(t)
	a := newAPI(t, listen(t, newServer(t, server.Options{Replica: m})), "connect")
	name := strings.Repeat("w", registry.NameMax)
	lives := func(n int) (out []*rotav1.Life) {
		for range n {
			out = append(out, &rotav1.Life{Name: name, BootId: string(boot)})
		}
		return out
	}
	call(t, a.SeesNodes, &rotav1.SeesNodesRequest{Lives: lives(registry.SuspectsMax)})
	fails(t, registry.Limit, a.SeesNodes, &rotav1.SeesNodesRequest{Lives: lives(registry.SuspectsMax + 1)})
	call(t, a.SeesNodes, &rotav1.SeesNodesRequest{Lives: lives(registry.ProbesMax), Probe: true})
	fails(t, registry.Limit, a.SeesNodes, &rotav1.SeesNodesRequest{Lives: lives(registry.ProbesMax + 1), Probe: true})
	call(t, a.NodesBroke, &rotav1.NodesBrokeRequest{Lives: lives(registry.BrokenMax)})
	fails(t, registry.Limit, a.NodesBroke, &rotav1.NodesBrokeRequest{Lives: lives(registry.BrokenMax + 1)})
}

func TestLivenessIsShownAndThawed(t *testing.T) {
	onEveryProtocol(t, func(t *testing.T, m *memory, a api) {
		shown := call(t, a.ShowLiveness, &rotav1.ShowLivenessRequest{})
		if f := shown.GetLiveness().GetFrozen(); len(f) != 2 || f[0].GetType() != "proxy" || !slices.Equal(f[0].GetLost(), []string{"proxy-1", "proxy-2"}) ||
			f[0].GetOf() != 2 || shown.GetLiveness().GetLeader() != "r1" || shown.GetServedBy() != "r1" {
			t.Errorf("shown: %v", shown)
		}
		fails(t, registry.Invalid, a.ThawLiveness, &rotav1.ThawLivenessRequest{Type: "Not a type"})
		for i, step := range []struct {
			thaw   string
			thawed int
			left   int
		}{{"worker", 1, 1}, {"worker", 0, 1}, {"", 1, 0}} {
			thawed := call(t, a.ThawLiveness, &rotav1.ThawLivenessRequest{Type: step.thaw})
			left := call(t, a.ShowLiveness, &rotav1.ShowLivenessRequest{}).GetLiveness().GetFrozen()
			if len(thawed.GetThawed()) != step.thawed || len(left) != step.left || thawed.GetLeader() != "r1" {
				t.Errorf("step %d: thawed %v, %d left", i, thawed, len(left))
			}
		}
	})
}

func TestConsistency(t *testing.T) {
	onEveryProtocol(t, func(t *testing.T, m *memory, a api) {
		local := call(t, a.ListNodes, &rotav1.ListNodesRequest{Consistency: "local"})
		if local.AgeMs == nil || local.GetAgeMs() != 17 || local.GetIndex() != 13 || local.GetTerm() != 2 {
			t.Errorf("local: %+v", local)
		}
		call(t, a.GetPool, &rotav1.GetPoolRequest{Name: "proxy", Consistency: "at_least", AtLeastIndex: 13})
		fails(t, registry.Deadline, a.GetPool, &rotav1.GetPoolRequest{Name: "proxy", Consistency: "at_least", AtLeastIndex: 14})
		fails(t, registry.Invalid, a.GetSettings, &rotav1.GetSettingsRequest{Consistency: "eventual"})
	})
}

func TestWhatComesLaterSaysSo(t *testing.T) {
	onEveryProtocol(t, func(t *testing.T, m *memory, a api) {
		code := registry.Unimplemented
		fails(t, code, a.ImportLayout, &rotav1.ImportLayoutRequest{})
		fails(t, code, a.ExportLayout, &rotav1.ExportLayoutRequest{})
		fails(t, code, a.AddReplica, &rotav1.AddReplicaRequest{})
		fails(t, code, a.RemoveReplica, &rotav1.RemoveReplicaRequest{})
		fails(t, code, a.TransferLeadership, &rotav1.TransferLeadershipRequest{})
		fails(t, code, a.SafeToStop, &rotav1.SafeToStopRequest{})
		fails(t, code, a.SaveSnapshot, &rotav1.SaveSnapshotRequest{})
		fails(t, code, a.RestoreSnapshot, &rotav1.RestoreSnapshotRequest{})
		if m.Self().Applied != 13 {
			t.Error("something was written")
		}
	})
}

func TestWhoAsked(t *testing.T) {
	m := newMemory()
	a := newAPI(t, listen(t, newServer(t, server.Options{Replica: m})), "connect")
	longest := strings.Repeat("x", registry.ReasonMax)
	for header, want := range map[string]string{"": "api", "alice": "alice", longest: longest, longest + "x": "api", "a\xffb": "api"} {
		request := connect.NewRequest(&rotav1.DrainNodeRequest{Name: "n"})
		request.Header().Set("Rota-By", header)
		m.do(t, registry.AddNode{Name: "n", Type: "worker"})
		response, err := a.DrainNode(t.Context(), request)
		if err != nil || response.Msg.GetNode().GetBy() != want {
			t.Errorf("%q: by %q (%v), want %q", header, response.Msg.GetNode().GetBy(), err, want)
		}
		m.do(t, registry.ForgetNode{Name: "n"})
	}
}
