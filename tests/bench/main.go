// Command bench measures rota beside what users would otherwise take for its
// work: etcd, whose key's version is a cursor, and Redis, whose counter is one.
// It prints a Markdown table.
//
//	make bench
//	make bench ARGS='-only "rr, 64" -repeat 5'
//
// All run as they are shipped, as real processes on this machine, with their
// data on one disk, one system at a time: in each round rota, etcd and Redis are
// started, asked and stopped, so that a machine that is busy for a while is so
// for all, and the medians of the rounds are compared. A rival is asked in its
// best way that gives the same thing. A run in which a call failed, or an answer
// was none, is no measurement: the table then has the error.
//
// -evenness prints how even rendezvous hashing is, which is computed and not
// measured.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"regexp"
	"strings"
	"syscall"
	"time"

	"github.com/rota-registry/rota/tests/bench/load"
	"github.com/rota-registry/rota/tests/bench/stand"
)

// waitMax bounds a wait within a client, longer than any call takes.
const waitMax = 30 * time.Second

// options are the flags.
type options struct {
	only     *regexp.Regexp
	repeat   int
	measured time.Duration
	dir      string
	list     bool
	evenness bool
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run() error {
	o, err := parse()
	if err != nil {
		return err
	}
	if o.evenness {
		fmt.Print(evenness(evenMembers(), evenKeys))
		return nil
	}
	var chosen []row
	for _, r := range rows() {
		if o.only.MatchString(r.what) {
			chosen = append(chosen, r)
		}
	}
	if o.list {
		for _, r := range chosen {
			fmt.Println(r.what)
		}
		return nil
	}
	if len(chosen) == 0 {
		return fmt.Errorf("-only %s: no row is like that; -list lists them", o.only)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	return table(ctx, o, chosen)
}

func parse() (options, error) {
	o := options{}
	only := flag.String("only", "", "rows to measure, a regular expression")
	flag.IntVar(&o.repeat, "repeat", 3, "rounds; medians are shown")
	flag.DurationVar(&o.measured, "for", 5*time.Second, "how long each is measured in a round")
	flag.StringVar(&o.dir, "dir", "", "folder on the disk to use (default a temporary one)")
	flag.BoolVar(&o.list, "list", false, "list the rows")
	flag.BoolVar(&o.evenness, "evenness", false, "print how even hrw is")
	flag.Parse()
	var err error
	if o.only, err = regexp.Compile(*only); err != nil {
		return o, fmt.Errorf("-only: %w", err)
	}
	if o.repeat < 1 || o.measured <= 0 || flag.NArg() > 0 {
		return o, errors.New("give at least one round and more than no time, and nothing but flags")
	}
	return o, nil
}

func table(ctx context.Context, o options, chosen []row) error {
	dir, err := os.MkdirTemp(o.dir, "rota-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	st := &stand.Stand{Dir: dir, Bin: dir}
	say("building rota and etcd")
	if err := st.Build(ctx); err != nil {
		return err
	}
	about, err := machine(dir)
	if err != nil {
		return err
	}
	outcomes, err := measureAll(ctx, st, o, chosen)
	if err != nil {
		return err
	}
	fmt.Printf("%s; `make bench ARGS='%s'`, medians of %d rounds of %v:\n\n", about, strings.Join(os.Args[1:], " "), o.repeat, o.measured)
	fmt.Print("| work | rota | beside it | ratio | at least (p50: at most) | reached |\n|---|---|---|---|---|---|\n")
	for _, r := range chosen {
		fmt.Println(strings.Join(r.lines(outcomes), "\n"))
	}
	return nil
}

// measureAll runs all rounds. What fails is the outcome of its work, and of no
// other; the error is that of the run itself, which was cancelled.
func measureAll(ctx context.Context, st *stand.Stand, o options, chosen []row) (map[string]outcome, error) {
	results, faults := make(map[string][]load.Result), make(map[string]error)
	for round := range o.repeat {
		for _, which := range systems() {
			list := works(chosen, which)
			if len(list) == 0 {
				continue
			}
			say("round %d of %d: %s", round+1, o.repeat, which)
			site, err := start(ctx, st, which)
			for _, w := range list {
				name := w.String()
				if err != nil {
					faults[name] = err
					continue
				}
				result, fault := measure(ctx, site, w, o)
				if fault != nil {
					faults[name] = fault
					continue
				}
				say("  %-45s %12s  p50 %v", w.name, perSecond(result.Rate()), result.Latencies.Quantile(0.5))
				results[name] = append(results[name], result)
			}
			if err == nil {
				err = site.stop()
			}
			if ctx.Err() != nil {
				return nil, errors.Join(ctx.Err(), err)
			}
		}
	}
	out := make(map[string]outcome)
	for _, which := range systems() {
		for _, w := range works(chosen, which) {
			out[w.String()] = summary(results[w.String()], faults[w.String()])
		}
	}
	return out, nil
}

func measure(ctx context.Context, s *site, w work, o options) (load.Result, error) {
	op, end, err := w.open(ctx, s)
	if err != nil {
		return load.Result{}, err
	}
	defer end()
	result, err := load.Run(ctx, load.Plan{Callers: w.callers, Warm: o.measured / 4, For: o.measured}, op)
	return result, errors.Join(err, s.check(ctx))
}

func say(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }
