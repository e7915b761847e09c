package client

import (
	"context"
	"fmt"

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

// HRW answers which node the key belongs to: Zeek's hrw_topic.
func (p *Pool) HRW(ctx context.Context, key hrw.Key, opts ...ReadOption) (Answer, error) {
	fresh, index := p.client.reading(opts)
	res, err := invoke(ctx, p.client, p.method(read, "hrw of pool"),
		func(s *server) unary[rotav1.HrwTopicRequest, rotav1.HrwTopicResponse] { return s.registry.HrwTopic },
		&rotav1.HrwTopicRequest{Pool: string(p.name), Key: toKey(key), Consistency: fresh, AtLeastIndex: index})
	if err != nil {
		return Answer{}, err
	}
	return chosen(res), nil
}

// HRWs answers up to 4,096 keys at one index.
func (p *Pool) HRWs(ctx context.Context, keys []hrw.Key, opts ...ReadOption) (Answers, error) {
	fresh, index := p.client.reading(opts)
	m := p.method(read, "hrw of pool")
	res, err := invoke(ctx, p.client, m,
		func(s *server) unary[rotav1.HrwTopicsRequest, rotav1.HrwTopicsResponse] { return s.registry.HrwTopics },
		&rotav1.HrwTopicsRequest{Pool: string(p.name), Keys: toKeys(keys), Consistency: fresh, AtLeastIndex: index})
	if err != nil {
		return Answers{}, err
	}
	if len(res.GetTopics()) != len(keys) {
		return Answers{}, told(ctx, m, unreadable(res, fmt.Errorf("%d topics for %d keys", len(res.GetTopics()), len(keys))))
	}
	out, err := chosenMany(res)
	return out, told(ctx, m, err)
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
// However often it has to be sent, the cursor moves once.
func (p *Pool) RR(ctx context.Context, key string) (Answer, error) {
	turn, from, err := p.client.take(ctx, p.method(counted, "rr of pool"), registry.Turn{Pool: p.name, Key: key, Count: 1})
	if err != nil {
		return Answer{}, err
	}
	return turn.one(from), nil
}

// RRN takes the next n turns in one step, 1 to 16,384. Like RR it counts once.
func (p *Pool) RRN(ctx context.Context, key string, n int) (Answers, error) {
	if _, err := number("rr: n", n); err != nil {
		return Answers{}, err
	}
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

// oneChosen and manyChosen are the responses of hrw, rr and rr_log_topic.
type (
	oneChosen interface {
		answer
		GetTopic() string
		GetNode() string
		GetEmptyReason() string
		GetEpoch() uint64
	}
	manyChosen interface {
		answer
		GetTopics() []string
		GetNodes() []string
		GetEmptyReason() string
		GetEpoch() uint64
	}
)

func chosen(res oneChosen) Answer {
	return Answer{
		Topic: res.GetTopic(), Node: registry.NodeName(res.GetNode()),
		EmptyReason: wire.FromEmptyReason(res.GetEmptyReason()), Epoch: registry.Epoch(res.GetEpoch()), Served: served(res),
	}
}

func chosenMany(res manyChosen) (Answers, error) {
	topics, nodes := res.GetTopics(), res.GetNodes()
	if len(topics) != len(nodes) {
		return Answers{}, unreadable(res, fmt.Errorf("%d topics and %d nodes", len(topics), len(nodes)))
	}
	out := Answers{
		Each: make([]registry.Answer, len(topics)), EmptyReason: wire.FromEmptyReason(res.GetEmptyReason()),
		Epoch: registry.Epoch(res.GetEpoch()), Served: served(res),
	}
	for i := range topics {
		out.Each[i] = registry.Answer{Node: registry.NodeName(nodes[i]), Topic: topics[i]}
	}
	return out, nil
}

// number puts a count onto the wire. The server knows the bounds, but could not
// tell a number that does not fit from another one.
func number(what string, n int) (uint32, error) {
	if n < 0 || int64(n) > 1<<32-1 {
		return 0, registry.Errorf(registry.Invalid, "%s is %d: it cannot be negative, nor more than 32 bits", what, n)
	}
	return uint32(n), nil
}
