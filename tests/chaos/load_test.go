package chaos_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"connectrpc.com/connect"
	"github.com/rota-registry/rota/registry"
	"github.com/rota-registry/rota/registry/hrw"
	"github.com/rota-registry/rota/rpc/client"
	rotav1 "github.com/rota-registry/rota/rpc/gen/rota/v1"
	"github.com/rota-registry/rota/rpc/gen/rota/v1/rotav1connect"
	"github.com/rota-registry/rota/rpc/wire"
	"github.com/rota-registry/rota/tests/check"
)

const (
	callTimeout    = 6 * time.Second
	attemptTimeout = 1500 * time.Millisecond
	// callPause is between two calls of one caller: the checks are the limit, not
	// the cluster.
	callPause = 25 * time.Millisecond
	// keyWindow is how long a key is used: porcupine takes memory by the square of
	// what was asked of a key.
	keyWindow = 4 * time.Second

	namedCallers, libraryCallers, plainCallers = 12, 4, 2
)

// load is the callers of one round.
type load struct {
	c       *cluster
	history check.History
	began   time.Time
	end     context.CancelFunc
	wg      sync.WaitGroup
	clients []*client.Client
	http    *http.Client
	next    atomic.Int64 // number of the next caller

	mu struct {
		sync.Mutex
		late    []string          // calls that went on past their deadline
		told    []check.Violation // answers that nobody may get
		refused []refusedRead     // reads without an answer
	}
}

// refusedRead is a read that failed: legal while something is broken.
type refusedRead struct {
	called, returned time.Duration
	what             string
}

// startLoad starts all callers; they draw from the seed.
func startLoad(ctx context.Context, c *cluster, seed uint64) *load {
	ctx, end := context.WithCancel(ctx)
	l := &load{c: c, began: time.Now(), end: end}
	l.http = &http.Client{Transport: &http.Transport{
		DialContext:         (&net.Dialer{Timeout: time.Second}).DialContext,
		MaxIdleConnsPerHost: namedCallers, IdleConnTimeout: 5 * time.Second,
	}}
	spawn := func(loop func(context.Context, int, *rand.Rand)) {
		id := int(l.next.Add(1))
		l.wg.Go(func() { loop(ctx, id, rand.New(rand.NewPCG(seed, uint64(id)))) })
	}
	for range namedCallers {
		spawn(l.named)
	}
	shared, plain := l.dial(client.Options{Timeout: callTimeout}), l.dial(client.Options{Timeout: callTimeout, WithoutSessions: true})
	for range libraryCallers {
		spawn(func(ctx context.Context, id int, r *rand.Rand) { l.byClient(ctx, id, r, shared, "lib") })
	}
	for range plainCallers {
		spawn(func(ctx context.Context, id int, r *rand.Rand) { l.byClient(ctx, id, r, plain, "plain") })
	}
	for i := range c.replicas {
		one := l.dial(client.Options{Timeout: attemptTimeout}, c.replicas[i].place.api)
		spawn(func(ctx context.Context, id int, r *rand.Rand) {
			l.reads(ctx, id, r, one, c.replicas[i].Name, client.Linearizable())
		})
		spawn(func(ctx context.Context, id int, r *rand.Rand) {
			l.reads(ctx, id, r, one, c.replicas[i].Name, client.Local())
		})
	}
	spawn(func(ctx context.Context, id int, r *rand.Rand) {
		l.changes(ctx, id, r, l.dial(client.Options{Timeout: callTimeout}))
	})
	return l
}

// stop ends the callers and waits for the calls under way.
func (l *load) stop() {
	l.end()
	l.wg.Wait()
	for _, c := range l.clients {
		_ = c.Close()
	}
	l.http.CloseIdleConnections()
}

// dial gives a client of the servers, or of all replicas.
func (l *load) dial(o client.Options, servers ...string) *client.Client {
	if len(servers) == 0 {
		servers = l.c.apis()
	}
	c, err := client.Dial(servers, o)
	if err != nil {
		l.c.t.Fatal(err)
	}
	l.clients = append(l.clients, c)
	return c
}

func (l *load) now() time.Duration { return time.Since(l.began) }

// rest waits between two calls; it reports whether there is to be another one.
func rest(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// key is one of a few that are in use now.
func (l *load) key(kind string, r *rand.Rand, of int) string {
	return fmt.Sprintf("%s-%d-%d", kind, l.now()/keyWindow, r.IntN(of))
}

// named is a caller over plain HTTP that knows its requests: it opens a session
// and sends each request to replicas at random, until one has answered it.
func (l *load) named(ctx context.Context, id int, r *rand.Rand) {
	session, serial := registry.SessionID(""), uint64(0)
	for rest(ctx, callPause/2+time.Duration(r.Int64N(int64(callPause)))) {
		if session == "" {
			session, serial = l.open(ctx, r), 0
			continue
		}
		serial++
		o := check.Operation{
			Client: id, Kind: check.RoundRobin, Pool: "worker", Key: l.key("named", r, 3), Count: 1,
			Session: session, Serial: serial, Called: l.now(),
		}
		if r.IntN(8) == 0 {
			o.Count = 1 + r.IntN(5)
		}
		patience := callTimeout
		if r.IntN(16) == 0 {
			patience = time.Duration(1+r.IntN(30)) * time.Millisecond
		}
		if lost := l.ask(&o, r, patience); lost {
			session = ""
		}
		o.Returned = l.now()
		l.note(o, patience)
	}
}

func (l *load) stub(r *rand.Rand) rotav1connect.RegistryServiceClient {
	api := l.c.replicas[r.IntN(len(l.c.replicas))].place.api
	return rotav1connect.NewRegistryServiceClient(l.http, "http://"+api)
}

func (l *load) open(ctx context.Context, r *rand.Rand) registry.SessionID {
	ctx, cancel := context.WithTimeout(ctx, attemptTimeout)
	defer cancel()
	res, err := l.stub(r).OpenSession(ctx, connect.NewRequest(&rotav1.OpenSessionRequest{}))
	if err != nil {
		l.told("the opening of a session", err)
		return ""
	}
	return registry.SessionID(res.Msg.GetSession())
}

// ask sends one request until it is answered or patience is over, and notes what
// is known of it then. It reports whether the session is lost.
func (l *load) ask(o *check.Operation, r *rand.Rand, patience time.Duration) (lost bool) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	o.Outcome = check.Failed // until an attempt may have been done
	req := &rotav1.RrTopicsRequest{
		Pool: string(o.Pool), Key: o.Key, Count: uint32(o.Count),
		Request: &rotav1.RequestId{Session: string(o.Session), Serial: o.Serial, FirstUnacked: o.Serial},
	}
	for {
		sent := l.now()
		attempt, stop := context.WithTimeout(ctx, attemptTimeout)
		res, err := l.stub(r).RrTopics(attempt, connect.NewRequest(req))
		stop()
		if err == nil {
			answered(o, res.Msg)
			return false
		}
		o.Err = err.Error()
		l.told(o, err)
		code, known := registry.OutcomeUnknown, false
		if wire.HasDetail(err) {
			if e, ok := wire.FromError(err); ok {
				code, known = e.Code, true
			}
		}
		switch {
		case !known && undialled(err): // it went nowhere
		case code == registry.OutcomeUnknown, code == registry.Internal:
			if o.Outcome != check.Unknown {
				o.Outcome, o.Doubted = check.Unknown, sent
			}
		case code == registry.SessionUnknown:
			return true
		}
		if ctx.Err() != nil || !rest(ctx, 10*time.Millisecond) {
			return false
		}
	}
}

// told looks in an error, if there is one, for what no caller may be told, whatever
// is broken: that a replica has a bug, or that a session is gone, which lives for
// registry.SessionRetention of log clock, many times as long as a round.
func (l *load) told(of any, err error) {
	if err == nil {
		return
	}
	code := registry.CodeOf(err)
	if _, plain := errors.AsType[*connect.Error](err); plain { // of a call without package client
		e, ok := wire.FromError(err)
		if !ok || !wire.HasDetail(err) {
			return // it arose on the way
		}
		code = e.Code
	}
	if code != registry.Internal && code != registry.SessionUnknown {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.mu.told = append(l.mu.told, check.Violation{Check: code.String(), Text: fmt.Sprintf("%v: %v", of, err)})
}

// undialled reports whether there was no connection at all, so that the request
// went nowhere.
func undialled(err error) bool {
	op, ok := errors.AsType[*net.OpError](err)
	return ok && op.Op == "dial"
}

func answered(o *check.Operation, m *rotav1.RrTopicsResponse) {
	o.Outcome, o.Err = check.OK, ""
	for i, topic := range m.GetTopics() {
		o.Answers = append(o.Answers, registry.Answer{Node: registry.NodeName(m.GetNodes()[i]), Topic: topic})
	}
	o.Reason, o.Epoch = wire.FromEmptyReason(m.GetEmptyReason()), registry.Epoch(m.GetEpoch())
	o.Position = registry.Position{Index: registry.Index(m.GetIndex()), Term: registry.Term(m.GetTerm())}
	o.ServedBy = registry.ReplicaName(m.GetServedBy())
}

// byClient is a caller of package client. One call in twenty it cancels at once,
// mostly in the middle of a batch.
func (l *load) byClient(ctx context.Context, id int, r *rand.Rand, c *client.Client, kind string) {
	for rest(ctx, callPause/2+time.Duration(r.Int64N(int64(callPause)))) {
		o := check.Operation{Client: id, Kind: check.RoundRobin, Pool: "worker", Key: l.key(kind, r, 2), Count: 1 + r.IntN(2), Called: l.now()}
		patience := callTimeout
		if r.IntN(20) == 0 {
			patience = time.Duration(r.Int64N(int64(4 * time.Millisecond)))
		}
		call, cancel := context.WithTimeout(context.Background(), patience)
		a, err := c.Pool(o.Pool).RRN(call, o.Key, o.Count)
		cancel()
		o.Returned = l.now()
		o.Answers, o.Reason, o.Epoch, o.Position, o.ServedBy = a.Each, a.EmptyReason, a.Epoch, a.Position, a.ServedBy
		l.record(o, err, patience)
	}
}

// record notes what a call of the library came to, which had that much time.
func (l *load) record(o check.Operation, err error, deadline time.Duration) {
	l.told(&o, err)
	switch {
	case err == nil:
		o.Outcome = check.OK
	case registry.CodeOf(err) == registry.OutcomeUnknown || registry.CodeOf(err) == registry.Internal:
		o.Outcome, o.Err = check.Unknown, err.Error()
	default:
		o.Outcome, o.Err = check.Failed, err.Error()
	}
	l.note(o, deadline)
}

// lateMax is how long after its deadline a call must have come back.
const lateMax = time.Second

// note keeps a call, and remembers one that came back too late.
func (l *load) note(o check.Operation, deadline time.Duration) {
	l.history.Record(o)
	l.late(&o, deadline)
}

func (l *load) late(o *check.Operation, deadline time.Duration) {
	if took := o.Returned - o.Called; took > deadline+lateMax {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.mu.late = append(l.mu.late, fmt.Sprintf("%s took %s, longer than its deadline of %s and a second", o, took, deadline))
	}
}

// refused notes a read that has no answer: of its registry it says nothing.
func (l *load) refused(o *check.Operation, err error) {
	l.late(o, attemptTimeout)
	l.told(o, err)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.mu.refused = append(l.mu.refused, refusedRead{called: o.Called, returned: o.Returned, what: fmt.Sprintf("%s: %v", o, err)})
}

// reads asks one replica: whose a key is, and now and then for the whole pool or
// the layout.
func (l *load) reads(ctx context.Context, id int, r *rand.Rand, c *client.Client, of string, how client.ReadOption) {
	var asked registry.ReadOptions
	how(&asked)
	for rest(ctx, callPause) {
		o := check.Operation{Client: id, Kind: check.HRW, Pool: "worker", Key: l.key("hrw", r, 4), Consistency: asked.Consistency, Called: l.now()}
		var err error
		switch r.IntN(20) {
		case 0:
			o.Kind, o.Key = check.Pool, ""
			var p client.PoolState
			p, err = c.Pool(o.Pool).Info(context.Background(), r.IntN(4) == 0, how)
			o.Members, o.Cursors, o.Epoch, o.Position, o.ServedBy, o.Age = p.Members, p.Cursors, p.Epoch, p.Position, p.ServedBy, p.Age
		case 1:
			o.Kind, o.Pool, o.Key = check.Nodes, "", ""
			var n client.NodeList
			n, err = c.Nodes(context.Background(), how)
			o.Nodes, o.Position, o.ServedBy, o.Age = n.Nodes, n.Position, n.ServedBy, n.Age
		default:
			var a client.Answer
			a, err = c.Pool(o.Pool).HRW(context.Background(), hrw.String(o.Key), how)
			if a.Node != "" {
				o.Answers = []registry.Answer{{Node: a.Node, Topic: a.Topic}}
			}
			o.Reason, o.Epoch, o.Position, o.ServedBy, o.Age = a.EmptyReason, a.Epoch, a.Position, a.ServedBy, a.Age
		}
		o.Returned = l.now()
		if err != nil {
			l.refused(&o, fmt.Errorf("%s read of %s: %w", asked.Consistency, of, err))
			continue
		}
		l.record(o, nil, attemptTimeout)
	}
}

// changes drains a worker and takes that back, and registers a pool and removes
// it.
func (l *load) changes(ctx context.Context, id int, r *rand.Rand, c *client.Client) {
	pools := [2]string{"even", "odd"}
	for turn := 0; rest(ctx, time.Second+time.Duration(r.Int64N(int64(2*time.Second)))); turn++ {
		o := check.Operation{Client: id, Kind: check.Write, Called: l.now()}
		var err error
		var at client.Served
		name := registry.NodeName(fmt.Sprintf("w%d", 1+r.IntN(len(l.c.agents))))
		spec := registry.Spec{Name: registry.PoolName(pools[turn/4%2]), NodeType: registry.Worker}
		switch turn % 4 {
		case 0:
			reason := fmt.Sprintf("chaos %d", turn) // of this drain alone: the checks tell it apart by that
			o.Command = registry.DrainNode{Name: name, Draining: true, Reason: reason}
			var n client.NodeChange
			n, err = c.DrainNode(context.Background(), name, reason)
			at = n.Served
		case 1:
			for _, a := range l.c.agents {
				if err == nil {
					_, err = c.UndrainNode(context.Background(), registry.NodeName(a.Name))
				}
			}
			l.told("the end of a drain", err)
			continue
		case 2:
			// Its topic is of this registration alone, too. Where the pool is there yet,
			// because its removal failed, that is a conflict: surely not done.
			spec.Topic = registry.Topic(fmt.Sprintf("chaos/%s/%d", spec.Name, turn))
			o.Command = registry.RegisterPool{Spec: spec}
			var p client.PoolChange
			p, err = c.RegisterPool(context.Background(), spec, client.RegisterOptions{})
			at = p.Served
		case 3:
			o.Command = registry.UnregisterPool{Name: spec.Name}
			at, err = c.UnregisterPool(context.Background(), spec.Name)
		}
		o.Position, o.ServedBy, o.Returned = at.Position, at.ServedBy, l.now()
		l.record(o, err, callTimeout)
	}
}
