// Command mutants plants known bugs, one at a time, and shows which test catches
// each, and how fast. A suite that lets one live proves less than it says: the
// command then fails.
//
// A mutant is a small replacement in the text of the product, such as real teams
// have made: a read that trusts a lease, a table that a snapshot forgets. It is
// planted with `go test -overlay`, in a copy; so the product has no trace of it,
// not even behind a build tag, where it would be one more thing to read and could
// be built by mistake. The price is that the text may change beneath it: each old
// text must be there exactly once, and the result must compile, or the mutant is
// stale. `go test` of this package says so, at every change; `make mutants` runs
// them.
//
// It owns the list of mutants and of the tests that must catch each, the fastest
// first. It never changes a file of the repository. Who calls it: `make mutants`.
//
// Lost: build tags (see above); mutants made at random by a tool (thousands, of
// which most change nothing that matters, in hours).
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"regexp"
)

func main() {
	only := flag.String("only", "", "plant those alone whose name this regular expression matches")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *only); err != nil {
		fmt.Fprintln(os.Stderr, "mutants:", err)
		stop()
		os.Exit(1) //nolint:gocritic // stop was called
	}
}

// run plants one mutant after the other. What must catch them has to pass
// without them, or to fail would say nothing.
func run(ctx context.Context, only string) error {
	chosen, err := regexp.Compile(only)
	if err != nil {
		return err
	}
	top, err := moduleDir(ctx)
	if err != nil {
		return err
	}
	table, escaped, planted := newTable(os.Stdout), 0, 0
	sound := make(map[claim]bool)
	for _, m := range mutants() {
		if !chosen.MatchString(m.name) {
			continue
		}
		planted++
		caught, err := m.hunt(ctx, top, sound)
		if err != nil {
			return fmt.Errorf("%s: %w", m.name, err)
		}
		table.row(m, caught)
		if !caught.all() {
			escaped++
		}
	}
	fmt.Printf("\n%d mutants were planted, %d escaped\n", planted, escaped)
	if escaped > 0 || planted == 0 {
		return fmt.Errorf("%d of %d mutants were not caught by what should: mend the tests", escaped, planted)
	}
	return nil
}
