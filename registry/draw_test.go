package registry_test

import (
	"fmt"
	"slices"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/rota-registry/rota/registry"
	"github.com/rota-registry/rota/registry/hrw"
)

// world is a state that random commands are applied to.
type world struct {
	*rapid.T
	state *registry.State
	at    registry.Stamp
}

func newWorld(t *rapid.T, a registry.Assignment) *world {
	w := &world{T: t, state: registry.NewState()}
	w.apply(registry.SetSettings{Change: registry.SettingsChange{Assignment: &a}})
	return w
}

// apply gives the command the next index.
func (w *world) apply(cmd registry.Command) (registry.Result, error) {
	w.at.Index++
	w.at.Clock += 10
	return w.state.Apply(w.at, cmd)
}

// layoutOf names nodes of few names and types, so that pools overlap and
// commands hit. Two of the workers collide in their first aliases, and two
// proxies may be the manager's elder or younger.
func drawNode(t *rapid.T) (registry.NodeName, registry.NodeType) {
	n := rapid.SampledFrom([]string{
		"worker:node-339ff", "worker:node-78880", "worker:w-1", "worker:w-10", "worker:w-2", "worker:w-3",
		"worker:w-4", "logger:log-1", "logger:log-2", "logger:zlog", "manager:m-1", "manager:m-2", "proxy:p-1", "proxy:p-2",
	}).Draw(t, "node")
	i := slices.Index([]byte(n), ':')
	return registry.NodeName(n[i+1:]), registry.NodeType(n[:i])
}

func drawPoolName(t *rapid.T) registry.PoolName {
	return rapid.SampledFrom([]registry.PoolName{"worker", "logger", "proxy", "a", "b", "c", "d", "e"}).Draw(t, "pool")
}

func drawSpec(t *rapid.T) registry.Spec {
	spec := registry.Spec{
		Name:     drawPoolName(t),
		Topic:    rapid.SampledFrom([]registry.Topic{"", "t/1", "t/2", "t/3", "zeek/z"}).Draw(t, "topic"),
		NodeType: rapid.SampledFrom([]registry.NodeType{"worker", "worker", "logger", "proxy"}).Draw(t, "type"),
		Hash:     rapid.SampledFrom([]hrw.Hash{hrw.Zeek71, hrw.Zeek71, hrw.Zeek62}).Draw(t, "hash"),
	}
	spec.Exclusive = rapid.IntRange(0, 2).Draw(t, "exclusive") == 0
	if spec.Exclusive || rapid.Bool().Draw(t, "capped") {
		n := rapid.Uint32Range(0, 4).Draw(t, "max")
		spec.MaxNodes = &n
	}
	return spec
}

// drawLayout draws a command that adds or forgets a node.
func drawLayout(t *rapid.T) registry.Command {
	name, typ := drawNode(t)
	switch rapid.IntRange(0, 4).Draw(t, "layout") {
	case 0, 1:
		return registry.AddNode{Name: name, Type: typ}
	case 2:
		return registry.JoinNode{Name: name, Type: typ, Address: "h:1", Boot: drawBoot(t), Replaces: ""}
	default:
		return registry.ForgetNode{Name: name}
	}
}

func drawBoot(t *rapid.T) registry.BootID {
	return boot(rapid.SampledFrom([]string{"1", "2", "3"}).Draw(t, "boot"))
}

// drawLife draws a command that changes what a node is, not that it is there.
func (w *world) drawLife() registry.Command {
	name, typ := drawNode(w.T)
	n, err := w.state.Node(name)
	if err != nil {
		return registry.AddNode{Name: name, Type: typ}
	}
	switch rapid.IntRange(0, 5).Draw(w.T, "life") {
	case 0:
		return registry.DrainNode{Name: name, Draining: rapid.Bool().Draw(w.T, "draining")}
	case 1:
		return registry.LeaveNode{Name: name, Boot: drawBoot(w.T)}
	case 2:
		return registry.JoinNode{Name: name, Type: typ, Address: "h:2", Boot: drawBoot(w.T), Replaces: n.Boot}
	}
	state := rapid.SampledFrom([]registry.NodeState{registry.Alive, registry.Alive, registry.Failed}).Draw(w.T, "state")
	since := n.Since - registry.Index(rapid.IntRange(0, 5).Draw(w.T, "late")/5)
	return registry.ReportLiveness{By: "r1", Changes: []registry.Liveness{{Name: name, Boot: drawBoot(w.T), State: state, Since: since}}}
}

func (w *world) drawTurns() registry.Command {
	turns := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) registry.Turn {
		turn := registry.Turn{Pool: drawPoolName(t), Key: rapid.SampledFrom([]string{"", "k", "l"}).Draw(t, "key")}
		turn.Count = rapid.IntRange(1, 7).Draw(t, "count")
		if rapid.IntRange(0, 5).Draw(t, "log") == 0 {
			turn.LogID = "Conn::LOG"
		}
		return turn
	}), 1, 4).Draw(w.T, "turns")
	return registry.RoundRobin{Turns: turns}
}

func (w *world) drawSettings() registry.Command {
	s := rapid.SampledFrom([][2]string{
		{"manager_is_logger", "auto"},
		{"manager_is_logger", "true"},
		{"manager_is_logger", "false"},
		{"topic_separator", "."},
		{"topic_separator", "/"},
		{"node_topic_prefix", "n/"},
		{"node_topic_prefix", "n."},
		{"enable_round_robin_logging", "false"},
		{"enable_round_robin_logging", "true"},
		{"left_retention", "5m"},
		{"node_types", "worker proxy"},
		{"node_types", "worker proxy logger"},
		{"node_types", ""},
	}).Draw(w.T, "setting")
	change, err := registry.ParseSetting(s[0], s[1])
	if err != nil {
		w.Fatal(err)
	}
	return registry.SetSettings{Change: change}
}

func (w *world) drawCommand() registry.Command {
	switch k := rapid.IntRange(0, 20).Draw(w.T, "kind"); {
	case k < 4:
		return registry.RegisterPool{
			Spec: drawSpec(w.T), Replace: rapid.Bool().Draw(w.T, "replace"),
			RequireNodes: rapid.IntRange(0, 3).Draw(w.T, "require") == 0,
		}
	case k < 5:
		return registry.UnregisterPool{Name: drawPoolName(w.T)}
	case k < 10:
		return drawLayout(w.T)
	case k < 13:
		return w.drawLife()
	case k < 16:
		return w.drawTurns()
	case k < 17:
		return registry.SetCursor{Pool: drawPoolName(w.T), Key: "k", Next: rapid.IntRange(-1, 4).Draw(w.T, "next")}
	case k < 18:
		return w.drawSettings()
	case k < 19:
		return registry.DeleteCursor{Pool: drawPoolName(w.T), Key: "k"}
	case k < 20:
		return registry.ForgetCursors{By: "r1"}
	}
	return registry.RebalancePools{}
}

// view is the pools as users see them, by name.
func (w *world) view() map[registry.PoolName]registry.PoolInfo {
	view := make(map[registry.PoolName]registry.PoolInfo)
	for _, p := range w.state.Pools() {
		view[p.Spec.Name] = p
	}
	return view
}

func memberNames(p registry.PoolInfo) []registry.NodeName {
	names := []registry.NodeName{}
	for _, m := range p.Members {
		names = append(names, m.Name)
	}
	return names
}

// same fails the test with the difference, if there is one.
func (w *world) same(what string, want, got any) {
	w.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		w.Fatalf("at %d, %s (-want +got):\n%s", w.at.Index, what, diff)
	}
}

// siteID is written from the rule, not from package hrw.
func siteID(h hrw.Hash, alias string) uint32 {
	b := []byte(alias)
	if h == hrw.Zeek62 {
		b = append([]byte{7, 0, 0, 0, byte(len(b)), 0, 0, 0}, b...)
	}
	d := uint32(2166136261)
	for _, c := range b {
		d = (d ^ uint32(c)) * 16777619
	}
	return d
}

func aliasOf(name registry.NodeName, c int) string { return fmt.Sprintf("%s.%d", name, c) }
