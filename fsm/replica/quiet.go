package replica

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"
)

// quietEvery is how often one complaint is repeated.
const quietEvery = time.Minute

// quiet is a logger for Raft. Its goroutines report the end of their own
// connections as errors, which is no news once the replica stops; and a
// follower that cannot be reached, or an election that nobody answers, several
// times a second for as long as it lasts: an operator wants to read that once,
// and then once a minute.
type quiet struct {
	hclog.Logger
	stopping *atomic.Bool

	mu   sync.Mutex
	said map[string]time.Time // by complaint and whom it is about
}

// quietComplaints bounds said.
const quietComplaints = 256

func newQuiet(logger hclog.Logger, stopping *atomic.Bool) *quiet {
	return &quiet{Logger: logger, stopping: stopping, said: make(map[string]time.Time)}
}

// Error logs an error; at debug level when it is no news.
func (q *quiet) Error(msg string, args ...any) { q.complain(q.Logger.Error, msg, args) }

// Warn logs a warning; at debug level when it is no news.
func (q *quiet) Warn(msg string, args ...any) { q.complain(q.Logger.Warn, msg, args) }

// Info logs an event; at debug level when it is no news.
func (q *quiet) Info(msg string, args ...any) { q.complain(q.Logger.Info, msg, args) }

func (q *quiet) complain(say func(string, ...any), msg string, args []any) {
	if q.stopping.Load() || !q.news(msg, args) {
		say = q.Debug
	}
	say(msg, args...)
}

// news reports whether a line about the same replica, or about none, was not
// said for a while.
func (q *quiet) news(msg string, args []any) bool {
	about := ""
	for i := 0; i+1 < len(args); i += 2 {
		switch args[i] {
		case "peer", "server-id", "from", "target", "id":
			about = fmt.Sprint(args[i+1])
		}
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	key, now := msg+" "+about, time.Now()
	if last, ok := q.said[key]; ok && now.Sub(last) < quietEvery {
		return false
	}
	if len(q.said) >= quietComplaints {
		clear(q.said)
	}
	q.said[key] = now
	return true
}
