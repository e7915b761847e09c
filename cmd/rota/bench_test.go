package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/rota-registry/rota/registry"
)

// benched is what a benchmark printed as JSON.
func benched(t *testing.T, got typed) benchReport {
	t.Helper()
	var r benchReport
	if err := json.Unmarshal([]byte(got.stdout), &r); err != nil {
		t.Fatalf("exit code %d: %v in %q; stderr %s", got.code, err, got.stdout, got.stderr)
	}
	return r
}

// cursorsOf lists a pool's cursors.
func cursorsOf(f *fixture, pool registry.PoolName) []registry.Cursor {
	f.t.Helper()
	f.replica.mu.Lock()
	defer f.replica.mu.Unlock()
	list, err := f.replica.state.Cursors(pool)
	if err != nil {
		f.t.Fatal(err)
	}
	return list
}

// TestBenchCountsEveryAnswer: as many as it says were given, and the first call,
// which is not measured, one more.
func TestBenchCountsEveryAnswer(t *testing.T) {
	for _, c := range []struct {
		line  string
		batch uint64
	}{
		{"bench --key k", 1},
		{"bench rr --key k --callers 1", 1},
		{"bench rr-batch --key k --batch 7", 7},
		{"bench hrw --consistency local", 1},
		{"bench hrw-batch --batch 9 --at-least-index 1", 9},
	} {
		t.Run(c.line, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			got := f.rota(append(words(t, c.line), "--seconds", "0.1", "-o", "json")...)
			r := benched(t, got)
			if got.code != exitOK || got.stderr != "" {
				t.Errorf("exit code %d, stderr %q", got.code, got.stderr)
			}
			if r.Calls == 0 || r.Answers != r.Calls*c.batch || len(r.Errors) > 0 {
				t.Errorf("%d calls of %d answers gave %d, errors %v", r.Calls, c.batch, r.Answers, r.Errors)
			}
			if l := r.LatencyMs; l.P50 <= 0 || l.P50 > l.P99 || l.P99 > l.Max || l.Max > r.Seconds*1000 {
				t.Errorf("latencies %+v within %v s", l, r.Seconds)
			}
			var want []registry.Cursor
			if strings.Contains(c.line, "--key") {
				next := int((r.Answers + c.batch) % 2)
				want = append(want, registry.Cursor{Key: "k", Next: next, Node: []registry.NodeName{"worker-1", "worker-2"}[next]})
			}
			if diff := cmp.Diff(want, cursorsOf(f, "worker"), cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("cursors (-want +got):\n%s", diff)
			}
		})
	}
}

// TestBenchLeavesNoCursorOfItsOwn, and does not touch those in use.
func TestBenchLeavesNoCursorOfItsOwn(t *testing.T) {
	f := newFixture(t)
	f.rota("rr", "worker")
	before := cursorsOf(f, "worker")
	got := f.rota("bench", "--seconds", "0.1")
	if got.code != exitOK || !strings.Contains(got.stdout, `rr of pool "worker", 64 callers`) {
		t.Errorf("exit code %d, stdout %q, stderr %q", got.code, got.stdout, got.stderr)
	}
	if diff := cmp.Diff(before, cursorsOf(f, "worker")); diff != "" {
		t.Errorf("cursors (-before +after):\n%s", diff)
	}
}

// underWay types a benchmark that would go on for ten minutes, calls interfere
// when it has had answers, and gives what it came to.
func (f *fixture) underWay(interfere func(cancel func()), args ...string) typed {
	f.t.Helper()
	ctx, cancel := context.WithTimeout(f.t.Context(), time.Minute)
	defer cancel()
	ended := make(chan typed, 1)
	go func() {
		var stdout, stderr bytes.Buffer
		args := append([]string{"--server", f.address, "bench", "--seconds", "600", "-o", "json"}, args...)
		code := run(ctx, args, streams{in: strings.NewReader(""), out: &stdout, err: &stderr})
		ended <- typed{stdout: stdout.String(), stderr: stderr.String(), code: code}
	}()
	from := f.index()
	eventually(f.t, "the benchmark is under way", func() bool { return f.index() >= from+100 })
	interfere(cancel)
	return <-ended
}

// index is that of the last write.
func (f *fixture) index() registry.Index {
	f.replica.mu.Lock()
	defer f.replica.mu.Unlock()
	return f.replica.index
}

func TestBenchPrintsWhenItIsInterrupted(t *testing.T) {
	f := newFixture(t)
	got := f.underWay(func(cancel func()) { cancel() })
	if r := benched(t, got); got.code != exitOK || r.Calls == 0 || r.Seconds > 60 {
		t.Errorf("exit code %d, %+v, stderr %s", got.code, r, got.stderr)
	}
	if left := cursorsOf(f, "worker"); len(left) > 0 {
		t.Errorf("it left %v", left)
	}
}

func TestBenchEndsWhenNobodyIsEligibleAnyMore(t *testing.T) {
	f := newFixture(t)
	got := f.underWay(func(func()) {
		f.replica.must(t, registry.DrainNode{Name: "worker-1", Draining: true})
		f.replica.must(t, registry.DrainNode{Name: "worker-2", Draining: true})
	}, "--callers", "3")
	if r := benched(t, got); got.code != exitNobody || r.Calls == 0 || !strings.Contains(got.stderr, "are draining") {
		t.Errorf("exit code %d, %+v, stderr %s", got.code, r, got.stderr)
	}
}

// counted is a measurement whose calls come to what each says, and then to the
// empty answer, which ends it.
func counted(callers int, outcomes ...error) *bench {
	var calls atomic.Uint64
	return &bench{callers: callers, length: time.Minute, call: func(context.Context, uint64) (int, registry.EmptyReason, error) {
		n := int(calls.Add(1)) - 1
		if n >= len(outcomes) {
			return 1, registry.NoneAlive, nil
		}
		return 3, registry.NotEmpty, outcomes[n]
	}}
}

// TestBenchCountsErrorsByCode beside the answers, and says the most frequent
// first.
func TestBenchCountsErrorsByCode(t *testing.T) {
	full, other := registry.Errorf(registry.Overloaded, "full"), errors.New("no code")
	b := counted(5, nil, full, full, nil, other, full, nil)
	elapsed := b.run(t.Context())
	r := b.tally.report(&benchFlags{}, elapsed)
	if diff := cmp.Diff(map[string]uint64{"overloaded": 3, "internal": 1}, r.Errors); diff != "" || r.Calls != 3 || r.Answers != 9 {
		t.Errorf("%d calls gave %d answers; errors (-want +got):\n%s", r.Calls, r.Answers, diff)
	}
	if text := b.tally.errorsText(); text != "3 overloaded, 1 internal" {
		t.Errorf("the errors are %q", text)
	}
	if b.tally.failures()[0].first != full || b.tally.emptyReason() != registry.NoneAlive {
		t.Errorf("it came to %+v and then %v", b.tally.failures(), b.tally.emptyReason())
	}
}

// TestBenchWithoutAnAnswerFailsAsItsCalls do.
func TestBenchWithoutAnAnswerFailsAsItsCalls(t *testing.T) {
	gone, late := registry.Errorf(registry.Unavailable, "no leader"), registry.Errorf(registry.Deadline, "no time")
	for _, c := range []struct {
		outcomes []error
		empty    registry.EmptyReason
		code     exitCode
		text     string
	}{
		{[]error{late, gone, gone}, registry.NotEmpty, exitUnreachable, "none of 3 calls was answered; 2 failed with unavailable: no leader"},
		{[]error{late}, registry.NotEmpty, exitDeadline, "no time"},
		{[]error{late}, registry.NoneAlive, exitNobody, `pool "worker"`},
		{nil, registry.NotEmpty, exitFailed, "--seconds"},
	} {
		var b bench
		for _, err := range c.outcomes {
			b.tally.failed(err)
		}
		b.tally.foundNobody(c.empty)
		err := b.tally.nothing("worker")
		if exitCodeOf(err) != c.code || !strings.Contains(err.Error(), c.text) {
			t.Errorf("%v, then %v: exit code %d of %q, want %d and %q", c.outcomes, c.empty, exitCodeOf(err), err, c.code, c.text)
		}
	}
}

// TestBenchReadsLikeThis: as a table, and on a terminal's line while it goes on.
func TestBenchReadsLikeThis(t *testing.T) {
	b := bench{length: 10 * time.Second}
	for i := range 200 {
		b.tally.answered(100, time.Duration(i+1)*time.Millisecond)
	}
	b.tally.failed(registry.ErrOverloaded)
	r := b.tally.report(&benchFlags{workload: workloads()[1], pool: "worker", callers: 64, batch: 100}, 4*time.Second)
	want := `workload  rr-batch of pool "worker", 64 callers
time      4.0 s
calls     200, 50 a second
answers   20000, 5000 a second
p50       100.1ms
p99       198.2ms
max       200ms
errors    1 overloaded
`
	if diff := cmp.Diff(want, r.text(&b.tally)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	last := uint64(15_000)
	if line := b.progress(4, &last); line != "4 of 10 s: 5000 answers a second, p50 100.1ms, p99 198.2ms, errors 1 overloaded" || last != 20_000 {
		t.Errorf("after 4 s: %q, then %d", line, last)
	}
}

// TestHistogramIsExactToAHundredth: its quantiles are never below the true ones,
// and hardly above.
func TestHistogramIsExactToAHundredth(t *testing.T) {
	for _, n := range []int{1, 2, 3, 100, 5000} {
		var h histogram
		var times []time.Duration
		r := rand.New(rand.NewPCG(uint64(n), 1))
		for range n {
			d := time.Duration(r.Int64() >> r.IntN(63))
			h.add(d)
			times = append(times, d)
		}
		slices.Sort(times)
		for _, q := range []float64{0.001, 0.5, 0.9, 0.99, 1} {
			rank := max(int(q*float64(n)+0.9999), 1)
			want, got := times[rank-1], h.quantile(q)
			if got < want || got-want > want/100 {
				t.Errorf("%v of %d times: %v, want %v", q, n, got, want)
			}
		}
		if h.total() != uint64(n) || h.max() != times[n-1] {
			t.Errorf("%d times up to %v, want %d up to %v", h.total(), h.max(), n, times[n-1])
		}
	}
	var none histogram
	if none.quantile(0.5) != 0 {
		t.Errorf("of no times the middle one is %v", none.quantile(0.5))
	}
}

func TestShortLeavesFourDigits(t *testing.T) {
	for in, want := range map[time.Duration]string{
		0: "0s", 950 * time.Nanosecond: "950ns", 123_456: "123.5µs", 9_876_543: "9.877ms", 42_123_456: "42.12ms", 3_345_678_901: "3.346s", 83 * time.Second: "1m23s",
	} {
		if got := short(in); got != want {
			t.Errorf("%d ns is %s, want %s", in, got, want)
		}
	}
}
