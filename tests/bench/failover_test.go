package main

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// TestTheLongestGapIsTheOutage: of survivors that are refused for a while, and one
// that hangs, the time between two acknowledgements counts; what a leader still
// takes when its end has begun does not end it.
func TestTheLongestGapIsTheOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begun := time.Now()
		refusedBetween := func(from, to time.Duration) ask {
			return func(context.Context) error {
				if at := time.Since(begun); at >= from && at < to {
					return errors.New("no leader")
				}
				return nil
			}
		}
		hangs := func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
		ctx, stop := context.WithCancel(t.Context())
		var a acks
		var callers sync.WaitGroup
		for _, write := range []ask{refusedBetween(50*time.Millisecond, 4*time.Second), hangs, refusedBetween(100*time.Millisecond, time.Second)} {
			callers.Go(func() { a.writeOn(ctx, write) })
		}
		if err := a.await(ctx, begun.Add(200*time.Millisecond)); err != nil {
			t.Error(err)
		}
		stop()
		callers.Wait()
		if gap := a.longestGap(begun.Add(10 * time.Millisecond)); gap < 900*time.Millisecond || gap > 900*time.Millisecond+2*askPause {
			t.Errorf("took no write for %s", gap)
		}
		if err := new(acks).await(t.Context(), begun); err == nil {
			t.Error("a cluster that takes no write is said to")
		}
	})
}

// TestReadOnCounts: every read counts, failed ones with it, and how long one took
// that was cut off.
func TestReadOnCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		var o outage
		n := 0
		o.readOn(ctx, func(ctx context.Context) error {
			switch n++; n {
			case 2:
				pause(ctx, 30*time.Millisecond)
				return errors.New("refused")
			case 20:
				<-ctx.Done()
			}
			return nil
		})
		if o.failedReads != 1 || o.longestRead != 32*time.Millisecond || o.reads != 19 {
			t.Errorf("%+v", o)
		}
	})
}

// TestFailoverTable: the targets are met by what meets them, and by nothing else.
func TestFailoverTable(t *testing.T) {
	of := func(failed int, all ...time.Duration) (list []outage) {
		for _, d := range all {
			list = append(list, outage{writes: d, reads: readsMin, failedReads: failed})
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
		{[]outage{{writes: time.Millisecond, reads: readsMin - 1}}, slow, "no", "no"},
		{[]outage{{writes: time.Millisecond, reads: readsMin, longestRead: readMax}}, slow, "no", "no"},
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
