package main

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"math/bits"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rota-registry/rota/registry"
)

// tally is what came of a benchmark's calls. All callers write to it.
type tally struct {
	latencies histogram // of the calls that were answered
	answers   atomic.Uint64

	mu struct {
		sync.Mutex
		failures map[registry.Code]failure
		empty    registry.EmptyReason
	}
}

// failure is the calls that failed with one code.
type failure struct {
	code  registry.Code
	count uint64
	first error
}

func (t *tally) answered(answers int, took time.Duration) {
	t.latencies.add(took)
	t.answers.Add(uint64(answers))
}

func (t *tally) failed(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.mu.failures == nil {
		t.mu.failures = map[registry.Code]failure{}
	}
	code := registry.CodeOf(err)
	f, known := t.mu.failures[code]
	if !known {
		f = failure{code: code, first: err}
	}
	f.count++
	t.mu.failures[code] = f
}

// foundNobody notes that nothing was eligible.
func (t *tally) foundNobody(reason registry.EmptyReason) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.mu.empty = reason
}

func (t *tally) emptyReason() registry.EmptyReason {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.mu.empty
}

// failures lists the most frequent ones first.
func (t *tally) failures() []failure {
	t.mu.Lock()
	defer t.mu.Unlock()
	var list []failure
	for _, f := range t.mu.failures {
		list = append(list, f)
	}
	slices.SortFunc(list, func(x, y failure) int {
		return cmp.Or(cmp.Compare(y.count, x.count), cmp.Compare(x.code, y.code))
	})
	return list
}

// errNoTime is of a benchmark that was over before a call was.
var errNoTime = errors.New("no call was made before the time was over: give more --seconds")

// nothing is the error of a benchmark without an answer.
func (t *tally) nothing(pool registry.PoolName) error {
	if err := emptyAnswer(pool, t.emptyReason()); err != nil {
		return err
	}
	failures := t.failures()
	if len(failures) == 0 {
		return errNoTime
	}
	total := uint64(0)
	for _, f := range failures {
		total += f.count
	}
	return fmt.Errorf("none of %d calls was answered; %d failed with %s: %w", total, failures[0].count, failures[0].code, failures[0].first)
}

// Buckets of a histogram: each power of two has 128, so that a time is known to
// a hundredth part.
const (
	bucketBits  = 7
	bucketCount = (64 - bucketBits) << bucketBits
)

// histogram counts times in little memory, whatever their number. The zero
// value is empty.
type histogram struct {
	counts  [bucketCount]atomic.Uint64
	longest atomic.Int64
}

func (h *histogram) add(d time.Duration) {
	d = max(d, 0)
	h.counts[bucketOf(d)].Add(1)
	for {
		longest := h.longest.Load()
		if int64(d) <= longest || h.longest.CompareAndSwap(longest, int64(d)) {
			return
		}
	}
}

// bucketOf gives each of the first 256 nanoseconds a bucket, and each power of
// two from there on 128.
func bucketOf(d time.Duration) int {
	shift := max(bits.Len64(uint64(d))-bucketBits-1, 0)
	return shift<<bucketBits + int(uint64(d)>>shift)
}

// bucketEnd is the longest time in a bucket.
func bucketEnd(i int) time.Duration {
	shift := max(i>>bucketBits-1, 0)
	return time.Duration(uint64(i-shift<<bucketBits+1)<<shift - 1)
}

// total is how many times were added.
func (h *histogram) total() uint64 {
	sum := uint64(0)
	for i := range h.counts {
		sum += h.counts[i].Load()
	}
	return sum
}

// quantile is the time that the part q of all did not pass; 0 of none at all.
func (h *histogram) quantile(q float64) time.Duration {
	rank := uint64(math.Ceil(q * float64(h.total())))
	for i := range h.counts {
		n := h.counts[i].Load()
		if n >= rank && n > 0 {
			return min(bucketEnd(i), h.max())
		}
		rank -= min(n, rank)
	}
	return h.max()
}

func (h *histogram) max() time.Duration { return time.Duration(h.longest.Load()) }
