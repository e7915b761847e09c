package client_test

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/rota-registry/rota/registry"
	"github.com/rota-registry/rota/registry/hrw"
	"github.com/rota-registry/rota/rpc/client"
	rotav1 "github.com/rota-registry/rota/rpc/gen/rota/v1"
)

// at is what every answer of a fake replica named a carries.
var at = client.Served{Position: registry.Position{Index: 7, Term: 2}, ServedBy: "a"}

func thePool() registry.PoolInfo {
	return registry.PoolInfo{
		Topic: "t/p",
		Spec:  registry.Spec{Name: "p", Topic: "t/p", NodeType: "worker", MaxNodes: ptr(uint32(2)), Hash: hrw.Zeek62},
		Members: []registry.MemberInfo{
			{Name: "w-1", Alias: "w-1.0", SiteID: 11, Topic: "t/w-1/", Alive: true, Eligible: true, State: registry.Alive},
		},
		AliveCount: 1, EligibleCount: 1, Epoch: 5, Reason: "wants 2, has 1",
	}
}

func theNode() registry.NodeInfo {
	return registry.NodeInfo{
		Node:  registry.Node{Name: "w-1", Type: "worker", Address: "10.0.0.1:1", Boot: "00000000000000ab", State: registry.Alive},
		Pools: []registry.PoolName{"p"},
	}
}

// method is one of the Client's, how it may be repeated, and what it sends and
// gives.
type method struct {
	name   string
	repeat bool
	call   func(context.Context, *client.Client) (any, error)
	sent   proto.Message
	given  any
}

const linearizable = "linearizable"

func hrwMethods() []method {
	key := hrw.Count(42)
	digest := &rotav1.Key{Kind: &rotav1.Key_Digest{Digest: 0x39e5298c}}
	ranking := client.Ranking{
		Entries: []registry.Ranked{{Node: "w-1", Topic: "t/w-1/", SiteID: 11, Weight: 13, Eligible: true}},
		Digest:  17, Epoch: 5, Served: at,
	}
	aged := at
	aged.Age = 30 * time.Millisecond
	return []method{
		{
			"HrwTopic", true,
			func(ctx context.Context, c *client.Client) (any, error) { return c.Pool("p").HRW(ctx, key) },
			&rotav1.HrwTopicRequest{Pool: "p", Key: digest, Consistency: linearizable},
			client.Answer{Topic: "t/w-1/", Node: "w-1", Epoch: 5, Served: aged},
		},
		{
			"HrwTopics", true,
			func(ctx context.Context, c *client.Client) (any, error) {
				return c.Pool("p").HRWs(ctx, []hrw.Key{hrw.String("s"), hrw.Bytes([]byte{0xff})})
			},
			&rotav1.HrwTopicsRequest{Pool: "p", Consistency: linearizable, Indexed: true, Keys: []*rotav1.Key{
				{Kind: &rotav1.Key_String_{String_: "s"}}, {Kind: &rotav1.Key_Bytes{Bytes: []byte{0xff}}},
			}},
			client.Answers{Each: []registry.Answer{{Node: "w-1", Topic: "t/w-1/"}, {Node: "w-2", Topic: "t/w-2/"}}, Epoch: 5, Served: at},
		},
		{
			"HrwTopics", true,
			func(ctx context.Context, c *client.Client) (any, error) {
				return c.Pool("none").HRWs(ctx, []hrw.Key{hrw.Count(42), hrw.Count(42)})
			},
			&rotav1.HrwTopicsRequest{Pool: "none", Consistency: linearizable, Keys: []*rotav1.Key{digest, digest}, Indexed: true},
			client.Answers{Each: make([]registry.Answer, 2), EmptyReason: registry.NoneAlive, Epoch: 5, Served: at},
		},
		{
			"RankNodes", true,
			func(ctx context.Context, c *client.Client) (any, error) { return c.Pool("p").Rank(ctx, key, 3) },
			&rotav1.RankNodesRequest{Pool: "p", Key: digest, Limit: 3, Consistency: linearizable}, ranking,
		},
		{
			"RankNodes", true,
			func(ctx context.Context, c *client.Client) (any, error) { return c.Pool("p").Explain(ctx, key) },
			&rotav1.RankNodesRequest{Pool: "p", Key: digest, Explain: true, Consistency: linearizable}, ranking,
		},
	}
}

func batch(turns ...*rotav1.RrBatchRequest_Turn) *rotav1.RrBatchRequest {
	return &rotav1.RrBatchRequest{Turns: turns}
}

func rrMethods() []method {
	cursors := []registry.Cursor{{Key: "k", Next: 1, Node: "w-1"}}
	return []method{
		{
			"RrBatch", false,
			func(ctx context.Context, c *client.Client) (any, error) { return c.Pool("p").RR(ctx, "k") },
			batch(&rotav1.RrBatchRequest_Turn{Pool: "p", Key: "k", Count: 1}),
			client.Answer{Topic: "t/w-1/", Node: "w-1", Epoch: 5, Served: at},
		},
		{
			"RrBatch", false,
			func(ctx context.Context, c *client.Client) (any, error) { return c.Pool("drained").RR(ctx, "") },
			batch(&rotav1.RrBatchRequest_Turn{Pool: "drained", Count: 1}),
			client.Answer{EmptyReason: registry.AllDraining, Epoch: 5, Served: at},
		},
		{
			"RrBatch", false,
			func(ctx context.Context, c *client.Client) (any, error) { return c.Pool("p").RRN(ctx, "k", 3) },
			batch(&rotav1.RrBatchRequest_Turn{Pool: "p", Key: "k", Count: 3}),
			client.Answers{
				Each:  []registry.Answer{{Node: "w-1", Topic: "t/w-1/"}, {Node: "w-2", Topic: "t/w-2/"}, {Node: "w-1", Topic: "t/w-1/"}},
				Epoch: 5, Served: at,
			},
		},
		{
			"RrBatch", false,
			func(ctx context.Context, c *client.Client) (any, error) { return c.Pool("drained").RRN(ctx, "", 2) },
			batch(&rotav1.RrBatchRequest_Turn{Pool: "drained", Count: 2}),
			client.Answers{Each: []registry.Answer{}, EmptyReason: registry.AllDraining, Epoch: 5, Served: at},
		},
		{
			"GetPool", true,
			func(ctx context.Context, c *client.Client) (any, error) { return c.Pool("p").Info(ctx, true) },
			&rotav1.GetPoolRequest{Name: "p", WithCursors: true, Consistency: linearizable},
			client.PoolState{PoolInfo: thePool(), Cursors: cursors, Served: at},
		},
		{
			"ListCursors", true,
			func(ctx context.Context, c *client.Client) (any, error) { return c.Pool("p").Cursors(ctx) },
			&rotav1.ListCursorsRequest{Pool: "p", Consistency: linearizable},
			client.CursorList{Cursors: cursors, Served: at},
		},
		{
			"SetCursor", false,
			func(ctx context.Context, c *client.Client) (any, error) { return c.Pool("p").SetCursor(ctx, "k", 4) },
			&rotav1.SetCursorRequest{Pool: "p", Key: "k", Next: 4}, at,
		},
		{
			"DeleteCursor", false,
			func(ctx context.Context, c *client.Client) (any, error) { return c.Pool("p").DeleteCursor(ctx, "k") },
			&rotav1.DeleteCursorRequest{Pool: "p", Key: "k"}, at,
		},
	}
}

func specMethods() []method {
	spec := registry.Spec{Name: "p", NodeType: "worker", MaxNodes: ptr(uint32(0)), Exclusive: true, Hash: hrw.Zeek62}
	wired := &rotav1.PoolSpec{Name: "p", NodeType: "worker", MaxNodes: ptr(uint32(0)), Exclusive: true, Hash: "zeek-6.2"}
	change := client.PoolChange{PoolInfo: thePool(), Changed: true, Served: at}
	register := func(opts client.RegisterOptions) func(context.Context, *client.Client) (any, error) {
		return func(ctx context.Context, c *client.Client) (any, error) { return c.RegisterPool(ctx, spec, opts) }
	}
	return []method{
		{
			"RegisterPool", true, register(client.RegisterOptions{RequireNodes: true}),
			&rotav1.RegisterPoolRequest{Spec: wired, RequireNodes: true}, change,
		},
		{
			"RegisterPool", false, register(client.RegisterOptions{Replace: true}),
			&rotav1.RegisterPoolRequest{Spec: wired, Replace: true}, change,
		},
		{
			"UnregisterPool", false,
			func(ctx context.Context, c *client.Client) (any, error) { return c.UnregisterPool(ctx, "p") },
			&rotav1.UnregisterPoolRequest{Name: "p"}, at,
		},
		{
			"ListPools", true,
			func(ctx context.Context, c *client.Client) (any, error) { return c.Pools(ctx) },
			&rotav1.ListPoolsRequest{Consistency: linearizable},
			client.PoolList{Pools: []registry.PoolInfo{thePool()}, Served: at},
		},
	}
}

func clusterMethods() []method {
	moved := client.Rebalance{
		Moves:  []registry.Move{{Pool: "p", Before: []registry.NodeName{"w-1"}, After: []registry.NodeName{"w-2"}}},
		Served: at,
	}
	return []method{
		{
			"RebalancePools", false,
			func(ctx context.Context, c *client.Client) (any, error) { return c.RebalancePools(ctx, false) },
			&rotav1.RebalancePoolsRequest{}, moved,
		},
		{
			"RebalancePools", true,
			func(ctx context.Context, c *client.Client) (any, error) { return c.RebalancePools(ctx, true) },
			&rotav1.RebalancePoolsRequest{DryRun: true}, moved,
		},
		{
			"RrBatch", false,
			func(ctx context.Context, c *client.Client) (any, error) { return c.LogTopic(ctx, "Conn::LOG", "conn") },
			batch(&rotav1.RrBatchRequest_Turn{LogId: "Conn::LOG"}),
			client.Answer{Topic: "zeek/logs/Conn::LOG", EmptyReason: registry.NoMembers, Epoch: 5, Served: at},
		},
		{
			"GetSettings", true,
			func(ctx context.Context, c *client.Client) (any, error) { return c.Settings(ctx) },
			&rotav1.GetSettingsRequest{Consistency: linearizable},
			client.SettingsState{Settings: registry.Settings{Assignment: registry.AssignZeek}, Served: at},
		},
		{
			"SetSettings", true,
			func(ctx context.Context, c *client.Client) (any, error) {
				return c.SetSettings(ctx, registry.SettingsChange{LeftRetention: ptr(registry.Millis(9))})
			},
			&rotav1.SetSettingsRequest{Settings: &rotav1.Settings{LeftRetentionMs: ptr(int64(9))}},
			client.SettingsState{Settings: registry.Settings{LeftRetention: 9}, Changed: true, Served: at},
		},
		{
			"Status", true,
			func(ctx context.Context, c *client.Client) (any, error) { return c.Status(ctx) },
			&rotav1.StatusRequest{},
			client.Status{
				ClusterID: "c1", Leader: "r1", Term: 2, Index: 7, ServedBy: "a", Warnings: []string{"careful"},
				Replicas:      []client.ReplicaStatus{{Name: "r1", API: "a:1", State: "leader", Voter: true, Applied: 7, Committed: 8, Version: "v1"}},
				Pools:         []client.PoolSummary{{Name: "p", AliveCount: 1, EligibleCount: 2, MemberCount: 3, Reason: "wants 4, has 3"}},
				Nodes:         client.NodeCounts{Alive: 1, Failed: 2, Draining: 3, Left: 4},
				DrainingNodes: []registry.NodeName{"d"}, FailedNodes: []registry.NodeName{"f"}, LeftNodes: []registry.NodeName{"l"},
			},
		},
	}
}

func nodeMethods() []method {
	life := client.Life{Name: "w-1", Type: "worker", Address: "10.0.0.1:1", Boot: "00000000000000ab"}
	change := client.NodeChange{NodeInfo: theNode(), Changed: true, Served: at}
	return []method{
		{
			"JoinNode", true,
			func(ctx context.Context, c *client.Client) (any, error) { return c.Join(ctx, life) },
			&rotav1.JoinNodeRequest{Name: "w-1", Type: "worker", Address: "10.0.0.1:1", BootId: "00000000000000ab"},
			client.Admission{
				Admission: registry.Admission{ClusterID: "c1", Seeds: []string{"s:2"}, Servers: []string{"s:1"}},
				Node:      theNode(), Served: at,
			},
		},
		{
			"LeaveNode", true,
			func(ctx context.Context, c *client.Client) (any, error) { return c.Leave(ctx, "w-1", life.Boot, "bye") },
			&rotav1.LeaveNodeRequest{Name: "w-1", BootId: "00000000000000ab", Reason: "bye"}, at,
		},
		{
			"ListNodes", true,
			func(ctx context.Context, c *client.Client) (any, error) { return c.Nodes(ctx) },
			&rotav1.ListNodesRequest{Consistency: linearizable},
			client.NodeList{Nodes: []registry.NodeInfo{theNode()}, Served: at},
		},
		{
			"GetNode", true,
			func(ctx context.Context, c *client.Client) (any, error) { return c.Node(ctx, "w-1") },
			&rotav1.GetNodeRequest{Name: "w-1", Consistency: linearizable},
			client.NodeState{NodeInfo: theNode(), Served: at},
		},
		{
			"AddNode", true,
			func(ctx context.Context, c *client.Client) (any, error) {
				return c.AddNode(ctx, "w-1", "worker", "10.0.0.1:1")
			},
			&rotav1.AddNodeRequest{Name: "w-1", Type: "worker", Address: "10.0.0.1:1"}, change,
		},
		{
			"DrainNode", true,
			func(ctx context.Context, c *client.Client) (any, error) { return c.DrainNode(ctx, "w-1", "disk") },
			&rotav1.DrainNodeRequest{Name: "w-1", Reason: "disk"}, change,
		},
		{
			"UndrainNode", true,
			func(ctx context.Context, c *client.Client) (any, error) { return c.UndrainNode(ctx, "w-1") },
			&rotav1.UndrainNodeRequest{Name: "w-1"}, change,
		},
		{
			"ForgetNode", false,
			func(ctx context.Context, c *client.Client) (any, error) { return c.ForgetNode(ctx, "w-1", "gone") },
			&rotav1.ForgetNodeRequest{Name: "w-1", Reason: "gone"}, at,
		},
	}
}

func methods() []method {
	return slices.Concat(hrwMethods(), rrMethods(), specMethods(), clusterMethods(), nodeMethods())
}

func TestEveryMethodSendsWhatItIsGivenAndGivesWhatItGets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEdge(t)
		a := e.serve("a:1", &replica{})
		c := e.client(client.Options{By: "ops@desk 7", WithoutSessions: true}, "a:1")
		for _, m := range methods() {
			given, err := m.call(t.Context(), c)
			if err != nil {
				t.Errorf("%s: %v", m.name, err)
				continue
			}
			if diff := cmp.Diff(m.given, given); diff != "" {
				t.Errorf("%s gave another answer (-want +got):\n%s", m.name, diff)
			}
			sent := a.last()
			if sent.method != m.name || sent.by != "ops@desk 7" {
				t.Errorf("%s asked %s as %q", m.name, sent.method, sent.by)
			}
			if diff := cmp.Diff(m.sent, sent.message, protocmp.Transform()); diff != "" {
				t.Errorf("%s sent another request (-want +got):\n%s", m.name, diff)
			}
		}
	})
}

// After a connection that broke with the request on its way, reads and what may
// run twice go on at the next replica; without a session nothing else is sent
// again.
func TestWhichMethodsAreRepeated(t *testing.T) {
	for _, m := range methods() {
		synctest.Test(t, func(t *testing.T) {
			e := newEdge(t)
			a, b := e.serve("a:1", &replica{}), e.serve("b:1", &replica{})
			a.script = func(context.Context, string) error { e.cut(); return nil }
			_, err := m.call(t.Context(), e.client(client.Options{WithoutSessions: true}, "a:1", "b:1"))
			wantCalls(t, a, m.name)
			if m.repeat {
				if err != nil {
					t.Errorf("%s: %v, want the answer of b", m.name, err)
				}
				wantCalls(t, b, m.name)
				return
			}
			wantCode(t, err, registry.OutcomeUnknown)
			wantCalls(t, b)
		})
	}
}
