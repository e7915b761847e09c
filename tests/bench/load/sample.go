package load

import (
	"cmp"
	"math"
	"slices"
	"time"
)

// Sample is latencies; in a Result they are sorted.
type Sample []time.Duration

func (s Sample) sort() { slices.Sort(s) }

// Quantile gives the smallest of a sorted sample that at least a share q of it
// does not exceed (nearest rank), or 0 of none.
func (s Sample) Quantile(q float64) time.Duration {
	if len(s) == 0 {
		return 0
	}
	rank := int(math.Ceil(q * float64(len(s))))
	return s[min(max(rank, 1), len(s))-1]
}

// Median gives the middle one, of an even number the lower one of the two in the
// middle: it was measured, and a mean of two was not. Of none it is the zero
// value.
func Median[T cmp.Ordered](values []T) T {
	if len(values) == 0 {
		var zero T
		return zero
	}
	sorted := slices.Sorted(slices.Values(values))
	return sorted[(len(sorted)-1)/2]
}
