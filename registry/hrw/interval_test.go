package hrw

import (
	"encoding/binary"
	"fmt"
	"math"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// part is one unit of a described interval.
type part struct {
	n      float64
	word   string
	plural bool
}

// readInterval takes a description apart again.
func readInterval(t rapid.TB, description string) []part {
	t.Helper()
	var parts []part
	for b := []byte(description); len(b) > 0; {
		if len(b) < 8 {
			t.Fatalf("%q ends within a number", description)
		}
		p := part{n: math.Float64frombits(binary.LittleEndian.Uint64(b))}
		word, rest, ok := strings.Cut(string(b[8:]), "\x00")
		if !ok {
			t.Fatalf("%q: a word without its NUL", description)
		}
		p.word = word
		// The number behind a singular cannot begin with "s" and NUL as its
		// lowest bytes when the tests keep to numbers that are short in binary.
		if after, ok := strings.CutPrefix(rest, "s\x00"); ok {
			p.plural, rest = true, after
		}
		parts, b = append(parts, p), []byte(rest)
	}
	return parts
}

func TestIntervalsAreDescribedAsInZeek(t *testing.T) {
	for _, c := range []struct {
		seconds float64
		want    string
	}{
		{90061, "1 day, 1 hr, 1 min, 1 sec"},
		{-90061, "-1 day, -1 hr, -1 min, -1 sec"},
		{604800, "7 days"},
		{86399, "23 hrs, 59 mins, 59 secs"},
		{60, "1 min"},
		{0.25, "250 msecs"},
		{-0.5, "-500 msecs"},
		{0.001, "1 msec"},
		{1e-6, "1 usec"},
		{2e-6, "2 usecs"},
		{1e-9, "0.001 usecs"},
		{5e-12, "5e-06 usecs"},
		{86400 * (1 << 62), "4.611686018427388e+18 days"},
		{-86400 * (1 << 62), "-4.611686018427388e+18 days"},
	} {
		var words []string
		for _, p := range readInterval(t, describeInterval(c.seconds)) {
			words = append(words, fmt.Sprintf("%.16v %s%s", p.n, p.word, map[bool]string{true: "s"}[p.plural]))
		}
		if got := strings.Join(words, ", "); got != c.want {
			t.Errorf("%v s is described as %s, want %s", c.seconds, got, c.want)
		}
	}
}

func TestIntervalsOfNothingAreZeroSeconds(t *testing.T) {
	for _, seconds := range []float64{0, math.Copysign(0, -1), 1e-13, -1e-13, 9.9e-13, 5e-324} {
		if got := describeInterval(seconds); got != "0 secs\x00" {
			t.Errorf("%v s is described as %q", seconds, got)
		}
	}
	if got := describeInterval(1.1e-12); got == "0 secs\x00" {
		t.Error("1.1e-12 s is described as nothing")
	}
}

// The digests were computed from Zeek's algorithm by another program, in C++
// order of evaluation and without fused operations.
func TestIntervalsKeepTheirBits(t *testing.T) {
	for _, c := range frozenIntervals {
		k, err := Interval(c.seconds)
		if err != nil {
			t.Fatal(err)
		}
		if got := k.Digest(Zeek71); got != c.digest {
			t.Errorf("%v s hashes to %#08x, want %#08x", c.seconds, got, c.digest)
		}
	}
}

func TestIntervalsUpToTheLastDayThatZeekCounts(t *testing.T) {
	last := math.Nextafter(86400*(1<<63), 0)
	for _, seconds := range []float64{last, -last} {
		if _, err := Interval(seconds); err != nil {
			t.Errorf("the last interval %v is refused: %v", seconds, err)
		}
	}
	for _, seconds := range []float64{86400 * (1 << 63), -86400 * (1 << 63), math.MaxFloat64} {
		if _, err := Interval(seconds); err == nil {
			t.Errorf("%v s has more days than an int64 and is accepted", seconds)
		}
	}
}

func TestIntervalDescriptionsAddUp(t *testing.T) {
	size := map[string]float64{"day": 86400, "hr": 3600, "min": 60, "sec": 1, "msec": 1e-3, "usec": 1e-6}
	rapid.Check(t, func(t *rapid.T) {
		// Quarters of a millisecond: their numbers are short in binary.
		seconds := float64(rapid.Int64Range(-1<<40, 1<<40).Draw(t, "quarters")) / 4096
		if seconds == 0 {
			return
		}
		sum, last := 0.0, math.Inf(1)
		for _, p := range readInterval(t, describeInterval(seconds)) {
			unit, ok := size[p.word]
			if !ok || unit >= last {
				t.Fatalf("%v s: unit %q unknown or out of order", seconds, p.word)
			}
			last, sum = unit, sum+p.n*unit
			if p.word != "usec" && (p.n != math.Trunc(p.n) || p.n == 0 || math.Signbit(p.n) != (seconds < 0)) {
				t.Fatalf("%v s: %v %s", seconds, p.n, p.word)
			}
			if p.plural == (math.Abs(math.Abs(p.n)-1) < 1e-6) {
				t.Fatalf("%v s: plural of %v %s is %v", seconds, p.n, p.word, p.plural)
			}
		}
		if math.Abs(sum-seconds) > 1e-9*math.Abs(seconds)+1e-12 {
			t.Fatalf("the units of %v s add up to %v", seconds, sum)
		}
	})
}

var frozenIntervals = []struct {
	seconds float64
	digest  uint32
}{
	{0, 0x114fabd7},
	{1.0000000000000001e-09, 0xa638f850},
	{-0.5, 0x7772019f},
	{123.456789, 0xcb66f5f4},
	{0.10000000000000001, 0x61c86b35},
	{0.29999999999999999, 0x56a272c8},
	{1763848800.123456, 0x390d322c},
	{-9.9999999999999995e-07, 0xac530f9e},
	{0.99999999989999999, 0x888592ca},
	{59.999999999000003, 0x9ad5307b},
	{3599.9999999000001, 0x6d3706a6},
	{86399.999999990003, 0x54db58bf},
	{1.0009999999999999, 0x0829eb11},
	{1000000000000000.2, 0x60faaafa},
	{1e+18, 0xff39f8f0},
	{1e+22, 0xa6d029c3},
	{-1e+22, 0xd17ea743},
	{6.4999999999999996e+23, 0x008d05ba},
	{3.7e+20, 0x06084291},
	{-2.5e+17, 0x1b224ca5},
	{4503599627370498, 0x08a72da3},
}
