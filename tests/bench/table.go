package main

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

const none = "—"

// table renders the rows: one line for each rival, the row's own words on the
// first.
func table(chosen []row, outcomes map[string]*outcome) string {
	lines := [][]string{{"work", "rota", "rival", "ratio", "target", "met?"}}
	for _, r := range chosen {
		lines = append(lines, r.lines(outcomes)...)
	}
	return markdown(lines, 1, 3)
}

func (r row) lines(outcomes map[string]*outcome) (lines [][]string) {
	ours, ok := outcomes[r.ours.name].shown(r.by)
	add := func(cells ...string) {
		head := []string{r.work, ours}
		if len(lines) > 0 {
			head = []string{"", ""}
		}
		lines = append(lines, append(head, cells...))
	}
	if r.least > 0 {
		add(none, none, r.floor(), met(ok, ok && median(outcomes[r.ours.name].results).perSecond >= r.least))
	}
	for _, o := range r.rivals {
		theirs, known := outcomes[o.name].shown(r.by)
		shown, is := none, none
		var ratio float64
		if known = known && ok; known {
			ratio = r.by.ratio(median(outcomes[r.ours.name].results), median(outcomes[o.name].results))
			shown = two(ratio)
		}
		if o.target() != none {
			is = met(known, o.met(ratio))
		}
		add(o.name+": "+theirs, shown, o.target(), is)
	}
	return lines
}

// ratio is ours over theirs.
func (by measure) ratio(ours, theirs result) float64 {
	if by == byP50 {
		return float64(ours.p50) / float64(theirs.p50)
	}
	return ours.perSecond / theirs.perSecond
}

// met answers only when there are numbers.
func met(known, is bool) string {
	switch {
	case !known:
		return "not measured"
	case is:
		return "yes"
	}
	return "no"
}

// shown is the median as text, or the error; ok says which.
func (o *outcome) shown(by measure) (text string, ok bool) {
	if o.err != nil {
		return "error: " + firstLine(o.err), false
	}
	m := median(o.results)
	if by == byP50 {
		return latency(m.p50), true
	}
	return number(m.perSecond) + "/s", true
}

func firstLine(err error) string {
	first, _, _ := strings.Cut(err.Error(), "\n")
	return first
}

// markdown renders a table whose first line is its head; the columns named are
// numbers.
func markdown(lines [][]string, numbers ...int) string {
	var b strings.Builder
	for i, cells := range lines {
		b.WriteString("|")
		for _, cell := range cells {
			b.WriteString(" " + strings.ReplaceAll(cell, "|", `\|`) + " |")
		}
		b.WriteString("\n")
		if i == 0 {
			rule := make([]string, len(cells))
			for j := range rule {
				rule[j] = "---"
			}
			for _, j := range numbers {
				rule[j] = "---:"
			}
			b.WriteString("|" + strings.Join(rule, "|") + "|\n")
		}
	}
	return b.String()
}

// number is a rate with three digits that mean something.
func number(f float64) string {
	if f >= 1000 {
		unit := math.Pow(10, math.Floor(math.Log10(f))-2)
		return thousands(int(math.Round(f/unit) * unit))
	}
	return strconv.FormatFloat(f, 'g', 3, 64)
}

// thousands separates them: 1,024.
func thousands(n int) string {
	s := strconv.Itoa(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// two is a ratio, with two decimals.
func two(f float64) string { return strconv.FormatFloat(f, 'f', 2, 64) }

func latency(d time.Duration) string {
	if d < time.Millisecond {
		return fmt.Sprintf("%.0f µs", float64(d)/1e3)
	}
	return fmt.Sprintf("%.2f ms", float64(d)/1e6)
}
