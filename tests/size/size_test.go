package size_test

import (
	"context"
	"flag"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/rota-registry/rota/gossip"
	"github.com/rota-registry/rota/registry"
	"github.com/rota-registry/rota/registry/hrw"
	"github.com/rota-registry/rota/rpc/client"
	"github.com/rota-registry/rota/tests/procs"
)

const (
	registered = registry.NodesMax
	callers    = 16              // who register at once
	joiners    = 8               // who join at once
	comeIn     = 4 * time.Minute // for all to be registered, or to see each other
	lookEvery  = 250 * time.Millisecond
	rest       = 20 * time.Second // over which the costs at rest are measured
	late       = 10 * time.Second // of a machine that runs 300 members and three replicas on few cores
	profile    = gossip.LAN

	membersMemory = 4 << 30 // of all members together, before it is collected
)

// members is for a machine that cannot run so many.
var members = flag.Int("members", 300, "how many of the nodes gossip")

// TestAFullCluster: all are registered, all who gossip see each other and are
// alive at every replica, nobody who lives is taken for dead, and the one that
// dies is found in the time that gossip's profile promises.
func TestAFullCluster(t *testing.T) {
	c := procs.New(t, 3)
	for _, r := range c.Replicas {
		r.Args[len(r.Args)-1] = string(profile)
		r.Start()
	}
	c.AwaitReady(procs.Ready)
	f := &full{t: t, c: c, client: c.Client(), gossiping: *members}
	f.report("registered %d nodes in %s", registered-f.gossiping, f.timed(f.register))
	f.report("%d members joined in %s, and %d times asked again", f.gossiping, f.timed(f.join), f.again.Load())
	f.report("then every member and replica saw all of them in %s", f.timed(f.awaitView))
	f.report("at rest: %s", f.costs())
	f.allAlive(f.gossiping, "after a rest")
	seen, gone := f.kill()
	f.report("a killed one was failed at every replica after %s, and gone from every view after %s", seen, gone)
	f.allAlive(f.gossiping-1, "after a death")
	f.report("hrw of the full pool: %s a call, of one caller", f.hrw())
}

// full is the cluster under test.
type full struct {
	t         *testing.T
	c         *procs.Cluster
	client    *client.Client
	members   []*gossip.Gossip
	gossiping int
	again     atomic.Int32 // joins that were asked for again
}

func (f *full) report(format string, args ...any) { f.t.Logf(format, args...) }

func (f *full) timed(do func()) time.Duration {
	began := time.Now()
	do()
	return time.Since(began).Round(10 * time.Millisecond)
}

// eventually waits for check, and looks seldom: looking at 300 views of 300 takes
// the members' own processor time.
func (f *full) eventually(within time.Duration, check func() error) {
	f.t.Helper()
	var next time.Time
	var last error
	procs.Eventually(f.t, within, func() error {
		if time.Now().Before(next) {
			return last
		}
		last = check()
		next = time.Now().Add(lookEvery)
		return last
	})
}

// each calls do for n numbers, by some callers at once.
func (f *full) each(n int, do func(ctx context.Context, i int) error) {
	f.t.Helper()
	ctx, cancel := context.WithTimeout(f.t.Context(), comeIn)
	defer cancel()
	var all sync.WaitGroup
	for from := range callers {
		all.Go(func() {
			for i := from; i < n; i += callers {
				if err := do(ctx, i); err != nil {
					f.t.Errorf("number %d: %v", i, err)
					return
				}
			}
		})
	}
	all.Wait()
	if f.t.Failed() {
		f.t.FailNow()
	}
}

func name(i int) registry.NodeName { return registry.NodeName(fmt.Sprintf("n-%04d", i)) }

func boot(i int) registry.BootID { return registry.BootID(fmt.Sprintf("%016x", i+1)) }

// register adds the nodes that are only registered.
func (f *full) register() {
	f.each(registered-f.gossiping, func(ctx context.Context, i int) error {
		_, err := f.client.AddNode(ctx, name(f.gossiping+i), registry.Worker, "")
		return err
	})
}

// join has the others join and gossip, some at once, when those before them are
// seen. Each on a host of its own could come at any time; all of them on a machine
// that is too small for it take each other for dead, say so to all others, and are
// so busy with it that it never ends.
func (f *full) join() {
	debug.SetGCPercent(-1) // each would collect for itself, and seldom
	debug.SetMemoryLimit(membersMemory)
	f.members = make([]*gossip.Gossip, f.gossiping)
	f.t.Cleanup(f.closeAll)
	addrs := procs.FreeAddrs(f.t, f.gossiping)
	for from := 0; from < f.gossiping; from += joiners {
		upTo := min(from+joiners, f.gossiping)
		f.each(upTo-from, func(ctx context.Context, i int) error { return f.joinOne(ctx, from+i, addrs[from+i]) })
		f.eventually(comeIn, func() error { return f.mostlySeen(upTo) })
	}
}

// joinOne asks again as an agent does: a life joins once, however often it asks.
func (f *full) joinOne(ctx context.Context, i int, addr string) error {
	life := client.Life{Name: name(i), Type: registry.Worker, Address: addr, Boot: boot(i)}
	in, err := f.client.Join(ctx, life)
	for err != nil && ctx.Err() == nil {
		f.again.Add(1)
		select {
		case <-ctx.Done():
		case <-time.After(300 * time.Millisecond):
		}
		in, err = f.client.Join(ctx, life)
	}
	if err != nil {
		return err
	}
	f.members[i], err = gossip.Start(gossip.Config{
		Name: string(life.Name), Boot: string(life.Boot), Label: string(in.ClusterID), Role: gossip.Node,
		Bind: addr, Profile: profile, Seeds: func() []string { return in.Seeds },
	})
	return err
}

func (f *full) closeAll() {
	var all sync.WaitGroup
	for _, g := range f.members {
		if g != nil {
			all.Go(func() { _ = g.Close() })
		}
	}
	all.Wait()
}

// awaitView waits until every view has all members, and every replica shows them
// as alive. Members whose process gets too little of the machine take each other
// for dead: so it says how much that was.
func (f *full) awaitView() {
	f.t.Helper()
	began, own := time.Now(), f.processor(os.Getpid())
	defer func() {
		f.report("meanwhile the members had %.0f %% of a core", 100*(f.processor(os.Getpid())-own).Seconds()/time.Since(began).Seconds())
	}()
	f.eventually(comeIn, func() error { return f.views(f.gossiping) })
	f.eventually(comeIn, func() error { return f.alive(f.gossiping) })
}

// views looks whether the first members see each other, and nobody else.
func (f *full) views(want int) error {
	for i, g := range f.members[:want] {
		if n := len(g.Members()); n != want+len(f.c.Replicas) {
			return fmt.Errorf("%s sees %d members, want %d", name(i), n, want+len(f.c.Replicas))
		}
	}
	return nil
}

// mostlySeen looks whether of a hundred sights of the first members by each other
// one is missing at most: a few miss the news, and hear it when they next compare
// all that they know.
func (f *full) mostlySeen(upTo int) error {
	seen, all := 0, upTo*(upTo+len(f.c.Replicas))
	for _, g := range f.members[:upTo] {
		seen += min(len(g.Members()), all/upTo)
	}
	if 100*seen < 99*all {
		return fmt.Errorf("of %d members all others see %d of %d", upTo, seen, all)
	}
	return nil
}

// alive looks whether every replica has so many nodes alive.
func (f *full) alive(want int) error {
	for _, r := range f.c.Replicas {
		ctx, cancel := context.WithTimeout(f.t.Context(), 10*time.Second)
		p, err := r.Client.Pool("worker").Info(ctx, false, client.Local())
		cancel()
		if err != nil {
			return err
		}
		if p.AliveCount != want || len(p.Members) != registered {
			return fmt.Errorf("%s shows %d of %d members alive, want %d of %d", r.Name, p.AliveCount, len(p.Members), want, registered)
		}
	}
	return nil
}

func (f *full) allAlive(want int, when string) {
	f.t.Helper()
	if err := f.alive(want); err != nil {
		f.t.Errorf("%s %v", when, err)
	}
}

// kill ends the last member without a goodbye, and gives how long it took until
// every replica had it failed, and until no view had it any more.
func (f *full) kill() (failed, gone time.Duration) {
	f.t.Helper()
	last, began := f.gossiping-1, time.Now()
	_ = f.members[last].Close()
	f.eventually(profile.Suspicion(f.gossiping)+late, func() error { return f.alive(last) })
	failed = time.Since(began).Round(10 * time.Millisecond)
	f.eventually(profile.Suspicion(f.gossiping)+late, func() error { return f.views(last) })
	return failed, time.Since(began).Round(10 * time.Millisecond)
}

// hrw is what a key of the full pool takes, one after the other.
func (f *full) hrw() time.Duration {
	f.t.Helper()
	const calls = 200
	pool := f.client.Pool("worker")
	took := f.timed(func() {
		for i := range calls {
			if a, err := pool.HRW(f.t.Context(), hrw.String(fmt.Sprint(i)), client.Local()); err != nil || a.Node == "" {
				f.t.Fatalf("key %d: %+v, %v", i, a, err)
			}
		}
	})
	return took / calls
}

// costs is what replicas and members take when nothing happens.
func (f *full) costs() string {
	before := make([]time.Duration, len(f.c.Replicas))
	for i, r := range f.c.Replicas {
		before[i] = f.processor(r.Pid())
	}
	own := f.processor(os.Getpid())
	<-time.After(rest)
	var b strings.Builder
	for i, r := range f.c.Replicas {
		fmt.Fprintf(&b, "%s %.1f %% of a core and %d MB, ", r.Name, 100*(f.processor(r.Pid())-before[i]).Seconds()/rest.Seconds(), f.resident(r.Pid())>>20)
	}
	fmt.Fprintf(&b, "each of %d members %.2f %% of a core and %d KB", f.gossiping,
		100*(f.processor(os.Getpid())-own).Seconds()/rest.Seconds()/float64(f.gossiping), f.resident(os.Getpid())>>10/f.gossiping)
	return b.String()
}

// processor is the time that a process has had of one.
func (f *full) processor(pid int) time.Duration {
	f.t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		f.t.Fatalf("%v: %s has no such numbers", err, runtime.GOOS)
	}
	_, behind, _ := strings.Cut(string(text), ") ")
	fields := strings.Fields(behind)
	user, _ := strconv.Atoi(fields[11])
	system, _ := strconv.Atoi(fields[12])
	return time.Duration(user+system) * (time.Second / 100) // Linux counts in hundredths
}

func (f *full) resident(pid int) int {
	f.t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		f.t.Fatal(err)
	}
	pages, _ := strconv.Atoi(strings.Fields(string(text))[1])
	return pages * syscall.Getpagesize()
}
