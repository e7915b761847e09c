package e2e_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rota-registry/rota/registry"
	"github.com/rota-registry/rota/registry/hrw"
	"github.com/rota-registry/rota/rpc/client"
	"github.com/rota-registry/rota/tests/procs"
)

// deathSeen is how long a node's death may go unseen.
const deathSeen = 8 * time.Second

// owners asks which worker each of many keys belongs to.
func owners(t *testing.T, c *client.Client) map[string]registry.NodeName {
	t.Helper()
	out := map[string]registry.NodeName{}
	var keys []hrw.Key
	for i := range 500 {
		keys = append(keys, stringKey("key-%d", i))
	}
	a, err := c.Pool("worker").HRWs(within(t, 10*time.Second), keys)
	if err != nil {
		t.Fatal(err)
	}
	for i, each := range a.Each {
		out[fmt.Sprintf("key-%d", i)] = each.Node
	}
	return out
}

// TestNodeDeath: a killed node is seen within 8 s; its keys move, and no
// others; when it is back, they are as they were.
func TestNodeDeath(t *testing.T) {
	t.Parallel()
	c := workers(t)
	quietFor(t, c, 8*time.Second, time.Minute) // longer than the leader's warm-up
	before := owners(t, c.Client())
	c.Agents["worker-2"].Kill()
	killed := time.Now()
	c.AwaitNode(deathSeen, registry.Failed, "worker-2")
	t.Logf("the death was seen %s after kill -9", time.Since(killed).Round(time.Millisecond))
	after := owners(t, c.Client())
	moved := 0
	for key, was := range before {
		switch now := after[key]; {
		case was == "worker-2" && (now == "worker-2" || now == ""):
			t.Fatalf("%s still belongs to the dead worker-2 (%q)", key, now)
		case was == "worker-2":
			moved++
		case now != was:
			t.Fatalf("%s moved from %s to %s though neither died", key, was, now)
		}
	}
	if moved == 0 {
		t.Fatal("worker-2 had no keys: the test shows nothing")
	}
	c.Agent("worker-2", registry.Worker)
	c.AwaitNode(deathSeen, registry.Alive, "worker-2")
	if again := owners(t, c.Client()); fmt.Sprint(again) != fmt.Sprint(before) {
		t.Error("with worker-2 back the keys are not where they were")
	}
}

// membersOf gives the members of the pools by name.
func membersOf(t *testing.T, c *client.Client, pools ...registry.PoolName) map[registry.PoolName][]registry.NodeName {
	t.Helper()
	out := map[registry.PoolName][]registry.NodeName{}
	for _, name := range pools {
		p, err := c.Pool(name).Info(within(t, 10*time.Second), false)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range p.Members {
			out[name] = append(out[name], m.Name)
		}
	}
	return out
}

// TestCappedPoolsStay: a node that joins or is forgotten moves no member of a
// capped pool; a forgotten member's place alone is filled.
func TestCappedPoolsStay(t *testing.T) {
	t.Parallel()
	c := workers(t)
	cl := c.Client()
	two := uint32(2)
	for _, name := range []registry.PoolName{"capped-a", "capped-b"} {
		spec := registry.Spec{Name: name, NodeType: registry.Worker, MaxNodes: &two}
		if _, err := cl.RegisterPool(within(t, back), spec, client.RegisterOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	before := membersOf(t, cl, "capped-a", "capped-b")
	c.Agent("worker-0", registry.Worker) // first in Zeek's order: it would move everyone
	c.AwaitNode(procs.Ready, registry.Alive, "worker-0")
	if after := membersOf(t, cl, "capped-a", "capped-b"); fmt.Sprint(after) != fmt.Sprint(before) {
		t.Errorf("a join moved members: %v, then %v", before, after)
	}
	gone := before["capped-a"][0]
	c.Agents[string(gone)].Kill()
	if _, err := cl.ForgetNode(within(t, back), gone, "test"); err != nil {
		t.Fatal(err)
	}
	after := membersOf(t, cl, "capped-a", "capped-b")
	for pool, members := range before {
		for i, was := range members {
			if now := after[pool][i]; was != gone && now != was {
				t.Errorf("%s: place %d went from %s to %s though %s was forgotten", pool, i, was, now, gone)
			} else if was == gone && (now == gone || now == "") {
				t.Errorf("%s: place %d of the forgotten %s was not filled", pool, i, gone)
			}
		}
	}
}

// anotherLife waits until a node is alive that is not what it was.
func anotherLife(t *testing.T, c *procs.Cluster, d time.Duration, was client.NodeState) client.NodeState {
	t.Helper()
	return await(t, d, func(ctx context.Context) (client.NodeState, error) {
		n, err := c.Client().Node(ctx, was.Name)
		if err == nil && (n.Boot == was.Boot || n.State != registry.Alive) {
			err = fmt.Errorf("%s is %s with boot id %s", n.Name, n.State, n.Boot)
		}
		return n, err
	})
}

// TestQuickRestart: a node that is killed and started at once on another port
// is back without waiting for its death to be seen.
func TestQuickRestart(t *testing.T) {
	t.Parallel()
	c := workers(t)
	was, err := c.Client().Node(within(t, back), "worker-1")
	if err != nil {
		t.Fatal(err)
	}
	c.Agents["worker-1"].Kill()
	c.Agent("worker-1", registry.Worker)
	now := anotherLife(t, c, 3*time.Second, was)
	if now.Address == was.Address {
		t.Errorf("it is on the same address %s", now.Address)
	}
	// It stays: the former life's death, seen later, is not the new one's.
	quietFor(t, c, 3*time.Second, time.Minute)
	c.AwaitNode(time.Second, registry.Alive, "worker-1")
}

// TestTwoOfOneName: a second live process under a node's name is refused, and
// told both addresses.
func TestTwoOfOneName(t *testing.T) {
	t.Parallel()
	c := workers(t)
	first, err := c.Client().Node(within(t, back), "worker-1")
	if err != nil {
		t.Fatal(err)
	}
	addr := procs.FreeAddrs(t, 1)[0]
	second := procs.NewProcess(t, c.Dir(), "second", "agent", "--name", "worker-1", "--type", "worker",
		"--servers", strings.Join(c.APIs(), ","), "--gossip", addr, "--gossip-profile", "local")
	second.Start()
	if code := second.Exit(back); code != 1 {
		t.Errorf("exit code %d, want 1", code)
	}
	for _, a := range []string{first.Address, addr} {
		if !strings.Contains(second.Log(), a) {
			t.Errorf("the refusal does not name %s:\n%s", a, second.Log())
		}
	}
	c.AwaitNode(time.Second, registry.Alive, "worker-1")
}

// TestGoodbye: SIGTERM is a goodbye, committed at once and not a failure; a new
// start is a new life.
func TestGoodbye(t *testing.T) {
	t.Parallel()
	c := workers(t)
	if code := c.Agents["worker-3"].Stop(back); code != 0 {
		t.Errorf("SIGTERM ended the agent with %d", code)
	}
	c.AwaitNode(2*time.Second, registry.Left, "worker-3")
	c.Agent("worker-3", registry.Worker)
	c.AwaitNode(back, registry.Alive, "worker-3")
}

// TestForgottenAgentJoinsAgain: an agent whose record was forgotten joins again
// by itself.
func TestForgottenAgentJoinsAgain(t *testing.T) {
	t.Parallel()
	c := workers(t)
	was, err := c.Client().Node(within(t, back), "worker-1")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Client().ForgetNode(within(t, back), "worker-1", "test"); err != nil {
		t.Fatal(err)
	}
	await(t, back, func(ctx context.Context) (client.NodeState, error) {
		n, err := c.Client().Node(ctx, "worker-1")
		if err == nil && (n.State != registry.Alive || n.Since == was.Since) {
			err = fmt.Errorf("worker-1 is %s since %d", n.State, n.Since)
		}
		return n, err
	})
}

// TestDrain: a draining node answers nothing, whatever becomes of its process.
func TestDrain(t *testing.T) {
	t.Parallel()
	c := workers(t)
	cl := c.Client()
	was, err := cl.Node(within(t, back), "worker-1")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := cl.DrainNode(within(t, back), "worker-1", "upgrade"); err != nil {
		t.Fatal(err)
	}
	c.Agents["worker-1"].Kill()
	c.Agent("worker-1", registry.Worker)
	anotherLife(t, c, back, was)
	a, err := cl.Pool("worker").RRN(within(t, back), "", 30)
	if err != nil {
		t.Fatal(err)
	}
	if slices.ContainsFunc(a.Each, func(a registry.Answer) bool { return a.Node == "worker-1" }) {
		t.Error("a draining node had a turn")
	}
	if _, err := cl.UndrainNode(within(t, back), "worker-1"); err != nil {
		t.Fatal(err)
	}
	if a, err = cl.Pool("worker").RRN(within(t, back), "", 3); err != nil || len(a.Each) != 3 {
		t.Fatalf("after undrain: %v, %v", a, err)
	}
}
