package sim

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"connectrpc.com/connect"

	"github.com/rota-registry/rota/registry"
	rotav1 "github.com/rota-registry/rota/rpc/gen/rota/v1"
	"github.com/rota-registry/rota/rpc/gen/rota/v1/rotav1connect"
	"github.com/rota-registry/rota/rpc/transport"
	"github.com/rota-registry/rota/rpc/wire"
	"github.com/rota-registry/rota/tests/check"
	"github.com/rota-registry/rota/tests/simnet"
)

const (
	// requestTime is for all attempts of a request together.
	requestTime = 8 * time.Second
	attemptMin  = 300 * time.Millisecond
	attemptMax  = 1500 * time.Millisecond
)

// caller is a program without package client: it speaks to any replica, and
// sends a request again under its serial until it has an answer.
type caller struct {
	w         *Workload
	id        int
	rnd       *rand.Rand
	transport *transport.Transport
	stubs     []rotav1connect.RegistryServiceClient
	session   string
	serial    uint64
}

// sessionUser makes users who name their requests.
func (w *Workload) sessionUser() func(int, *rand.Rand) {
	hosts := make(map[int]*simnet.Host)
	for i := range w.mix.Sessions {
		hosts[i+1] = w.c.addHost(fmt.Sprintf("caller-%d", i+1))
	}
	return func(id int, rnd *rand.Rand) {
		u := &caller{w: w, id: id, rnd: rnd, transport: transport.New(transport.Options{Dial: apiDial(hosts[id])})}
		defer u.transport.Close()
		for _, api := range w.c.apis() {
			u.stubs = append(u.stubs, rotav1connect.NewRegistryServiceClient(u.transport, "http://"+api))
		}
		for w.pause(rnd) {
			if u.session == "" {
				u.open()
				continue
			}
			u.serial++
			o := check.Operation{
				Client: id, Kind: check.RoundRobin, Pool: poolMain, Key: pick(rnd, keysOf("session")), Count: 1,
				Session: registry.SessionID(u.session), Serial: u.serial,
			}
			if rnd.IntN(4) == 0 {
				o.Count = 1 + rnd.IntN(5)
			}
			if rnd.IntN(10) == 0 {
				u.storm(o)
			} else {
				u.take(o)
			}
		}
	}
}

func (u *caller) open() {
	ctx, cancel := context.WithTimeout(context.Background(), attemptMax)
	defer cancel()
	if res, err := pick(u.rnd, u.stubs).OpenSession(ctx, connect.NewRequest(&rotav1.OpenSessionRequest{})); err == nil {
		u.session = res.Msg.GetSession()
	}
}

// storm sends one request to all replicas at once, and again to whoever has not
// answered: each is an operation, and one request.
func (u *caller) storm(o check.Operation) {
	var all sync.WaitGroup
	for i := range u.stubs {
		all.Go(func() {
			o := o
			o.Called = u.w.now()
			a := u.attempt(o, u.stubs[i], attemptMax)
			u.finish(o, a, a.maybe)
		})
	}
	all.Wait()
}

// take sends a request to one replica after another, until one has answered or
// the time is over.
func (u *caller) take(o check.Operation) {
	o.Called = u.w.now()
	maybe := false
	var last attempted
	for u.w.now()-o.Called < requestTime {
		sent := u.w.now()
		last = u.attempt(o, pick(u.rnd, u.stubs), attemptMin+time.Duration(u.rnd.Int64N(int64(attemptMax-attemptMin))))
		if last.maybe && !maybe {
			maybe, o.Doubted = true, sent
		}
		if last.err == nil || last.final {
			break
		}
		time.Sleep(time.Duration(u.rnd.Int64N(int64(100 * time.Millisecond))))
	}
	u.finish(o, last, maybe)
}

// attempted is what one attempt came to.
type attempted struct {
	turn  *rotav1.RrTopicsResponse
	err   error
	maybe bool // the request may have been taken by it
	final bool // the answer would be the same again
}

func (u *caller) attempt(o check.Operation, stub rotav1connect.RegistryServiceClient, within time.Duration) (a attempted) {
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	ask := &rotav1.RrTopicsRequest{
		Pool: string(o.Pool), Key: o.Key, Count: uint32(o.Count),
		Request: &rotav1.RequestId{Session: string(o.Session), Serial: o.Serial, FirstUnacked: o.Serial},
	}
	a.err = transport.Attempt(ctx, func(ctx context.Context) error {
		res, err := stub.RrTopics(ctx, connect.NewRequest(ask))
		if err == nil {
			a.turn = res.Msg
		}
		return err
	})
	if a.err == nil {
		return a
	}
	coded, wired := wire.FromError(a.err)
	switch {
	case wired && wire.HasDetail(a.err):
		a.err = coded
		a.maybe = coded.Code == registry.OutcomeUnknown
		switch coded.Code {
		case registry.Unavailable, registry.Deadline, registry.Overloaded, registry.OutcomeUnknown:
		default:
			a.final = true
			u.w.late.add("client %d, request %d: refused: %v", u.id, o.Serial, coded)
		}
	case !transport.NotDone(a.err):
		a.maybe = true
	}
	return a
}

// finish records the operation.
func (u *caller) finish(o check.Operation, a attempted, maybe bool) {
	o.Returned = u.w.now()
	switch {
	case a.err == nil && a.turn != nil:
		o.Outcome = check.OK
		for i, topic := range a.turn.GetTopics() {
			o.Answers = append(o.Answers, registry.Answer{Topic: topic, Node: registry.NodeName(a.turn.GetNodes()[i])})
		}
		o.Epoch = registry.Epoch(a.turn.GetEpoch())
		o.Reason = reasonNamed(a.turn.GetEmptyReason())
		o.Index, o.Term = registry.Index(a.turn.GetIndex()), registry.Term(a.turn.GetTerm())
		o.ServedBy = registry.ReplicaName(a.turn.GetServedBy())
	case maybe:
		o.Outcome, o.Err = check.Unknown, a.err.Error()
	default:
		o.Outcome, o.Err = check.Failed, a.err.Error()
	}
	u.w.history.Record(o)
}

func reasonNamed(name string) registry.EmptyReason {
	for _, r := range []registry.EmptyReason{registry.NoMembers, registry.AllDraining, registry.NoneAlive} {
		if r.String() == name {
			return r
		}
	}
	return registry.NotEmpty
}
