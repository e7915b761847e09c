package conformance_test

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/rota-registry/rota/registry"
	"github.com/rota-registry/rota/tests/conformance"
)

// TestRegistry puts every case to the state machine alone, with both ways of
// assignment: since the nodes are known first, they must not differ.
func TestRegistry(t *testing.T) {
	for _, file := range []string{"zeek", "random"} {
		cases, err := conformance.Load("testdata/" + file + ".json")
		if err != nil {
			t.Fatal(err)
		}
		if len(cases) == 0 {
			t.Fatalf("%s.json has no cases", file)
		}
		for _, assignment := range []registry.Assignment{registry.AssignStable, registry.AssignZeek} {
			for _, c := range cases {
				t.Run(fmt.Sprintf("%s/%s/%s", file, assignment, c.Name), func(t *testing.T) {
					newPlayer(t, c, assignment).play()
				})
			}
		}
	}
}

// player plays one case against one state.
type player struct {
	*testing.T
	c     conformance.Case
	state *registry.State
	index registry.Index
}

func newPlayer(t *testing.T, c conformance.Case, a registry.Assignment) *player {
	p := &player{T: t, c: c, state: registry.NewState()}
	logs := registry.ManagerIsLoggerFalse
	if c.ManagerIsLogger {
		logs = registry.ManagerIsLoggerTrue
	}
	p.must(registry.SetSettings{Change: registry.SettingsChange{ManagerIsLogger: &logs, Assignment: &a}})
	for _, n := range c.Nodes {
		p.must(registry.AddNode{Name: n.Name, Type: n.Type})
	}
	return p
}

func (p *player) apply(cmd registry.Command) (registry.Result, error) {
	p.index++
	return p.state.Apply(registry.Stamp{Index: p.index, Term: 1}, cmd)
}

func (p *player) must(cmd registry.Command) registry.Result {
	p.Helper()
	res, err := p.apply(cmd)
	if err != nil {
		p.Fatalf("%T: %v", cmd, err)
	}
	return res
}

func (p *player) play() {
	if p.c.Error != "" {
		p.playError()
		return
	}
	for _, pool := range p.c.Pools {
		p.must(registry.RegisterPool{Spec: p.spec(pool), Replace: true})
	}
	p.members()
	for i, s := range p.c.Steps {
		if got := p.step(s); got != s.Topic {
			p.Errorf("step %d, %+v: got topic %q", i, s, got)
		}
	}
}

func (p *player) spec(pool conformance.Pool) registry.Spec {
	spec, err := pool.Spec()
	if err != nil {
		p.Fatal(err)
	}
	return spec
}

func (p *player) members() {
	for name, want := range p.c.Members {
		info, err := p.state.Pool(name)
		if err != nil {
			p.Fatal(err)
		}
		var got []conformance.Member
		for _, m := range info.Members {
			got = append(got, conformance.Member{Name: m.Name, Alias: m.Alias, SiteID: m.SiteID})
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			p.Errorf("members of %s: got %v, want %v", name, got, want)
		}
	}
}

// step gives the topic that the registry answers; none for an event.
func (p *player) step(s conformance.Step) string {
	switch s.Op {
	case "up", "down":
		p.liveness(s)
		return ""
	case "hrw":
		key, err := s.Key.HRW()
		if err != nil {
			p.Fatal(err)
		}
		choice, err := p.state.HRW(s.Pool, key)
		if err != nil {
			p.Fatal(err)
		}
		return choice.Topic
	case "rr":
		return p.turn(registry.Turn{Pool: s.Pool, Key: s.Key.Value, Count: 1})
	case "rr_log":
		return p.turn(registry.Turn{LogID: s.ID})
	}
	p.Fatalf("unknown step %q", s.Op)
	return ""
}

func (p *player) turn(turn registry.Turn) string {
	res := p.must(registry.RoundRobin{Turns: []registry.Turn{turn}}).Turns[0]
	if res.Err != nil {
		p.Fatal(res.Err)
	}
	if len(res.Answers) == 0 {
		return ""
	}
	return res.Answers[0].Topic
}

func (p *player) liveness(s conformance.Step) {
	report := registry.ReportLiveness{By: "r1"}
	for _, name := range s.Nodes {
		n, err := p.state.Node(name)
		if err != nil {
			p.Fatal(err)
		}
		state := map[string]registry.NodeState{"up": registry.Alive, "down": registry.Failed}[s.Op]
		if n.State == state {
			continue
		}
		report.Changes = append(report.Changes, registry.Liveness{Name: name, Boot: "0123456789abcdef", State: state, Since: n.Since})
	}
	if skipped := p.must(report).Skipped; skipped > 0 {
		p.Fatalf("%d changes of %+v were skipped", skipped, report)
	}
}

var notEnough = regexp.MustCompile(`^not enough (\S+) nodes: need (\d+)$`)

// playError registers the pools with nodes required. All at once Zeek names
// the sum; one by one, the first refusal may name a smaller one. Without nodes
// required, "not enough" registers and shows unsatisfied.
func (p *player) playError() {
	var refused error
	for _, pool := range p.c.Pools {
		_, err := p.apply(registry.RegisterPool{Spec: p.spec(pool), Replace: true, RequireNodes: true})
		if refused == nil {
			refused = err
		}
	}
	if refused == nil {
		p.Fatalf("every pool was taken, want %q", p.c.Error)
	}
	want := notEnough.FindStringSubmatch(p.c.Error)
	if want == nil {
		p.refusedAs(refused, registry.Invalid, p.c.Error)
		return
	}
	p.refusedAs(refused, registry.Conflict, "not enough "+want[1]+" nodes: need ")
	p.unsatisfied(registry.NodeType(want[1]), want[2])
}

func (p *player) refusedAs(err error, code registry.Code, text string) {
	p.Helper()
	if registry.CodeOf(err) != code || !strings.Contains(err.Error(), text) {
		p.Errorf("refused with %v %q, want %v %q", registry.CodeOf(err), err, code, text)
	}
}

// unsatisfied registers what was refused, without requiring nodes, and wants
// the number that Zeek names once all pools are there.
func (p *player) unsatisfied(t registry.NodeType, need string) {
	sum := uint32(0)
	for _, pool := range p.c.Pools {
		p.must(registry.RegisterPool{Spec: p.spec(pool), Replace: true})
		if pool.NodeType == t && pool.Exclusive {
			sum += *pool.MaxNodes
		}
	}
	if got := strconv.FormatUint(uint64(sum), 10); got != need {
		p.Errorf("the exclusive pools of %s need %s, want %s", t, got, need)
	}
	short := 0
	for _, info := range p.state.Pools() {
		if !info.Satisfied && info.Spec.NodeType == t {
			short++
			if want := fmt.Sprintf("wants %d, has %d", *info.Spec.MaxNodes, len(info.Members)); info.Reason != want {
				p.Errorf("pool %s: reason %q, want %q", info.Spec.Name, info.Reason, want)
			}
		}
	}
	if short == 0 {
		p.Errorf("no pool of type %s shows unsatisfied", t)
	}
	_, err := p.apply(registry.RegisterPool{
		Spec:         registry.Spec{Name: "one-more", NodeType: t, Exclusive: true, MaxNodes: new(uint32)},
		RequireNodes: true,
	})
	p.refusedAs(err, registry.Conflict, "not enough "+string(t)+" nodes: need "+need+" ")
}
