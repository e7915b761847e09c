package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rota-registry/rota/registry"
	"github.com/rota-registry/rota/rpc/client"
	"github.com/rota-registry/rota/tests/procs"
)

const (
	rotationQueries = 2_000
	mixedQueries    = 8_000
	mixedCallers    = 4
	mixedKeys       = 16
)

// TestAnyReplicaOneAnswer puts 10,000 queries to three replicas while workers
// come and go: at equal index all give equal answers, what a caller sees never
// goes back, and a rotation asked of the replicas in turn neither repeats nor
// skips.
func TestAnyReplicaOneAnswer(t *testing.T) {
	t.Parallel()
	c := workers(t)
	for _, name := range []string{"proxy-1", "proxy-2", "proxy-3"} {
		c.Agent(name, registry.Proxy)
	}
	c.AwaitNode(procs.Ready, registry.Alive, "proxy-1", "proxy-2", "proxy-3")
	w := &witness{answers: map[string]map[string][]registry.ReplicaName{}}
	var asking, churning sync.WaitGroup
	stop := make(chan struct{})
	churning.Go(func() { churn(t, c, stop) })
	asking.Go(func() { rotation(t, c) })
	for caller := range mixedCallers {
		asking.Go(func() { w.ask(t, c, caller) })
	}
	asking.Wait()
	close(stop)
	churning.Wait()
	w.judge(t)
}

// churn drains, undrains, kills and restarts workers until it is stopped.
func churn(t *testing.T, c *procs.Cluster, stop <-chan struct{}) {
	for i := 0; ; i++ {
		select {
		case <-stop:
			return
		default:
		}
		name := registry.NodeName(fmt.Sprintf("worker-%d", i%3+1))
		cl := c.Replicas[i%3].Client
		ctx, cancel := context.WithTimeout(context.Background(), back)
		if _, err := cl.DrainNode(ctx, name, "churn"); err != nil && !errors.Is(err, registry.ErrOutcomeUnknown) {
			t.Errorf("drain: %v", err)
		}
		if i%20 == 0 {
			agent := c.Agents[string(name)]
			agent.Kill()
			agent.Start()
		}
		if _, err := cl.UndrainNode(ctx, name); err != nil && !errors.Is(err, registry.ErrOutcomeUnknown) {
			t.Errorf("undrain: %v", err)
		}
		cancel()
	}
}

// rotation asks the replicas in turn for the proxies, which all stay. An answer
// whose outcome is unknown (a leader was lost on the way) may have taken its
// turn or not; the next one shows which, and is bound by it.
func rotation(t *testing.T, c *procs.Cluster) {
	last, next, unknown := registry.Index(0), 0, 0
	for i := range rotationQueries {
		r := c.Replicas[i%len(c.Replicas)]
		ctx, cancel := context.WithTimeout(context.Background(), back)
		a, err := r.Client.Pool("proxy").RR(ctx, "rotation")
		cancel()
		if errors.Is(err, registry.ErrOutcomeUnknown) {
			unknown++
			continue
		}
		if err != nil {
			t.Errorf("rr %d at %s: %v", i, r.Name, err)
			return
		}
		skipped := (slices.Index(proxies(), a.Node) - next%3 + 3) % 3
		if skipped > unknown {
			t.Errorf("rr %d at %s: %s, want %s, with %d outcomes unknown before it", i, r.Name, a.Node, proxies()[next%3], unknown)
			return
		}
		next, unknown = next+skipped+1, 0
		if a.Index <= last {
			t.Errorf("rr %d at %s: index %d after %d", i, r.Name, a.Index, last)
		}
		last = a.Index
	}
}

func proxies() []registry.NodeName { return []registry.NodeName{"proxy-1", "proxy-2", "proxy-3"} }

// witness remembers who gave which answer to which question at which index.
type witness struct {
	mu      sync.Mutex
	answers map[string]map[string][]registry.ReplicaName // question at index → answer → by whom
	n       atomic.Int64
}

func (w *witness) ask(t *testing.T, c *procs.Cluster, caller int) {
	last := registry.Index(0)
	for i := range mixedQueries / mixedCallers {
		r := c.Replicas[(i+caller)%len(c.Replicas)]
		ctx, cancel := context.WithTimeout(context.Background(), back)
		question, answer, served, err := query(ctx, r.Client, i)
		cancel()
		if err != nil {
			t.Errorf("%s at %s: %v", question, r.Name, err)
			return
		}
		if served.Index < last {
			t.Errorf("%s at %s: index %d after %d", question, r.Name, served.Index, last)
		}
		last = served.Index
		w.note(fmt.Sprintf("%s at %d", question, served.Index), answer, served.ServedBy)
	}
}

// query asks one of several kinds of question.
func query(ctx context.Context, c *client.Client, i int) (question, answer string, served client.Served, err error) {
	key := i / 8 % mixedKeys
	switch i % 4 {
	case 0, 1:
		a, err := c.Pool("worker").HRW(ctx, stringKey("k%d", key))
		return fmt.Sprintf("hrw k%d", key), fmt.Sprint(a.Node, a.EmptyReason, a.Epoch), a.Served, err
	case 2:
		a, err := c.Pool("worker").Rank(ctx, stringKey("k%d", key), 3)
		return fmt.Sprintf("rank k%d", key), fmt.Sprint(a.Entries, a.Epoch), a.Served, err
	default:
		p, err := c.Pool("worker").Info(ctx, false)
		return "pool", fmt.Sprint(p.Members, p.Epoch, p.AliveCount, p.EligibleCount), p.Served, err
	}
}

func (w *witness) note(question, answer string, by registry.ReplicaName) {
	w.n.Add(1)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.answers[question] == nil {
		w.answers[question] = map[string][]registry.ReplicaName{}
	}
	w.answers[question][answer] = append(w.answers[question][answer], by)
}

func (w *witness) judge(t *testing.T) {
	if n := w.n.Load(); n != mixedQueries {
		t.Errorf("%d queries were answered, want %d", n, mixedQueries)
	}
	shared, indexes := 0, map[string]bool{}
	for question, answers := range w.answers {
		if len(answers) > 1 {
			t.Errorf("%s has %d answers: %v", question, len(answers), answers)
		}
		for _, by := range answers {
			for _, r := range by[1:] {
				if r != by[0] {
					shared++
					break
				}
			}
		}
		indexes[question] = true
	}
	// Without questions that several replicas answered at one index, and
	// without many indexes, the run would show nothing.
	if shared < 20 || len(indexes) < 200 {
		t.Errorf("only %d questions were answered by several replicas at one index, over %d questions", shared, len(indexes))
	}
	t.Logf("%d questions at an index, %d of them answered by several replicas", len(indexes), shared)
}

// TestReadsAgreeAtRest: with nothing changing, a local read at an index that
// the caller has seen is the same everywhere.
func TestReadsAgreeAtRest(t *testing.T) {
	t.Parallel()
	c := workers(t)
	at := appliedEverywhere(t, c)
	for i := range 50 {
		var want registry.NodeName
		for j, r := range c.Replicas {
			a, err := r.Client.Pool("worker").HRW(within(t, 5*time.Second), stringKey("k%d", i), client.AtLeast(at))
			if err != nil {
				t.Fatal(err)
			}
			if j == 0 {
				want = a.Node
			} else if a.Node != want {
				t.Errorf("k%d: %s at %s, %s before", i, a.Node, r.Name, want)
			}
		}
	}
}
