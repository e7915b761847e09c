package main

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestFirstWriteIsTheFirst: of survivors that are refused for a while, and one
// that hangs, the first acknowledgement counts, from the loss on.
func TestFirstWriteIsTheFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begun := time.Now()
		refusedFor := func(d time.Duration) survivor {
			return survivor{write: func(context.Context) error {
				if time.Since(begun) < d {
					return errors.New("no leader")
				}
				return nil
			}}
		}
		hangs := survivor{write: func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }}
		took, err := firstWrite(t.Context(), []survivor{refusedFor(3 * time.Second), hangs, refusedFor(time.Second)}, begun)
		if err != nil || took < time.Second || took > time.Second+2*attemptPause {
			t.Errorf("took %s, %v", took, err)
		}
		if _, err := firstWrite(t.Context(), []survivor{hangs}, time.Now()); err == nil {
			t.Error("a cluster that takes no write is said to")
		}
	})
}

// TestReadOnCounts: every read but the one that is cut off counts, failed ones and
// the longest with it.
func TestReadOnCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		var o outage
		n := 0
		o.readOn(ctx, func(ctx context.Context) error {
			if n++; n == 2 {
				pause(ctx, 30*time.Millisecond)
				return errors.New("refused")
			}
			return nil
		})
		if o.failedReads != 1 || o.longestRead != 30*time.Millisecond || o.reads < 30 || o.reads > 40 {
			t.Errorf("%+v", o)
		}
	})
}

// TestFailoverTable: the targets are met by what meets them, and by nothing else.
func TestFailoverTable(t *testing.T) {
	of := func(failed int, all ...time.Duration) (list []outage) {
		for _, d := range all {
			list = append(list, outage{writes: d, reads: 10, failedReads: failed})
		}
		return list
	}
	fast, slow := of(0, 100*time.Millisecond, 200*time.Millisecond), of(0, 150*time.Millisecond, 900*time.Millisecond)
	for _, c := range []struct {
		rota, etcd []outage
		kills      string
		stops      string
	}{
		{fast, slow, "yes", "yes"},
		{slow, fast, "no", "yes"},
		{of(1, 100*time.Millisecond), slow, "no", "no"},
		{of(0, time.Second), of(0, 2*time.Second), "yes", "no"},
		{nil, nil, "not measured", "not measured"},
	} {
		lines := strings.Split(failoverTable([2][]outage{c.rota, c.etcd}, [2][]outage{c.rota, c.etcd}), "\n")
		for _, line := range lines {
			if want := c.kills; strings.HasPrefix(line, "| kill -9 | rota") && !strings.HasSuffix(line, "| "+want+" |") {
				t.Errorf("want %s: %s", want, line)
			}
			if want := c.stops; strings.HasPrefix(line, "| planned stop | rota") && !strings.HasSuffix(line, "| "+want+" |") {
				t.Errorf("want %s: %s", want, line)
			}
		}
	}
}
