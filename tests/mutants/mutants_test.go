package main

import (
	"context"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

const top = "../.."

// within gives a context that a go command has to end in.
func within(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func repository(t *testing.T) string {
	t.Helper()
	dir, err := filepath.Abs(top)
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// No mutant is stale: each old text is there exactly once, what replaces it
// compiles, and the tests that must catch it exist.
func TestEveryMutantCanBePlanted(t *testing.T) {
	names := map[string]bool{}
	for _, m := range mutants() {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			overlay, err := m.plant(repository(t), t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			build := exec.CommandContext(within(t), "go", append([]string{"build", "-overlay", overlay}, m.packages()...)...)
			build.Dir = top
			if out, err := build.CombinedOutput(); err != nil {
				t.Errorf("it does not compile: %v\n%s", err, out)
			}
			for _, c := range m.tests {
				if !c.exists(t) {
					t.Errorf("%s has no %s, which is to catch it", c.pkg, c.test)
				}
			}
		})
		if names[m.name] || m.says == "" || len(m.edits) == 0 || len(m.tests) == 0 {
			t.Errorf("mutant %q is not whole, or there are two of that name", m.name)
		}
		names[m.name] = true
	}
}

func (c claim) exists(t *testing.T) bool {
	found, err := exec.CommandContext(within(t), "grep", "-rlE", "--include=*_test.go", `^func `+regexp.QuoteMeta(c.test)+`\(`, filepath.Join(top, c.pkg)).Output()
	return err == nil && len(found) > 0
}

// What would make a run worth nothing is noticed: a text that is not there, or
// twice; a mutant that does no harm; a test that fails without it, or is not there.
func TestTheHuntIsHonest(t *testing.T) {
	t.Parallel()
	harmless := []edit{{"registry/refuse.go", "package registry\n", "package registry // the same\n"}}
	sound := claim{pkg: "./registry", test: "TestErrorsCarryTheirCode"}
	m := mutant{edits: harmless, tests: []claim{sound}}
	if found, err := m.hunt(within(t), repository(t), map[claim]bool{}); err != nil || found.all() {
		t.Errorf("of a harmless mutant: %+v, %v; want that it escaped", found, err)
	}
	m.edits = []edit{{"registry/session.go", "func ", "func "}}
	if _, err := m.hunt(within(t), repository(t), map[claim]bool{}); err == nil || !strings.Contains(err.Error(), "stale") {
		t.Errorf("of a text that is there often: %v", err)
	}
	m.edits, m.tests = harmless, []claim{{pkg: "./registry", test: "TestThatIsNotThere"}}
	if _, err := m.hunt(within(t), repository(t), map[claim]bool{}); err == nil || !strings.Contains(err.Error(), "did not run") {
		t.Errorf("of a test that is not there: %v", err)
	}
}

// A test that hangs, or ends its process, has failed as much as one that says so; one
// that says that it has shown nothing has caught nothing.
func TestAFailureIsReadHoweverItIsTold(t *testing.T) {
	t.Parallel()
	const began = `{"Time":"2026-01-01T10:00:00Z","Action":"run","Test":"T"}` + "\n"
	for text, want := range map[string]time.Duration{
		began + `{"Time":"2026-01-01T10:00:03Z","Action":"fail","Test":"T/sub"}`: 3 * time.Second,
		began + `{"Time":"2026-01-01T10:00:02Z","Action":"fail"}`:                2 * time.Second,
		began + `{"Time":"2026-01-01T10:00:02Z","Action":"pass","Test":"T"}`:     0,
	} {
		ran, v := verdict{claim: claim{test: "T"}}.read([]byte(text))
		if !ran || v.caught != (want > 0) || v.after != want {
			t.Errorf("%s: ran %t, %+v", text, ran, v)
		}
	}
	if ran, v := (verdict{claim: claim{test: "T"}}).read([]byte(`{"Action":"fail"}`)); ran || v.caught {
		t.Error("what did not run has caught something")
	}
	const nothing = `{"Action":"output","Test":"T","Output":"    t_test.go:9: it has ended already: this shows nothing\n"}` + "\n"
	for action, want := range map[string]bool{"fail": true, "pass": false} {
		ran, v := verdict{claim: claim{test: "T"}}.read([]byte(began + nothing + `{"Time":"2026-01-01T10:00:03Z","Action":"` + action + `","Test":"T"}`))
		if !ran || v.caught || v.vain != want {
			t.Errorf("a test that says that it shows nothing, and the result %s: %+v", action, v)
		}
	}
}
