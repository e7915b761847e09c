package sim

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/rota-registry/rota/registry"
	"github.com/rota-registry/rota/registry/hrw"
	"github.com/rota-registry/rota/rpc/client"
	"github.com/rota-registry/rota/tests/check"
)

// The pools of a workload. Their cursors move all the time, and nobody removes
// them; the writer has pools of its own.
const (
	poolMain  registry.PoolName = "main"
	poolSmall registry.PoolName = "small"
)

// keysOf are the cursors that users move, and the keys that they ask for. Those
// of users who name their requests are not those of the others.
func keysOf(kind string) []string { return []string{kind + "-a", kind + "-b", kind + "-c"} }

// Mix says how many users of each kind there are.
type Mix struct {
	Sessions  int // round robins whose retries name their request, at any replica
	Libraries int // round robins of package client, under its sessions
	Plain     int // round robins of package client without sessions
	Readers   int
	Writers   int
	Watchers  int // hrw from a watched copy
	// Pause is between two calls of a user, and up to as much again.
	Pause time.Duration
}

// Workload is users at work.
type Workload struct {
	c       *Cluster
	mix     Mix
	history check.History
	began   time.Time
	stop    chan struct{}
	once    sync.Once
	users   sync.WaitGroup
	late    faultList
}

// callMax is how long a call of package client may take, and aSecondMore what
// the promise gives it on top.
const (
	callMax    = 5 * time.Second
	aSecond    = time.Second
	usersStart = 10 * time.Second
)

// Work sets users to work, until Stop. The workload needs nodes to answer with.
func (c *Cluster) Work(mix Mix, seed uint64) *Workload {
	c.t.Helper()
	w := &Workload{c: c, mix: mix, began: c.Story.began, stop: make(chan struct{})}
	ctx, cancel := context.WithTimeout(context.Background(), usersStart)
	defer cancel()
	two := uint32(2)
	for _, spec := range []registry.Spec{{Name: poolMain, NodeType: registry.Worker}, {Name: poolSmall, NodeType: registry.Worker, MaxNodes: &two}} {
		if _, err := c.operator.RegisterPool(ctx, spec, client.RegisterOptions{}); err != nil {
			c.t.Fatalf("register pool %s: %v", spec.Name, err)
		}
	}
	id := 0
	start := func(n int, user func(id int, rnd *rand.Rand)) {
		for range n {
			id++
			who, rnd := id, rand.New(rand.NewPCG(seed, uint64(id)))
			w.users.Go(func() { user(who, rnd) })
		}
	}
	c.t.Cleanup(w.Stop)
	start(mix.Sessions, w.sessionUser())
	start(mix.Libraries, w.clientUser(client.Options{}, "library"))
	start(mix.Plain, w.clientUser(client.Options{WithoutSessions: true}, "plain"))
	start(mix.Readers, w.reader())
	start(mix.Writers, w.writer())
	start(mix.Watchers, w.watcher())
	return w
}

// Stop lets the users finish what they have begun, and waits for them.
func (w *Workload) Stop() {
	w.once.Do(func() {
		w.c.Story.note("the users stop")
		close(w.stop)
	})
	w.users.Wait()
}

// pause is false when the users are to stop.
func (w *Workload) pause(rnd *rand.Rand) bool {
	t := time.NewTimer(w.mix.Pause + time.Duration(rnd.Int64N(int64(w.mix.Pause)+1)))
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-w.stop:
		return false
	}
}

func (w *Workload) now() time.Duration { return time.Since(w.began) }

// record notes how an operation of package client ended, and whether it took
// longer than was promised.
func (w *Workload) record(o check.Operation, served client.Served, err error) {
	o.Returned = w.now()
	o.Position, o.ServedBy, o.Age = served.Position, served.ServedBy, served.Age
	o.Outcome = check.OK
	if err != nil {
		o.Outcome, o.Err = check.Failed, err.Error()
		if registry.CodeOf(err) == registry.OutcomeUnknown {
			o.Outcome = check.Unknown
		}
	}
	if took := o.Returned - o.Called; took > callMax+aSecond {
		w.late.add("%s took %v, longer than its deadline of %v and a second", &o, took, callMax)
	}
	if registry.CodeOf(err) == registry.Internal && err != nil {
		w.late.add("%s: an internal error", &o)
	}
	w.history.Record(o)
}

// clientUser takes turns by package client; several goroutines share a client,
// whose calls go together.
func (w *Workload) clientUser(options client.Options, kind string) func(int, *rand.Rand) {
	var shared *Client
	options.Timeout = callMax
	if w.mix.Libraries > 0 && kind == "library" || w.mix.Plain > 0 && kind == "plain" {
		shared = w.c.NewClient(options)
	}
	return func(id int, rnd *rand.Rand) {
		for w.pause(rnd) {
			o := check.Operation{Client: id, Kind: check.RoundRobin, Pool: poolMain, Key: pick(rnd, keysOf(kind)), Count: 1, Called: w.now()}
			if rnd.IntN(4) == 0 {
				o.Count = 1 + rnd.IntN(5)
			}
			got, err := shared.Pool(o.Pool).RRN(context.Background(), o.Key, o.Count)
			o.Answers, o.Reason, o.Epoch = got.Each, got.EmptyReason, got.Epoch
			w.record(o, got.Served, err)
		}
	}
}

// reader asks hrw and looks at pools and nodes, as fresh as chance wants it. Each begins with
// another replica: a client stays with the first that answers, and all should be
// asked.
func (w *Workload) reader() func(int, *rand.Rand) {
	var own []*Client
	for i := range w.mix.Readers {
		own = append(own, w.c.NewClient(client.Options{Timeout: callMax}, turned(w.c.replicas, i)...))
	}
	return func(id int, rnd *rand.Rand) {
		asks := own[id%len(own)]
		var seen registry.Index
		for w.pause(rnd) {
			o := check.Operation{Client: id, Pool: pick(rnd, []registry.PoolName{poolMain, poolSmall}), Called: w.now()}
			how := client.Linearizable()
			switch rnd.IntN(4) {
			case 0:
				o.Consistency, how = registry.Local, client.Local()
			case 1:
				if seen > 0 { // 0 would be whatever the client has seen
					o.Consistency, o.AtLeast, how = registry.AtLeast, seen, client.AtLeast(seen)
				}
			}
			served, err := w.read(asks, &o, rnd, how)
			if err == nil {
				seen = max(seen, served.Index)
			}
			w.record(o, served, err)
		}
	}
}

func (w *Workload) read(cl *Client, o *check.Operation, rnd *rand.Rand, how client.ReadOption) (client.Served, error) {
	ctx := context.Background()
	switch rnd.IntN(6) {
	case 0:
		o.Kind = check.Pool
		got, err := cl.Pool(o.Pool).Info(ctx, true, how)
		o.Epoch, o.Members, o.Cursors = got.Epoch, got.Members, append([]registry.Cursor{}, got.Cursors...)
		return got.Served, err
	case 1:
		o.Kind, o.Pool = check.Nodes, ""
		got, err := cl.Nodes(ctx, how)
		o.Nodes = got.Nodes
		return got.Served, err
	default:
		o.Kind, o.Key = check.HRW, pick(rnd, keysOf("session"))
		got, err := cl.Pool(o.Pool).HRW(ctx, hrw.String(o.Key), how)
		o.Epoch, o.Reason = got.Epoch, got.EmptyReason
		if got.Topic != "" {
			o.Answers = []registry.Answer{{Node: got.Node, Topic: got.Topic}}
		}
		return got.Served, err
	}
}

// writer registers and removes pools of its own, some of which take nodes from all
// others, moves their cursors, drains nodes for a while, and forgets some, which
// come back by themselves.
func (w *Workload) writer() func(int, *rand.Rand) {
	var shared *Client
	if w.mix.Writers > 0 {
		shared = w.c.NewClient(client.Options{Timeout: callMax})
	}
	var nodes []registry.NodeName
	for _, a := range w.c.agents {
		nodes = append(nodes, a.Name)
	}
	return func(id int, rnd *rand.Rand) {
		for w.pause(rnd) {
			o := check.Operation{Client: id, Kind: check.Write, Called: w.now()}
			served, err := w.write(shared, &o, rnd, nodes)
			w.record(o, served, err)
		}
	}
}

func (w *Workload) write(cl *Client, o *check.Operation, rnd *rand.Rand, nodes []registry.NodeName) (client.Served, error) {
	ctx := context.Background()
	side := registry.PoolName(fmt.Sprintf("side-%d", rnd.IntN(3)))
	node := pick(rnd, nodes)
	// The reason and the topic are of this change alone: the checks tell it apart by
	// them.
	reason := fmt.Sprintf("a test of client %d at %v", o.Client, o.Called)
	topic := registry.Topic(fmt.Sprintf("zeek/cluster/pool/%s/%d/%d", side, o.Client, o.Called))
	switch rnd.IntN(14) {
	case 0, 1:
		o.Command = registry.UnregisterPool{Name: side}
		return cl.UnregisterPool(ctx, side)
	case 2:
		o.Command = registry.ForgetNode{Name: node, Reason: reason}
		return cl.ForgetNode(ctx, node, reason)
	case 3:
		o.Command = registry.SetCursor{Pool: side, Key: "k", Next: 0}
		return cl.Pool(side).SetCursor(ctx, "k", 0)
	case 4, 5:
		o.Command = registry.DrainNode{Name: node, Draining: true, Reason: reason}
		got, err := cl.DrainNode(ctx, node, reason)
		return got.Served, err
	case 6, 7, 8, 9:
		o.Command = registry.DrainNode{Name: node}
		got, err := cl.UndrainNode(ctx, node)
		return got.Served, err
	default:
		spec := registry.Spec{Name: side, Topic: topic, NodeType: registry.Worker}
		if rnd.IntN(2) == 0 {
			one := uint32(1)
			spec.MaxNodes, spec.Exclusive = &one, rnd.IntN(2) == 0
		}
		o.Command = registry.RegisterPool{Spec: spec, Replace: true}
		got, err := cl.RegisterPool(ctx, spec, client.RegisterOptions{Replace: true})
		return got.Served, err
	}
}

func pick[T any](rnd *rand.Rand, list []T) T { return list[rnd.IntN(len(list))] }

// faultList collects what is wrong, from any goroutine.
type faultList struct {
	mu   sync.Mutex
	list []string
}

func (f *faultList) add(format string, args ...any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.list = append(f.list, fmt.Sprintf(format, args...))
}

func (f *faultList) all() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.list
}
