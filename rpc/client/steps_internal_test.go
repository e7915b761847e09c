package client

import (
	"container/heap"
	"flag"
	"fmt"
	"hash"
	"hash/fnv"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rota-registry/rota/registry"
)

// The step tests drive what decides, and nothing else: the client's combiner,
// session and retries; the combiners of three replicas and of their leader's gate;
// the state machine, with the session table in it; and the reconciler. All of them
// are functions of their events. Here one seed makes the events, in virtual time,
// without a goroutine or a clock: the same seed is the same run, to the last word.
//
// Between them is a network that loses, delays and breaks off, a log that keeps
// of a lost leader's entries as many as it likes, replicas that crash and come back
// from snapshots, nodes that die, and an hour that passes at once.
//
// They are in this package because a test sees the inside of its own package
// alone, and of the other pure parts all that is needed is exported.

// These choose the seeds: go test ./rpc/client -run TestSteps -seed 17 -seeds 1
var (
	firstSeed = flag.Uint64("seed", 0, "of the step tests: the first seed")
	seedCount = flag.Int("seeds", 0, "of the step tests: how many; 0 is what suits go test")
)

// stepSeeds take some six seconds of one core; with the race detector, a minute.
const stepSeeds = 200

// TestStepsTogether: whatever happens, each request that was answered moved its
// cursor once and has one answer; what is said not to have been done was not, not
// even later; what is not known was done at most once; nobody waits for longer than
// a second past his deadline; a turn that is asked for after another was answered
// comes behind it; and replicas at one index hold the same bytes.
func TestStepsTogether(t *testing.T) {
	t.Parallel()
	count := *seedCount
	if count == 0 {
		count = stepSeeds
	}
	began, happened := time.Now(), stepCounts{}
	for seed := *firstSeed; seed < *firstSeed+uint64(count); seed++ {
		w := newStepWorld(t, seed)
		w.run()
		for what, n := range w.happened {
			happened[what] += n
		}
	}
	took := time.Since(began)
	t.Logf("%d seeds in %s, %.0f a minute; %s", count, took.Round(time.Millisecond), float64(count)/took.Minutes(), happened)
	if count < stepSeeds {
		return
	}
	for _, what := range stepMust() {
		if happened[what] < 20 {
			t.Errorf("%q happened %d times: a run without it shows too little", what, happened[what])
		}
	}
}

// TestStepsReplay: a seed is a run, to the last word; another one is another.
func TestStepsReplay(t *testing.T) {
	t.Parallel()
	seen := map[uint64]bool{}
	for seed := *firstSeed; seed < *firstSeed+10; seed++ {
		first, second := newStepWorld(t, seed), newStepWorld(t, seed)
		if a, b := first.run(), second.run(); a != b {
			t.Errorf("seed %d went two ways: %x and %x, after %d and %d lines", seed, a, b, first.lines, second.lines)
		} else {
			seen[a] = true
		}
	}
	if len(seen) != 10 {
		t.Errorf("10 seeds gave %d runs", len(seen))
	}
}

// stepMust lists what has to have happened.
func stepMust() []string {
	return []string{
		"leader lost with entries under way", "entry of a lost leader kept", "entry of a lost leader gone",
		"retry answered from the table", "retry answered from the table in a later term", "twice in one entry",
		"unknown, and done", "unknown, and not done", "said not to be done", "deadline", "refused",
		"session forgotten", "session renewed", "doubt in a forgotten session", "crash", "came back from a snapshot",
		"snapshot installed", "node failed", "node came back", "stale liveness skipped", "suspect seen by another", "an hour passed",
		"hint of the dead", "hint of the living", "hint of a stranger", "failed by probes", "probe lost",
		"type frozen", "freeze over", "type thawed by an operator", "node to be held back", "node held back",
		"answer lost", "request lost", "gave up in a batch", "deposed leader asked", "nobody eligible",
		"plain, unknown, and done",
	}
}

// stepCounts is how often what happened.
type stepCounts map[string]int

func (c stepCounts) String() string {
	var list []string
	for _, what := range slices.Sorted(maps.Keys(c)) {
		list = append(list, fmt.Sprintf("%s: %d", what, c[what]))
	}
	return strings.Join(list, ", ")
}

// stepWorld is one run.
type stepWorld struct {
	t        *testing.T
	seed     uint64
	rnd      *rand.Rand
	now      time.Duration
	events   stepEvents
	made     int
	end      time.Duration // of what goes wrong, and of new calls
	happened stepCounts
	trace    hash.Hash64
	lines    int
	last     []string // lines, for a failure

	*stepLog
	replicas []*stepReplica
	clients  []*stepClient
	storms   *stepStorms
	nodes    []*stepNode
	calls    []*stepCall
	plains   []*stepPlain
	audit    *stepAudit
}

func newStepWorld(t *testing.T, seed uint64) *stepWorld {
	w := &stepWorld{t: t, seed: seed, rnd: rand.New(rand.NewPCG(seed, 1)), now: time.Hour, happened: stepCounts{}, trace: fnv.New64a()}
	w.end = w.now + 5*time.Second
	w.stepLog = &stepLog{w: w}
	w.audit = newStepAudit(w)
	for i := range 3 {
		w.replicas = append(w.replicas, newStepReplica(w, i))
	}
	for i := range 2 {
		w.clients = append(w.clients, newStepClient(w, i))
	}
	w.storms = &stepStorms{w: w}
	return w
}

// run lets it all happen, checks what came of it, and gives a hash of the story.
func (w *stepWorld) run() uint64 {
	w.elect()
	w.populate()
	w.every(8*time.Millisecond, w.someCall)
	w.every(60*time.Millisecond, w.storms.storm)
	w.every(40*time.Millisecond, w.plain)
	w.every(150*time.Millisecond, w.someFault)
	w.every(40*time.Millisecond, w.reconcile)
	w.drain()
	w.heal()
	w.drain()
	w.audit.end()
	return w.trace.Sum64()
}

func (w *stepWorld) drain() {
	for w.events.Len() > 0 {
		e := heap.Pop(&w.events).(stepEvent)
		w.now = e.at
		e.do()
	}
}

// after lets something happen later, behind what happens at the same time.
func (w *stepWorld) after(d time.Duration, do func()) { w.at(w.now+d, do) }

func (w *stepWorld) at(at time.Duration, do func()) {
	w.made++
	heap.Push(&w.events, stepEvent{max(at, w.now), w.made, do})
}

// every lets something happen until the end, on average so often.
func (w *stepWorld) every(d time.Duration, do func()) {
	w.after(time.Duration(w.rnd.Int64N(int64(2*d))), func() {
		if w.now < w.end {
			do()
			w.every(d, do)
		}
	})
}

// soon is the time that a message takes: little, now and then a lot.
func (w *stepWorld) soon() time.Duration {
	if w.odds(20) {
		return time.Duration(w.rnd.Int64N(int64(700 * time.Millisecond)))
	}
	return time.Duration(w.rnd.Int64N(int64(6 * time.Millisecond)))
}

// odds is true once in n times, until the end.
func (w *stepWorld) odds(n int) bool { return w.rnd.IntN(n) == 0 && w.now < w.end }

func (w *stepWorld) count(what string) { w.happened[what]++ }

// note adds a line to the story.
func (w *stepWorld) note(format string, args ...any) {
	line := fmt.Sprintf(format, args...)
	w.lines++
	fmt.Fprintf(w.trace, "%d %s\n", w.now, line)
	w.last = append(w.last[max(0, len(w.last)-60):], fmt.Sprintf("%9.1f ms  %s", (w.now-time.Hour).Seconds()*1000, line))
}

func (w *stepWorld) fatalf(format string, args ...any) {
	w.t.Helper()
	w.t.Fatalf("seed %d: %s\nagain: go test ./rpc/client -run TestSteps -seed %d -seeds 1\n%s",
		w.seed, fmt.Sprintf(format, args...), w.seed, strings.Join(w.last, "\n"))
}

// someFault is what goes wrong beside messages.
func (w *stepWorld) someFault() {
	r := w.replicas[w.rnd.IntN(len(w.replicas))]
	switch w.rnd.IntN(20) {
	case 0, 1:
		w.depose()
	case 2:
		r.crash()
	case 3:
		r.install(w.replicas[w.rnd.IntN(len(w.replicas))])
	case 4, 5, 6:
		w.nodes[w.rnd.IntN(len(w.nodes))].change()
	case 7:
		w.glitch(w.nodes[w.rnd.IntN(len(w.nodes))])
	case 8:
		if w.reign != nil {
			w.reign.stalled = w.now + time.Duration(w.rnd.Int64N(int64(400*time.Millisecond)))
			w.note("%s commits nothing for %s", w.reign.leader.name, w.reign.stalled-w.now)
		}
	case 9:
		if w.reign != nil && w.rnd.IntN(4) == 0 {
			w.reign.leapt += registry.SessionRetention + 1
			w.count("an hour passed")
			w.note("an hour passes")
		}
	case 10, 11:
		w.breakOff()
	case 12, 13, 14:
		w.flap(w.nodes[w.rnd.IntN(len(w.nodes))])
	case 15:
		w.manyDie()
	default:
		r.keep()
	}
}

// stepEvent is something to come.
type stepEvent struct {
	at   time.Duration
	made int
	do   func()
}

type stepEvents []stepEvent

func (q stepEvents) Len() int { return len(q) }

func (q stepEvents) Less(i, j int) bool {
	return q[i].at < q[j].at || q[i].at == q[j].at && q[i].made < q[j].made
}
func (q stepEvents) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *stepEvents) Push(x any)   { *q = append(*q, x.(stepEvent)) }
func (q *stepEvents) Pop() any {
	last := len(*q) - 1
	e := (*q)[last]
	*q = (*q)[:last]
	return e
}
