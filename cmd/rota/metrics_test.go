package main

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/hashicorp/go-metrics"

	"github.com/rota-registry/rota/registry"
)

// founded is a state with one node, as a replica that leads would show it.
type founded struct{ state *registry.State }

func (f founded) Self() registry.Greeting {
	return registry.Greeting{
		Replica: registry.Replica{Name: "r1"}, Leader: "r1", Voter: true, Ready: true,
		Term: 3, Applied: 7, Committed: 8, GossipMembers: 2,
		FrozenTypes: []registry.NodeType{"proxy", "worker"},
	}
}

func (f founded) Watchers() int { return 5 }

func (f founded) Disagrees() bool { return true }

func (f founded) Read(_ context.Context, o registry.ReadOptions) (*registry.View, registry.ReadInfo, error) {
	if o.Consistency != registry.Local || o.AtLeastIndex != 0 {
		return nil, registry.ReadInfo{}, registry.ErrInternal
	}
	return &f.state.View, registry.ReadInfo{}, nil
}

func TestMetricsHaveRotasNumbersAndThoseOfItsLibraries(t *testing.T) {
	page, err := newMetrics()
	if err != nil {
		t.Fatal(err)
	}
	page.observe(founded{stateWithNode(t)})
	page.attended(func() int { return 4 })
	metrics.IncrCounter([]string{"raft", "apply"}, 5)
	rec := httptest.NewRecorder()
	page.handler().ServeHTTP(rec, httptest.NewRequest(http.MethodGet, "/metrics", http.NoBody))
	for _, want := range []string{
		"rota_replica_applied_index 7\n", "rota_replica_commit_index 8\n", "rota_replica_term 3\n",
		"rota_replica_is_leader 1\n", "rota_replica_is_voter 1\n", "rota_replica_ready 1\n", "rota_gossip_members 2\n",
		`rota_pool_members{pool="worker"} 1`, `rota_pool_alive{pool="worker"} 1`, `rota_pool_eligible{pool="worker"} 1`,
		`rota_pool_members{pool="proxy"} 0`, `rota_pool_satisfied{pool="proxy"} 1`,
		"rota_watchers 5\n", "rota_attended_agents 4\n", "rota_replicas_disagree 1\n", "rota_liveness_frozen 2\n", `rota_nodes{state="alive"} 1`, `rota_nodes{state="failed"} 0`, `rota_nodes{state="draining"} 0`,
		"raft_apply 5\n", "go_goroutines ",
	} {
		if !strings.Contains(rec.Body.String(), want) {
			t.Errorf("the page does not have %q", want)
		}
	}
	if t.Failed() {
		t.Log(rec.Body.String())
	}
}

func stateWithNode(t *testing.T) *registry.State {
	t.Helper()
	s := registry.NewState()
	join := registry.JoinNode{Name: "worker-1", Type: registry.Worker, Address: "127.0.0.1:1", Boot: newBootID(), By: "test"}
	if _, err := s.Apply(registry.Stamp{Index: 1, Term: 1}, join); err != nil {
		t.Fatal(err)
	}
	return s
}
