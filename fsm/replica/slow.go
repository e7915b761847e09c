package replica

import (
	"slices"
	"sync"
	"time"

	"github.com/rota-registry/rota/registry"
)

// A leader whose disk is persistently far slower than another voter's makes every
// write wait for it, though a majority would be as fast as the others are: it hands
// leadership over. Each replica knows how long its own store takes to append to the
// log, and tells it in its greetings; all append the same entries.
const (
	// slowMin is a disk that is slow by itself, and slowTimes how often slower than
	// the other's it must be: leaderships must not go to and fro between disks that
	// differ a little.
	slowMin   = 100 * time.Millisecond
	slowTimes = 10
	// slowFor is how long that must have been so; a disk may hiccup.
	slowFor = 10 * time.Second
	// slowPause is between two such handovers of one replica.
	slowPause = time.Minute
	// appendsKept are the last appends, of the time appendsFor, whose median counts;
	// of fewer than appendsMin nothing is known.
	appendsKept = 16
	appendsFor  = 30 * time.Second
	appendsMin  = 4
)

// appends are how long the last appends to the log took.
type appends struct {
	mu   sync.Mutex
	last []timed // the newest last
}

type timed struct {
	at   time.Time
	took time.Duration
}

func (a *appends) note(at time.Time, took time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.last = append(a.last, timed{at, took})
	a.last = a.last[max(0, len(a.last)-appendsKept):]
}

// median gives the middle one of late, 0 if too few are known.
func (a *appends) median(now time.Time) time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	var took []time.Duration
	for _, t := range a.last {
		if now.Sub(t.at) < appendsFor {
			took = append(took, t.took)
		}
	}
	if len(took) < appendsMin {
		return 0
	}
	slices.Sort(took)
	return took[len(took)/2]
}

// muchSlower reports whether own is, in comparison with other; 0 is not known.
func muchSlower(own, other registry.Micros) bool {
	return other > 0 && own >= registry.Micros(slowMin.Microseconds()) && own >= slowTimes*other
}

// sloth is what a leader knows of its own disk being slow.
type sloth struct {
	since  time.Time // zero: it is not
	yields time.Time // when it last handed over; the next time is slowPause later
}

// step takes what the voters' greetings say, and reports whether to hand over now.
func (s *sloth) step(now time.Time, leading, slower bool) bool {
	switch {
	case !leading || !slower:
		s.since = time.Time{}
		return false
	case s.since.IsZero():
		s.since = now
	}
	if now.Sub(s.since) < slowFor || !s.yields.IsZero() && now.Sub(s.yields) < slowPause {
		return false
	}
	s.yields = now
	return true
}

// yieldIfSlow hands leadership over when another voter, that is ready, has a disk
// that is so much faster; answers are the others' greetings.
func (r *Replica) yieldIfSlow(s *sloth, answers []answered) {
	own := r.appendTime()
	faster := func(g registry.Greeting) bool { return muchSlower(own, g.AppendTime) }
	slower := slices.ContainsFunc(answers, func(a answered) bool {
		return a.err == nil && a.Ready && r.votes(a.Name) && faster(a.Greeting)
	})
	if s.step(time.Now(), r.leading() != 0, slower) {
		if r.handOver(faster) != nil { // it has said why, unless nobody is ready
			s.yields = time.Now().Add(handOverEvery - slowPause)
			return
		}
		r.log.Warn("this replica led with a disk that is much slower than another one's", "append", time.Duration(own)*time.Microsecond)
	}
}

// appendTime is what this replica tells of its disk.
func (r *Replica) appendTime() registry.Micros {
	return registry.Micros(r.store.disk.appends.median(time.Now()).Microseconds())
}
