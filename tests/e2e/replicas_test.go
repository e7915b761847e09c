package e2e_test

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rota-registry/rota/registry"
	"github.com/rota-registry/rota/registry/hrw"
	"github.com/rota-registry/rota/rpc/client"
	"github.com/rota-registry/rota/tests/procs"
)

// back is how long the cluster may be without service after a fault.
const back = 15 * time.Second

func within(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), d)
	t.Cleanup(cancel)
	return ctx
}

// await asks until the answer comes without an error.
func await[T any](t *testing.T, d time.Duration, ask func(context.Context) (T, error)) T {
	t.Helper()
	var out T
	procs.Eventually(t, d, func() error {
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		defer cancel()
		var err error
		out, err = ask(ctx)
		return err
	})
	return out
}

// workers starts a cluster with three live workers.
func workers(t *testing.T) *procs.Cluster {
	t.Helper()
	c := procs.Start(t, 3)
	for _, name := range []string{"worker-1", "worker-2", "worker-3"} {
		c.Agent(name, registry.Worker)
	}
	c.AwaitNode(procs.Ready, registry.Alive, "worker-1", "worker-2", "worker-3")
	return c
}

// turns asks the replicas in turn, those that run, and wants worker-1, 2, 3, 1…
// to go on where *next points: an answer that repeats or skips is a fault.
func turns(t *testing.T, c *procs.Cluster, key string, n int, next *int) {
	t.Helper()
	for i := range n {
		r := c.Replicas[i%len(c.Replicas)]
		if !r.Running() {
			continue
		}
		a, err := r.Client.Pool("worker").RR(within(t, 10*time.Second), key)
		if err != nil {
			t.Fatalf("rr at %s: %v", r.Name, err)
		}
		if want := registry.NodeName(fmt.Sprintf("worker-%d", *next%3+1)); a.Node != want {
			t.Fatalf("rr %d at %s: %s, want %s", i, r.Name, a.Node, want)
		}
		*next++
	}
}

// TestKillLeader: kill -9 of the leader interrupts service for an election and
// loses no acknowledged answer; the killed replica comes back by itself.
func TestKillLeader(t *testing.T) {
	t.Parallel()
	c := workers(t)
	next := 0
	turns(t, c, "k", 12, &next)
	for range 5 {
		leader := c.Leader(back)
		leader.Kill()
		killed := time.Now()
		other := c.Replicas[0]
		if other == leader {
			other = c.Replicas[1]
		}
		await(t, back, func(ctx context.Context) (client.Served, error) {
			return other.Client.Pool("worker").SetCursor(ctx, "probe", 0)
		})
		t.Logf("a write was acknowledged %s after the leader was killed", time.Since(killed).Round(time.Millisecond))
		c.Leader(back, leader.Name)
		turns(t, c, "k", 12, &next)
		leader.Start()
		c.AwaitReady(procs.Ready)
		turns(t, c, "k", 12, &next)
	}
}

// TestKillFollower: kill -9 of a follower interrupts nothing.
func TestKillFollower(t *testing.T) {
	t.Parallel()
	c := workers(t)
	leader := c.Leader(back)
	next := 0
	for _, r := range c.Replicas {
		if r.Name == leader.Name {
			continue
		}
		r.Kill()
		turns(t, c, "k", 12, &next)
		r.Start()
		c.AwaitReady(procs.Ready)
		turns(t, c, "k", 12, &next)
	}
}

// TestKillAll: kill -9 of all three at once loses nothing that was
// acknowledged, and they come back without a person.
func TestKillAll(t *testing.T) {
	t.Parallel()
	c := workers(t)
	next := 0
	turns(t, c, "k", 10, &next)
	if _, err := c.Client().RegisterPool(within(t, back), registry.Spec{Name: "kept", NodeType: registry.Worker}, client.RegisterOptions{}); err != nil {
		t.Fatal(err)
	}
	for _, r := range c.Replicas {
		if err := r.Kill9(); err != nil {
			t.Fatal(err)
		}
	}
	for _, r := range c.Replicas {
		r.Kill() // waits
		r.Start()
	}
	c.AwaitReady(procs.Ready)
	c.AwaitNode(procs.Ready, registry.Alive, "worker-1", "worker-2", "worker-3")
	turns(t, c, "k", 10, &next)
	if _, err := c.Client().Pool("kept").Info(within(t, back), false); err != nil {
		t.Errorf("a pool that was acknowledged before the kill: %v", err)
	}
}

// TestStoppedLeader: a leader under SIGSTOP is replaced; when it goes on, it
// follows, and at no time does it give an answer that was overtaken.
func TestStoppedLeader(t *testing.T) {
	t.Parallel()
	c := workers(t)
	next := 0
	turns(t, c, "k", 6, &next)
	leader := c.Leader(back)
	leader.Signal(syscall.SIGSTOP)
	defer leader.Signal(syscall.SIGCONT)
	var others []*procs.Replica
	for _, r := range c.Replicas {
		if r.Name != leader.Name {
			others = append(others, r)
		}
	}
	spec := registry.Spec{Name: "while-stopped", NodeType: registry.Worker}
	await(t, back, func(ctx context.Context) (client.PoolChange, error) {
		return others[0].Client.RegisterPool(ctx, spec, client.RegisterOptions{})
	})
	leader.Signal(syscall.SIGCONT)
	if _, err := leader.Client.Pool("while-stopped").Info(within(t, 10*time.Second), false); err != nil {
		t.Errorf("the stopped leader's first linearizable answer: %v", err)
	}
	turns(t, c, "k", 12, &next)
}

// TestMoved: replicas that were stopped come back on other addresses, one by
// itself and all at once.
func TestMoved(t *testing.T) {
	t.Parallel()
	c := workers(t)
	next := 0
	one := c.Replicas[1]
	if code := one.Stop(back); code != 0 {
		t.Errorf("SIGTERM ended %s with %d", one.Name, code)
	}
	c.Move(one)
	one.Start()
	c.AwaitReady(procs.Ready)
	turns(t, c, "k", 9, &next)

	for _, r := range c.Replicas {
		r.Stop(back)
	}
	c.Move(c.Replicas...)
	for _, r := range c.Replicas {
		r.Start()
	}
	c.AwaitReady(procs.Ready)
	turns(t, c, "k", 9, &next)
	// The nodes do not know where to; the replicas call them, and when the
	// leader's warm-up is over, all are alive still.
	quietFor(t, c, 8*time.Second, time.Minute)
	c.AwaitNode(time.Second, registry.Alive, "worker-1", "worker-2", "worker-3")
	turns(t, c, "k", 9, &next)
}

// TestWipedReplicaRefuses: a replica that lost its directory lost its vote; it
// says so, and ends.
func TestWipedReplicaRefuses(t *testing.T) {
	t.Parallel()
	c := procs.Start(t, 3)
	victim := c.Replicas[2]
	victim.Stop(back)
	if err := os.RemoveAll(victim.DataDir); err != nil {
		t.Fatal(err)
	}
	victim.Start()
	if code := victim.Exit(back); code != 1 {
		t.Errorf("exit code %d, want 1", code)
	}
	if log := victim.Log(); !strings.Contains(log, "wiped or swapped") {
		t.Errorf("it does not say why:\n%s", log)
	}
	if _, err := c.Client().Pool("worker").Info(within(t, back), false); err != nil {
		t.Errorf("the others: %v", err)
	}
}

// TestWipedReplicaRefusesForEver: a replica that lost its directory, and is
// started as a cluster of one, is found out when the real leader reaches it;
// started again as it should be, it is refused at once and does not vote.
func TestWipedReplicaRefusesForEver(t *testing.T) {
	t.Parallel()
	c := procs.Start(t, 3)
	victim := c.Replicas[2]
	victim.Stop(back)
	if err := os.RemoveAll(victim.DataDir); err != nil {
		t.Fatal(err)
	}
	right := victim.Args
	i := slices.Index(right, "--replicas")
	victim.Args = slices.Delete(slices.Clone(right), i, i+2)
	victim.Start()
	if code := victim.Exit(procs.Ready); code != 1 {
		t.Errorf("alone: exit code %d, want 1", code)
	}
	victim.Args = right
	victim.Start()
	if code := victim.Exit(back); code != 1 || !strings.Contains(victim.Log(), "was refused before") {
		t.Errorf("with the list: exit code %d, want 1 and the reason in the log:\n%s", code, victim.Log())
	}
}

// TestCutOffStoreIsAnError: a store that was cut off is a clear error, with
// the file's name, and no crash.
func TestCutOffStoreIsAnError(t *testing.T) {
	t.Parallel()
	c := procs.Start(t, 1)
	r := c.Replicas[0]
	for i := range 100 { // so that every part of the file is in use
		spec := registry.Spec{Name: registry.PoolName(fmt.Sprintf("pool-%d", i)), NodeType: registry.Worker}
		if _, err := r.Client.RegisterPool(within(t, back), spec, client.RegisterOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	r.Stop(back)
	file := r.DataDir + "/raft.db"
	for _, size := range []int64{20_000, 16_384, 8_192} {
		if err := os.Truncate(file, size); err != nil {
			t.Fatal(err)
		}
		r.Start()
		if code := r.Exit(back); code != 1 || !strings.Contains(r.Log(), file) || strings.Contains(r.Log(), "goroutine ") {
			t.Errorf("cut off at %d: exit code %d, want 1 and the file's name:\n%s", size, code, r.Log())
		}
	}
}

// TestStrangerWaits: a replica that the cluster does not have waits, not ready,
// says for what, and changes nothing.
func TestStrangerWaits(t *testing.T) {
	t.Parallel()
	c := procs.Start(t, 3)
	addrs := procs.FreeAddrs(t, 3)
	stranger := procs.NewProcess(t, c.Dir(), "r4", "server", "--name", "r4", "--data-dir", c.Dir()+"/r4",
		"--api", addrs[0], "--raft", addrs[1], "--gossip", addrs[2], "--replicas", strings.Join(append(c.APIs(), addrs[0]), ","))
	stranger.Start()
	procs.Eventually(t, back, func() error {
		status, body, err := procs.Get("http://" + addrs[0] + "/readyz")
		if err != nil || status != 503 || !strings.Contains(body, "to be added") {
			return fmt.Errorf("readyz: %d %q %w", status, body, err)
		}
		return nil
	})
	procs.Eventually(t, back, func() error {
		if !strings.Contains(stranger.Log(), "to be added") {
			return fmt.Errorf("its log does not say that it waits: %s", stranger.Log())
		}
		return nil
	})
	s, err := c.Client().Status(within(t, back))
	if err != nil || len(s.Replicas) != 3 {
		t.Errorf("the cluster has %d replicas, want 3: %v", len(s.Replicas), err)
	}
	if code := stranger.Stop(back); code != 0 {
		t.Errorf("SIGTERM while waiting ended it with %d", code)
	}
}

// TestIdle: a cluster in which nothing happens writes no log entry and says
// nothing at Info. To a busy machine something happens at times: an election, or a
// warning. Then it is looked at again, three times at most.
func TestIdle(t *testing.T) {
	t.Parallel()
	c := workers(t)
	term := func() registry.Term {
		return await(t, time.Minute, func(ctx context.Context) (client.Status, error) { return c.Client().Status(ctx) }).Term
	}
	for try := 1; ; try++ {
		// The leader's warm-up ends; whatever it had to say, it has said.
		quietFor(t, c, 5*time.Second, time.Minute)
		elected, logs, before := term(), logsOf(c), appliedEverywhere(t, c)
		window := time.After(12 * time.Second) // longer than the reconciler's period
		<-window
		var news []string
		if after := appliedEverywhere(t, c); after != before {
			news = append(news, fmt.Sprintf("applied index went from %d to %d", before, after))
		}
		for name, now := range logsOf(c) {
			if said := now[len(logs[name]):]; said != "" {
				news = append(news, name+" said "+said)
			}
		}
		if len(news) == 0 {
			return
		}
		text := strings.Join(news, "\n")
		if busy := term() != elected || strings.Contains(text, "[WARN]"); !busy || try == 3 {
			t.Fatalf("while nothing happened: %s", text)
		}
		t.Logf("looked at again: %s", text)
	}
}

// quietFor waits until no log and no index has changed for a while.
func quietFor(t *testing.T, c *procs.Cluster, quiet, most time.Duration) {
	t.Helper()
	last, since := "", time.Now()
	procs.Eventually(t, most, func() error {
		now := fmt.Sprint(logsOf(c), appliedEverywhere(t, c))
		if now != last {
			last, since = now, time.Now()
		}
		if time.Since(since) < quiet {
			return fmt.Errorf("something was said or written %s ago", time.Since(since))
		}
		return nil
	})
}

func logsOf(c *procs.Cluster) map[string]string {
	out := map[string]string{}
	for _, r := range c.Replicas {
		out[r.Name] = r.Log()
	}
	for name, a := range c.Agents {
		out[name] = a.Log()
	}
	return out
}

// appliedEverywhere waits until all replicas have applied the same index.
func appliedEverywhere(t *testing.T, c *procs.Cluster) registry.Index {
	t.Helper()
	var index registry.Index
	procs.Eventually(t, back, func() error {
		index = 0
		for _, r := range c.Replicas {
			p, err := r.Client.Pools(within(t, 2*time.Second), client.Local())
			if err != nil {
				return err
			}
			if index != 0 && p.Index != index {
				return fmt.Errorf("%s has applied %d, others %d", r.Name, p.Index, index)
			}
			index = p.Index
		}
		return nil
	})
	return index
}

func stringKey(format string, args ...any) hrw.Key { return hrw.String(fmt.Sprintf(format, args...)) }
