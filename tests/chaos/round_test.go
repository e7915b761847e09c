package chaos_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rota-registry/rota/registry"
	"github.com/rota-registry/rota/registry/hrw"
	"github.com/rota-registry/rota/tests/check"
	"github.com/rota-registry/rota/tests/procs"
)

const (
	// recoverMax is how long after a fault has healed every replica must read and
	// write again, one whose process has to start first, too.
	recoverMax = 5 * time.Second
	// recoverLook is how often that is looked at.
	recoverLook = 50 * time.Millisecond
	// endedMax is how long after a fault a process may still end of it.
	endedMax = 2 * time.Second
	// wholeMax is how long gossip may take to be whole again.
	wholeMax = 60 * time.Second

	workersOfRound = 4
	// longEnough is how long a round must be for faults that take a minute.
	longEnough = 4 * time.Minute
)

// round is one cluster's life.
type round struct {
	t     testing.TB
	seed  uint64
	rand  *rand.Rand
	dir   string
	born  time.Time // of its cluster
	c     *cluster
	load  *load
	base  []check.Usage
	twins *place         // where second processes of a node run
	heard map[string]int // bytes of each process's log that were looked at
	wg    sync.WaitGroup

	possible []fault // those that it draws from
	windows  []*window
	now      *window // of the fault that is injected
	report   check.Report
	// installed is how many snapshots replicas got from others under load.
	installed int

	mu struct {
		sync.Mutex
		timeline   strings.Builder
		violations []check.Violation
	}
}

// window is one fault, from its beginning to the recovery.
type window struct {
	fault             fault
	from, healed, end time.Duration
	// vain says why the fault took no effect, and is empty if it did.
	vain   string
	loses  bool             // it makes places lose packets
	proofs []func() error   // nil before it heals, or the fault was vain
	then   func()           // looks once more, after the recovery
	hidden []string         // nodes that may be taken for dead of it
	mortal []*procs.Process // those that it may end
}

// newRound starts a cluster and its load.
func newRound(t testing.TB, g ground, dir string, seed uint64, replicas int) *round {
	t.Helper()
	r := &round{t: t, seed: seed, rand: rand.New(rand.NewPCG(seed, 0)), dir: dir, born: time.Now(), now: &window{}, heard: map[string]int{}}
	r.c = newCluster(t, g, dir, replicas, workersOfRound)
	r.twins = g.place("twin")
	for _, one := range r.c.replicas {
		base, err := usage(one)
		if err != nil {
			t.Fatal(err)
		}
		r.base = append(r.base, base)
	}
	r.load = startLoad(t.Context(), r.c, seed)
	return r
}

// say notes an event in the timeline.
func (r *round) say(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var at time.Duration
	if r.load != nil {
		at = r.load.now()
	}
	fmt.Fprintf(&r.mu.timeline, "%8.3f  %s\n", at.Seconds(), fmt.Sprintf(format, args...))
}

// violate notes what must not be.
func (r *round) violate(check_, format string, args ...any) {
	v := check.Violation{Check: check_, Text: fmt.Sprintf(format, args...)}
	r.say("VIOLATION %s", v)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.mu.violations = append(r.mu.violations, v)
}

// wait lets the load go on.
func (r *round) wait(d time.Duration) { rest(r.t.Context(), d) }

// leader waits for one, and gives a replica that runs if there is none in time.
func (r *round) leader() *replica {
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); r.wait(50 * time.Millisecond) {
		if l := r.c.leader(); l != nil {
			return l
		}
	}
	r.violate("leader", "nobody leads a healthy cluster for 10 s")
	return r.c.replicas[0]
}

// follower is any replica but the leader.
func (r *round) follower() *replica {
	all := r.others(r.leader())
	return all[r.rand.IntN(len(all))]
}

// either is the leader, or one time in three a follower.
func (r *round) either() *replica {
	if r.rand.IntN(3) == 0 {
		return r.follower()
	}
	return r.leader()
}

func (r *round) others(than *replica) (list []*replica) {
	for _, one := range r.c.replicas {
		if one != than {
			list = append(list, one)
		}
	}
	return list
}

// run injects faults, one after another, for that long. The first is the first of
// the list, so that even a short run sees a change of leader. A fault that took no
// effect is tried again, twice at most. Shown are the names of those that took effect
// in the run so far; it adds to them.
func (r *round) run(d time.Duration, from []fault, shown map[string]bool) {
	r.possible = r.able(from, d >= longEnough)
	r.wait(time.Second)
	f := from[0]
	again := 0
	for end := time.Now().Add(d); ; {
		r.one(f)
		if r.now.vain == "" {
			shown[f.name] = true
		}
		if time.Now().After(end) || !rest(r.t.Context(), time.Second+time.Duration(r.rand.Int64N(int64(time.Second)))) {
			return
		}
		if r.now.vain == "" || again == 2 {
			f, again = draw(r.rand, r.possible, shown), 0
		} else {
			again++
		}
	}
}

// able are the faults that can be on this ground, in a round of this cluster.
func (r *round) able(from []fault, long bool) (list []fault) {
	for _, f := range from {
		if f.isolated && !r.c.ground.isolated() || f.ownDisk && !r.c.replicas[0].ownDisk || f.long && !long || f.numbers == "F11" && len(r.c.replicas) < 5 {
			continue
		}
		list = append(list, f)
	}
	return list
}

// draw takes a fault by weight; every other time one of those that have not taken
// effect yet, as long as there are any, so that a long run shows them all.
func draw(random *rand.Rand, possible []fault, shown map[string]bool) fault {
	fresh := slices.DeleteFunc(slices.Clone(possible), func(f fault) bool { return shown[f.name] })
	if random.IntN(2) == 0 && len(fresh) > 0 {
		possible = fresh
	}
	total := 0
	for _, f := range possible {
		total += f.weight
	}
	at := random.IntN(total)
	for _, f := range possible {
		if at -= f.weight; at < 0 {
			return f
		}
	}
	return possible[0]
}

// one injects one fault, takes it back, and waits for the recovery.
func (r *round) one(f fault) {
	w := &window{fault: f, from: r.load.now()}
	r.now = w
	r.crashes()
	r.say("fault: %s (%s)", f.name, f.numbers)
	heal := f.inject(r)
	if f.most > f.least {
		r.wait(f.least + time.Duration(r.rand.Int64N(int64(f.most-f.least))))
	}
	r.proven()
	if heal != nil {
		heal()
	}
	r.c.ground.heal()
	r.crashes()
	r.c.revive()
	w.healed = r.load.now()
	r.say("healed: %s", f.name)
	r.recovered(f.name)
	w.end = r.load.now()
	if w.then != nil {
		w.then()
	}
	r.windows = append(r.windows, w)
}

// recovered waits until every replica reads and writes, which it must in time.
func (r *round) recovered(from string) {
	began := time.Now()
	var wg sync.WaitGroup
	for i, one := range r.c.replicas {
		wg.Go(func() { r.awaitRecovery(one, i, from) })
	}
	wg.Wait()
	r.say("recovered in %s from: %s", time.Since(began).Round(time.Millisecond), from)
}

// awaitRecovery is recovered for one replica. One that the fault ends only now has
// its time from when it is started.
func (r *round) awaitRecovery(one *replica, id int, from string) {
	healed := time.Now()
	for began, late := healed, false; ; {
		err := r.probe(one, id)
		if !late && time.Since(began) > recoverMax+recoverLook {
			late = true
			r.violate("recovery", "%s does not read and write %s after it has healed from %q: %v", one.Name, recoverMax, from, err)
		}
		if err == nil {
			return
		}
		if !one.Running() {
			if time.Since(healed) > endedMax || !r.mortal(one.Process) {
				r.crashed(one.Process)
			}
			one.Start()
			began = time.Now()
		}
		if time.Since(healed) > 30*time.Second || !rest(r.t.Context(), recoverLook) {
			r.violate("recovery", "%s is given up, %s after it has healed from %q: %v", one.Name, time.Since(healed), from, err)
			return
		}
	}
}

// probe takes a turn and reads, through one replica alone.
func (r *round) probe(one *replica, id int) error {
	ctx, cancel := context.WithTimeout(r.t.Context(), attemptTimeout)
	defer cancel()
	o := check.Operation{Client: 1000 + id, Kind: check.RoundRobin, Pool: "worker", Key: "probe-" + one.Name, Count: 1, Called: r.load.now()}
	a, err := one.client.Pool("worker").RRN(ctx, o.Key, 1)
	o.Returned = r.load.now()
	o.Answers, o.Reason, o.Epoch, o.Position, o.ServedBy = a.Each, a.EmptyReason, a.Epoch, a.Position, a.ServedBy
	r.load.record(o, err, attemptTimeout)
	if err != nil {
		return err
	}
	_, err = one.client.Pool("worker").HRW(ctx, hrw.String("probe"))
	return err
}

// stormClients are the numbers of those who storm.
const stormClients = 2000

// storm sends one request of a new session by many callers to all replicas, over
// and over, until each has an answer.
func (r *round) storm() {
	session := r.load.open(r.t.Context(), r.rand)
	if session == "" {
		r.vain("there is no session to storm with")
		return
	}
	key := r.load.key("storm", r.rand, 1)
	for i := range 10 {
		random := rand.New(rand.NewPCG(r.seed, uint64(10_000+i)))
		r.wg.Go(func() {
			for range 5 {
				o := check.Operation{Client: stormClients + i, Kind: check.RoundRobin, Pool: "worker", Key: key, Count: 3, Session: session, Serial: 1, Called: r.load.now()}
				r.load.ask(&o, random, callTimeout)
				o.Returned = r.load.now()
				r.load.note(o, callTimeout)
				rest(r.t.Context(), 200*time.Millisecond)
			}
		})
	}
	r.wait(10 * time.Millisecond)
}

// twin starts a second process under the name of a node that lives: it must be
// refused, and end.
func (r *round) twin() func() {
	name := r.c.agents[0].Name
	p := procs.NewProcess(r.t, r.dir, fmt.Sprintf("twin-%d", len(r.windows)))
	p.Binary, p.Within = procs.FaultyBinary(r.t), r.twins.within
	p.Args = []string{"agent", "--name", name, "--type", "worker", "--servers", strings.Join(r.c.apis(), ","), "--gossip", r.twins.gossp, "--insecure"}
	if err := r.c.whole(); err != nil {
		r.vain("the first one may not live just now: %v", err)
		return nil
	}
	r.hide(r.c.agents[0])
	p.Start()
	return func() {
		for end := time.Now().Add(5 * time.Second); p.Running() && time.Now().Before(end); {
			r.wait(50 * time.Millisecond)
		}
		if p.Running() {
			r.violate("twin", "a second process named %s runs beside the first one", name)
			p.Kill()
		}
	}
}

// usage asks what a replica's process holds.
func usage(one *replica) (check.Usage, error) {
	u, err := check.Process(one.Pid())
	if err != nil {
		return u, err
	}
	u.Goroutines, err = metric(one, "go_goroutines")
	return u, err
}

// finish ends the load, looks at what is left, stops all and judges.
func (r *round) finish() {
	r.wg.Wait()
	r.crashes()
	r.recovered("the end of the round")
	for _, one := range r.c.replicas {
		r.installed += strings.Count(one.Log(), installed)
	}
	r.say("load ends")
	r.load.stop()
	r.wholeAgain()
	r.lastReads()
	r.leaks()
	r.crashes()
	for _, a := range r.c.agents {
		a.Kill()
	}
	for _, one := range r.c.replicas {
		r.stop(one)
	}
	r.outcries()
	r.judge()
}

// stopMax is how long a replica may take to end that has no requests under way.
const stopMax = 4 * time.Second

// stop asks a replica to end, which it must do in time and with 0; of one that
// does not the log has all goroutines.
func (r *round) stop(one *replica) {
	began := time.Now()
	one.Signal(syscall.SIGTERM)
	for one.Running() && time.Since(began) < stopMax {
		r.wait(20 * time.Millisecond)
	}
	if one.Running() {
		one.Signal(syscall.SIGQUIT)
	}
	if code := one.Exit(20 * time.Second); code != 0 {
		r.violate("stop", "%s ended with %d, %s after it was asked to", one.Name, code, time.Since(began))
	}
}

// lastReads has every replica show its pool and its cursors, for the log to tell
// what they must be.
func (r *round) lastReads() {
	for i, one := range r.c.replicas {
		ctx, cancel := context.WithTimeout(r.t.Context(), 5*time.Second)
		o := check.Operation{Client: 3000 + i, Kind: check.Pool, Pool: "worker", Called: r.load.now()}
		p, err := one.client.Pool("worker").Info(ctx, true)
		cancel()
		if err != nil {
			r.violate("recovery", "%s does not show its pool at the end: %v", one.Name, err)
			continue
		}
		o.Members, o.Cursors, o.Epoch, o.Position, o.ServedBy, o.Returned = p.Members, p.Cursors, p.Epoch, p.Position, p.ServedBy, r.load.now()
		if o.Cursors == nil {
			o.Cursors = []registry.Cursor{}
		}
		r.load.record(o, nil, 5*time.Second)
	}
}

// leaks compares what the replicas hold with what they held before the load.
func (r *round) leaks() {
	may := check.Usage{Goroutines: 40, Descriptors: 20, Threads: 12, Resident: 160 << 20}
	for i, one := range r.c.replicas {
		var found []check.Violation
		for end := time.Now().Add(20 * time.Second); time.Now().Before(end); r.wait(200 * time.Millisecond) {
			now, err := usage(one)
			if err != nil {
				found = []check.Violation{{Check: "leak", Text: fmt.Sprintf("%s does not show what it holds: %v", one.Name, err)}}
				continue
			}
			if found = check.Grown(one.Name, r.base[i], now, may); len(found) == 0 {
				r.say("%s: %s; at first %s", one.Name, now, r.base[i])
				break
			}
		}
		for _, v := range found {
			r.violate(v.Check, "%s", v.Text)
		}
	}
}

// judge puts what was applied and what was answered to the checks.
func (r *round) judge() {
	run := check.Run{Ops: r.load.history.Operations(), Began: r.load.began, Lived: time.Since(r.born)}
	for _, one := range r.c.replicas {
		l, err := one.log()
		if err != nil {
			r.violate("log", "%v", err)
		}
		disk, err := one.stored(l.Applied)
		if err != nil {
			r.violate("log", "%v", err)
		}
		run.Logs = append(run.Logs, l, disk)
		states, err := check.Snapshots(registry.ReplicaName(one.Name), one.dir)
		if err != nil {
			r.violate("state", "%v", err)
		}
		run.States = append(run.States, states...)
	}
	run.Logs = append(run.Logs, noOps(run.Logs))
	r.report = check.All(run)
	r.report.Counters.SnapshotsUnderLoad = r.installed
	for _, v := range append(r.report.Violations, r.promises(run.Ops)...) {
		r.violate(v.Check, "%s", v.Text)
	}
}

// save writes the timeline beside the logs.
func (r *round) save() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := os.WriteFile(filepath.Join(r.dir, "timeline.txt"), []byte(r.mu.timeline.String()), 0o600); err != nil {
		r.t.Log(err)
	}
}
