package load

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// A run counts the calls that end within its time, and only those.
func TestRunCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		got, err := Run(t.Context(), Plan{Callers: 2, Warm: time.Second, For: 10 * time.Second}, func(context.Context, int) (int, error) {
			time.Sleep(100 * time.Millisecond) // virtual
			return 3, nil
		})
		if err != nil || got.Calls < 2*99 || got.Calls > 2*101 || got.Answers != 3*got.Calls {
			t.Errorf("%d calls with %d answers, %v; want about 200 with 3 each", got.Calls, got.Answers, err)
		}
		if p50 := got.Latencies.Quantile(0.5); p50 != 100*time.Millisecond {
			t.Errorf("the median is %v", p50)
		}
	})
}

// The first error ends the run, and is the one that is told.
func TestRunTellsTheFirstError(t *testing.T) {
	first := errors.New("first")
	var calls atomic.Int64
	_, err := Run(t.Context(), Plan{Callers: 8, For: time.Minute}, func(ctx context.Context, caller int) (int, error) {
		if calls.Add(1) > 100 && caller == 3 {
			return 0, first
		}
		if ctx.Err() != nil {
			return 0, errors.New("ended by another")
		}
		return 1, nil
	})
	if !errors.Is(err, first) {
		t.Errorf("got %v, want the first", err)
	}
}

func TestQuantilesAreOfTheSample(t *testing.T) {
	s := Sample{1, 2, 3, 4}
	for q, want := range map[float64]time.Duration{0: 1, 0.25: 1, 0.5: 2, 0.51: 3, 0.99: 4, 1: 4} {
		if got := s.Quantile(q); got != want {
			t.Errorf("quantile %v is %d, want %d", q, got, want)
		}
	}
	if Sample(nil).Quantile(0.5) != 0 || Median([]int(nil)) != 0 || Median([]int{3, 1, 2}) != 2 || Median([]int{4, 1, 2, 3}) != 2 {
		t.Error("a median is not one of the values")
	}
}
