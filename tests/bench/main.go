// Command bench measures rota side by side with what its users would otherwise
// take: etcd and Redis, on the same machine, the same disk and loopback, each
// as it is shipped, and alone while it is measured. `make bench` runs it.
//
// It is a module of its own, for etcd's server and the clients of others must
// not move the versions of what rota itself is made of. The binaries that it
// starts are built from source, rota's from the module above; redis-server is
// the machine's own, and its rows are left out where there is none.
//
// What is compared is what a caller gets, not what a library could do: an
// answer that counts has been checked, each rival is given the connections with
// which it is fastest, and a row that fails shows its error instead of a
// number. Nothing here judges: the exit code is 0 whether targets are met or
// not.
//
// go test -bench lost: it measures one thing after another, while a ratio on a
// busy machine means something only when both sides are measured in turn.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"regexp"
	"syscall"
	"time"
)

// options are what the command line says.
type options struct {
	dir      string
	repeat   int
	seconds  float64
	only     *regexp.Regexp
	list     bool
	evenness bool
	growth   bool
	failover bool
	kills    int
	say      io.Writer // progress
}

// window is how long a row is measured each time.
func (o options) window() time.Duration { return time.Duration(o.seconds * float64(time.Second)) }

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	o, err := parse(os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(2)
	}
	if err := run(ctx, o, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func parse(args []string) (options, error) {
	o := options{say: os.Stderr}
	var only string
	flags := flag.NewFlagSet("bench", flag.ExitOnError)
	flags.StringVar(&o.dir, "dir", os.TempDir(), "directory for data, on the disk to measure on; what is put there is removed")
	flags.IntVar(&o.repeat, "repeat", 3, "how often each row is measured; the median is shown")
	flags.Float64Var(&o.seconds, "seconds", 5, "how long each row is measured each time")
	flags.StringVar(&only, "only", "", "measure only the rows whose name matches this regular expression")
	flags.BoolVar(&o.list, "list", false, "list the rows and their targets, and measure nothing")
	flags.BoolVar(&o.evenness, "evenness", false, "print how even hrw is instead; nothing is started")
	flags.BoolVar(&o.growth, "growth", false, "print how cost grows with members, pools and replicas instead")
	flags.BoolVar(&o.failover, "failover", false, "print what the loss of the leader costs instead, beside etcd")
	flags.IntVar(&o.kills, "kills", 20, "how often -failover kills, and how often it stops, each leader")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	re, err := regexp.Compile(only)
	switch {
	case err != nil:
		return o, fmt.Errorf("-only %q: %w", only, err)
	case flags.NArg() > 0:
		return o, fmt.Errorf("%q is no flag: see -help", flags.Arg(0))
	case o.repeat < 1 || o.repeat > 100:
		return o, fmt.Errorf("-repeat %d: 1 to 100 are possible", o.repeat)
	case o.seconds < 0.1 || o.seconds > 600:
		return o, fmt.Errorf("-seconds %g: 0.1 to 600 are possible", o.seconds)
	case o.kills < 1 || o.kills > 1000:
		return o, fmt.Errorf("-kills %d: 1 to 1000 are possible", o.kills)
	}
	o.only = re
	return o, nil
}

func run(ctx context.Context, o options, out io.Writer) error {
	if o.list {
		return listRows(out, rows())
	}
	if o.evenness {
		return evenness(ctx, o.say, out, evenSizes())
	}
	dir, err := os.MkdirTemp(o.dir, "rota-bench-")
	if err != nil {
		return fmt.Errorf("-dir: %w", err)
	}
	defer os.RemoveAll(dir)
	o.dir = dir
	if o.growth {
		return growth(ctx, o, out)
	}
	if o.failover {
		return failover(ctx, o, out)
	}
	return compare(ctx, o, out)
}
