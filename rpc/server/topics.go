package server

import (
	"context"

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
	pool, keys, err := questions(r.Msg)
	if err != nil {
		return nil, err
	}
	var choices registry.Choices
	seen, err := s.read(ctx, options, func(view *registry.View) (err error) {
		choices, err = view.HRWs(pool, keys)
		return err
	})
	if err != nil {
		return nil, err
	}
	response := &rotav1.HrwTopicsResponse{Index: seen.index, Term: seen.term, ServedBy: s.servedBy, AgeMs: seen.age}
	writeChoices(choices, len(keys), r.Msg.GetIndexed(), response)
	return reply(response, nil)
}

// question checks what an hrw is asked: a pool, and a key or nothing.
func question(pool, field string, keys ...*rotav1.Key) (registry.PoolName, []hrw.Key, error) {
	name := registry.PoolName(pool)
	if err := name.Validate(); err != nil {
		return name, nil, err
	}
	read, err := wire.FromKeys(field, keys)
	return name, read, err
}

// questions checks what HrwTopics is asked. Each key is named by its place.
func questions(m *rotav1.HrwTopicsRequest) (registry.PoolName, []hrw.Key, error) {
	name, n := registry.PoolName(m.GetPool()), len(m.GetKeys())+len(m.GetStrings())
	if err := name.Validate(); err != nil {
		return name, nil, err
	}
	switch {
	case n == 0:
		return name, nil, registry.Errorf(registry.Invalid, "keys: empty: give 1 to %d keys", registry.BatchKeysMax)
	case n > registry.BatchKeysMax:
		return name, nil, registry.Errorf(registry.Limit, "keys: there are %d, at most %d are allowed: ask in several requests", n, registry.BatchKeysMax)
	case len(m.GetStrings()) == 0:
		keys, err := wire.FromKeys("keys", m.GetKeys())
		return name, keys, err
	case len(m.GetKeys()) > 0:
		return name, nil, registry.Errorf(registry.Invalid, "strings: there are keys, too: give all in keys, or all in strings")
	}
	keys, err := wire.FromStrings("strings", m.GetStrings())
	return name, keys, err
}

// writeChoices puts the answers to n keys into a response, which names each
// node for each key, or if indexed once.
func writeChoices(choices registry.Choices, n int, indexed bool, response *rotav1.HrwTopicsResponse) {
	response.EmptyReason, response.Epoch = choices.Reason.String(), uint64(choices.Epoch)
	if indexed {
		response.Chosen, response.Picks = index(choices)
		return
	}
	response.Topics, response.Nodes = make([]string, n), make([]string, n)
	for i, at := range choices.Picks {
		response.Topics[i], response.Nodes[i] = choices.Members[at].Topic, string(choices.Members[at].Node)
	}
}

// index numbers the members that were chosen, in the order of the keys.
func index(choices registry.Choices) (chosen []*rotav1.Chosen, picks []uint32) {
	numbers := make([]uint32, len(choices.Members)) // 0: not chosen yet
	picks = make([]uint32, len(choices.Picks))
	for i, at := range choices.Picks {
		if numbers[at] == 0 {
			chosen = append(chosen, &rotav1.Chosen{Topic: choices.Members[at].Topic, Node: string(choices.Members[at].Node)})
			numbers[at] = uint32(len(chosen))
		}
		picks[i] = numbers[at] - 1
	}
	return chosen, picks
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
