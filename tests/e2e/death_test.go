package e2e_test

import (
	"context"
	"errors"
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

// killSeen is how long a killed agent's keys may stay with it, outside the
// leader's warm-up.
const killSeen = time.Second

// warmUp is longer than a leader's after its election, with the local profile.
const warmUp = 9 * time.Second

// keyOf gives a key that belongs to a node.
func keyOf(t *testing.T, c *client.Client, name registry.NodeName) hrw.Key {
	t.Helper()
	for key, owner := range owners(t, c) {
		if owner == name {
			return hrw.String(key)
		}
	}
	t.Fatalf("%s has no key: the test shows nothing", name)
	return hrw.Key{}
}

// killAgent kills an agent and gives how long one of its keys stayed with it.
func killAgent(t *testing.T, c *procs.Cluster, at *procs.Replica, name string) time.Duration {
	t.Helper()
	key := keyOf(t, at.Client, registry.NodeName(name))
	c.Agents[name].Kill()
	killed := time.Now()
	procs.Eventually(t, deathSeen, func() error {
		a, err := at.Client.Pool("worker").HRW(within(t, 2*time.Second), key, client.Local())
		if err == nil && a.Node == registry.NodeName(name) {
			err = errors.New("the key is still with the dead node")
		}
		return err
	})
	return time.Since(killed)
}

// TestAKilledAgentsKeysMoveWithinASecond, twenty times, seen at each replica in
// turn, whichever of them the agents attend.
func TestAKilledAgentsKeysMoveWithinASecond(t *testing.T) {
	t.Parallel()
	c := workers(t)
	quietFor(t, c, warmUp, time.Minute)
	var took []time.Duration
	for i := range 20 {
		name := fmt.Sprintf("worker-%d", i%3+1)
		took = append(took, killAgent(t, c, c.Replicas[i%len(c.Replicas)], name))
		if node, err := c.Client().Node(within(t, back), registry.NodeName(name)); err != nil || node.State != registry.Failed {
			t.Errorf("%s is %s because %q, %v", name, node.State, node.Reason, err)
		}
		c.Agent(name, registry.Worker)
		c.AwaitNode(back, registry.Alive, name)
		quietFor(t, c, 2*time.Second, time.Minute) // gossip shows it everywhere, and it attends
	}
	slices.Sort(took)
	t.Logf("keys moved after %s (least), %s (median), %s (most)", took[0].Round(time.Millisecond), took[10].Round(time.Millisecond), took[19].Round(time.Millisecond))
	if most := took[19]; most > killSeen {
		t.Errorf("a killed agent's keys moved after %s, want %s at most; all: %v", most, killSeen, took)
	}
}

// TestAKilledReplicaFailsNoNode: the connections of the agents that attend it break,
// and none of them is declared failed; they attend another one, where their deaths
// are noticed as fast.
func TestAKilledReplicaFailsNoNode(t *testing.T) {
	t.Parallel()
	c := workers(t)
	quietFor(t, c, warmUp, time.Minute)
	before := nodesOf(t, c.Client())
	one := attended(t, c)
	one.Kill()
	leader := c.Leader(back, one.Name)
	killed := time.Now()
	procs.Eventually(t, 2*warmUp, func() error {
		if after := nodesOf(t, leader.Client); fmt.Sprint(after) != fmt.Sprint(before) {
			t.Fatalf("the nodes were\n%v, and are\n%v", before, after)
		}
		if time.Since(killed) < warmUp {
			return errors.New("the new leader may still warm up")
		}
		return nil
	})
	if took := killAgent(t, c, leader, "worker-1"); took > killSeen {
		t.Errorf("with the agents at another replica a killed one's keys moved after %s", took)
	}
	one.Start()
	c.AwaitReady(procs.Ready)
}

// attended gives the replica that most agents attend, once all attend one.
func attended(t *testing.T, c *procs.Cluster) (most *procs.Replica) {
	t.Helper()
	procs.Eventually(t, back, func() error {
		all, largest := 0, 0
		for _, r := range c.Replicas {
			_, page, err := procs.Get("http://" + r.API + "/metrics")
			if err != nil {
				return err
			}
			n := 0
			_, line, _ := strings.Cut(page, "\nrota_attended_agents ")
			if _, err := fmt.Sscan(line, &n); err != nil {
				return fmt.Errorf("%s does not say how many agents attend it: %w", r.Name, err)
			}
			if all += n; n > largest {
				most, largest = r, n
			}
		}
		if all != len(c.Agents) {
			return fmt.Errorf("%d agents attend a replica, and there are %d", all, len(c.Agents))
		}
		return nil
	})
	return most
}

// nodesOf gives since when each node is what it is.
func nodesOf(t *testing.T, c *client.Client) (out []string) {
	t.Helper()
	list := await(t, back, func(ctx context.Context) (client.NodeList, error) { return c.Nodes(ctx) })
	for _, n := range list.Nodes {
		out = append(out, fmt.Sprintf("%s#%s %s since %d", n.Name, n.Boot, n.State, n.Since))
	}
	return out
}
