package registry_test

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/rota-registry/rota/registry"
	"github.com/rota-registry/rota/registry/hrw"
)

func ptr[T any](v T) *T { return &v }

// hex repeats a digit to the length of a cluster's or a store's id.
func hex(digit string) string { return strings.Repeat(digit, 32) }

// Every field that comes from outside is checked before a command is proposed,
// and again when it is applied; what is wrong is invalid, and the error names
// the subject.
func TestCheckRefusesWhatNoStateCouldAccept(t *testing.T) {
	long := strings.Repeat("x", 256)
	name64 := strings.Repeat("n", registry.NameMax+1)
	spec := func(change func(*registry.Spec)) registry.RegisterPool {
		s := registry.Spec{Name: "p", NodeType: "worker"}
		change(&s)
		return registry.RegisterPool{Spec: s}
	}
	join := func(change func(*registry.JoinNode)) registry.JoinNode {
		j := registry.JoinNode{Name: "n", Type: "worker", Address: "h:1", Boot: boot("1")}
		change(&j)
		return j
	}
	report := func(l registry.Liveness) registry.ReportLiveness {
		return registry.ReportLiveness{By: "r1", Changes: []registry.Liveness{l}}
	}
	settings := func(c registry.SettingsChange) registry.SetSettings { return registry.SetSettings{Change: c} }
	replica := registry.Replica{Name: "r1", StoreID: registry.StoreID(hex("1"))}
	for _, c := range []struct {
		cmd  registry.Command
		text string
	}{
		{registry.TermStart{}, "replica name"},
		{registry.TermStart{Leader: "a b"}, `"a b"`},
		{registry.FoundCluster{ClusterID: "xyz", Replicas: []registry.Replica{replica}}, `"xyz"`},
		{registry.FoundCluster{ClusterID: registry.ClusterID(hex("a"))}, "no replicas"},
		{registry.FoundCluster{ClusterID: registry.ClusterID(hex("a")), Replicas: []registry.Replica{replica, replica}}, `"r1" is there twice`},
		{registry.FoundCluster{ClusterID: registry.ClusterID(hex("a")), Replicas: []registry.Replica{{Name: "r1"}}}, "store id"},
		{registry.SetReplica{Replica: registry.Replica{Name: "r1", StoreID: replica.StoreID, API: long}}, "address"},
		{registry.SetReplica{Replica: registry.Replica{Name: "r1", StoreID: replica.StoreID, Raft: "a\x00b"}}, "address"},
		{registry.SetReplica{Replica: registry.Replica{Name: "r1", StoreID: replica.StoreID, Gossip: "a\nb"}}, "address"},
		{spec(func(s *registry.Spec) { s.Name = registry.PoolName(name64) }), "64 characters"},
		{spec(func(s *registry.Spec) { s.Name = "a/b" }), `"a/b"`},
		{spec(func(s *registry.Spec) { s.Topic = registry.Topic(long) }), "256 bytes"},
		{spec(func(s *registry.Spec) { s.Topic = "a\x01" }), "control"},
		{spec(func(s *registry.Spec) { s.Topic = "a\xff" }), "UTF-8"},
		{spec(func(s *registry.Spec) { s.Name, s.Topic = "", "a/b c" }), `"b c"`},
		{spec(func(s *registry.Spec) { s.NodeType = "none" }), "invalid pool node type: none"},
		{spec(func(s *registry.Spec) { s.NodeType = registry.NodeType(strings.Repeat("t", registry.TypeMax+1)) }), "33 characters"},
		{spec(func(s *registry.Spec) { s.Exclusive = true }), "max_nodes must be set"},
		{spec(func(s *registry.Spec) { s.MaxNodes = ptr(uint32(registry.MaxNodesMax + 1)) }), "1000001"},
		{spec(func(s *registry.Spec) { s.Hash = 2 }), "hash"},
		{registry.RegisterPool{Spec: registry.Spec{Name: "p", NodeType: "worker"}, By: long}, "who asked"},
		{registry.UnregisterPool{}, "pool name"},
		{registry.UnregisterPool{Name: "logger"}, `"logger"`},
		{registry.RebalancePools{By: "a\tb"}, "who asked"},
		{registry.RoundRobin{Turns: []registry.Turn{{Pool: "", Count: 1}}}, "pool name"},
		{registry.RoundRobin{Turns: []registry.Turn{{Pool: "p", Key: long, Count: 1}}}, "256 bytes"},
		{registry.RoundRobin{Turns: []registry.Turn{{Pool: "p", Key: "\xff", Count: 1}}}, "UTF-8"},
		{registry.RoundRobin{Turns: []registry.Turn{{LogID: long}}}, "log id"},
		{registry.SetCursor{Pool: "p", Next: registry.MembersMax}, "5000"},
		{registry.SetCursor{Pool: "p", Key: long}, "256 bytes"},
		{registry.DeleteCursor{Pool: "", Key: "k"}, "pool name"},
		{registry.DeleteCursor{Pool: "p", Key: long}, "256 bytes"},
		{settings(registry.SettingsChange{NodeTopicPrefix: ptr(registry.Topic(""))}), "node_topic_prefix"},
		{settings(registry.SettingsChange{NodeIDTopicPrefix: ptr(registry.Topic(long))}), "nodeid_topic_prefix"},
		{settings(registry.SettingsChange{PoolTopicPrefix: ptr(registry.Topic("\x7f"))}), "pool_topic_prefix"},
		{settings(registry.SettingsChange{LogTopicPrefix: ptr(registry.Topic(""))}), "log_topic_prefix"},
		{settings(registry.SettingsChange{TopicSeparator: ptr(":")}), "topic_separator"},
		{settings(registry.SettingsChange{ManagerIsLogger: ptr(registry.ManagerIsLogger(3))}), "manager_is_logger"},
		{settings(registry.SettingsChange{Assignment: ptr(registry.Assignment(2))}), "assignment"},
		{settings(registry.SettingsChange{NodeTypes: &[]registry.NodeType{"worker", "Bad"}}), `"Bad"`},
		{settings(registry.SettingsChange{NodeTypes: &[]registry.NodeType{"worker", "worker"}}), "twice"},
		{settings(registry.SettingsChange{NodeTypes: ptr(types(registry.NodeTypesMax + 1))}), "65 types"},
		{settings(registry.SettingsChange{FailedRetention: ptr(registry.RetentionMin - 1)}), "failed_retention 999ms"},
		{settings(registry.SettingsChange{LeftRetention: ptr(registry.RetentionMax + 1)}), "left_retention"},
		{settings(registry.SettingsChange{LeftRetention: ptr(registry.Millis(-1500))}), "left_retention -1s500ms"},
		{join(func(j *registry.JoinNode) { j.Name = "" }), "node name"},
		{join(func(j *registry.JoinNode) { j.Type = "" }), "node type"},
		{join(func(j *registry.JoinNode) { j.Boot = "" }), "boot id"},
		{join(func(j *registry.JoinNode) { j.Boot = boot("A") }), "boot id"},
		{join(func(j *registry.JoinNode) { j.Replaces = "1" }), "boot id"},
		{join(func(j *registry.JoinNode) { j.Address = "" }), "no address"},
		{join(func(j *registry.JoinNode) { j.Address = long }), "address"},
		{registry.LeaveNode{Name: "n"}, "boot id"},
		{registry.LeaveNode{Name: "n", Boot: boot("1"), Reason: long}, "reason"},
		{registry.AddNode{Name: "n", Type: "1"}, "node type"},
		{registry.AddNode{Name: registry.NodeName(name64), Type: "worker"}, "64 characters"},
		{registry.DrainNode{Name: "n", Reason: "\x1b[2J"}, "reason"},
		{registry.ForgetNode{Name: "#"}, `"#"`},
		{registry.ReportLiveness{}, "replica name"},
		{report(registry.Liveness{Name: "n", Boot: boot("1"), State: registry.Left}), "left"},
		{report(registry.Liveness{Name: "n", Boot: boot("1")}), "unknown"},
		{report(registry.Liveness{Name: "n", State: registry.Alive}), "boot id"},
		{report(registry.Liveness{Boot: boot("1"), State: registry.Alive}), "node name"},
	} {
		refusedAs(t, registry.Check(c.cmd), registry.Invalid, c.text)
		refusedAs(t, applyErr(registry.NewState(), c.cmd), registry.Invalid, c.text)
	}
	refusedAs(t, registry.Check(nil), registry.Unimplemented)
	refusedAs(t, applyErr(registry.NewState(), &registry.RebalancePools{}), registry.Unimplemented, "RebalancePools")
}

func types(n int) []registry.NodeType {
	list := []registry.NodeType{"worker", "proxy", "logger"}
	for i := len(list); i < n; i++ {
		list = append(list, registry.NodeType(fmt.Sprint("t", i)))
	}
	return list
}

// At each bound everything is taken.
func TestAtTheBounds(t *testing.T) {
	text := strings.Repeat("é", 127) + "x"      // 255 bytes
	addr := strings.Repeat("h", 249) + ":65535" // as many
	name := strings.Repeat("N", registry.NameMax)
	s := registry.NewState()
	for _, cmd := range []registry.Command{
		registry.JoinNode{
			Name: registry.NodeName(name), Type: registry.NodeType(strings.Repeat("t", registry.TypeMax)),
			Address: addr, Boot: boot("f"), Replaces: boot("0"), By: text,
		},
		registry.AddNode{Name: "w", Type: "worker", Address: text, By: text},
		registry.DrainNode{Name: "w", Draining: true, Reason: text, By: text},
		registry.JoinNode{Name: "w", Type: "worker", Address: addr, Boot: boot("1")},
		registry.LeaveNode{Name: "w", Boot: boot("1"), Reason: text},
		registry.JoinNode{Name: "w", Type: "worker", Address: addr, Boot: boot("2"), Replaces: boot("1")},
		registry.DrainNode{Name: "w"},
		registry.RegisterPool{Spec: registry.Spec{
			Name: registry.PoolName(name), Topic: registry.Topic(text), NodeType: "worker",
			MaxNodes: ptr(uint32(registry.MaxNodesMax)), Exclusive: true, Hash: hrw.Zeek62,
		}, By: text},
		registry.RoundRobin{Turns: []registry.Turn{{Pool: registry.PoolName(name), Key: text, Count: 1}, {LogID: text}}},
		registry.SetSettings{Change: registry.SettingsChange{
			NodeTopicPrefix: ptr(registry.Topic(text)), FailedRetention: ptr(registry.RetentionMin), LeftRetention: ptr(registry.RetentionMax),
			NodeTypes: ptr(append(types(registry.NodeTypesMax-1), registry.NodeType(strings.Repeat("t", registry.TypeMax)))),
		}},
		registry.SetReplica{Replica: registry.Replica{Name: registry.ReplicaName(name), StoreID: registry.StoreID(hex("0")), API: addr, Raft: addr, Gossip: addr}},
	} {
		if res := apply(t, s, cmd); !res.Changed {
			t.Errorf("%T changed nothing", cmd)
		}
	}
	restore(t, s.Snapshot())
	refusedAs(t, applyErr(s, registry.RegisterPool{Spec: registry.Spec{Name: "p", NodeType: "other"}}), registry.Invalid, "node_types")
}

// A pool's topic is bounded also when the prefix makes it.
func TestResolvedTopicIsBounded(t *testing.T) {
	s := registry.NewState()
	prefix := registry.Topic(strings.Repeat("p", registry.TopicMax-3))
	apply(t, s, registry.SetSettings{Change: registry.SettingsChange{PoolTopicPrefix: &prefix}})
	apply(t, s, registry.RegisterPool{Spec: registry.Spec{Name: "abc", NodeType: "worker"}})
	refusedAs(t, applyErr(s, registry.RegisterPool{Spec: registry.Spec{Name: "abcd", NodeType: "worker"}}), registry.Invalid, "256 bytes")
}

// What ParseSetting reads is what List wrote, for every setting.
func TestSettingsReadBackAsWritten(t *testing.T) {
	want := registry.Settings{
		NodeTopicPrefix: "a/", NodeIDTopicPrefix: "b/", PoolTopicPrefix: "c/", LogTopicPrefix: "d/", TopicSeparator: ".",
		ManagerIsLogger: registry.ManagerIsLoggerFalse, Assignment: registry.AssignZeek, EnableRoundRobinLogging: false,
		NodeTypes: []registry.NodeType{"logger", "proxy", "worker"}, FailedRetention: 90_061_001, LeftRetention: 2_000,
	}
	s := registry.NewState()
	for _, set := range want.List() {
		change, err := registry.ParseSetting(set.Name, set.Value)
		if err != nil {
			t.Fatal(err)
		}
		apply(t, s, registry.SetSettings{Change: change})
	}
	if got := s.Settings(); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestSettingsThatCannotBeRead(t *testing.T) {
	for _, c := range []registry.Setting{
		{Name: "nodetypes", Value: "worker"},
		{Name: "manager_is_logger", Value: "yes"},
		{Name: "assignment", Value: ""},
		{Name: "enable_round_robin_logging", Value: "1"},
		{Name: "topic_separator", Value: "//"},
		{Name: "node_topic_prefix", Value: ""},
		{Name: "node_types", Value: "worker,Worker"},
		{Name: "failed_retention", Value: ""},
		{Name: "failed_retention", Value: "10"},
		{Name: "failed_retention", Value: "h"},
		{Name: "failed_retention", Value: "-1h"},
		{Name: "failed_retention", Value: "1.5h"},
		{Name: "failed_retention", Value: "1d"},
		{Name: "failed_retention", Value: "1h "},
		{Name: "failed_retention", Value: "999ms"},
		{Name: "left_retention", Value: "9223372036854775807h"},
		{Name: "left_retention", Value: "9223372036854775808ms"},
		{Name: "left_retention", Value: fmt.Sprintf("%dms1ms", int64(math.MaxInt64))},
	} {
		_, err := registry.ParseSetting(c.Name, c.Value)
		refusedAs(t, err, registry.Invalid, c.Name)
	}
}

// Codes survive the wire by name, and errors match their code's sentinel.
func TestErrorsCarryTheirCode(t *testing.T) {
	for c := registry.Internal; c <= registry.Unimplemented; c++ {
		if got := registry.CodeNamed(c.String()); got != c {
			t.Errorf("code %s reads back as %s", c, got)
		}
	}
	if registry.CodeNamed("no such") != registry.Internal || registry.Code(99).String() != "code_99" {
		t.Error("an unknown code must be internal, and print its number")
	}
	err := fmt.Errorf("wrapped: %w", registry.Errorf(registry.NotFound, "pool %q", "x"))
	if !errors.Is(err, registry.ErrNotFound) || errors.Is(err, registry.ErrConflict) || registry.CodeOf(err) != registry.NotFound {
		t.Errorf("%v does not match its code alone", err)
	}
	if registry.ErrLimit.Error() != "limit" || registry.CodeOf(errors.New("other")) != registry.Internal {
		t.Error("a sentinel says its code, and a foreign error is internal")
	}
}
