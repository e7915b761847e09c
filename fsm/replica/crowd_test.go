package replica_test

import (
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/rota-registry/rota/fsm/replica"
	"github.com/rota-registry/rota/registry"
)

// load is turns of one cursor, asked for at some replicas without a pause.
type load struct {
	c    *cluster
	stop chan struct{}
	done sync.WaitGroup

	mu      sync.Mutex
	answers map[registry.Index][]given
	count   int
}

// calm lets no leader lose its place because the machine is busy.
func calm(o *replica.Options) {
	o.Timings = replica.Timings{Heartbeat: 5 * time.Second, Election: 5 * time.Second, Lease: 5 * time.Second}
}

func (c *cluster) load(rs []*running, callers int) *load {
	l := &load{c: c, stop: make(chan struct{}), answers: map[registry.Index][]given{}}
	for i := range callers {
		l.done.Go(func() {
			for {
				select {
				case <-l.stop:
					return
				default:
					l.take(rs[i%len(rs)].turn(20*time.Second, registry.Turn{Pool: "worker", Key: "k", Count: 1}))
				}
			}
		})
	}
	return l
}

func (l *load) take(g given) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if g.err != nil {
		l.c.t.Errorf("a turn failed: %v", g.err)
		return
	}
	l.count++
	l.answers[g.at.Index] = append(l.answers[g.at.Index], g)
}

func (l *load) taken() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.count
}

// end stops it, and gives who is next behind all that was answered, which is one
// rotation.
func (l *load) end(names []registry.NodeName) (next int) {
	l.c.t.Helper()
	close(l.stop)
	l.done.Wait()
	return l.c.oneRotation(l.answers, names)
}

// TestASnapshotComesUnderLoad: a follower that has nothing of the log any more is
// sent the state while turns are taken; in the middle of that it stands still for a
// while, as a stopped process does. Nobody else waits for it, not one turn is lost
// or taken twice, and in the end it has them all.
func TestASnapshotComesUnderLoad(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	c.tune = calm
	c.raft = newLinks(t)
	rs := c.startAll(3)
	list := []string{rs[0].api, rs[1].api, rs[2].api}
	leader, others := c.leader()
	late := others[0]
	c.kill(late)
	names := c.workers(3)
	conf := leader.Raft().ReloadableConfig()
	conf.TrailingLogs = 1
	if err := leader.Raft().ReloadConfig(conf); err != nil {
		t.Fatal(err)
	}
	for i := range 60 {
		c.put(leader, registry.PoolName(fmt.Sprintf("pool-%d", i)))
	}
	work := c.load([]*running{leader, others[1]}, 8)
	c.eventually(20*time.Second, func() error { return atLeast(work.taken(), 200) })
	if err := leader.Raft().Snapshot().Error(); err != nil {
		t.Fatal(err)
	}
	thaw := c.raft.freezeIn(leader.api, late.api, 2000) // only a snapshot is sent in pieces so long
	late = c.start(late.name, late.api, list)
	c.raft.awaitFrozen(c)
	c.eventually(20*time.Second, func() error {
		if begun, err := filepath.Glob(filepath.Join(late.dir, "snapshots", "*.tmp", "*")); err != nil || len(begun) == 0 || late.Raft() == nil {
			return fmt.Errorf("it does not stand still in the middle of a snapshot: %v, %w", begun, err)
		}
		return nil
	})
	if stats := late.Raft().Stats(); stats["last_snapshot_index"] != "0" {
		t.Error("the snapshot is there already: it did not stand still in the middle")
	}
	stands := work.taken()
	c.eventually(20*time.Second, func() error { return atLeast(work.taken(), stands+200) })
	thaw()
	c.ready(late)
	if stats := late.Raft().Stats(); stats["last_snapshot_index"] == "0" {
		t.Error("no snapshot came: this shows nothing")
	}
	c.eventually(20*time.Second, func() error { return atLeast(work.taken(), stands+400) })
	next := work.end(names)
	for _, r := range []*running{leader, others[1], late} {
		if at := c.cursors(r)["k"]; at != next {
			t.Errorf("%s: the cursor stands at %d, want %d", r.name, at, next)
		}
	}
}

func atLeast(is, want int) error {
	if is < want {
		return fmt.Errorf("%d turns, want %d", is, want)
	}
	return nil
}

// TestAHotCursorAmongColdPools: one cursor is asked without a pause, and many other
// pools once each, at all replicas. The hot one is one rotation, and each of the
// others has its own first turn; for a thousand of them, see package combine.
func TestAHotCursorAmongColdPools(t *testing.T) {
	t.Parallel()
	const cold = 100
	c := newCluster(t)
	c.tune = calm
	rs := c.startAll(3)
	names := c.workers(3)
	pool := func(i int) registry.PoolName { return registry.PoolName(fmt.Sprintf("cold-%d", i)) }
	for i := range cold {
		c.put(rs[i%3], pool(i))
	}
	hot := c.load(rs, 24)
	var wg sync.WaitGroup
	for i := range cold {
		wg.Go(func() {
			g := rs[i%3].turn(20*time.Second, registry.Turn{Pool: pool(i), Key: "k", Count: 1})
			if g.err != nil || len(g.Answers) != 1 || g.Answers[0].Node != names[0] {
				t.Errorf("the first turn of %s: %+v, %v; want %s's", pool(i), g.Answers, g.err, names[0])
			}
		})
	}
	wg.Wait()
	hot.end(names)
}
