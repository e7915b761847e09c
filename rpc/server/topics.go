package server

import (
	"context"
	"fmt"

	"connectrpc.com/connect"

	"github.com/rota-registry/rota/registry"
	"github.com/rota-registry/rota/registry/hrw"
	rotav1 "github.com/rota-registry/rota/rpc/gen/rota/v1"
	"github.com/rota-registry/rota/rpc/wire"
)

func (s registryService) HrwTopic(ctx context.Context, r *connect.Request[rotav1.HrwTopicRequest]) (*connect.Response[rotav1.HrwTopicResponse], error) {
	options, err := wire.FromConsistency(r.Msg.GetConsistency(), r.Msg.GetAtLeastIndex())
	if err != nil {
		return nil, err
	}
	pool, keys, err := question(r.Msg.GetPool(), "key", r.Msg.GetKey())
	if err != nil {
		return nil, err
	}
	var choice registry.Choice
	seen, err := s.read(ctx, options, func(state *registry.State) error {
		var err error
		choice, err = state.HRW(pool, keys[0])
		return err
	})
	return reply(&rotav1.HrwTopicResponse{
		Topic: choice.Topic, Node: string(choice.Node), EmptyReason: choice.Reason.String(), Epoch: uint64(choice.Epoch),
		Index: seen.index, Term: seen.term, ServedBy: s.servedBy, AgeMs: seen.age,
	}, err)
}

func (s registryService) HrwTopics(ctx context.Context, r *connect.Request[rotav1.HrwTopicsRequest]) (*connect.Response[rotav1.HrwTopicsResponse], error) {
	options, err := wire.FromConsistency(r.Msg.GetConsistency(), r.Msg.GetAtLeastIndex())
	if err != nil {
		return nil, err
	}
	pool, keys, err := question(r.Msg.GetPool(), "keys", r.Msg.GetKeys()...)
	if err != nil {
		return nil, err
	}
	response := &rotav1.HrwTopicsResponse{ServedBy: s.servedBy}
	seen, err := s.read(ctx, options, func(state *registry.State) error { return hrwAll(state, pool, keys, response) })
	response.Index, response.Term, response.AgeMs = seen.index, seen.term, seen.age
	return reply(response, err)
}

// question checks what every hrw is asked. One key is the field itself; of
// several each is named by its place.
func question(pool, field string, keys ...*rotav1.Key) (registry.PoolName, []hrw.Key, error) {
	name := registry.PoolName(pool)
	if err := name.Validate(); err != nil {
		return name, nil, err
	}
	if len(keys) == 0 {
		return name, nil, registry.Errorf(registry.Invalid, "%s: empty: give 1 to %d keys", field, registry.BatchKeysMax)
	}
	if len(keys) > registry.BatchKeysMax {
		return name, nil, registry.Errorf(registry.Limit, "%s: there are %d, at most %d are allowed: ask in several requests", field, len(keys), registry.BatchKeysMax)
	}
	out := make([]hrw.Key, len(keys))
	for i, k := range keys {
		where := field
		if field == "keys" {
			where = fmt.Sprintf("keys[%d]", i)
		}
		var err error
		if out[i], err = wire.FromKey(where, k); err != nil {
			return name, nil, err
		}
	}
	return name, out, nil
}

func hrwAll(state *registry.State, pool registry.PoolName, keys []hrw.Key, response *rotav1.HrwTopicsResponse) error {
	response.Topics, response.Nodes = make([]string, len(keys)), make([]string, len(keys))
	for i, key := range keys {
		choice, err := state.HRW(pool, key)
		if err != nil {
			return err
		}
		response.Topics[i], response.Nodes[i] = choice.Topic, string(choice.Node)
		response.EmptyReason, response.Epoch = choice.Reason.String(), uint64(choice.Epoch)
	}
	return nil
}

func (s registryService) RankNodes(ctx context.Context, r *connect.Request[rotav1.RankNodesRequest]) (*connect.Response[rotav1.RankNodesResponse], error) {
	options, err := wire.FromConsistency(r.Msg.GetConsistency(), r.Msg.GetAtLeastIndex())
	if err != nil {
		return nil, err
	}
	pool, keys, err := question(r.Msg.GetPool(), "key", r.Msg.GetKey())
	if err != nil {
		return nil, err
	}
	if n := r.Msg.GetLimit(); n > registry.RankMax && !r.Msg.GetExplain() {
		return nil, registry.Errorf(registry.Limit, "limit %d: a ranking has at most %d nodes; with explain it has all members", n, registry.RankMax)
	}
	response := &rotav1.RankNodesResponse{ServedBy: s.servedBy}
	seen, err := s.read(ctx, options, func(state *registry.State) error {
		return rank(state, pool, keys[0], r.Msg, response)
	})
	response.Index, response.Term, response.AgeMs = seen.index, seen.term, seen.age
	return reply(response, err)
}

func rank(state *registry.State, pool registry.PoolName, key hrw.Key, request *rotav1.RankNodesRequest, response *rotav1.RankNodesResponse) error {
	info, err := state.Pool(pool)
	if err != nil {
		return err
	}
	var ranking []registry.Ranked
	var epoch registry.Epoch
	if request.GetExplain() {
		ranking, epoch, err = state.Explain(pool, key)
	} else {
		ranking, epoch, err = state.Rank(pool, key, max(int(request.GetLimit()), 1))
	}
	response.Ranking, response.Epoch, response.Digest = wire.ToRanking(ranking), uint64(epoch), key.Digest(info.Spec.Hash)
	return err
}
