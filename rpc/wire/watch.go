package wire

import (
	"github.com/rota-registry/rota/registry"
	rotav1 "github.com/rota-registry/rota/rpc/gen/rota/v1"
)

// ToPoolEvent puts onto the wire what a watcher is told.
func ToPoolEvent(e registry.PoolEvent, servedBy string) *rotav1.WatchResponse {
	out := &rotav1.WatchResponse{
		Reset_: e.Reset, Index: uint64(e.Index), Term: uint64(e.Term), ServedBy: servedBy, AgeMs: uint64(max(e.Age, 0)),
	}
	if e.Pool != nil {
		out.Pool = ToPool(*e.Pool)
	}
	if e.Change != nil {
		out.Change = ToPoolChange(*e.Change)
	}
	return out
}
