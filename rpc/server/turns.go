package server

import (
	"context"
	"crypto/rand"
	"encoding/hex"

	"connectrpc.com/connect"

	"github.com/rota-registry/rota/registry"
	rotav1 "github.com/rota-registry/rota/rpc/gen/rota/v1"
	"github.com/rota-registry/rota/rpc/wire"
)

func (s registryService) RrTopic(ctx context.Context, r *connect.Request[rotav1.RrTopicRequest]) (*connect.Response[rotav1.RrTopicResponse], error) {
	turn, done, err := s.turn(ctx, r.Msg.GetRequest(), registry.Turn{Pool: registry.PoolName(r.Msg.GetPool()), Key: r.Msg.GetKey(), Count: 1})
	answer := first(turn)
	return reply(&rotav1.RrTopicResponse{
		Topic: answer.Topic, Node: string(answer.Node), EmptyReason: turn.Reason.String(), Epoch: uint64(turn.Epoch),
		Index: done.index, Term: done.term, ServedBy: s.servedBy,
	}, err)
}

func (s registryService) RrTopics(ctx context.Context, r *connect.Request[rotav1.RrTopicsRequest]) (*connect.Response[rotav1.RrTopicsResponse], error) {
	turn, done, err := s.turn(ctx, r.Msg.GetRequest(), registry.Turn{
		Pool: registry.PoolName(r.Msg.GetPool()), Key: r.Msg.GetKey(), Count: int(r.Msg.GetCount()),
	})
	response := &rotav1.RrTopicsResponse{
		Topics: make([]string, turn.Count()), Nodes: make([]string, turn.Count()),
		EmptyReason: turn.Reason.String(), Epoch: uint64(turn.Epoch),
		Index: done.index, Term: done.term, ServedBy: s.servedBy,
	}
	for i := range turn.Count() {
		answer := turn.At(i)
		response.Topics[i], response.Nodes[i] = answer.Topic, string(answer.Node)
	}
	return reply(response, err)
}

// RrBatch hands all turns over as one command. What a state refuses of one of
// them is told of that one.
func (s registryService) RrBatch(ctx context.Context, r *connect.Request[rotav1.RrBatchRequest]) (*connect.Response[rotav1.RrBatchResponse], error) {
	turns, err := wire.FromTurns(r.Msg)
	if err != nil {
		return nil, err
	}
	result, position, err := s.propose(ctx, registry.RoundRobin{Turns: turns})
	if err != nil {
		return nil, err
	}
	if len(result.Turns) != len(turns) {
		return nil, registry.Errorf(registry.Internal, "%d turns at index %d were answered by %d", len(turns), position.Index, len(result.Turns))
	}
	list := newChosenList()
	response := &rotav1.RrBatchResponse{
		Turns: make([]*rotav1.RrBatchResponse_Turn, len(turns)),
		Index: uint64(position.Index), Term: uint64(position.Term), ServedBy: s.servedBy, Leader: s.replica.Leader(),
	}
	for i := range result.Turns {
		response.Turns[i] = toTurn(&result.Turns[i], position, list)
	}
	response.Chosen = list.chosen
	return reply(response, nil)
}

func toTurn(turn *registry.TurnResult, position registry.Position, list *chosenList) *rotav1.RrBatchResponse_Turn {
	if turn.Taken != (registry.Position{}) {
		position = turn.Taken
	}
	out := &rotav1.RrBatchResponse_Turn{
		Count: uint32(turn.Count()), EmptyReason: turn.Reason.String(), Epoch: uint64(turn.Epoch),
		Index: uint64(position.Index), Term: uint64(position.Term),
	}
	if turn.Err != nil {
		out.Code, out.Error = turn.Err.Code.String(), turn.Err.Text
	}
	for _, answer := range turn.Answers {
		out.Lap = append(out.Lap, list.add(answer))
	}
	return out
}

func (s registryService) RrLogTopic(ctx context.Context, r *connect.Request[rotav1.RrLogTopicRequest]) (*connect.Response[rotav1.RrLogTopicResponse], error) {
	asked, err := wire.FromLogTopic(r.Msg.GetLogId(), r.Msg.GetPath())
	if err != nil {
		return nil, err
	}
	turn, done, err := s.turn(ctx, r.Msg.GetRequest(), asked)
	answer := first(turn)
	return reply(&rotav1.RrLogTopicResponse{
		Topic: answer.Topic, Node: string(answer.Node), EmptyReason: turn.Reason.String(), Epoch: uint64(turn.Epoch),
		Index: done.index, Term: done.term, ServedBy: s.servedBy,
	}, err)
}

// turn takes one turn of one cursor, or gives what the same request was answered
// before, with the place at which it was.
func (s registryService) turn(ctx context.Context, id *rotav1.RequestId, turn registry.Turn) (registry.TurnResult, place, error) {
	if id != nil {
		turn.Request = registry.RequestID{
			Session: registry.SessionID(id.GetSession()), Serial: id.GetSerial(), FirstUnacked: id.GetFirstUnacked(),
		}
		if err := turn.Request.Validate(); err != nil { // An empty one is not the same as none.
			return registry.TurnResult{}, place{}, err
		}
	}
	result, position, err := s.propose(ctx, registry.RoundRobin{Turns: []registry.Turn{turn}})
	if err != nil {
		return registry.TurnResult{}, place{}, err
	}
	if len(result.Turns) != 1 {
		return registry.TurnResult{}, place{}, registry.Errorf(registry.Internal, "one turn at index %d was answered by %d", position.Index, len(result.Turns))
	}
	answer := result.Turns[0]
	if answer.Err != nil {
		return registry.TurnResult{}, place{}, answer.Err
	}
	if answer.Taken != (registry.Position{}) {
		position = answer.Taken
	}
	return answer, at(position), nil
}

func first(turn registry.TurnResult) registry.Answer {
	if len(turn.Answers) == 0 {
		return registry.Answer{}
	}
	return turn.Answers[0]
}

// OpenSession draws the session's id. One whose answer is lost is never used,
// and forgotten in time.
func (s registryService) OpenSession(ctx context.Context, _ *connect.Request[rotav1.OpenSessionRequest]) (*connect.Response[rotav1.OpenSessionResponse], error) {
	id := drawSession()
	_, position, err := s.propose(ctx, registry.OpenSession{ID: id})
	done := at(position)
	return reply(&rotav1.OpenSessionResponse{Session: string(id), Index: done.index, Term: done.term, ServedBy: s.servedBy}, err)
}

// drawSession draws an id that nobody can guess: who knows it can ask for its
// answers.
func drawSession() registry.SessionID {
	var id [registry.SessionIDLen / 2]byte
	_, _ = rand.Read(id[:]) // never fails: it ends the process instead
	return registry.SessionID(hex.EncodeToString(id[:]))
}

func (s registryService) ListCursors(ctx context.Context, r *connect.Request[rotav1.ListCursorsRequest]) (*connect.Response[rotav1.ListCursorsResponse], error) {
	pool := registry.PoolName(r.Msg.GetPool())
	options, err := wire.FromConsistency(r.Msg.GetConsistency(), r.Msg.GetAtLeastIndex())
	if err == nil {
		err = pool.Validate()
	}
	if err != nil {
		return nil, err
	}
	cursors, _, info, err := s.replica.Cursors(ctx, options, pool)
	seen := answered(options, info)
	return reply(&rotav1.ListCursorsResponse{
		Cursors: wire.ToCursors(cursors), Index: seen.index, Term: seen.term, ServedBy: s.servedBy, AgeMs: seen.age,
	}, err)
}

func (s registryService) SetCursor(ctx context.Context, r *connect.Request[rotav1.SetCursorRequest]) (*connect.Response[rotav1.SetCursorResponse], error) {
	_, position, err := s.propose(ctx, registry.SetCursor{
		Pool: registry.PoolName(r.Msg.GetPool()), Key: r.Msg.GetKey(), Next: int(r.Msg.GetNext()), By: by(r.Header()),
	})
	done := at(position)
	return reply(&rotav1.SetCursorResponse{Index: done.index, Term: done.term, ServedBy: s.servedBy}, err)
}

func (s registryService) DeleteCursor(ctx context.Context, r *connect.Request[rotav1.DeleteCursorRequest]) (*connect.Response[rotav1.DeleteCursorResponse], error) {
	_, position, err := s.propose(ctx, registry.DeleteCursor{
		Pool: registry.PoolName(r.Msg.GetPool()), Key: r.Msg.GetKey(), By: by(r.Header()),
	})
	done := at(position)
	return reply(&rotav1.DeleteCursorResponse{Index: done.index, Term: done.term, ServedBy: s.servedBy}, err)
}
