package pace_test

import (
	"testing"
	"time"

	"github.com/rota-registry/rota/registry/pace"
)

const ms = time.Millisecond

// goes asks for the next trip, and lets it go if it may.
func goes(t *testing.T, p *pace.Pace, now time.Duration, waiting int, want bool, alarm time.Duration) {
	t.Helper()
	got, at := p.Next(now, waiting)
	if got != want || at != alarm {
		t.Fatalf("at %s with %d waiting: %v, ask again at %s; want %v, %s", now, waiting, got, at, want, alarm)
	}
	if got {
		p.Begin(now)
		p.Depart(now, 0)
	}
}

func TestALoneCallerNeverWaits(t *testing.T) {
	p := pace.Pace{Max: 2, Slow: pace.Slow}
	for now := time.Duration(0); now < time.Second; now += 4 * ms {
		goes(t, &p, now, 1, true, 0)
		p.Arrive(now+3*ms, now, 1, 0)
		p.End()
		goes(t, &p, now+3*ms, 0, false, 0)
	}
}

func TestAQuickTripHasTheWayForItself(t *testing.T) {
	p := pace.Pace{Max: 2, Slow: pace.Slow}
	goes(t, &p, 0, 1, true, 0)
	goes(t, &p, 5*ms, 3, false, pace.Slow)
	goes(t, &p, 6*ms, 4, false, 0) // that has been said
	p.Arrive(8*ms, 0, 1, 4)
	p.End()
	goes(t, &p, 9*ms, 5, true, 0)
}

func TestASlowTripHoldsUpNobody(t *testing.T) {
	p := pace.Pace{Max: 3, Slow: pace.Slow}
	goes(t, &p, 0, 1, true, 0)
	goes(t, &p, 1*ms, 1, false, pace.Slow)
	goes(t, &p, pace.Slow, 2, true, 0)
	goes(t, &p, pace.Slow+ms, 1, false, 2*pace.Slow)
	goes(t, &p, 2*pace.Slow, 1, true, 0)
	goes(t, &p, 9*pace.Slow, 1, false, 0) // as many as may
	if p.Trips() != 3 {
		t.Errorf("%d trips, want 3", p.Trips())
	}
	p.End()
	goes(t, &p, 9*pace.Slow, 1, true, 0)
}

func TestAFullTripLetsTheNextOneGo(t *testing.T) {
	p := pace.Pace{Max: 3, Slow: pace.Slow}
	goes(t, &p, 0, 9, true, 0)
	p.Depart(0, 4)
	goes(t, &p, 0, 4, true, 0)
	goes(t, &p, 0, 1, false, pace.Slow)
}

func TestATripWaitsForWhoComesBack(t *testing.T) {
	p := pace.Pace{Max: 2, Slow: pace.Slow}
	goes(t, &p, 0, 60, true, 0)
	p.Arrive(3*ms, 0, 60, 4)
	p.End()
	goes(t, &p, 3*ms, 4, false, 3500*time.Microsecond)
	goes(t, &p, 3100*time.Microsecond, 63, false, 0)
	goes(t, &p, 3200*time.Microsecond, 64, true, 0) // all are here

	p.Arrive(6*ms, 3200*time.Microsecond, 64, 0)
	p.End()
	goes(t, &p, 6200*time.Microsecond, 10, false, 6466666*time.Nanosecond)
	goes(t, &p, 6466666*time.Nanosecond, 10, true, 0) // they do not come

	p.Arrive(900*ms, 6*ms, 10, 0) // a slow trip
	p.End()
	goes(t, &p, 900*ms, 1, false, 901*ms)
}

func TestWithoutSlowNobodyIsHeldUp(t *testing.T) {
	p := pace.Pace{Max: 2}
	goes(t, &p, 0, 1, true, 0)
	goes(t, &p, 0, 1, true, 0)
	goes(t, &p, 0, 1, false, 0)
}
