package main

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"strings"
	"time"

	"golang.org/x/term"
)

// benchReport is what rota bench prints; the names are those of its JSON.
type benchReport struct {
	Workload string  `json:"workload"`
	Pool     string  `json:"pool"`
	Callers  int     `json:"callers"`
	Batch    int     `json:"batch"` // answers of one call
	Seconds  float64 `json:"seconds"`
	// Calls are those that were answered; the failed ones are in Errors.
	Calls            uint64            `json:"calls"`
	Answers          uint64            `json:"answers"`
	CallsPerSecond   float64           `json:"callsPerSecond"`
	AnswersPerSecond float64           `json:"answersPerSecond"`
	LatencyMs        latencyReport     `json:"latencyMs"` // of the calls that were answered
	Errors           map[string]uint64 `json:"errors"`    // failed calls by code
}

type latencyReport struct {
	P50 float64 `json:"p50"`
	P99 float64 `json:"p99"`
	Max float64 `json:"max"`
}

func (t *tally) report(f *benchFlags, elapsed time.Duration) benchReport {
	r := benchReport{
		Workload: f.workload.name, Pool: f.pool, Callers: f.callers, Batch: f.batch, Seconds: elapsed.Round(time.Microsecond).Seconds(),
		Calls: t.latencies.total(), Answers: t.answers.Load(), Errors: map[string]uint64{},
		LatencyMs: latencyReport{P50: ms(t.latencies.quantile(0.5)), P99: ms(t.latencies.quantile(0.99)), Max: ms(t.latencies.max())},
	}
	r.CallsPerSecond = math.Round(float64(r.Calls) / elapsed.Seconds())
	r.AnswersPerSecond = math.Round(float64(r.Answers) / elapsed.Seconds())
	for _, e := range t.failures() {
		r.Errors[e.code.String()] = e.count
	}
	return r
}

func ms(d time.Duration) float64 {
	return float64(d.Round(time.Microsecond)) / float64(time.Millisecond)
}

func (a *app) printBench(r benchReport, t *tally) error {
	if a.format == formatJSON {
		out := json.NewEncoder(a.out)
		out.SetIndent("", "  ")
		return out.Encode(r)
	}
	_, err := io.WriteString(a.out, r.text(t))
	return err
}

func (r *benchReport) text(t *tally) string {
	list := newTable()
	list.add("workload", fmt.Sprintf("%s of pool %q, %d callers", r.Workload, r.Pool, r.Callers))
	list.add("time", fmt.Sprintf("%.1f s", r.Seconds))
	list.add("calls", fmt.Sprintf("%d, %.0f a second", r.Calls, r.CallsPerSecond))
	if r.Batch > 1 {
		list.add("answers", fmt.Sprintf("%d, %.0f a second", r.Answers, r.AnswersPerSecond))
	}
	list.add("p50", short(t.latencies.quantile(0.5)))
	list.add("p99", short(t.latencies.quantile(0.99)))
	list.add("max", short(t.latencies.max()))
	list.add("errors", t.errorsText())
	return list.String()
}

// errorsText is the numbers of failed calls by code, in one line.
func (t *tally) errorsText() string {
	var parts []string
	for _, e := range t.failures() {
		parts = append(parts, fmt.Sprintf("%d %s", e.count, e.code))
	}
	if len(parts) == 0 {
		return "0"
	}
	return strings.Join(parts, ", ")
}

// short leaves three or four digits of a time.
func short(d time.Duration) string {
	unit := time.Duration(1)
	for d/unit >= 10_000 {
		unit *= 10
	}
	return d.Round(unit).String()
}

// showProgress keeps one line on a terminal up to date, and shows nothing
// elsewhere: in a file it would be noise. The returned function takes the line
// away.
func (a *app) showProgress(b *bench) (stop func()) {
	f, ok := a.err.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return func() {}
	}
	ticker := time.NewTicker(time.Second)
	done, shown := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(shown)
		last := uint64(0)
		for second := 1; ; second++ {
			select {
			case <-ticker.C:
				fmt.Fprint(f, clearLine+b.progress(second, &last))
			case <-done:
				fmt.Fprint(f, clearLine)
				return
			}
		}
	}()
	return func() {
		ticker.Stop()
		close(done)
		<-shown
	}
}

// clearLine goes back to the line's start and empties it.
const clearLine = "\r\x1b[K"

// progress is the line after so many seconds; last is how many answers there
// were a second before.
func (b *bench) progress(second int, last *uint64) string {
	t := &b.tally
	answers := t.answers.Load()
	line := fmt.Sprintf("%d of %g s: %d answers a second, p50 %s, p99 %s, errors %s",
		second, b.length.Seconds(), answers-*last, short(t.latencies.quantile(0.5)), short(t.latencies.quantile(0.99)), t.errorsText())
	*last = answers
	return line
}
