package registry_test

import (
	"fmt"
	"slices"
	"strings"

	"github.com/rota-registry/rota/registry"
	"github.com/rota-registry/rota/registry/hrw"
)

// pools shows each pool in one line: ! is a member that is not alive, ~ one
// that is draining.
func (s *story) pools(only []string) []string {
	var out []string
	for _, p := range s.state.Pools() {
		if len(only) > 0 && !slices.Contains(only, string(p.Spec.Name)) {
			continue
		}
		text := fmt.Sprintf("%s (epoch %d, %d alive, %d eligible):", p.Spec.Name, p.Epoch, p.AliveCount, p.EligibleCount)
		for _, m := range p.Members {
			text += " " + string(m.Name) + mark(m)
		}
		if !p.Satisfied {
			text += " [" + p.Reason + "]"
		}
		out = append(out, text)
	}
	return orNone(out)
}

func mark(m registry.MemberInfo) string {
	switch {
	case !m.Alive:
		return "!"
	case !m.Eligible:
		return "~"
	}
	return ""
}

func (s *story) pool(name registry.PoolName) []string {
	p, err := s.state.Pool(name)
	if err != nil {
		return refused(err)
	}
	most := "all"
	if p.Spec.MaxNodes != nil {
		most = fmt.Sprint(*p.Spec.MaxNodes)
	}
	out := []string{fmt.Sprintf("%s: %s, %s %s nodes, exclusive %t, %s, epoch %d",
		p.Spec.Name, p.Spec.Topic, most, p.Spec.NodeType, p.Spec.Exclusive, p.Spec.Hash, p.Epoch)}
	for _, m := range p.Members {
		out = append(out, fmt.Sprintf("  %s %s %d %s %s, eligible %t", m.Name, m.Alias, m.SiteID, m.Topic, m.State, m.Eligible))
	}
	return out
}

func (s *story) nodes() []string {
	var out []string
	for _, n := range s.state.Nodes() {
		out = append(out, fmt.Sprintf("%s %s %s %v", n.Name, n.Type, n.State, n.Pools))
	}
	return orNone(out)
}

func (s *story) node(name registry.NodeName) []string {
	n, err := s.state.Node(name)
	if err != nil {
		return refused(err)
	}
	short := func(b registry.BootID) string { return string(b[:min(1, len(b))]) }
	return []string{
		fmt.Sprintf("%s: %s at %q, life %q, replaced %q", n.Name, n.Type, n.Address, short(n.Boot), short(n.Replaced)),
		fmt.Sprintf("  %s since %d (clock %d): %s, says %q", n.State, n.Since, n.SinceClock, n.Reason, n.By),
		fmt.Sprintf("  draining %t %q, static %t, joined at clock %d", n.Draining, n.DrainReason, n.Static, n.Joined),
		fmt.Sprintf("  %s %s %v", n.Topic, n.NodeIDTopic, n.Pools),
	}
}

func (s *story) replicas() []string {
	out := []string{"cluster " + string(s.state.ClusterID())}
	for _, r := range s.state.Replicas() {
		if one, ok := s.state.Replica(r.Name); !ok || one != r {
			s.Errorf("replica %s alone is %+v, in the list %+v", r.Name, one, r)
		}
		out = append(out, fmt.Sprintf("%s %s %s", r.Name, r.StoreID, r.API))
	}
	if _, ok := s.state.Replica("nobody"); ok {
		s.Error("there is a replica nobody")
	}
	return out
}

func (s *story) cursors(name registry.PoolName) []string {
	list, err := s.state.Cursors(name)
	if err != nil {
		return refused(err)
	}
	var out []string
	for _, c := range list {
		out = append(out, fmt.Sprintf("%s -> %d %s", c.Key, c.Next, c.Node))
	}
	return orNone(out)
}

// sessions shows each session by its digit, with what it keeps.
func (s *story) sessions() []string {
	var out []string
	for _, ses := range s.state.Snapshot().Sessions {
		var serials []uint64
		for _, turn := range ses.Stored {
			serials = append(serials, turn.Serial)
		}
		out = append(out, fmt.Sprintf("%s used at %d, unacknowledged from %d on, keeps %v", ses.ID[:1], ses.Used, ses.FirstUnacked, serials))
	}
	return orNone(out)
}

// hrw, rank and explain take a pool, a key type and a value.
func (s *story) hrw(l line) []string {
	pool := registry.PoolName(l.word(0))
	key, err := hrw.ParseKey(l.word(1), l.word(2))
	if err != nil {
		s.Fatal(err)
	}
	if l.verb == "hrw" {
		c, err := s.state.HRW(pool, key)
		if err != nil {
			return refused(err)
		}
		if c.Topic == "" {
			return []string{fmt.Sprintf("nobody (%s), epoch %d", c.Reason, c.Epoch)}
		}
		return []string{fmt.Sprintf("%s, epoch %d", c.Topic, c.Epoch)}
	}
	list, epoch, err := s.ranking(l, pool, key)
	if err != nil {
		return refused(err)
	}
	out := []string{fmt.Sprintf("epoch %d", epoch)}
	for _, r := range list {
		out = append(out, fmt.Sprintf("  %s %s %d weighs %d, eligible %t", r.Node, r.Topic, r.SiteID, r.Weight, r.Eligible))
	}
	return out
}

func (s *story) ranking(l line, pool registry.PoolName, key hrw.Key) ([]registry.Ranked, registry.Epoch, error) {
	if l.verb == "explain" {
		return s.state.Explain(pool, key)
	}
	return s.state.Rank(pool, key, atoi(s, l.named["limit"]))
}

func (s *story) settings(l line) []string {
	settings := s.state.Settings()
	var out []string
	for _, set := range settings.List() {
		if len(l.words) == 0 || l.has(set.Name) {
			out = append(out, set.Name+" "+set.Value)
		}
	}
	return out
}

func refused(err error) []string {
	return []string{fmt.Sprintf("refused, %s: %v", registry.CodeOf(err), err)}
}

// reconcile lets a leader look at `view=a#1,b#2` at now=, and applies what it
// decides. It is one of three replicas, and suspicion is 1000 ms. About suspects
// it asks at once and looks again: r2 sees those in sees=a,b, and of the others
// missed= replicas (2 if not said) say that they see nothing; the probes of
// unasked=a,b none of them could send. broken=a#1 are lives whose connection broke,
// thaw=type is an operator's word. rumor= is how long
// a rumor of a death may go round, 0 if not said.
func (s *story) reconcile(l line) []string {
	in := registry.ReconcileInput{
		State: &s.state.View, Now: registry.Millis(atoi(s, l.named["now"])), Clock: s.at.Clock, WarmUp: l.has("warm-up"),
		Suspicion: 1000, Replicas: 3, Memory: s.memory, By: "r1",
	}
	if ms := l.named["rumor"]; ms != "" {
		in.Rumor = registry.Millis(atoi(s, ms))
	}
	if l.has("new-leader") {
		in.Memory = registry.Memory{}
	}
	for _, life := range lifeWords(l.named["view"]) {
		in.View = append(in.View, registry.Seen{Name: life.Name, Boot: life.Boot})
	}
	in.Broken = lifeWords(l.named["broken"])
	if t := l.named["thaw"]; t != "" {
		in.Thaw = []registry.NodeType{registry.NodeType(t)}
	}
	out := registry.Decide(in)
	var asked []string
	if len(out.Suspects) > 0 {
		in.Memory, in.Broken, in.Thaw = out.Memory, nil, nil
		asked, in.Said = s.ask(l, out.Suspects)
		out = registry.Decide(in)
	}
	s.memory = out.Memory
	lines := append([]string{fmt.Sprintf("%d changes, look again at %d, %d remembered", len(out.Command.Changes), out.Wake, len(out.Memory.Nodes))}, asked...)
	for _, c := range out.Command.Changes {
		lines = append(lines, fmt.Sprintf("  %s#%s %s: %s", c.Name, c.Boot[:1], c.State, c.Reason))
	}
	if len(out.Command.Changes) > 0 {
		lines = append(lines, s.apply(out.Command)...)
	}
	return append(lines, s.held(in.Now)...)
}

// ask plays the other replicas.
func (s *story) ask(l line, suspects []registry.Suspect) (lines []string, said []registry.Said) {
	sees, unasked := strings.Split(l.named["sees"], ","), strings.Split(l.named["unasked"], ",")
	for _, x := range suspects {
		word := registry.Said{Life: x.Life, Probed: x.Probe, Missed: 2}
		if n, ok := l.named["missed"]; ok {
			word.Missed = atoi(s, n)
		}
		verb, result := "asked about", fmt.Sprintf("missed by %d", word.Missed)
		if slices.Contains(sees, string(x.Name)) {
			word.SeenBy, word.Missed, result = "r2", 1, "seen by r2"
		}
		if x.Probe {
			verb = "probed"
		}
		if x.Probe && slices.Contains(unasked, string(x.Name)) {
			word.SeenBy, word.Missed, result = "", 0, "could not be asked"
		}
		lines = append(lines, fmt.Sprintf("  %s %s#%s: %s", verb, x.Name, x.Boot[:1], result))
		said = append(said, word)
	}
	return lines, said
}

// held shows what keeps the leader from following its gossip.
func (s *story) held(now registry.Millis) []string {
	var out []string
	report := s.memory.Report(&s.state.View, now)
	for _, f := range report.Frozen {
		out = append(out, fmt.Sprintf("  frozen for %d: %s, lost %v of %d", f.For, f.Type, f.Lost, f.Of))
	}
	for _, h := range report.Held {
		out = append(out, fmt.Sprintf("  held for %d more: %s, %d failures", h.For, h.Name, h.Failures))
	}
	return out
}

// lifeWords reads a#1,b#2.
func lifeWords(text string) (out []registry.Life) {
	for _, life := range strings.FieldsFunc(text, func(r rune) bool { return r == ',' }) {
		name, digit, _ := strings.Cut(life, "#")
		out = append(out, registry.Life{Name: registry.NodeName(name), Boot: boot(digit)})
	}
	return out
}
