package conformance_test

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rota-registry/rota/gossip"
	"github.com/rota-registry/rota/registry"
	"github.com/rota-registry/rota/registry/hrw"
	"github.com/rota-registry/rota/rpc/client"
	"github.com/rota-registry/rota/tests/conformance"
	"github.com/rota-registry/rota/tests/procs"
)

// seen is how long a replica may take to see a node come or go.
const seen = 20 * time.Second

// TestCluster puts every case to three replicas in real processes, each query
// to the next replica in turn, and takes everything back between cases. In
// zeek.json the nodes are real agents, which die by kill -9; in random.json
// they are gossip members of the test's own, which leave and come.
func TestCluster(t *testing.T) {
	cluster := procs.Start(t, 3)
	for _, file := range []string{"zeek", "random"} {
		cases, err := conformance.Load("testdata/" + file + ".json")
		if err != nil || len(cases) == 0 {
			t.Fatalf("%s.json: %d cases, %v", file, len(cases), err)
		}
		for _, c := range cases {
			t.Run(file+"/"+c.Name, func(t *testing.T) {
				p := &clusterPlayer{T: t, c: c, cluster: cluster}
				p.nodes = &members{p: p, live: map[registry.NodeName]*gossip.Gossip{}}
				if file == "zeek" {
					p.nodes = &agents{p}
				}
				p.play()
			})
		}
	}
}

// clusterPlayer plays one case against the cluster.
type clusterPlayer struct {
	*testing.T
	c       conformance.Case
	cluster *procs.Cluster
	nodes   population
	asked   int
}

// population makes nodes live and die.
type population interface {
	up(nodes []conformance.Node)
	down(nodes []conformance.Node)
}

// next gives the client of the replica whose turn it is to be asked.
func (p *clusterPlayer) next() *client.Client {
	p.asked++
	return p.cluster.Replicas[p.asked%len(p.cluster.Replicas)].Client
}

func (p *clusterPlayer) ctx() context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	p.Cleanup(cancel)
	return ctx
}

func (p *clusterPlayer) must(what string, err error) {
	p.Helper()
	if err != nil {
		p.Fatalf("%s: %v", what, err)
	}
}

func (p *clusterPlayer) play() {
	defer p.takeBack()
	logs := registry.ManagerIsLoggerFalse
	if p.c.ManagerIsLogger {
		logs = registry.ManagerIsLoggerTrue
	}
	_, err := p.next().SetSettings(p.ctx(), registry.SettingsChange{ManagerIsLogger: &logs})
	p.must("set settings", err)
	for _, n := range p.c.Nodes {
		_, err := p.next().AddNode(p.ctx(), n.Name, n.Type, "")
		p.must("add node", err)
	}
	if p.c.Error != "" {
		p.playError()
		return
	}
	for _, pool := range p.c.Pools {
		_, err := p.next().RegisterPool(p.ctx(), p.spec(pool), client.RegisterOptions{Replace: true})
		p.must("register pool", err)
	}
	p.members()
	for i, s := range p.c.Steps {
		if got := p.step(s); got != s.Topic {
			p.Fatalf("step %d, %+v: got topic %q", i, s, got)
		}
	}
}

func (p *clusterPlayer) spec(pool conformance.Pool) registry.Spec {
	spec, err := pool.Spec()
	p.must("spec", err)
	return spec
}

func (p *clusterPlayer) members() {
	for name, want := range p.c.Members {
		info, err := p.next().Pool(name).Info(p.ctx(), false)
		p.must("get pool", err)
		var got []conformance.Member
		for _, m := range info.Members {
			got = append(got, conformance.Member{Name: m.Name, Alias: m.Alias, SiteID: m.SiteID})
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			p.Errorf("members of %s: got %v, want %v", name, got, want)
		}
	}
}

// step gives the topic that the next replica answers; none for an event.
func (p *clusterPlayer) step(s conformance.Step) string {
	var a client.Answer
	var err error
	switch s.Op {
	case "up":
		p.change(s, p.nodes.up, registry.Alive)
	case "down":
		p.change(s, p.nodes.down, registry.Failed)
	case "hrw":
		var key hrw.Key
		if key, err = s.Key.HRW(); err == nil {
			a, err = p.next().Pool(s.Pool).HRW(p.ctx(), key)
		}
	case "rr":
		a, err = p.next().Pool(s.Pool).RR(p.ctx(), s.Key.Value)
	case "rr_log":
		a, err = p.next().LogTopic(p.ctx(), s.ID, s.Path)
	default:
		p.Fatalf("unknown step %q", s.Op)
	}
	p.must(fmt.Sprintf("%+v", s), err)
	return a.Topic
}

// change makes those of the nodes that are not yet in the state come to it, and
// waits until the cluster shows it.
func (p *clusterPlayer) change(s conformance.Step, how func([]conformance.Node), want registry.NodeState) {
	list, err := p.next().Nodes(p.ctx())
	p.must("list nodes", err)
	var changing []conformance.Node
	for _, n := range list.Nodes {
		alive := n.State == registry.Alive
		if slices.Contains(s.Nodes, n.Name) && alive != (want == registry.Alive) {
			changing = append(changing, conformance.Node{Name: n.Name, Type: n.Type})
		}
	}
	if len(changing) == 0 {
		return
	}
	how(changing)
	p.await(changing, want)
}

func (p *clusterPlayer) await(nodes []conformance.Node, want registry.NodeState) {
	p.Helper()
	procs.Eventually(p.T, seen, func() error {
		list, err := p.next().Nodes(p.ctx())
		if err != nil {
			return err
		}
		for _, n := range list.Nodes {
			concerned := slices.ContainsFunc(nodes, func(c conformance.Node) bool { return c.Name == n.Name })
			if concerned && n.State != want {
				return fmt.Errorf("node %s is %s, want %s", n.Name, n.State, want)
			}
		}
		return nil
	})
}

// playError registers the pools with nodes required, and wants Zeek's refusal.
func (p *clusterPlayer) playError() {
	var refused error
	for _, pool := range p.c.Pools {
		_, err := p.next().RegisterPool(p.ctx(), p.spec(pool), client.RegisterOptions{Replace: true, RequireNodes: true})
		if refused == nil {
			refused = err
		}
	}
	want, code := p.c.Error, registry.Invalid
	if enough := notEnough.FindStringSubmatch(p.c.Error); enough != nil {
		want, code = "not enough "+enough[1]+" nodes: need ", registry.Conflict
	}
	if refused == nil || registry.CodeOf(refused) != code || !strings.Contains(refused.Error(), want) {
		p.Errorf("refused with %v, want %v %q", refused, code, want)
	}
}

// takeBack leaves the cluster as the case found it.
func (p *clusterPlayer) takeBack() {
	list, err := p.next().Nodes(p.ctx())
	p.must("list nodes", err)
	var alive []conformance.Node
	for _, n := range list.Nodes {
		if n.State == registry.Alive {
			alive = append(alive, conformance.Node{Name: n.Name, Type: n.Type})
		}
	}
	if len(alive) > 0 {
		p.nodes.down(alive)
		p.await(alive, registry.Failed)
	}
	for _, n := range list.Nodes {
		_, err := p.next().ForgetNode(p.ctx(), n.Name, "between cases")
		p.must("forget node", err)
	}
	p.takeBackPools()
	auto := registry.ManagerIsLoggerAuto
	_, err = p.next().SetSettings(p.ctx(), registry.SettingsChange{ManagerIsLogger: &auto})
	p.must("set settings", err)
}

func (p *clusterPlayer) takeBackPools() {
	pools, err := p.next().Pools(p.ctx())
	p.must("list pools", err)
	for _, pool := range pools.Pools {
		name := pool.Spec.Name
		if !slices.Contains([]registry.PoolName{"worker", "proxy", "logger"}, name) {
			_, err := p.next().UnregisterPool(p.ctx(), name)
			p.must("unregister pool", err)
			continue
		}
		_, err := p.next().RegisterPool(p.ctx(), registry.Spec{Name: name, NodeType: registry.NodeType(name)}, client.RegisterOptions{Replace: true})
		p.must("register pool", err)
		cursors, err := p.next().Pool(name).Cursors(p.ctx())
		p.must("list cursors", err)
		for _, c := range cursors.Cursors {
			_, err := p.next().Pool(name).DeleteCursor(p.ctx(), c.Key)
			p.must("delete cursor", err)
		}
	}
}

// agents are real processes.
type agents struct{ p *clusterPlayer }

func (a *agents) up(nodes []conformance.Node) {
	for _, n := range nodes {
		a.p.cluster.Agent(string(n.Name), n.Type)
	}
}

func (a *agents) down(nodes []conformance.Node) {
	for _, n := range nodes {
		a.p.cluster.Agents[string(n.Name)].Kill()
	}
}

// members are gossip members of the test's own, which never call JoinNode: the
// layout knows the nodes, and gossip shows them.
type members struct {
	p    *clusterPlayer
	live map[registry.NodeName]*gossip.Gossip
}

func (m *members) up(nodes []conformance.Node) {
	status, err := m.p.next().Status(m.p.ctx())
	m.p.must("status", err)
	var seeds []string
	for _, r := range m.p.cluster.Replicas {
		seeds = append(seeds, r.Gossip)
	}
	for _, n := range nodes {
		boot := make([]byte, registry.BootIDLen/2)
		_, _ = rand.Read(boot)
		g, err := gossip.Start(gossip.Config{
			Name: string(n.Name), Boot: hex.EncodeToString(boot), Label: string(status.ClusterID), Role: gossip.Node,
			Bind: procs.FreeAddrs(m.p.T, 1)[0], Profile: gossip.Local, Seeds: func() []string { return seeds },
		})
		m.p.must("gossip", err)
		m.live[n.Name] = g
	}
}

func (m *members) down(nodes []conformance.Node) {
	var leaving sync.WaitGroup
	for _, n := range nodes {
		g := m.live[n.Name]
		delete(m.live, n.Name)
		leaving.Go(func() {
			// A goodbye that not everyone has heard is found out by probes.
			_ = g.Leave(m.p.ctx())
			if err := g.Close(); err != nil {
				m.p.Errorf("close %s: %v", n.Name, err)
			}
		})
	}
	leaving.Wait()
}
