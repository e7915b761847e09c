package registry_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/rota-registry/rota/registry"
	"github.com/rota-registry/rota/registry/hrw"
)

// furnished is a snapshot with something in every list.
func furnished(t *testing.T) registry.Snapshot {
	t.Helper()
	s := registry.NewState()
	two := uint32(2)
	for _, cmd := range []registry.Command{
		registry.FoundCluster{ClusterID: registry.ClusterID(hex("a")), Replicas: []registry.Replica{
			{Name: "r2", StoreID: registry.StoreID(hex("2"))}, {Name: "r1", StoreID: registry.StoreID(hex("1"))},
		}},
		registry.JoinNode{Name: "w1", Type: "worker", Address: "h:1", Boot: boot("1")},
		registry.JoinNode{Name: "w2", Type: "worker", Address: "h:2", Boot: boot("1")},
		registry.AddNode{Name: "w3", Type: "worker"},
		registry.AddNode{Name: "m", Type: "manager"},
		registry.RegisterPool{Spec: registry.Spec{Name: "x", NodeType: "worker", MaxNodes: &two, Exclusive: true}},
		registry.RoundRobin{Turns: []registry.Turn{{Pool: "x", Key: "b", Count: 1}, {Pool: "x", Key: "a", Count: 2}}},
		registry.SetSettings{Change: registry.SettingsChange{NodeTypes: &[]registry.NodeType{"worker", "proxy", "logger"}}},
	} {
		apply(t, s, cmd)
	}
	return s.Snapshot()
}

// Pools of a furnished snapshot, by index.
const (
	poolLogger = iota
	poolProxy
	poolWorker
	poolX
)

// A snapshot that no state could have written is refused, and the error says
// which part is wrong.
func TestRestoreRefusesGarbage(t *testing.T) {
	restore(t, furnished(t))
	for name, c := range map[string]struct {
		spoil func(*registry.Snapshot)
		text  string
	}{
		"cluster id":       {func(s *registry.Snapshot) { s.ClusterID = "a" }, "cluster id"},
		"clock":            {func(s *registry.Snapshot) { s.Clock = -1 }, "clock"},
		"zero settings":    {func(s *registry.Snapshot) { s.Settings = registry.Settings{} }, "node_topic_prefix"},
		"types unsorted":   {func(s *registry.Snapshot) { s.Settings.NodeTypes = []registry.NodeType{"worker", "logger", "proxy"} }, "sorted"},
		"type of a node":   {func(s *registry.Snapshot) { s.Settings.NodeTypes = []registry.NodeType{"logger", "proxy"} }, "node_types"},
		"replica unsorted": {func(s *registry.Snapshot) { s.Replicas[0], s.Replicas[1] = s.Replicas[1], s.Replicas[0] }, "sorted"},
		"replica twice":    {func(s *registry.Snapshot) { s.Replicas[1].Name = "r1" }, "sorted"},
		"replica's store":  {func(s *registry.Snapshot) { s.Replicas[1].StoreID = "" }, "store id"},
		"many replicas":    {func(s *registry.Snapshot) { s.Replicas = make([]registry.Replica, registry.ReplicasMax+1) }, "16 replicas"},
		"nodes unsorted":   {func(s *registry.Snapshot) { s.Nodes[1], s.Nodes[2] = s.Nodes[2], s.Nodes[1] }, "sorted"},
		"node's name":      {func(s *registry.Snapshot) { s.Nodes[1].Name = "" }, "node name"},
		"node's type":      {func(s *registry.Snapshot) { s.Nodes[1].Type = "W" }, "node type"},
		"node's boot":      {func(s *registry.Snapshot) { s.Nodes[1].Boot = "1" }, "boot id"},
		"node's replaced":  {func(s *registry.Snapshot) { s.Nodes[1].Replaced = "1" }, "boot id"},
		"replaced itself":  {func(s *registry.Snapshot) { s.Nodes[1].Replaced = s.Nodes[1].Boot }, "do not go together"},
		"alive, no life":   {func(s *registry.Snapshot) { s.Nodes[1].Boot = "" }, "do not go together"},
		"node's state":     {func(s *registry.Snapshot) { s.Nodes[1].State = 4 }, "state 4"},
		"node's address":   {func(s *registry.Snapshot) { s.Nodes[1].Address = "\n" }, "address"},
		"node's reason":    {func(s *registry.Snapshot) { s.Nodes[1].Reason = strings.Repeat("r", 256) }, "reason"},
		"drain reason":     {func(s *registry.Snapshot) { s.Nodes[1].DrainReason = "why" }, "drain"},
		"pools unsorted":   {func(s *registry.Snapshot) { s.Pools[0], s.Pools[1] = s.Pools[1], s.Pools[0] }, "sorted"},
		"default missing":  {func(s *registry.Snapshot) { s.Pools = s.Pools[1:] }, `"logger" is missing`},
		"no topic":         {func(s *registry.Snapshot) { s.Pools[poolX].Spec.Topic = "" }, "both must be there"},
		"spec":             {func(s *registry.Snapshot) { s.Pools[poolX].Spec.MaxNodes = nil }, "max_nodes"},
		"pool's type":      {func(s *registry.Snapshot) { s.Pools[poolX].Spec.NodeType = "other" }, "node_types"},
		"too many members": {func(s *registry.Snapshot) { s.Pools[poolX].Spec.MaxNodes = ptr(uint32(1)) }, "max_nodes 1"},
		"unknown member":   {func(s *registry.Snapshot) { s.Pools[poolX].Members[0].Node = "w9" }, `"w9"`},
		"alias":            {func(s *registry.Snapshot) { s.Pools[poolX].Members[0].Alias = "w1.00" }, `"w1.00"`},
		"alias of another": {func(s *registry.Snapshot) { s.Pools[poolX].Members[0].Alias = "w2.0" }, `"w2.0"`},
		"alias too large":  {func(s *registry.Snapshot) { setAlias(&s.Pools[poolX].Members[0], 5000) }, `"w1.5000"`},
		"site id":          {func(s *registry.Snapshot) { s.Pools[poolX].Members[0].SiteID++ }, "site id"},
		"hash":             {func(s *registry.Snapshot) { s.Pools[poolX].Spec.Hash = hrw.Zeek62 }, "site id"},
		"member twice":     {func(s *registry.Snapshot) { s.Pools[poolX].Members[1] = s.Pools[poolX].Members[0] }, "two members of site id"},
		"twice, 2 aliases": {func(s *registry.Snapshot) {
			s.Pools[poolX].Members[1].Node = "w1"
			setAlias(&s.Pools[poolX].Members[1], 1)
		}, "twice"},
		"foreign type":      {func(s *registry.Snapshot) { s.Pools[poolProxy].Members = s.Pools[poolWorker].Members }, "cannot have"},
		"manager, no logs":  {func(s *registry.Snapshot) { s.Settings.ManagerIsLogger = registry.ManagerIsLoggerFalse }, "cannot have"},
		"exclusive shared":  {func(s *registry.Snapshot) { s.Pools[poolWorker].Members = s.Pools[poolX].Members }, "exclusively"},
		"cursors unsorted":  {func(s *registry.Snapshot) { s.Pools[poolX].Cursors[0].Key = "c" }, "sorted"},
		"cursor past":       {func(s *registry.Snapshot) { s.Pools[poolX].Cursors[0].Next = 2 }, "points at 2 of 2"},
		"cursor before":     {func(s *registry.Snapshot) { s.Pools[poolX].Cursors[0].Next = -1 }, "points at -1"},
		"cursor's key":      {func(s *registry.Snapshot) { s.Pools[poolX].Cursors[1].Key = strings.Repeat("k", 256) }, "256 bytes"},
		"cursor in future":  {func(s *registry.Snapshot) { s.Pools[poolX].Cursors[0].Used = 8 }, "log clock"},
		"cursor of nothing": {func(s *registry.Snapshot) { s.Pools[poolProxy].Cursors = []registry.CursorSnapshot{{Next: 1}} }, "points at 1 of 0"},
	} {
		t.Run(name, func(t *testing.T) {
			snap := furnished(t)
			c.spoil(&snap)
			s, err := registry.Restore(snap)
			refusedAs(t, err, registry.Invalid, c.text)
			if s != nil {
				t.Error("a state came with the error")
			}
		})
	}
}

func setAlias(m *registry.MemberSnapshot, c uint32) {
	m.Alias = hrw.Alias(string(m.Node), c)
	m.SiteID = hrw.SiteID(hrw.Zeek71, m.Alias)
}

// A restored state shares nothing with its snapshot, nor a snapshot with its
// state.
func TestSnapshotsShareNothing(t *testing.T) {
	snap, same := furnished(t), furnished(t)
	s := restore(t, snap)
	out := s.Snapshot()
	for _, spoiled := range []*registry.Snapshot{&snap, &out} {
		spoiled.Nodes[1].State = registry.Left
		spoiled.Replicas[0].API = "spoiled"
		spoiled.Settings.NodeTypes[0] = "spoiled"
		*spoiled.Pools[poolX].Spec.MaxNodes = 99
		spoiled.Pools[poolX].Members[0].Node = "spoiled"
		spoiled.Pools[poolX].Cursors[0].Next = 99
	}
	infos := s.Pools()
	*infos[poolX].Spec.MaxNodes = 99
	s.Settings().NodeTypes[0] = "spoiled"
	s.Replicas()[0].API = "spoiled"
	if diff := cmp.Diff(same, s.Snapshot()); diff != "" {
		t.Error(diff)
	}
}

// A snapshot with anything in it exchanged either is refused or is a state
// that comes out as it went in, and works.
func TestRestoredGarbageIsAState(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t, registry.AssignStable)
		for range rapid.IntRange(1, 20).Draw(t, "commands") {
			w.apply(w.drawCommand())
		}
		snap := w.state.Snapshot()
		for range rapid.IntRange(1, 3).Draw(t, "faults") {
			spoil(t, &snap)
		}
		s, err := registry.Restore(snap)
		if err != nil {
			return
		}
		w.state = s
		if diff := cmp.Diff(snap, s.Snapshot(), cmpopts.EquateEmpty()); diff != "" {
			t.Fatal(diff)
		}
		for range 10 {
			w.apply(w.drawCommand())
		}
		restoreRapid(w)
	})
}

func restoreRapid(w *world) {
	s, err := registry.Restore(w.state.Snapshot())
	if err != nil {
		w.Fatal(err)
	}
	w.same("restored", w.state.Snapshot(), s.Snapshot())
	s.Warnings()
}

// spoil exchanges one thing.
func spoil(t *rapid.T, s *registry.Snapshot) {
	p := &s.Pools[rapid.IntRange(0, len(s.Pools)-1).Draw(t, "spoilt pool")]
	switch k := rapid.IntRange(0, 9).Draw(t, "fault"); {
	case k == 0:
		p.Spec = drawSpec(t)
	case k == 1 && len(p.Members) > 0:
		p.Members = p.Members[1:]
	case k == 2 && len(p.Members) > 1:
		p.Members[0], p.Members[1] = p.Members[1], p.Members[0]
	case k == 3:
		p.Members = append(p.Members, s.Pools[0].Members...)
	case k == 4 && len(s.Nodes) > 0:
		s.Nodes = s.Nodes[1:]
	case k == 5 && len(s.Nodes) > 0:
		_, s.Nodes[0].Type = drawNode(t)
	case k == 6:
		p.Cursors = append(p.Cursors, registry.CursorSnapshot{Key: "z", Next: rapid.IntRange(-1, 5).Draw(t, "next")})
	case k == 7:
		s.Settings.ManagerIsLogger = registry.ManagerIsLogger(rapid.IntRange(0, 3).Draw(t, "logs"))
	case k == 8:
		p.Epoch = 99
	case len(s.Nodes) > 0:
		s.Nodes[0].State = registry.NodeState(rapid.IntRange(0, 4).Draw(t, "state"))
	}
}
