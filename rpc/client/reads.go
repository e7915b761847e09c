package client

import (
	"context"
	"fmt"
	"time"

	"github.com/rota-registry/rota/registry"
	"github.com/rota-registry/rota/registry/hrw"
	rotav1 "github.com/rota-registry/rota/rpc/gen/rota/v1"
	"github.com/rota-registry/rota/rpc/wire"
)

const (
	// keyOverhead is what a key takes in a request beside its value, at most:
	// twice a tag and a length.
	keyOverhead = 8
	// questionBytes leaves room for the rest of the request.
	questionBytes = registry.NameMax + 64
)

// question is the kind of batch that keys can be asked in: what they have in
// common.
type question struct {
	pool        registry.PoolName
	consistency registry.Consistency
	// atLeast is 0 for the latest answer that the Client has given when the
	// question is put, if consistency is AtLeast.
	atLeast registry.Index
}

// now is the question as it is put now.
func (q question) now(c *Client) question {
	if q.consistency == registry.AtLeast && q.atLeast == 0 {
		q.atLeast = registry.Index(c.seen.Load())
	}
	return q
}

// check refuses, in the server's words, what it would refuse: the keys of other
// calls are to go with these in one request.
func (q question) check(field string, keys ...hrw.Key) error {
	if err := q.pool.Validate(); err != nil {
		return err
	}
	for i := range keys {
		if keys[i].Len() > registry.KeyMax {
			_, err := wire.FromKeys(field, toKeys(keys[:i+1]))
			return err
		}
	}
	return nil
}

// keyAsk is what one call asks: whose a key is.
type keyAsk struct {
	key hrw.Key

	at     int // of its answer in that of the batch
	answer *keyAnswers
}

// keyAnswers is what a batch of keys came to.
type keyAnswers struct {
	chosen []registry.Answer
	picks  []uint32 // into chosen, one a key; none when nothing is eligible
	reason registry.EmptyReason
	epoch  registry.Epoch
	served Served
}

// at gives the answer to key i; an empty one if nothing is eligible.
func (k *keyAnswers) at(i int) registry.Answer {
	if len(k.picks) == 0 {
		return registry.Answer{}
	}
	return k.chosen[k.picks[i]]
}

// keyCargo is the keys of a batch.
type keyCargo struct {
	client *Client
	question
	keys    []hrw.Key
	bytes   int
	answers keyAnswers
}

// add implements cargo.
func (l *keyCargo) add(a *keyAsk) bool {
	n := a.key.Len() + keyOverhead
	if len(l.keys) == registry.BatchKeysMax || l.bytes+n > registry.BatchBodyMax-questionBytes {
		return false
	}
	a.at = len(l.keys)
	l.keys = append(l.keys, a.key)
	l.bytes += n
	return true
}

// seal implements cargo.
func (l *keyCargo) seal() { l.question = l.now(l.client) }

// reads carries what a Client asks hrw, each question in batches of its own. A
// key goes only in a batch that has not been sent: what a linearizable read
// sees was acknowledged before it was asked for.
type reads struct{ client *Client }

// load implements carrier.
func (r reads) load(q question) (cargo[keyAsk], bool) {
	return &keyCargo{client: r.client, question: q}, true
}

// prepare implements carrier; there is nothing to do.
func (reads) prepare(time.Time) error { return nil }

// carry implements carrier.
func (r reads) carry(ctx context.Context, deadline time.Time, load cargo[keyAsk]) (err error) {
	l := load.(*keyCargo)
	if len(l.keys) == 1 {
		l.answers, err = r.one(ctx, deadline, l)
	} else {
		l.answers, err = r.many(ctx, deadline, l.question, l.keys)
	}
	return err
}

// deliver implements carrier.
func (reads) deliver(load cargo[keyAsk], ask *keyAsk) { ask.answer = &load.(*keyCargo).answers }

// one asks for the only key of a cargo.
func (r reads) one(ctx context.Context, deadline time.Time, l *keyCargo) (keyAnswers, error) {
	msg := &rotav1.HrwTopicRequest{
		Pool: string(l.pool), Key: toKey(l.keys[0]), Consistency: l.consistency.String(), AtLeastIndex: uint64(l.atLeast),
	}
	var answer *rotav1.HrwTopicResponse
	err := r.client.attempts(ctx, deadline, read, func(ctx context.Context, s *server) error {
		res, err := s.registry.HrwTopic(ctx, request(r.client, msg))
		if err == nil {
			answer = res.Msg
		}
		return err
	})
	if err != nil {
		return keyAnswers{}, err
	}
	r.client.note(registry.Index(answer.GetIndex()))
	out := keyAnswers{
		reason: wire.FromEmptyReason(answer.GetEmptyReason()), epoch: registry.Epoch(answer.GetEpoch()), served: served(answer),
	}
	if answer.GetTopic() != "" {
		out.chosen, out.picks = []registry.Answer{{Topic: answer.GetTopic(), Node: registry.NodeName(answer.GetNode())}}, []uint32{0}
	}
	return out, nil
}

// many asks for several keys.
func (r reads) many(ctx context.Context, deadline time.Time, q question, keys []hrw.Key) (keyAnswers, error) {
	msg := &rotav1.HrwTopicsRequest{
		Pool: string(q.pool), Consistency: q.consistency.String(), AtLeastIndex: uint64(q.atLeast), Indexed: true,
	}
	writeKeys(msg, keys)
	var answer *rotav1.HrwTopicsResponse
	err := r.client.attempts(ctx, deadline, read, func(ctx context.Context, s *server) error {
		res, err := s.registry.HrwTopics(ctx, request(r.client, msg))
		if err == nil {
			answer = res.Msg
		}
		return err
	})
	if err != nil {
		return keyAnswers{}, err
	}
	r.client.note(registry.Index(answer.GetIndex()))
	out := keyAnswers{
		chosen: fromChosen(answer.GetChosen()), picks: answer.GetPicks(),
		reason: wire.FromEmptyReason(answer.GetEmptyReason()), epoch: registry.Epoch(answer.GetEpoch()), served: served(answer),
	}
	return out, out.fault(answer, len(keys))
}

// fault says what is wrong with the answers to n keys, or nothing.
func (k *keyAnswers) fault(res answer, n int) error {
	if len(k.picks) != n && (len(k.picks) != 0 || k.reason == registry.NotEmpty) {
		return unreadable(res, fmt.Errorf("%d answers to %d keys", len(k.picks), n))
	}
	for _, at := range k.picks {
		if int(at) >= len(k.chosen) {
			return unreadable(res, fmt.Errorf("answer %d of %d", at, len(k.chosen)))
		}
	}
	return nil
}
