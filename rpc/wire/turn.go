package wire

import (
	"github.com/rota-registry/rota/registry"
	rotav1 "github.com/rota-registry/rota/rpc/gen/rota/v1"
)

// FromLogTopic reads what rr_log_topic is asked with. The path is Zeek's, and
// changes no answer.
func FromLogTopic(id, path string) (registry.Turn, error) {
	if id == "" {
		return registry.Turn{}, registry.Errorf(registry.Invalid, "log id is empty: give one like Conn::LOG")
	}
	if n := len(path); n > registry.LogIDMax {
		return registry.Turn{}, registry.Errorf(registry.Invalid, "path %q has %d bytes, at most %d are allowed", Clip(path), n, registry.LogIDMax)
	}
	return registry.Turn{LogID: id}, nil
}

// FromTurns reads a batch of turns. Of a session, all have a serial; of none,
// none has.
func FromTurns(batch *rotav1.RrBatchRequest) ([]registry.Turn, error) {
	if len(batch.GetTurns()) == 0 {
		return nil, registry.Errorf(registry.Invalid, "turns: empty: give 1 to %d", registry.BatchTurnsMax)
	}
	if n := len(batch.GetTurns()); n > registry.BatchTurnsMax {
		return nil, registry.Errorf(registry.Limit, "turns: there are %d, at most %d are allowed: take them in several batches", n, registry.BatchTurnsMax)
	}
	turns := make([]registry.Turn, len(batch.GetTurns()))
	for i, t := range batch.GetTurns() {
		turn := registry.Turn{Pool: registry.PoolName(t.GetPool()), Key: t.GetKey(), Count: int(t.GetCount()), LogID: t.GetLogId()}
		switch {
		case batch.GetSession() != "":
			turn.Request = registry.RequestID{
				Session: registry.SessionID(batch.GetSession()), Serial: t.GetSerial(), FirstUnacked: batch.GetFirstUnacked(),
			}
			if err := turn.Request.Validate(); err != nil {
				return nil, registry.Errorf(registry.CodeOf(err), "turns[%d]: %v", i, err)
			}
		case t.GetSerial() != 0 || batch.GetFirstUnacked() != 0:
			return nil, registry.Errorf(registry.Invalid, "turns[%d]: serial %d and first_unacked %d belong to a session, and none is given", i, t.GetSerial(), batch.GetFirstUnacked())
		}
		turns[i] = turn
	}
	return turns, nil
}
