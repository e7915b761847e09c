package client_test

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"connectrpc.com/connect"

	"github.com/rota-registry/rota/registry"
	"github.com/rota-registry/rota/registry/hrw"
	rotav1 "github.com/rota-registry/rota/rpc/gen/rota/v1"
	"github.com/rota-registry/rota/rpc/gen/rota/v1/rotav1connect"
	"github.com/rota-registry/rota/rpc/wire"
)

// moment is how a pool stands from an index on; without a pool there is none.
type moment struct {
	index registry.Index
	pool  *registry.PoolInfo
}

// chronicle is what a cluster has committed about pool p.
type chronicle struct {
	mu      sync.Mutex
	moments []moment
}

func (c *chronicle) add(index registry.Index, pool *registry.PoolInfo) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.moments = append(c.moments, moment{index, pool})
}

// at is how p stands at an index.
func (c *chronicle) at(index registry.Index) moment {
	c.mu.Lock()
	defer c.mu.Unlock()
	last := moment{}
	for _, m := range c.moments {
		if m.index <= index {
			last = m
		}
	}
	return last
}

// since gives the moments after the epoch up to index, if all of them from the
// epoch's own on are there, and are of one pool.
func (c *chronicle) since(after registry.Epoch, index registry.Index) []moment {
	c.mu.Lock()
	defer c.mu.Unlock()
	from := slices.IndexFunc(c.moments, func(m moment) bool { return m.pool != nil && m.pool.Epoch == after })
	if from < 0 {
		return nil
	}
	var between []moment
	for _, m := range c.moments[from:] {
		if m.pool == nil {
			return nil
		}
		if m.index <= index {
			between = append(between, m)
		}
	}
	return between
}

// teller is a fake replica that tells of p: as its script says, or if it has
// none what it has applied of a chronicle, as rota's server does.
type teller struct {
	*replica
	script func(ctx context.Context, asked *rotav1.WatchRequest, send sender) error
	said   *chronicle

	mu struct {
		sync.Mutex
		applied registry.Index
		// history is false when it knows no changes, only the pool as it is.
		history bool
		// stale makes its signs of life older by that.
		stale time.Duration
		woken chan struct{} // closed at each change of the above
		asked []*rotav1.WatchRequest
		by    string
	}
}

type sender func(*rotav1.WatchResponse) error

func newTeller(said *chronicle) *teller {
	w := &teller{replica: &replica{}, said: said}
	w.mu.woken, w.mu.history = make(chan struct{}), true
	return w
}

// tell puts a replica at an address, again or for the first time.
func (e *edge) tell(address string, w *teller) *teller {
	if w.name == "" {
		w.name = strings.TrimSuffix(address, ":1")
	}
	mux := http.NewServeMux()
	mux.Handle(rotav1connect.NewRegistryServiceHandler(w, connect.WithInterceptors(connect.UnaryInterceptorFunc(w.record))))
	e.up(address, e.host(mux))
	return w
}

// set changes what the replica has, and wakes its streams.
func (w *teller) set(change func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	change()
	close(w.mu.woken)
	w.mu.woken = make(chan struct{})
}

func (w *teller) apply(index registry.Index) { w.set(func() { w.mu.applied = index }) }

// watches gives the requests for streams, in order.
func (w *teller) watches() []*rotav1.WatchRequest {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.mu.asked)
}

// GetPool answers from all that was committed.
func (w *teller) GetPool(_ context.Context, req *connect.Request[rotav1.GetPoolRequest]) (*connect.Response[rotav1.GetPoolResponse], error) {
	w.mu.Lock()
	index := registry.Index(1 << 40)
	if req.Msg.GetConsistency() == "local" {
		index = w.mu.applied
	}
	w.mu.Unlock()
	m := w.said.at(index)
	if m.pool == nil {
		return nil, wire.ToError(notThere())
	}
	return respond(&rotav1.GetPoolResponse{Pool: wire.ToPool(*m.pool), Index: uint64(m.index), Term: 2, ServedBy: w.name})
}

// HrwTopic answers so that a call can be told from the copy.
func (w *teller) HrwTopic(context.Context, *connect.Request[rotav1.HrwTopicRequest]) (*connect.Response[rotav1.HrwTopicResponse], error) {
	return respond(&rotav1.HrwTopicResponse{Topic: "called", Node: "called", Epoch: 99, Index: 99, Term: 2, ServedBy: w.name})
}

func notThere() error { return registry.Errorf(registry.NotFound, `pool "p" is not registered`) }

func (w *teller) Watch(ctx context.Context, req *connect.Request[rotav1.WatchRequest], stream *connect.ServerStream[rotav1.WatchResponse]) error {
	w.mu.Lock()
	w.mu.asked = append(w.mu.asked, req.Msg)
	w.mu.by = req.Header().Get("Rota-By")
	w.mu.Unlock()
	if w.script != nil {
		return w.script(ctx, req.Msg, stream.Send)
	}
	return w.follow(ctx, registry.Epoch(req.Msg.GetAfterEpoch()), stream.Send)
}

// follow is what a server does of a watch.
func (w *teller) follow(ctx context.Context, after registry.Epoch, send sender) error {
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	var sent *registry.PoolInfo
	for {
		w.mu.Lock()
		applied, history, stale, woken := w.mu.applied, w.mu.history, w.mu.stale, w.mu.woken
		w.mu.Unlock()
		if registry.Epoch(applied) >= after {
			e := &rotav1.WatchResponse{Index: uint64(applied), Term: 2, ServedBy: w.name, AgeMs: uint64(stale / time.Millisecond)}
			events, err := w.events(e, after, sent, w.said.at(applied), history)
			if err != nil {
				return err
			}
			for _, e := range events {
				if err := send(e); err != nil {
					return err
				}
			}
			sent = w.said.at(applied).pool
		}
		select {
		case <-woken:
		case <-ticker.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// events are those that lead from what was sent, or from after, to now: at
// least a sign of life. head is their frame.
func (w *teller) events(head *rotav1.WatchResponse, after registry.Epoch, sent *registry.PoolInfo, now moment, history bool) ([]*rotav1.WatchResponse, error) {
	if now.pool == nil {
		return nil, wire.ToError(notThere())
	}
	frame := func() *rotav1.WatchResponse {
		return &rotav1.WatchResponse{Index: head.Index, Term: head.Term, ServedBy: head.ServedBy, AgeMs: head.AgeMs}
	}
	have := after
	if sent != nil {
		have = sent.Epoch
	}
	if have == now.pool.Epoch {
		return []*rotav1.WatchResponse{frame()}, nil
	}
	path := w.said.since(have, now.index)
	if !history || len(path) == 0 || have == 0 {
		e := frame()
		e.Pool, e.Reset_ = wire.ToPool(*now.pool), after > 0
		return []*rotav1.WatchResponse{e}, nil
	}
	var events []*rotav1.WatchResponse
	for i := range path[1:] {
		e := frame()
		e.Change = wire.ToPoolChange(registry.DiffPools(*path[i].pool, *path[i+1].pool))
		events = append(events, e)
	}
	return events, nil
}

// poolAt is p at an epoch, with those workers alive.
func poolAt(epoch registry.Epoch, names ...registry.NodeName) *registry.PoolInfo {
	info := &registry.PoolInfo{
		Spec: registry.Spec{Name: "p", Topic: "t/p", NodeType: "worker"}, Topic: "t/p",
		AliveCount: len(names), EligibleCount: len(names), Epoch: epoch, Satisfied: true,
	}
	for _, name := range names {
		alias := hrw.Alias(string(name), 0)
		info.Members = append(info.Members, registry.MemberInfo{
			Name: name, Alias: alias, SiteID: hrw.SiteID(hrw.Zeek71, alias), Topic: "t/" + string(name) + "/",
			Alive: true, Eligible: true, State: registry.Alive,
		})
	}
	return info
}

// toldOf is a chronicle of pools, each committed at its epoch.
func toldOf(pools ...*registry.PoolInfo) *chronicle {
	c := &chronicle{}
	for _, p := range pools {
		c.add(registry.Index(p.Epoch), p)
	}
	return c
}

// watchers puts tellers of one chronicle, which have applied all of it, at
// addresses.
func (e *edge) watchers(said *chronicle, addresses ...string) []*teller {
	all := make([]*teller, len(addresses))
	for i, address := range addresses {
		all[i] = newTeller(said)
		all[i].mu.applied = said.at(1 << 40).index
		e.tell(address, all[i])
	}
	return all
}
