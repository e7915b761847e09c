package client

import (
	"context"

	"github.com/rota-registry/rota/registry"
	"github.com/rota-registry/rota/registry/hrw"
	rotav1 "github.com/rota-registry/rota/rpc/gen/rota/v1"
	"github.com/rota-registry/rota/rpc/wire"
)

// Pool asks for the topics of one pool. Whether the pool exists, each call
// finds out: a pool that is not there is not_found.
type Pool struct {
	client *Client
	name   registry.PoolName
}

// Pool gives a handle on the pool of that name, without asking anyone.
func (c *Client) Pool(name registry.PoolName) *Pool { return &Pool{client: c, name: name} }

// Name is the pool's name.
func (p *Pool) Name() registry.PoolName { return p.name }

// HRW answers which node the key belongs to: Zeek's hrw_topic. Calls that overlap
// go to the cluster together.
func (p *Pool) HRW(ctx context.Context, key hrw.Key, opts ...ReadOption) (Answer, error) {
	m, q := p.method(read, "hrw of pool"), p.question(opts)
	if err := q.check("key", key); err != nil {
		return Answer{}, told(ctx, m, err)
	}
	caller := p.client.keys.caller()
	caller.ask.key = key
	err := p.client.keys.join(ctx, q, caller)
	answers, at := caller.ask.answer, caller.ask.at
	caller.ask = keyAsk{} // or it would be kept for as long as the caller
	p.client.keys.free(caller)
	if err != nil {
		return Answer{}, told(ctx, m, err)
	}
	chosen := answers.at(at)
	return Answer{Topic: chosen.Topic, Node: chosen.Node, EmptyReason: answers.reason, Epoch: answers.epoch, Served: answers.served}, nil
}

// HRWs answers up to 4,096 keys at one index, in one request.
func (p *Pool) HRWs(ctx context.Context, keys []hrw.Key, opts ...ReadOption) (Answers, error) {
	m, q := p.method(read, "hrw of pool"), p.question(opts)
	err := q.check("keys", keys...)
	if err != nil {
		return Answers{}, told(ctx, m, err)
	}
	answers, err := reads{p.client}.many(ctx, p.client.deadline(), q.now(p.client), keys)
	if err != nil {
		return Answers{}, told(ctx, m, err)
	}
	out := Answers{Each: make([]registry.Answer, len(keys)), EmptyReason: answers.reason, Epoch: answers.epoch, Served: answers.served}
	for i := range keys {
		out.Each[i] = answers.at(i)
	}
	return out, nil
}

func (p *Pool) question(opts []ReadOption) question {
	want := p.client.wanted(opts)
	return question{pool: p.name, consistency: want.Consistency, atLeast: want.AtLeastIndex}
}

// Rank gives the k eligible nodes that hrw prefers for the key, best first: the
// first is what HRW answers, the others are its fallbacks. At most 64; 0 is 1.
func (p *Pool) Rank(ctx context.Context, key hrw.Key, k int, opts ...ReadOption) (Ranking, error) {
	limit, err := number("rank: k", k)
	if err != nil {
		return Ranking{}, err
	}
	return p.rank(ctx, &rotav1.RankNodesRequest{Key: toKey(key), Limit: limit}, opts)
}

// Explain gives every member of the pool, eligible or not, with the weight that
// the key gives it, best first.
func (p *Pool) Explain(ctx context.Context, key hrw.Key, opts ...ReadOption) (Ranking, error) {
	return p.rank(ctx, &rotav1.RankNodesRequest{Key: toKey(key), Explain: true}, opts)
}

func (p *Pool) rank(ctx context.Context, req *rotav1.RankNodesRequest, opts []ReadOption) (Ranking, error) {
	req.Pool = string(p.name)
	req.Consistency, req.AtLeastIndex = p.client.reading(opts)
	res, err := invoke(ctx, p.client, p.method(read, "ranking of pool"),
		func(s *server) unary[rotav1.RankNodesRequest, rotav1.RankNodesResponse] { return s.registry.RankNodes }, req)
	if err != nil {
		return Ranking{}, err
	}
	return Ranking{
		Entries: wire.FromRanking(res.GetRanking()), Digest: res.GetDigest(),
		Epoch: registry.Epoch(res.GetEpoch()), Served: served(res),
	}, nil
}

// RR answers whose turn it is in the rotation of that key, and moves its
// cursor: Zeek's rr_topic. Each key has its own cursor; the empty one is usual.
// However often it has to be sent, the cursor moves once. Calls that overlap go
// to the cluster together, in any order; a program that cannot wait for each has
// Prefetch.
func (p *Pool) RR(ctx context.Context, key string) (Answer, error) {
	turn, from, err := p.client.take(ctx, p.method(counted, "rr of pool"), registry.Turn{Pool: p.name, Key: key, Count: 1})
	if err != nil {
		return Answer{}, err
	}
	return turn.one(from), nil
}

// RRN takes the next n turns in one step, 1 to 16,384, with none of others
// between. Like RR it counts once.
func (p *Pool) RRN(ctx context.Context, key string, n int) (Answers, error) {
	turn, from, err := p.client.take(ctx, p.method(counted, "rr of pool"), registry.Turn{Pool: p.name, Key: key, Count: n})
	if err != nil {
		return Answers{}, err
	}
	return turn.many(from, n), nil
}

// Info gives the pool with its members, on request with its cursors.
func (p *Pool) Info(ctx context.Context, withCursors bool, opts ...ReadOption) (PoolState, error) {
	fresh, index := p.client.reading(opts)
	m := p.method(read, "show pool")
	res, err := invoke(ctx, p.client, m,
		func(s *server) unary[rotav1.GetPoolRequest, rotav1.GetPoolResponse] { return s.registry.GetPool },
		&rotav1.GetPoolRequest{Name: string(p.name), WithCursors: withCursors, Consistency: fresh, AtLeastIndex: index})
	if err != nil {
		return PoolState{}, err
	}
	info, err := wire.FromPool(res.GetPool())
	if err != nil {
		return PoolState{}, told(ctx, m, unreadable(res, err))
	}
	return PoolState{PoolInfo: info, Cursors: wire.FromCursors(res.GetPool().GetCursors()), Served: served(res)}, nil
}

func (p *Pool) method(k kind, verb string) method {
	return method{kind: k, verb: verb, name: string(p.name)}
}

// number puts a count onto the wire. The server knows the bounds, but could not
// tell a number that does not fit from another one.
func number(what string, n int) (uint32, error) {
	if n < 0 || int64(n) > 1<<32-1 {
		return 0, registry.Errorf(registry.Invalid, "%s is %d: it cannot be negative, nor more than 32 bits", what, n)
	}
	return uint32(n), nil
}
