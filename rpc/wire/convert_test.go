package wire_test

import (
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/rota-registry/rota/registry"
	"github.com/rota-registry/rota/registry/hrw"
	rotav1 "github.com/rota-registry/rota/rpc/gen/rota/v1"
	"github.com/rota-registry/rota/rpc/wire"
)

// roundTrip fails when a field of in does not come back, or when a field of the
// message is left unset although every field of in was set.
func roundTrip[T any, M proto.Message](t *testing.T, in T, to func(T) M, from func(M) (T, error), unset ...protoreflect.Name) {
	t.Helper()
	message := to(in)
	bytes, err := proto.Marshal(message)
	if err != nil {
		t.Fatal(err)
	}
	decoded := message.ProtoReflect().New().Interface().(M)
	if err := proto.Unmarshal(bytes, decoded); err != nil {
		t.Fatal(err)
	}
	out, err := from(decoded)
	if err != nil || !reflect.DeepEqual(in, out) {
		t.Errorf("%T:\n in %+v\nout %+v\nerr %v", in, in, out, err)
	}
	fields := message.ProtoReflect().Descriptor().Fields()
	for i := range fields.Len() {
		field := fields.Get(i)
		expected := true
		for _, name := range unset {
			expected = expected && name != field.Name()
		}
		if message.ProtoReflect().Has(field) != expected {
			t.Errorf("%T: field %s set: %v, want %v", in, field.Name(), !expected, expected)
		}
	}
}

func never[A, B any](f func(A) B) func(A) (B, error) {
	return func(a A) (B, error) { return f(a), nil }
}

func ptr[T any](v T) *T { return &v }

func member() registry.MemberInfo {
	return registry.MemberInfo{
		Name: "worker-1", Alias: "worker-1.0", SiteID: math.MaxUint32, Topic: "zeek/cluster/node/worker-1/",
		Alive: true, Eligible: true, State: registry.Alive,
	}
}

func TestPoolsRoundTrip(t *testing.T) {
	spec := registry.Spec{Name: "p", Topic: "t/p", NodeType: "worker", MaxNodes: ptr(uint32(2)), Exclusive: true, Hash: hrw.Zeek62}
	roundTrip(t, spec, wire.ToSpec, wire.FromSpec)
	pool := registry.PoolInfo{
		Spec: spec, Topic: "t/p", Members: []registry.MemberInfo{member()}, AliveCount: 3, EligibleCount: 2, Epoch: 1 << 60,
		Satisfied: true, Reason: "wants 2, has 1",
	}
	roundTrip(t, pool, wire.ToPool, wire.FromPool, "cursors")
	change := registry.PoolChange{From: 7, Pool: pool, Edits: []registry.MemberEdit{{At: 1, Removed: 2, Members: pool.Members}}}
	roundTrip(t, change, wire.ToPoolChange, wire.FromPoolChange)
}

// Unset and 0 differ: all nodes of the type, and none.
func TestMaxNodesUnsetIsNotZero(t *testing.T) {
	for _, most := range []*uint32{nil, ptr(uint32(0))} {
		spec, err := wire.FromSpec(wire.ToSpec(registry.Spec{Name: "p", MaxNodes: most}))
		if err != nil || (spec.MaxNodes == nil) != (most == nil) {
			t.Errorf("%v came back as %v (%v)", most, spec.MaxNodes, err)
		}
	}
}

func TestNodesRoundTrip(t *testing.T) {
	node := registry.NodeInfo{
		Node: registry.Node{
			Name: "w", Type: "worker", Address: "h:1", Boot: "0123456789abcdef", State: registry.Alive, Draining: true,
			DrainReason: "d", Static: true, Since: 7, SinceWall: 8, Reason: "r", By: "me",
		},
		Topic: "n/w/", NodeIDTopic: "i/w#0123456789abcdef", Pools: []registry.PoolName{"p"},
	}
	roundTrip(t, node, wire.ToNode, never(wire.FromNode), "eligible")
	node.Draining = false
	if !wire.ToNode(node).GetEligible() {
		t.Error("a node that is alive and not draining is not shown as eligible")
	}
	node.Boot = ""
	if got := wire.ToNode(node).GetNodeId(); got != "" {
		t.Errorf("a node that was never seen has the id %q", got)
	}
}

func TestSettingsRoundTrip(t *testing.T) {
	settings := registry.Settings{
		NodeTopicPrefix: "n/", NodeIDTopicPrefix: "i/", PoolTopicPrefix: "p/", LogTopicPrefix: "l/", TopicSeparator: ".",
		ManagerIsLogger: registry.ManagerIsLoggerFalse, EnableRoundRobinLogging: true, Assignment: registry.AssignZeek,
		NodeTypes: []registry.NodeType{"worker", "x"}, FailedRetention: 1, LeftRetention: 2,
	}
	roundTrip(t, settings, wire.ToSettings, wire.FromSettings)
}

func TestAnEmptyChangeChangesNothing(t *testing.T) {
	change, err := wire.FromSettingsChange(&rotav1.Settings{})
	if err != nil || !reflect.DeepEqual(change, registry.SettingsChange{}) {
		t.Errorf("got %+v (%v), want no change", change, err)
	}
	change, err = wire.FromSettingsChange(&rotav1.Settings{NodeTypes: &rotav1.NodeTypes{}})
	if err != nil || change.NodeTypes == nil || len(*change.NodeTypes) != 0 {
		t.Errorf("got %+v (%v), want the empty list of types, which is any", change, err)
	}
}

func TestGreetingsRoundTrip(t *testing.T) {
	id := strings.Repeat("0a", 16)
	replica := registry.Replica{Name: "r1", StoreID: registry.StoreID(id), API: "a:1", Raft: "a:2", Gossip: "a:3"}
	greeting := registry.Greeting{
		Replica: replica, ClusterID: registry.ClusterID(id), Empty: true, Roster: []registry.Replica{replica, replica},
		Role: "leader", Voter: true, Term: 3, Leader: "r1", Applied: 4, Committed: 5, Version: "v", GossipMembers: 6,
		Ready: true, NotReadyReason: "because", Listed: []string{"a:1", "b:1"},
		Checkpoints: []registry.Checkpoint{{Index: 4096, From: 7, Hash: 1 << 63}, {Index: 8192, From: 7, Hash: 1}},
		FrozenTypes: []registry.NodeType{"proxy", "worker"}, AppendTime: 1_500,
	}
	roundTrip(t, greeting, wire.ToGreeting, wire.FromGreeting)
	young := registry.Greeting{Replica: registry.Replica{Name: "r2"}, Role: "waiting"}
	if got, err := wire.FromGreeting(wire.ToGreeting(young)); err != nil || !reflect.DeepEqual(got, young) {
		t.Errorf("a replica that has no ids yet: got %+v (%v)", got, err)
	}
}

func TestGreetingsAreRefused(t *testing.T) {
	roster := func(n int) []registry.Replica { return make([]registry.Replica, n) }
	if _, err := wire.FromGreeting(wire.ToGreeting(registry.Greeting{Roster: roster(registry.ReplicasMax)})); err != nil {
		t.Errorf("a roster at the limit: %v", err)
	}
	checkpoints := func(n int) []registry.Checkpoint { return make([]registry.Checkpoint, n) }
	if _, err := wire.FromGreeting(wire.ToGreeting(registry.Greeting{Checkpoints: checkpoints(registry.CheckpointsMax)})); err != nil {
		t.Errorf("checkpoints at the limit: %v", err)
	}
	frozen := func(n int) (types []registry.NodeType) {
		for range n {
			types = append(types, "worker")
		}
		return types
	}
	if _, err := wire.FromGreeting(wire.ToGreeting(registry.Greeting{FrozenTypes: frozen(registry.FrozenTypesMax)})); err != nil {
		t.Errorf("frozen types at the limit: %v", err)
	}
	for _, tt := range []struct {
		want *registry.Error
		g    registry.Greeting
	}{
		{registry.ErrLimit, registry.Greeting{FrozenTypes: frozen(registry.FrozenTypesMax + 1)}},
		{registry.ErrInvalid, registry.Greeting{FrozenTypes: []registry.NodeType{"Not a type"}}},
		{registry.ErrLimit, registry.Greeting{Roster: roster(registry.ReplicasMax + 1)}},
		{registry.ErrLimit, registry.Greeting{Checkpoints: checkpoints(registry.CheckpointsMax + 1)}},
		{registry.ErrInvalid, registry.Greeting{Replica: registry.Replica{Name: "no/slash"}}},
	} {
		if _, err := wire.FromGreeting(wire.ToGreeting(tt.g)); registry.CodeOf(err) != tt.want.Code {
			t.Errorf("got %v, want %s", err, tt.want.Code)
		}
	}
	if _, err := wire.FromGreeting(nil); registry.CodeOf(err) != registry.Invalid {
		t.Errorf("no greeting at all: %v", err)
	}
}

func TestLivenessRoundTrips(t *testing.T) {
	report := registry.LivenessReport{
		Leader: "r1",
		Frozen: []registry.FrozenType{{Type: "worker", For: 1_500, Lost: []registry.NodeName{"w1", "w2"}, Of: 3}},
		Held:   []registry.HeldNode{{Name: "w9", Type: "worker", For: 30_000, Failures: 3}},
	}
	roundTrip(t, report, wire.ToLiveness, never(wire.FromLiveness))
	lives := []registry.Life{{Name: "w1", Boot: "0123456789abcdef"}, {Name: "w2", Boot: "fedcba9876543210"}}
	if got, err := wire.FromLives(wire.ToLives(lives), 2); err != nil || !reflect.DeepEqual(got, lives) {
		t.Errorf("lives: %v, %v", got, err)
	}
	for want, most := range map[registry.Code]int{registry.Limit: 1, registry.Invalid: 3} {
		if _, err := wire.FromLives(append(wire.ToLives(lives), &rotav1.Life{Name: "w3"}), most); registry.CodeOf(err) != want {
			t.Errorf("at most %d: %v, want %s", most, err, want)
		}
	}
	sights := []registry.Sight{registry.Misses, registry.Unsure, registry.Sees}
	if got := wire.FromSights(wire.ToSights(sights)); !reflect.DeepEqual(got, sights) {
		t.Errorf("sights: %v", got)
	}
	if got := wire.FromSights([]rotav1.Sight{99}); got[0] != registry.Unsure {
		t.Errorf("a sight of another release: %v", got)
	}
}

func TestListsRoundTrip(t *testing.T) {
	cursors := []registry.Cursor{{Key: "k", Next: 3, Node: "w"}}
	ranking := []registry.Ranked{{Node: "w", Topic: "t", SiteID: 1, Weight: 2, Eligible: true}}
	moves := []registry.Move{{Pool: "p", Before: []registry.NodeName{"a"}, After: []registry.NodeName{"b", "c"}}}
	for _, pair := range [][2]any{
		{cursors, wire.FromCursors(wire.ToCursors(cursors))},
		{ranking, wire.FromRanking(wire.ToRanking(ranking))},
		{moves, wire.FromMoves(wire.ToMoves(moves))},
	} {
		if !reflect.DeepEqual(pair[0], pair[1]) {
			t.Errorf("in %+v\nout %+v", pair[0], pair[1])
		}
	}
}

func TestWordsRoundTrip(t *testing.T) {
	for _, r := range []registry.EmptyReason{registry.NotEmpty, registry.NoMembers, registry.AllDraining, registry.NoneAlive} {
		if got := wire.FromEmptyReason(r.String()); got != r {
			t.Errorf("reason %q came back as %q", r, got)
		}
	}
	for _, s := range []registry.NodeState{registry.Failed, registry.Alive, registry.Left} {
		if got := wire.FromState(s.String()); got != s {
			t.Errorf("state %s came back as %s", s, got)
		}
	}
	for _, c := range []registry.Consistency{registry.Linearizable, registry.AtLeast, registry.Local} {
		got, err := wire.FromConsistency(c.String(), 9)
		if err != nil || got != (registry.ReadOptions{Consistency: c, AtLeastIndex: 9}) {
			t.Errorf("consistency %d came back as %+v (%v)", c, got, err)
		}
	}
	if _, err := wire.FromConsistency("LOCAL", 0); registry.CodeOf(err) != registry.Invalid {
		t.Errorf("consistency 99: %v, want invalid", err)
	}
}

// The vectors are those of the key table in the documentation of keys.
func TestKeysOfEveryKind(t *testing.T) {
	for _, test := range []struct {
		key    *rotav1.Key
		digest uint32
	}{
		{&rotav1.Key{Kind: &rotav1.Key_String_{String_: "foobar"}}, 0xbf9cf968},
		{&rotav1.Key{Kind: &rotav1.Key_Bytes{Bytes: []byte("foobar")}}, 0xbf9cf968},
		{&rotav1.Key{Kind: &rotav1.Key_Digest{Digest: 3214735720}}, 3214735720},
		{&rotav1.Key{Kind: &rotav1.Key_Count{Count: 42}}, 0x39e5298c},
		{&rotav1.Key{Kind: &rotav1.Key_Int{Int: -1}}, 0xc3f7ca0f},
		{&rotav1.Key{Kind: &rotav1.Key_Bool{Bool: true}}, 0x6c1151a5},
		{&rotav1.Key{Kind: &rotav1.Key_Double{Double: 123}}, 0x15d2016f},
		{&rotav1.Key{Kind: &rotav1.Key_Time{Time: 0}}, 0xc07e31c0},
		{&rotav1.Key{Kind: &rotav1.Key_Interval{Interval: 90061}}, 0x5ebabae2},
		{&rotav1.Key{Kind: &rotav1.Key_Enum{Enum: "Log::ID Conn::LOG"}}, 0x2d8119ef},
		{&rotav1.Key{Kind: &rotav1.Key_Port{Port: "80/tcp"}}, 0xa80145f7},
		{&rotav1.Key{Kind: &rotav1.Key_Addr{Addr: "10.0.0.1"}}, 0xbb67905a},
		{&rotav1.Key{Kind: &rotav1.Key_Subnet{Subnet: "192.168.1.77/24"}}, 0xcff68ea6},
	} {
		keys, err := wire.FromKeys("key", []*rotav1.Key{test.key})
		if err != nil || keys[0].Digest(hrw.Zeek71) != test.digest {
			t.Errorf("%v: %v (%v), want the digest %#x", test.key, keys, err, test.digest)
		}
	}
}

func TestKeysAreRefused(t *testing.T) {
	long := func(n int) *rotav1.Key {
		return &rotav1.Key{Kind: &rotav1.Key_String_{String_: strings.Repeat("k", n)}}
	}
	if _, err := wire.FromKeys("key", []*rotav1.Key{long(registry.KeyMax)}); err != nil {
		t.Errorf("a key at the limit: %v", err)
	}
	for _, test := range []struct {
		key  *rotav1.Key
		code registry.Code
	}{
		{nil, registry.Invalid},
		{&rotav1.Key{}, registry.Invalid},
		{long(registry.KeyMax + 1), registry.Limit},
		{&rotav1.Key{Kind: &rotav1.Key_Double{Double: math.NaN()}}, registry.Invalid},
		{&rotav1.Key{Kind: &rotav1.Key_Port{Port: "80"}}, registry.Invalid},
		{&rotav1.Key{Kind: &rotav1.Key_Addr{Addr: strings.Repeat("x", 60_000)}}, registry.Invalid},
	} {
		fine := long(1)
		_, err := wire.FromKeys("keys", []*rotav1.Key{fine, fine, fine, test.key})
		if registry.CodeOf(err) != test.code || !strings.HasPrefix(fmt.Sprint(err), "keys[3]: ") || len(err.Error()) > 300 {
			t.Errorf("got %v, want %s beginning with the field, and short", err, test.code)
		}
	}
}

func TestClipKeepsCharactersWhole(t *testing.T) {
	for _, s := range []string{"", "short", strings.Repeat("a", 80)} {
		if got := wire.Clip(s); got != s {
			t.Errorf("%q became %q", s, got)
		}
	}
	for _, c := range []string{"a", "é", "漢", "🦊", "x🦊"} {
		got := wire.Clip(strings.Repeat(c, 100))
		if !utf8.ValidString(got) || len(got) > 80+len("…") || len(got) < 77 {
			t.Errorf("%q has %d bytes, or half a character", got, len(got))
		}
	}
}
