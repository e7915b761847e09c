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
	seen, err := s.read(ctx, options, func(view *registry.View) error {
		var err error
		choice, err = view.HRW(pool, keys[0])
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
	var choices []registry.Choice
	seen, err := s.read(ctx, options, func(view *registry.View) (err error) {
		choices, err = hrwAll(view, pool, keys)
		return err
	})
	if err != nil {
		return nil, err
	}
	response := &rotav1.HrwTopicsResponse{Index: seen.index, Term: seen.term, ServedBy: s.servedBy, AgeMs: seen.age}
	writeChoices(choices, r.Msg.GetIndexed(), response)
	return reply(response, nil)
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

// hrwAll answers all keys from one state.
func hrwAll(view *registry.View, pool registry.PoolName, keys []hrw.Key) ([]registry.Choice, error) {
	choices := make([]registry.Choice, len(keys))
	for i, key := range keys {
		var err error
		if choices[i], err = view.HRW(pool, key); err != nil {
			return nil, err
		}
	}
	return choices, nil
}

// writeChoices puts choices from one state into a response, which names each
// node for each key, or if indexed once.
func writeChoices(choices []registry.Choice, indexed bool, response *rotav1.HrwTopicsResponse) {
	last := choices[len(choices)-1]
	response.EmptyReason, response.Epoch = last.Reason.String(), uint64(last.Epoch)
	if indexed {
		if last.Reason == registry.NotEmpty {
			list := newChosenList()
			response.Picks = make([]uint32, len(choices))
			for i := range choices {
				response.Picks[i] = list.add(choices[i].Answer)
			}
			response.Chosen = list.chosen
		}
		return
	}
	response.Topics, response.Nodes = make([]string, len(choices)), make([]string, len(choices))
	for i := range choices {
		response.Topics[i], response.Nodes[i] = choices[i].Topic, string(choices[i].Node)
	}
}

// chosenList numbers answers, so that a long list of them names each once.
type chosenList struct {
	chosen []*rotav1.Chosen
	at     map[registry.Answer]uint32
}

func newChosenList() *chosenList { return &chosenList{at: make(map[registry.Answer]uint32)} }

func (l *chosenList) add(a registry.Answer) uint32 {
	at, known := l.at[a]
	if !known {
		at = uint32(len(l.chosen))
		l.at[a] = at
		l.chosen = append(l.chosen, &rotav1.Chosen{Topic: a.Topic, Node: string(a.Node)})
	}
	return at
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
	seen, err := s.read(ctx, options, func(view *registry.View) error {
		return rank(view, pool, keys[0], r.Msg, response)
	})
	response.Index, response.Term, response.AgeMs = seen.index, seen.term, seen.age
	return reply(response, err)
}

func rank(view *registry.View, pool registry.PoolName, key hrw.Key, request *rotav1.RankNodesRequest, response *rotav1.RankNodesResponse) error {
	info, err := view.Pool(pool)
	if err != nil {
		return err
	}
	var ranking []registry.Ranked
	var epoch registry.Epoch
	if request.GetExplain() {
		ranking, epoch, err = view.Explain(pool, key)
	} else {
		ranking, epoch, err = view.Rank(pool, key, max(int(request.GetLimit()), 1))
	}
	response.Ranking, response.Epoch, response.Digest = wire.ToRanking(ranking), uint64(epoch), key.Digest(info.Spec.Hash)
	return err
}
