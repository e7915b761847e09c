package client

import (
	"fmt"

	"github.com/rota-registry/rota/registry"
	rotav1 "github.com/rota-registry/rota/rpc/gen/rota/v1"
	"github.com/rota-registry/rota/rpc/wire"
)

// turnsMax bounds the turns of one batch, so that all flights together fit into
// one session. A log entry then has room for them, whatever their texts.
const turnsMax = min(registry.OutstandingMax/flightsMax, registry.BatchTurnsMax)

// cursor names what a turn moves: the cursor of a key of a pool, or with log
// that of the logs.
type cursor struct {
	pool registry.PoolName
	key  string
	log  string
}

// turnAsk is what one call asks: the next answers of a cursor.
type turnAsk struct {
	// turn is one, in an array because whole is of it: a command to be checked,
	// which is made once for all turns that this asks.
	turn  [1]registry.Turn
	whole registry.Command

	// at is the turn of the batch that has the answers, which begin there with
	// number from.
	at, from int
	answer   *turnAnswer
}

// check refuses what no state could take, in the registry's words: the turns of
// other calls are to go with it in one request. What is checked is not to be
// copied any more.
func (a *turnAsk) check() error {
	if a.whole == nil {
		a.whole = registry.RoundRobin{Turns: a.turn[:]}
	}
	return registry.Check(a.whole)
}

func (a *turnAsk) cursor() cursor {
	return cursor{pool: a.turn[0].Pool, key: a.turn[0].Key, log: a.turn[0].LogID}
}

// count is how many answers are asked for.
func (a *turnAsk) count() int {
	if a.turn[0].LogID != "" {
		return 1
	}
	return a.turn[0].Count
}

// turnAnswer is what one turn of a batch came to.
type turnAnswer struct {
	// lap is one round of the answers: the rotation repeats itself. There are
	// count of them; none when nothing is eligible.
	lap    []registry.Answer
	count  int
	reason registry.EmptyReason
	epoch  registry.Epoch
	served Served
	err    error
}

// at gives answer i.
func (t *turnAnswer) at(i int) registry.Answer { return t.lap[i%len(t.lap)] }

// one gives answer i with all that belongs to it; an empty one if there is none.
func (t *turnAnswer) one(i int) Answer {
	a := Answer{EmptyReason: t.reason, Epoch: t.epoch, Served: t.served}
	if t.count > 0 {
		chosen := t.at(i)
		a.Topic, a.Node = chosen.Topic, chosen.Node
	}
	return a
}

// many gives n answers from i on, or none.
func (t *turnAnswer) many(i, n int) Answers {
	a := Answers{Each: make([]registry.Answer, min(n, t.count)), EmptyReason: t.reason, Epoch: t.epoch, Served: t.served}
	for at := range a.Each {
		a.Each[at] = t.at(i + at)
	}
	return a
}

// turn is one turn of a batch: so many answers of a cursor.
type turn struct {
	cursor cursor
	count  int
}

// turnCargo is the turns of a batch. Calls that ask the same cursor share a
// turn, and have its answers in the order in which they came; each log has a
// turn of its own.
type turnCargo struct {
	session *session // nil: without
	room    int      // in turns
	turns   []turn
	at      map[cursor]int // in turns, once there are several cursors
	count   int            // of all turns
	// The serial of the first turn; the others follow it.
	serial, firstUnacked uint64

	answers []turnAnswer // one a turn
}

// newTurnCargo gives one with as much room as the session has.
func newTurnCargo(s *session) *turnCargo {
	l := &turnCargo{session: s, room: turnsMax}
	if s != nil {
		l.room = min(l.room, s.room())
	}
	return l
}

// add implements cargo.
func (l *turnCargo) add(a *turnAsk) bool {
	n, c := a.count(), a.cursor()
	if l.count+n > registry.BatchAnswersMax {
		return false
	}
	at, shared := l.find(c)
	if !shared {
		if len(l.turns) == l.room {
			return false
		}
		at = len(l.turns)
		l.turns = append(l.turns, turn{cursor: c})
		if l.at != nil {
			l.at[c] = at
		}
	}
	a.at, a.from = at, l.turns[at].count
	l.turns[at].count += n
	l.count += n
	return true
}

// find gives the turn that a call can share. Most batches have one cursor, and
// need no map to find it.
func (l *turnCargo) find(c cursor) (at int, ok bool) {
	if c.log != "" || len(l.turns) == 0 {
		return 0, false
	}
	if last := len(l.turns) - 1; l.turns[last].cursor == c {
		return last, true
	}
	if l.at == nil {
		l.at = make(map[cursor]int, len(l.turns)+1)
		for i := range l.turns {
			l.at[l.turns[i].cursor] = i
		}
	}
	at, ok = l.at[c]
	return at, ok
}

// seal implements cargo.
func (l *turnCargo) seal() {
	if l.session != nil {
		l.serial, l.firstUnacked = l.session.draw(len(l.turns))
	}
}

// finish lets go of the serials.
func (l *turnCargo) finish() {
	if l.session != nil {
		l.session.finish(l.serial, len(l.turns))
	}
}

// request is that of the turns from to to-1. Each keeps its serial in whatever
// request it is.
func (l *turnCargo) request(from, to int) *rotav1.RrBatchRequest {
	turns := make([]rotav1.RrBatchRequest_Turn, to-from)
	req := &rotav1.RrBatchRequest{Turns: make([]*rotav1.RrBatchRequest_Turn, to-from)}
	if l.session != nil {
		req.Session, req.FirstUnacked = l.session.id, l.firstUnacked
	}
	for i := range turns {
		t, of := &turns[i], &l.turns[from+i]
		t.Pool, t.Key, t.LogId = string(of.cursor.pool), of.cursor.key, of.cursor.log
		if t.LogId == "" {
			t.Count = uint32(of.count)
		}
		if l.session != nil {
			t.Serial = l.serial + uint64(from+i)
		}
		req.Turns[i] = t
	}
	return req
}

// read takes the answers to the turns from from on out of a response.
func (l *turnCargo) read(res *rotav1.RrBatchResponse, from int) {
	answers := l.answers[from : from+len(res.GetTurns())]
	chosen := fromChosen(res.GetChosen())
	size := 0
	for _, t := range res.GetTurns() {
		size += len(t.GetLap())
	}
	laps := make([]registry.Answer, 0, size)
	for i, t := range res.GetTurns() {
		a := &answers[i]
		a.reason, a.epoch = wire.FromEmptyReason(t.GetEmptyReason()), registry.Epoch(t.GetEpoch())
		a.served = Served{
			Position: registry.Position{Index: registry.Index(t.GetIndex()), Term: registry.Term(t.GetTerm())},
			ServedBy: registry.ReplicaName(res.GetServedBy()),
		}
		if t.GetCode() != "" {
			a.err = &registry.Error{Code: registry.CodeNamed(t.GetCode()), Text: t.GetError()}
			continue
		}
		begin := len(laps)
		var fault error
		if laps, fault = appendLap(laps, t, chosen, l.turns[from+i].count); fault != nil {
			a.err = unreadable(res, fault)
			continue
		}
		a.lap, a.count = laps[begin:len(laps):len(laps)], int(t.GetCount())
	}
}

// appendLap resolves a turn's lap, of which asked answers were wanted.
func appendLap(laps []registry.Answer, t *rotav1.RrBatchResponse_Turn, chosen []registry.Answer, asked int) ([]registry.Answer, error) {
	if n := int(t.GetCount()); n != 0 && (n != asked || len(t.GetLap()) == 0) {
		return laps, fmt.Errorf("%d answers in laps of %d to a turn of %d", n, len(t.GetLap()), asked)
	}
	for _, at := range t.GetLap() {
		if int(at) >= len(chosen) {
			return laps, fmt.Errorf("answer %d of %d", at, len(chosen))
		}
		laps = append(laps, chosen[at])
	}
	return laps, nil
}

func fromChosen(list []*rotav1.Chosen) []registry.Answer {
	chosen := make([]registry.Answer, len(list))
	for i, c := range list {
		chosen[i] = registry.Answer{Topic: c.GetTopic(), Node: registry.NodeName(c.GetNode())}
	}
	return chosen
}

// sessionLost is the refusal of a response that says that its session is not
// known; nil if it does not. That is told of each turn, and is true of all.
func sessionLost(res *rotav1.RrBatchResponse) error {
	for _, t := range res.GetTurns() {
		if t.GetCode() != registry.SessionUnknown.String() {
			return nil
		}
	}
	if len(res.GetTurns()) == 0 {
		return nil
	}
	return &registry.Error{Code: registry.SessionUnknown, Text: res.GetTurns()[0].GetError()}
}
