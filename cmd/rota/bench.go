package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/rota-registry/rota/registry"
	"github.com/rota-registry/rota/rpc/client"
)

// Bounds of rota bench: what it does to a cluster ends by itself.
const (
	benchSecondsMax = 600
	benchCallersMax = 16_384
)

// benchKey is the round-robin key that is turned unless another one is asked
// for; its cursors are deleted at the end.
const benchKey = "rota-bench"

// benchFlags are the flags of rota bench.
type benchFlags struct {
	pool, key      string
	callers, batch int
	seconds        float64
	fresh          freshness

	// What is settled by faults.
	workload workload
	options  []client.ReadOption
	// ownKey says that the cursor is the benchmark's own.
	ownKey bool
}

func newBenchCommand(a *app) *cobra.Command {
	f := &benchFlags{}
	cmd := &cobra.Command{
		Use:   "bench [WORKLOAD]",
		Short: "Measure how many answers the cluster gives, and how fast",
		Long: `Ask the cluster as fast as it answers, from many callers that share one client,
and print how many answers a second came and how long the calls took. Each
caller has one call under way at a time. Ctrl-C ends it early, and prints what
was measured until then; a call that is under way is waited for.

A WORKLOAD is what the callers do:
` + workloadHelp() + `
Turns are taken for good. So rr and rr-batch turn a key of their own, ` + benchKey + `,
which nobody else uses, and delete its cursor at the end; the cursor of a --key
that you give is moved, and stays.

Calls that fail are counted by the code of their error. Exit code 6: no node is
eligible, and the benchmark has ended there.`,
		Example: `  rota bench --seconds 1
  rota bench rr-batch --batch 1000 --callers 16 --seconds 1
  rota bench hrw --pool proxy --consistency local --seconds 1 -o json`,
		Args: takes("[WORKLOAD]"),
		ValidArgsFunction: func(_ *cobra.Command, args []string, prefix string) ([]string, cobra.ShellCompDirective) {
			if len(args) > 0 {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			return begins(workloadNames(), prefix), cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return a.bench(cmd.Context(), f) },
	}
	cmd.Flags().StringVar(&f.pool, "pool", string(registry.Worker), "the pool to ask")
	cmd.Flags().StringVar(&f.key, "key", benchKey, "the round-robin key whose cursor is moved; one that is given keeps it")
	cmd.Flags().IntVar(&f.callers, "callers", 64, fmt.Sprintf("how many calls are under way at a time, at most %d", benchCallersMax))
	cmd.Flags().Float64Var(&f.seconds, "seconds", 10, fmt.Sprintf("how long to go on, at most %d", benchSecondsMax))
	cmd.Flags().IntVar(&f.batch, "batch", 100, fmt.Sprintf("answers a call of rr-batch, at most %d, or of hrw-batch, at most %d", registry.BatchAnswersMax, registry.BatchKeysMax))
	f.fresh.addFlags(cmd)
	a.completeLive(cmd, "pool", poolNames)
	complete(cmd, "key")
	a.checks[cmd] = func() []error { return f.faults(cmd) }
	return cmd
}

// faults settles what the flags ask for, and says what is wrong with them. The
// flags that a workload does not look at are faults, too: whoever gives one
// expects something of it.
func (f *benchFlags) faults(cmd *cobra.Command) []error {
	given := cmd.Flags().Changed
	name := cmd.Flags().Arg(0)
	if name == "" {
		name = workloads()[0].name
	}
	i := slices.IndexFunc(workloads(), func(w workload) bool { return w.name == name })
	var faults []error
	if i < 0 {
		faults = append(faults, fmt.Errorf("workload %q is unknown: use %s", name, strings.Join(workloadNames(), ", ")))
	} else {
		f.workload = workloads()[i]
		faults = append(faults, f.workload.faults(f, given))
	}
	options, err := f.fresh.options(cmd)
	f.options, f.ownKey = options, !given("key")
	faults = append(faults,
		err,
		prefixed("--pool", registry.PoolName(f.pool).Validate()),
		prefixed("--key", registry.Check(registry.DeleteCursor{Pool: registry.PoolName(registry.Worker), Key: f.key})),
	)
	if f.callers < 1 || f.callers > benchCallersMax {
		faults = append(faults, fmt.Errorf("--callers %d: give 1 to %d", f.callers, benchCallersMax))
	}
	if !(f.seconds > 0 && f.seconds <= benchSecondsMax) { // NaN is neither
		faults = append(faults, fmt.Errorf("--seconds %v: give more than 0 and at most %d", f.seconds, benchSecondsMax))
	}
	return slices.DeleteFunc(faults, func(err error) bool { return err == nil })
}

// bench measures one workload, with a client of its own.
func (a *app) bench(ctx context.Context, f *benchFlags) error {
	c, err := a.dial()
	if err != nil {
		return err
	}
	ctx, stop := interrupted(ctx)
	defer stop()
	context.AfterFunc(ctx, stop) // so that a second Ctrl-C ends it at once
	if err := a.benchPool(ctx, c.Pool(registry.PoolName(f.pool)), f); err != nil {
		_ = c.Close() // it always returns nil
		return err
	}
	return c.Close()
}

// benchPool asks once, and measures if there was an answer. That first call
// connects and opens the session, and is not counted.
func (a *app) benchPool(ctx context.Context, pool *client.Pool, f *benchFlags) error {
	b := &bench{
		callers: f.callers, length: time.Duration(f.seconds * float64(time.Second)),
		call: func(ctx context.Context, n uint64) (int, registry.EmptyReason, error) {
			return f.workload.call(ctx, pool, f, n)
		},
	}
	_, empty, err := b.call(ctx, 0)
	if f.workload.turns && f.ownKey && (err == nil || errors.Is(err, registry.ErrOutcomeUnknown)) {
		defer a.deleteBenchCursor(pool)
	}
	if err := cmp.Or(err, emptyAnswer(pool.Name(), empty)); err != nil {
		return err
	}
	stop := a.showProgress(b)
	elapsed := b.run(ctx)
	stop()
	report := b.tally.report(f, elapsed)
	if report.Calls == 0 {
		return b.tally.nothing(pool.Name())
	}
	for _, e := range b.tally.failures() {
		a.say("%d calls failed with %s, the first of them: %v", e.count, e.code, e.first)
	}
	return cmp.Or(a.printBench(report, &b.tally), emptyAnswer(pool.Name(), b.tally.emptyReason()))
}

// deleteBenchCursor leaves the pool without the cursor that the benchmark has
// made. One that is not there was not made, or another benchmark deleted it.
func (a *app) deleteBenchCursor(pool *client.Pool) {
	ctx, cancel := a.deadline(context.Background())
	defer cancel()
	if _, err := pool.DeleteCursor(ctx, benchKey); err != nil && !errors.Is(err, registry.ErrNotFound) {
		a.say("the cursor of key %q stays in pool %q until it has not been used for 30 days: %v", benchKey, pool.Name(), err)
	}
}
