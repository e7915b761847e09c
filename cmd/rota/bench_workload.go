package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/rota-registry/rota/registry"
	"github.com/rota-registry/rota/registry/hrw"
	"github.com/rota-registry/rota/rpc/client"
)

// workload is what each caller of a benchmark does again and again.
type workload struct {
	name, about string
	// batchMax bounds the answers of one call; 0 where it is always one.
	batchMax int
	// turns says that it moves a cursor; what does not is a read.
	turns bool
	// call asks once; n is another number in each call. It gives how many
	// answers came, or why there are none.
	call func(ctx context.Context, p *client.Pool, f *benchFlags, n uint64) (int, registry.EmptyReason, error)
}

func workloads() []workload {
	return []workload{
		{
			name: "rr", about: "one turn a call, as rota rr takes it", turns: true,
			call: func(ctx context.Context, p *client.Pool, f *benchFlags, _ uint64) (int, registry.EmptyReason, error) {
				a, err := p.RR(ctx, f.key)
				return 1, a.EmptyReason, err
			},
		},
		{
			name: "rr-batch", about: "--batch turns a call, in one step", turns: true, batchMax: registry.BatchAnswersMax,
			call: func(ctx context.Context, p *client.Pool, f *benchFlags, _ uint64) (int, registry.EmptyReason, error) {
				a, err := p.RRN(ctx, f.key, f.batch)
				return len(a.Each), a.EmptyReason, err
			},
		},
		{
			name: "hrw", about: "the node of one key a call, another key each time",
			call: func(ctx context.Context, p *client.Pool, f *benchFlags, n uint64) (int, registry.EmptyReason, error) {
				a, err := p.HRW(ctx, hrw.Count(n), f.options...)
				return 1, a.EmptyReason, err
			},
		},
		{
			name: "hrw-batch", about: "the nodes of --batch keys a call, at one index", batchMax: registry.BatchKeysMax,
			call: func(ctx context.Context, p *client.Pool, f *benchFlags, n uint64) (int, registry.EmptyReason, error) {
				keys := make([]hrw.Key, f.batch)
				for i := range keys {
					keys[i] = hrw.Count(n*uint64(f.batch) + uint64(i))
				}
				a, err := p.HRWs(ctx, keys, f.options...)
				return len(a.Each), a.EmptyReason, err
			},
		},
	}
}

func workloadNames() []string {
	var found []string
	for _, w := range workloads() {
		found = append(found, w.name)
	}
	return found
}

func workloadHelp() string {
	var out strings.Builder
	for _, w := range workloads() {
		fmt.Fprintf(&out, "  %-10s %s\n", w.name, w.about)
	}
	return out.String()
}

// faults are those of the flags that depend on the workload.
func (w *workload) faults(f *benchFlags, given func(flag string) bool) error {
	var faults []error
	switch {
	case w.batchMax == 0 && given("batch"):
		faults = append(faults, fmt.Errorf("--batch: a call of %s has one answer: use %s-batch", w.name, w.name))
	case w.batchMax == 0:
		f.batch = 1
	case f.batch < 1 || f.batch > w.batchMax:
		faults = append(faults, fmt.Errorf("--batch %d: give 1 to %d for %s", f.batch, w.batchMax, w.name))
	}
	if !w.turns && given("key") {
		faults = append(faults, fmt.Errorf("--key: %s moves no cursor, and asks for another key each time", w.name))
	}
	for _, flag := range []string{"consistency", "at-least-index"} {
		if w.turns && given(flag) {
			faults = append(faults, fmt.Errorf("--%s: %s is a write, which is committed before it is answered", flag, w.name))
		}
	}
	return errors.Join(faults...)
}
