package main

import (
	"context"
	"errors"
	"maps"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// TestQuantileIsSeen: what quantile gives is one of the sample, and at least
// its share of the sample is no larger.
func TestQuantileIsSeen(t *testing.T) {
	for _, c := range []struct {
		q      float64
		sample []int
		want   int
	}{
		{0.5, []int{7}, 7},
		{0.99, []int{7}, 7},
		{0, []int{1, 2}, 1},
		{0.5, []int{1, 2}, 1},
		{0.5, []int{1, 2, 3}, 2},
		{0.99, []int{1, 2, 3}, 3},
		{1, []int{1, 2, 3}, 3},
		{0.5, []int{1, 2, 3, 4}, 2},
		{0.75, []int{1, 2, 3, 4}, 3},
	} {
		if got := quantile(c.sample, c.q); got != c.want {
			t.Errorf("quantile %g of %v is %d, want %d", c.q, c.sample, got, c.want)
		}
	}
}

// TestMedianTakesEachNumberByItself, for the repeat with the middle rate need
// not be that with the middle latency.
func TestMedianTakesEachNumberByItself(t *testing.T) {
	got := median([]result{{100, 3, 30}, {300, 1, 20}, {200, 2, 10}})
	if want := (result{200, 2, 20}); got != want {
		t.Errorf("median is %+v, want %+v", got, want)
	}
}

// TestLoadCountsWithinItsWindow: two callers whose calls take 10 ms and bring
// three answers make 600 a second, whatever the warm-up did.
func TestLoadCountsWithinItsWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var longest time.Duration
		begun := time.Now()
		r, err := load{callers: 2, window: 10 * time.Second, op: func(context.Context, int) (int, error) {
			time.Sleep(10 * time.Millisecond)
			longest = 10 * time.Millisecond
			return 3, nil
		}}.run(t.Context())
		if err != nil || r.perSecond < 599 || r.perSecond > 601 || r.p50 != longest || r.p99 != longest {
			t.Errorf("measured %+v, %v, want 600/s and %v", r, err, longest)
		}
		if took := time.Since(begun); took < 12*time.Second || took > 13*time.Second {
			t.Errorf("it took %v, want 2 s of warm-up and the window", took)
		}
	})
}

// TestLoadEnds with the first error, when calls hang, and when the program is
// told to.
func TestLoadEnds(t *testing.T) {
	broken := errors.New("broken")
	hang := func(ctx context.Context, _ int) (int, error) {
		<-ctx.Done()
		return 0, ctx.Err()
	}
	synctest.Test(t, func(t *testing.T) {
		_, err := load{callers: 3, window: time.Hour, op: func(ctx context.Context, caller int) (int, error) {
			if caller == 1 {
				return 0, broken
			}
			return hang(ctx, caller)
		}}.run(t.Context())
		if !errors.Is(err, broken) {
			t.Errorf("ended with %v, want %v", err, broken)
		}
		if _, err := (load{callers: 1, window: time.Second, op: hang}).run(t.Context()); !errors.Is(err, errTooSlow) {
			t.Errorf("ended with %v, want %v", err, errTooSlow)
		}
		told, tell := context.WithCancel(t.Context())
		tell()
		if _, err := (load{callers: 1, window: time.Second, op: hang}).run(told); !errors.Is(err, context.Canceled) {
			t.Errorf("ended with %v, want %v", err, context.Canceled)
		}
		slow := load{callers: 1, window: time.Second, op: func(context.Context, int) (int, error) {
			time.Sleep(3 * time.Second)
			return 1, nil
		}}
		if _, err := slow.run(t.Context()); !errors.Is(err, errTooShort) {
			t.Errorf("ended with %v, want %v", err, errTooShort)
		}
	})
}

// TestFastestIsTheRivalsBestWay, and a way so slow that nothing ended is none.
func TestFastestIsTheRivalsBestWay(t *testing.T) {
	taking := func(d time.Duration) load {
		return load{callers: 1, op: func(context.Context, int) (int, error) {
			time.Sleep(d)
			return 1, nil
		}}
	}
	synctest.Test(t, func(t *testing.T) {
		best, err := fastest(t.Context(), []load{taking(5 * time.Second), taking(20 * time.Millisecond), taking(10 * time.Millisecond), taking(15 * time.Millisecond)})
		if err != nil || best != 2 {
			t.Errorf("fastest is %d, %v, want 2", best, err)
		}
	})
}

// TestTable: a line a rival, the row's words once, and numbers only where both
// sides have some.
func TestTable(t *testing.T) {
	one := func(name string) contender { return contender{name: name, run: rotaUnary(1, apiPort)} }
	chosen := []row{
		{
			work: "fast", ours: one("a"), least: 1e6,
			rivals: []rival{{contender: one("b"), atLeast: 3}, {contender: one("c"), atLeast: 0.5}, {contender: one("d")}},
		},
		{work: "soon", ours: one("a"), by: byP50, rivals: []rival{{contender: one("b"), atMost: 0.8}}},
		{work: "failed", ours: one("d"), rivals: []rival{{contender: one("b"), atLeast: 1}}},
	}
	got := table(chosen, map[string]*outcome{
		"a": {results: []result{{perSecond: 123456, p50: 800 * time.Microsecond}}},
		"b": {results: []result{{perSecond: 50000, p50: time.Millisecond}}},
		"c": {results: []result{{perSecond: 246912, p50: time.Millisecond}}},
		"d": {err: errors.New("it|broke\nmore")},
	})
	want := `| work | rota | rival | ratio | target | met? |
|---|---:|---|---:|---|---|
| fast | 123,000/s | — | — | ≥ 1,000,000/s | no |
|  |  | b: 50,000/s | 2.47 | ≥ 3 × | no |
|  |  | c: 247,000/s | 0.50 | ≥ 0.5 × | yes |
|  |  | d: error: it\|broke | — | — | — |
| soon | 800 µs | b: 1.00 ms | 0.80 | ≤ 0.8 × | yes |
| failed | error: it\|broke | b: 50,000/s | — | ≥ 1 × | not measured |
`
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestNumbersAreForPeople(t *testing.T) {
	for f, want := range map[float64]string{0.5: "0.5", 12.34: "12.3", 999: "999", 1234: "1,230", 999999: "1,000,000", 1e6: "1,000,000"} {
		if got := number(f); got != want {
			t.Errorf("%g is shown as %s, want %s", f, got, want)
		}
	}
	for n, want := range map[int]string{0: "0", 999: "999", 1024: "1,024", 1234567: "1,234,567"} {
		if got := thousands(n); got != want {
			t.Errorf("%d is shown as %s, want %s", n, got, want)
		}
	}
	for d, want := range map[time.Duration]string{80 * time.Microsecond: "80 µs", 1500 * time.Microsecond: "1.50 ms", time.Second: "1000.00 ms"} {
		if got := latency(d); got != want {
			t.Errorf("%v is shown as %s, want %s", d, got, want)
		}
	}
}

// TestRows: every row has a name of its own and something to show, and a contender that several rows share is measured once.
func TestRows(t *testing.T) {
	names := make(map[string]bool)
	for _, r := range rows() {
		if names[r.name] {
			t.Errorf("two rows are named %s", r.name)
		}
		names[r.name] = true
		if r.ours.run == nil || r.least == 0 && len(r.rivals) == 0 {
			t.Errorf("row %s is not shown", r.name)
		}
	}
	measured := make(map[string]int)
	for _, c := range contenders(rows()) {
		measured[c.name]++
	}
	if measured["etcd Put, 1024"] != 1 {
		t.Errorf("etcd Put is measured %d times", measured["etcd Put, 1024"])
	}
	if most := slices.Max(slices.Collect(maps.Values(measured))); most != 1 {
		t.Errorf("something is measured %d times: %v", most, measured)
	}
}

func TestParse(t *testing.T) {
	if o, err := parse([]string{"-seconds", "0.5", "-only", "^rr"}); err != nil || o.window() != 500*time.Millisecond || !o.only.MatchString("rr-1") {
		t.Errorf("parsed %+v, %v", o, err)
	}
	for _, args := range [][]string{{"-repeat", "0"}, {"-seconds", "0"}, {"-seconds", "1e9"}, {"-only", "("}, {"rr"}} {
		if _, err := parse(args); err == nil {
			t.Errorf("%q is accepted", args)
		}
	}
}

func TestMountOf(t *testing.T) {
	const mounts = "/dev/a / ext4 rw 0 0\ntmpfs /tmp tmpfs rw 0 0\n/dev/b /tmp/disk xfs rw 0 0\n"
	for dir, want := range map[string]string{"/home/x": "ext4", "/tmp": "tmpfs", "/tmp/x": "tmpfs", "/tmp/disk/x": "xfs", "/tmpx": "ext4"} {
		if got := mountOf(mounts, dir); got != want {
			t.Errorf("%s is on %q, want %s", dir, got, want)
		}
	}
}
