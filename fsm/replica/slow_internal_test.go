package replica

import (
	"testing"
	"time"

	"github.com/rota-registry/rota/registry"
)

// TestAppendsMedian: of the last sixteen, of half a minute; of fewer than four
// nothing is known.
func TestAppendsMedian(t *testing.T) {
	var a appends
	now := time.Now()
	for i, want := range []time.Duration{0, 0, 0, 3, 3, 4} {
		a.note(now, time.Duration(i+1))
		if got := a.median(now); got != want {
			t.Errorf("of %d: %d, want %d", i+1, got, want)
		}
	}
	for range appendsKept {
		a.note(now, 50)
	}
	if got := a.median(now); got != 50 || len(a.last) != appendsKept {
		t.Errorf("after %d more: %d of %d", appendsKept, got, len(a.last))
	}
	if got := a.median(now.Add(appendsFor)); got != 0 {
		t.Errorf("half a minute later: %d", got)
	}
}

// TestMuchSlower: 100 ms at least, ten times at least, and the other is known.
func TestMuchSlower(t *testing.T) {
	for _, tt := range []struct {
		own, other registry.Micros
		want       bool
	}{
		{100_000, 10_000, true},
		{99_999, 1, false},
		{100_000, 10_001, false},
		{1_000_000, 0, false},
		{0, 1, false},
	} {
		if got := muchSlower(tt.own, tt.other); got != tt.want {
			t.Errorf("%d against %d: %t", tt.own, tt.other, got)
		}
	}
}

// TestSlothSteps: for ten seconds without a break, while leading, and once a
// minute.
func TestSlothSteps(t *testing.T) {
	var s sloth
	start := time.Now()
	for _, step := range []struct {
		at              int // seconds
		leading, slower bool
		want            bool
	}{
		{0, true, true, false},
		{9, true, true, false},
		{10, true, false, false}, // a break
		{11, true, true, false},
		{20, true, true, false},
		{21, true, true, true},
		{22, true, true, false},
		{80, true, true, false},
		{81, true, true, true},
		{82, false, true, false}, // it worked
		{150, true, true, false}, // leads again: anew
		{160, true, true, true},
	} {
		if got := s.step(start.Add(time.Duration(step.at)*time.Second), step.leading, step.slower); got != step.want {
			t.Errorf("at %d s: %t, want %t", step.at, got, step.want)
		}
	}
}
