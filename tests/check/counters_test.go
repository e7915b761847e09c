package check_test

import (
	"cmp"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rota-registry/rota/registry"
	"github.com/rota-registry/rota/tests/check"
)

// TestCounters claims that each thing is counted that a run must have seen, and
// that a run that has not is told so by name.
func TestCounters(t *testing.T) {
	w := newWorld(t)
	w.rr("a", 1)
	lost := w.rr("a", 1) // committed in term 1, and answered in 3
	w.term = 3
	w.start("r2")
	w.hrw("k1").ServedBy = "r3"
	again := w.take("a", 1, w.serial)
	w.rr("a", 1)
	lost.Returned = again.Returned
	w.ops = slices.DeleteFunc(w.ops, func(o check.Operation) bool { return o.Serial == again.Serial && o.Called == again.Called })
	r := w.report()
	c := r.Counters
	if c.LeaderChanges != 1 || c.ChangesInFlight != 1 || c.RetriesAfterChange != 1 || c.FollowerReadsAtChange != 1 {
		t.Errorf("counters %+v; %v", c, r.Violations)
	}
	least := check.Counters{LeaderChanges: 1, ChangesInFlight: 2, SnapshotsUnderLoad: 1}
	err := c.Require(least)
	if err == nil || !strings.Contains(err.Error(), "ChangesInFlight") || !strings.Contains(err.Error(), "SnapshotsUnderLoad") || strings.Contains(err.Error(), "LeaderChanges") {
		t.Errorf("required %+v: %v", least, err)
	}
	c.Add(check.Counters{ChangesInFlight: 1, SnapshotsUnderLoad: 1})
	if err := c.Require(least); err != nil {
		t.Error(err)
	}
}

// TestChangesInFlight claims that a change of leader counts if a turn was on its
// way over it of which nobody knew what it would come to, by whatever clock the
// new leader shows; and that it does not for one that is known, or that waited.
func TestChangesInFlight(t *testing.T) {
	const before, silent, change, after = 3000 * ms, 4500 * ms, 5000 * ms, 7000 * ms
	span := func(o *check.Operation, called, returned time.Duration) { o.Called, o.Returned = called, returned }
	old := func(w *world) *check.Operation { // has an entry before the change
		return w.rr("a", 1)
	}
	repeat := func(w *world) {
		w.take("a", 1, w.serial)
		w.ops = w.ops[:len(w.ops)-1]
	}
	for name, test := range map[string]struct {
		want         int
		first, later func(*world)
	}{
		"committed, and answered behind it by a repetition": {1, func(w *world) { span(old(w), before, after) }, repeat},
		"committed, repeated, and never answered": {1, func(w *world) {
			o := old(w)
			span(o, before, after)
			o.Outcome, o.Answers = check.Unknown, nil
		}, repeat},
		"committed, answered, and repeated behind it":        {0, func(w *world) { old(w) }, repeat},
		"committed, and answered late":                       {0, func(w *world) { span(old(w), before, after) }, nil},
		"unknown over it":                                    {1, nil, func(w *world) { unknown(w, before, after) }},
		"unknown, and given up before it":                    {0, nil, func(w *world) { unknown(w, before, silent-20*ms) }},
		"unknown, and called behind it":                      {0, nil, func(w *world) { unknown(w, change+10*ms, after) }},
		"unknown, and called when the older term was silent": {0, nil, func(w *world) { unknown(w, silent, after) }},
		"failed over it":                                     {0, nil, func(w *world) { failed(unknown(w, before, after)) }},
		"waited for it":                                      {0, nil, func(w *world) { w.rr("b", 1).Called = before }},
		"in doubt before it, and committed behind it": {1, nil, func(w *world) {
			o := w.rr("b", 1)
			o.Called, o.Doubted = before, before+ms
		}},
		"in doubt when the older term was silent, and committed behind it": {0, nil, func(w *world) {
			o := w.rr("b", 1)
			o.Called, o.Doubted = silent, silent+ms
		}},
		"waited, and in doubt behind it": {0, nil, func(w *world) {
			o := w.rr("b", 1)
			o.Called, o.Doubted = before, change+10*ms
		}},
		"in doubt, and committed before it": {0, func(w *world) {
			o := old(w)
			o.Doubted = o.Called
		}, nil},
		"one copy of a storm in doubt before it": {1, nil, func(w *world) {
			o := *w.rr("b", 1)
			o.Client, o.Outcome, o.Answers = 7, check.Unknown, nil
			span(w.record(o), before, after)
		}},
	} {
		for _, wall := range []time.Duration{0, time.Hour, -time.Hour} {
			t.Run(fmt.Sprintf("%s, wall clock %s off", name, wall), func(t *testing.T) {
				w := newWorld(t)
				if test.first != nil {
					test.first(w)
				}
				w.now = silent - 10*ms
				w.anonymous("quiet", 1)
				w.now = change
				w.term, w.wall = 3, wall
				w.start("r2")
				w.anonymous("quiet", 1)
				if test.later != nil {
					test.later(w)
				}
				slices.SortStableFunc(w.ops, func(a, b check.Operation) int { return cmp.Compare(a.Called, b.Called) })
				if c := w.report().Counters; c.LeaderChanges != 1 || c.ChangesInFlight != test.want {
					t.Errorf("%+v, want %d in flight", c, test.want)
				}
			})
		}
	}
}

// unknown is a turn that the log does not have.
func unknown(w *world, called, returned time.Duration) *check.Operation {
	o := w.record(check.Operation{Kind: check.RoundRobin, Pool: "worker", Key: "a", Count: 1, Session: session, Serial: 999, Outcome: check.Unknown})
	o.Called, o.Returned = called, returned
	return o
}

// TestAStormIsOneRetry claims that a request counts once among the retries that
// were answered after a change of leader, however many copies of it the log has.
func TestAStormIsOneRetry(t *testing.T) {
	w := newWorld(t)
	w.rr("a", 1)
	w.rr("a", 1)
	w.term = 3
	w.start("r2")
	for range 10 {
		w.take("a", 1, w.serial)
	}
	if c := w.report().Counters; c.RetriesAfterChange != 1 {
		t.Errorf("10 copies of one request are %d retries", c.RetriesAfterChange)
	}
	w.take("a", 1, w.serial-1)
	if c := w.report().Counters; c.RetriesAfterChange != 2 {
		t.Errorf("2 requests are %d retries", c.RetriesAfterChange)
	}
}

// TestReadsAtAChange claims that a read counts that was answered close to a change
// of leader by who does not lead, and no other.
func TestReadsAtAChange(t *testing.T) {
	for name, test := range map[string]struct {
		want   int
		by     registry.ReplicaName
		called time.Duration // from the change
		took   time.Duration
	}{
		"just behind it":                 {1, "r3", ms, 5 * ms},
		"just before it":                 {1, "r3", -8 * ms, 5 * ms},
		"waited for it":                  {1, "r3", -3000 * ms, 3005 * ms},
		"by who led before":              {1, "r1", ms, 5 * ms},
		"by who still led":               {0, "r1", -8 * ms, 5 * ms},
		"by the leader":                  {0, "r2", ms, 5 * ms},
		"answered long behind it":        {0, "r3", -2500 * ms, 5000 * ms},
		"called at it, and answered not": {0, "r3", ms, 40 * ms},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.now += 5000 * ms
			at := w.now
			w.term = 3
			w.start("r2")
			read := w.hrw("k1")
			read.ServedBy, read.Called, read.Returned = test.by, at+test.called, at+test.called+test.took
			if c := w.report().Counters; c.FollowerReadsAtChange != test.want {
				t.Errorf("%d, want %d", c.FollowerReadsAtChange, test.want)
			}
		})
	}
}

// TestNothingCounted claims that a quiet run has nothing to show.
func TestNothingCounted(t *testing.T) {
	w := newWorld(t)
	w.rr("a", 1)
	w.hrw("k1").ServedBy = "r2"
	if c := w.report().Counters; c.LeaderChanges != 0 || c.ChangesInFlight != 0 || c.RetriesAfterChange != 0 || c.FollowerReadsAtChange != 0 {
		t.Errorf("counters %+v", c)
	}
}

// TestLeaks claims that a descriptor, a goroutine and memory that stay are found
// and that as much as allowed is not.
func TestLeaks(t *testing.T) {
	first, err := check.Process(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	now, err := check.Process(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	may := check.Usage{Descriptors: 0, Threads: 100, Resident: 1 << 30}
	if found := check.Grown("this process", first, now, may); len(found) != 1 {
		t.Errorf("an open file: %v", found)
	}
	may.Descriptors = 1
	if found := check.Grown("this process", first, now, may); len(found) != 0 {
		t.Errorf("an open file that is allowed: %v", found)
	}
	self, stop := check.Self(), make(chan struct{})
	done := make(chan struct{})
	go func() { <-stop; close(done) }()
	if found := check.Grown("this process", self, check.Self(), check.Usage{Resident: 1 << 30}); len(found) != 1 {
		t.Errorf("a goroutine: %v", found)
	}
	close(stop)
	<-done
	if now := check.Self(); now.Resident <= 0 || first.Resident <= 0 || first.Threads <= 0 {
		t.Errorf("usage %+v, by the kernel %+v", now, first)
	}
}

// TestEmptyHistory claims that nothing is wrong with nothing, and that an answer
// without a log is.
func TestEmptyHistory(t *testing.T) {
	r := check.All(check.Run{})
	if len(r.Violations) != 0 || r.Counters != (check.Counters{}) {
		t.Errorf("%+v", r)
	}
	ops := []check.Operation{{Kind: check.HRW, Pool: "worker", Outcome: check.OK, Position: registry.Position{Index: 1, Term: 1}, Returned: time.Second}}
	if r := check.All(check.Run{Ops: ops}); len(r.Violations) == 0 {
		t.Error("an answer without any log was found right")
	}
}
