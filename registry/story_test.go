package registry_test

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
	"github.com/google/go-cmp/cmp"

	"github.com/rota-registry/rota/registry"
	"github.com/rota-registry/rota/registry/hrw"
)

// TestStories plays the scripts in testdata/stories: each line is one command at the
// next index of the log, 100 ms of log clock later, or a question. After every
// line the state must survive a snapshot, and a refused line must have changed
// nothing.
func TestStories(t *testing.T) {
	datadriven.Walk(t, "testdata/stories", func(t *testing.T, path string) {
		s := &story{T: t, state: registry.NewState()}
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			s.T = t
			return strings.Join(s.lines(d), "\n") + "\n"
		})
	})
}

// story is a state and the log that made it.
type story struct {
	*testing.T
	state *registry.State
	at    registry.Stamp
	// memory and warmUp are those of the leader that `reconcile` plays.
	memory registry.Memory
}

// line is one line of a script, in words: positional ones, and name=value.
type line struct {
	verb  string
	words []string
	named map[string]string
}

func (s *story) lines(d *datadriven.TestData) []string {
	text := d.Cmd
	for _, a := range d.CmdArgs {
		text += " " + a.String()
	}
	all := []string{text}
	if d.Input != "" {
		all = strings.Split(d.Input, "\n")
	}
	var out []string
	for _, l := range all {
		parsed := parseLine(l)
		before := s.state.Snapshot()
		answer := s.play(parsed)
		s.checkLine(l, before, answer)
		if len(all) > 1 {
			out = append(out, "> "+l)
		}
		out = append(out, answer...)
	}
	return out
}

func parseLine(text string) line {
	fields := strings.Fields(text)
	l := line{verb: fields[0], named: make(map[string]string)}
	for _, f := range fields[1:] {
		if name, value, ok := strings.Cut(f, "="); ok {
			l.named[name] = strings.ReplaceAll(value, "_", " ")
		} else {
			l.words = append(l.words, f)
		}
	}
	return l
}

func (l line) word(i int) string {
	if i < len(l.words) {
		return l.words[i]
	}
	return ""
}

func (l line) has(word string) bool { return slices.Contains(l.words, word) }

// boot spells a boot id as one hex digit.
func boot(digit string) registry.BootID {
	return registry.BootID(strings.Repeat(digit, registry.BootIDLen))
}

// sessionID spells a session id as one hex digit.
func sessionID(digit string) registry.SessionID {
	return registry.SessionID(strings.Repeat(digit, registry.SessionIDLen))
}

// request reads session=, serial= and unacked=.
func (l line) request(s *story) registry.RequestID {
	return registry.RequestID{
		Session: sessionID(l.named["session"]), Serial: uint64(atoi(s, l.named["serial"])), FirstUnacked: uint64(atoi(s, l.named["unacked"])),
	}
}

// checkLine holds for every line of every story.
func (s *story) checkLine(text string, before registry.Snapshot, answer []string) {
	s.Helper()
	after := s.state.Snapshot()
	if strings.HasPrefix(answer[0], "refused") || strings.HasPrefix(answer[0], "unchanged") {
		before.Clock = after.Clock
		if diff := cmp.Diff(before, after); diff != "" {
			s.Errorf("%s: %s, and yet:\n%s", text, answer[0], diff)
		}
	}
	restored, err := registry.Restore(after)
	if err != nil {
		s.Fatalf("%s: %v", text, err)
	}
	if diff := cmp.Diff(after, restored.Snapshot()); diff != "" {
		s.Errorf("%s: snapshot differs after restore:\n%s", text, diff)
	}
}

func (s *story) play(l line) []string {
	if cmd := l.command(s); cmd != nil {
		return s.apply(cmd)
	}
	name := registry.PoolName(l.word(0))
	switch l.verb {
	case "new":
		s.state, s.at, s.memory = registry.NewState(), registry.Stamp{}, registry.Memory{}
		return []string{"ok"}
	case "wait":
		s.at.Clock += registry.Millis(atoi(s, l.word(0)))
		return []string{"ok"}
	case "sessions":
		return s.sessions()
	case "pools":
		return s.pools(l.words)
	case "pool":
		return s.pool(name)
	case "nodes":
		return s.nodes()
	case "replicas":
		return s.replicas()
	case "node":
		return s.node(registry.NodeName(name))
	case "cursors":
		return s.cursors(name)
	case "hrw", "rank", "explain":
		return s.hrw(l)
	case "plan":
		return orNone(moves(s.state.PlanRebalance()))
	case "warnings":
		return orNone(s.state.Warnings())
	case "get-settings":
		return s.settings(l)
	case "reconcile":
		return s.reconcile(l)
	}
	s.Fatalf("unknown line %q", l.verb)
	return nil
}

// command reads the lines that are commands; nil for all others.
func (l line) command(s *story) registry.Command {
	pool, node := registry.PoolName(l.word(0)), registry.NodeName(l.word(0))
	by := l.named["by"]
	switch l.verb {
	case "register":
		return registry.RegisterPool{Spec: l.spec(s), Replace: l.has("replace"), RequireNodes: l.has("require"), By: by}
	case "unregister":
		return registry.UnregisterPool{Name: pool, By: by}
	case "rebalance":
		return registry.RebalancePools{By: by}
	case "rr":
		return registry.RoundRobin{Turns: []registry.Turn{{Pool: pool, Key: l.word(1), Count: max(1, atoi(s, l.named["count"])), Request: l.request(s)}}}
	case "rr-log":
		return registry.RoundRobin{Turns: []registry.Turn{{LogID: l.word(0), Request: l.request(s)}}}
	case "open-session":
		return registry.OpenSession{ID: sessionID(l.word(0))}
	case "set-cursor":
		return registry.SetCursor{Pool: pool, Key: l.word(1), Next: atoi(s, l.named["next"]), By: by}
	case "delete-cursor":
		return registry.DeleteCursor{Pool: pool, Key: l.word(1), By: by}
	case "forget-cursors":
		return registry.ForgetCursors{By: "r1"}
	case "set":
		return registry.SetSettings{Change: l.change(s), By: by}
	case "join":
		return registry.JoinNode{
			Name: node, Type: registry.NodeType(l.word(1)), Address: cmpOr(l.named["addr"], l.word(0)+":7702"),
			Boot: boot(l.named["boot"]), Replaces: boot(l.named["replaces"]), By: by,
		}
	case "leave":
		return registry.LeaveNode{Name: node, Boot: boot(l.named["boot"]), Reason: l.named["reason"]}
	case "add":
		return registry.AddNode{Name: node, Type: registry.NodeType(l.word(1)), Address: l.named["addr"], By: by}
	case "drain", "undrain":
		return registry.DrainNode{Name: node, Draining: l.verb == "drain", Reason: l.named["reason"], By: by}
	case "forget":
		return registry.ForgetNode{Name: node, Reason: l.named["reason"], By: by}
	case "alive", "failed", "forgotten":
		return l.liveness(s)
	case "found", "replica", "term":
		return l.cluster(s)
	}
	return nil
}

func cmpOr(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

func atoi(s *story, text string) int {
	if text == "" {
		return 0
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		s.Fatal(err)
	}
	return n
}

func (l line) spec(s *story) registry.Spec {
	spec := registry.Spec{Name: registry.PoolName(l.named["name"]), Topic: registry.Topic(l.named["topic"])}
	spec.NodeType = registry.NodeType(l.named["type"])
	spec.Exclusive = l.has("exclusive")
	if most, ok := l.named["max"]; ok {
		n := uint32(atoi(s, most))
		spec.MaxNodes = &n
	}
	if h, ok := l.named["hash"]; ok {
		var err error
		if spec.Hash, err = hrw.ParseHash(h); err != nil {
			s.Fatal(err)
		}
	}
	return spec
}

// change takes settings by name; none is an error of the script's.
func (l line) change(s *story) registry.SettingsChange {
	change, err := registry.ParseSetting(l.word(0), strings.ReplaceAll(l.word(1), "_", " "))
	if err != nil {
		s.Fatal(err)
	}
	return change
}

// liveness is a report of one change, decided on the present record unless
// since= says otherwise.
func (l line) liveness(s *story) registry.Command {
	report := registry.ReportLiveness{By: "r1"}
	state := map[string]registry.NodeState{"alive": registry.Alive, "failed": registry.Failed, "forgotten": registry.Forgotten}[l.verb]
	for _, w := range l.words {
		change := registry.Liveness{Name: registry.NodeName(w), State: state, Reason: "gossip", Boot: boot(cmpOr(l.named["boot"], "1"))}
		if n, err := s.state.Node(change.Name); err == nil {
			change.Since = n.Since
		}
		if since, ok := l.named["since"]; ok {
			change.Since = registry.Index(atoi(s, since))
		}
		report.Changes = append(report.Changes, change)
	}
	return report
}

func (l line) cluster(s *story) registry.Command {
	id := func(digit string) string { return strings.Repeat(digit, registry.StoreIDLen) }
	r := registry.Replica{Name: registry.ReplicaName(l.word(0)), StoreID: registry.StoreID(id(l.named["store"])), API: l.named["api"]}
	switch l.verb {
	case "term":
		return registry.TermStart{Leader: r.Name}
	case "replica":
		return registry.SetReplica{Replica: r}
	}
	found := registry.FoundCluster{ClusterID: registry.ClusterID(id(l.word(0)))}
	for i, w := range l.words[1:] {
		found.Replicas = append(found.Replicas, registry.Replica{Name: registry.ReplicaName(w), StoreID: registry.StoreID(id(strconv.Itoa(i)))})
	}
	return found
}

// apply answers with what happened, then a line for each pool whose members
// changed, and one with all pools whose epoch did.
func (s *story) apply(cmd registry.Command) []string {
	s.at.Index++
	s.at.Clock += 100
	s.at.Wall = 1_700_000_000_000 + s.at.Clock
	before := s.state.Pools()
	res, err := s.state.Apply(s.at, cmd)
	if err != nil {
		return []string{fmt.Sprintf("refused, %s: %v", registry.CodeOf(err), err)}
	}
	out := []string{fmt.Sprintf("changed at %d", s.at.Index)}
	if !res.Changed {
		out[0] = "unchanged"
	}
	if res.Skipped > 0 {
		out[0] += fmt.Sprintf(", skipped %d", res.Skipped)
	}
	for _, turn := range res.Turns {
		out = append(out, s.turn(turn)...)
	}
	out = append(out, moves(res.Moves)...)
	return append(out, s.newEpochs(before)...)
}

func (s *story) newEpochs(before []registry.PoolInfo) []string {
	was := make(map[registry.PoolName]registry.Epoch)
	for _, p := range before {
		was[p.Spec.Name] = p.Epoch
	}
	var names []string
	for _, p := range s.state.Pools() {
		if epoch, ok := was[p.Spec.Name]; ok && epoch == p.Epoch {
			continue
		}
		names = append(names, string(p.Spec.Name))
		if p.Epoch != registry.Epoch(s.at.Index) {
			s.Errorf("pool %s: epoch %d at index %d", p.Spec.Name, p.Epoch, s.at.Index)
		}
	}
	if names == nil {
		return nil
	}
	return []string{"  new epoch: " + strings.Join(names, " ")}
}

func (s *story) turn(turn registry.TurnResult) []string {
	if turn.Err != nil {
		again := ""
		if turn.Taken != (registry.Position{}) {
			again = fmt.Sprintf("as at %d: ", turn.Taken.Index)
		}
		return []string{fmt.Sprintf("  %srefused, %s: %v", again, turn.Err.Code, turn.Err)}
	}
	var topics []string
	for i := range turn.Count() {
		topics = append(topics, turn.At(i).Topic)
	}
	out := "  " + cmpOr(strings.Join(topics, " "), "nobody")
	if turn.Taken != (registry.Position{}) {
		out = fmt.Sprintf("  as at %d:%s", turn.Taken.Index, out[1:])
	}
	if turn.Reason != registry.NotEmpty {
		out += " (" + turn.Reason.String() + ")"
	}
	return []string{fmt.Sprintf("%s, epoch %d", out, turn.Epoch)}
}

func moves(list []registry.Move) []string {
	var out []string
	for _, m := range list {
		out = append(out, fmt.Sprintf("  %s: %v -> %v", m.Pool, m.Before, m.After))
	}
	return out
}

func orNone(list []string) []string {
	if len(list) == 0 {
		return []string{"none"}
	}
	return list
}
