package replica

import (
	"sync/atomic"

	"github.com/hashicorp/go-hclog"
)

// quietAtStop is a logger for Raft, whose goroutines report the end of their
// own connections as errors: once the replica stops, those are no news.
type quietAtStop struct {
	hclog.Logger
	stopping *atomic.Bool
}

// Error logs an error, at debug level once the replica stops.
func (q quietAtStop) Error(msg string, args ...any) {
	if q.stopping.Load() {
		q.Debug(msg, args...)
		return
	}
	q.Logger.Error(msg, args...)
}
