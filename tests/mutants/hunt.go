package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

// testTimeout is when a test that hangs is caught, too.
const testTimeout = 5 * time.Minute

// triesMax is how often a test is run that says of itself that it has shown nothing:
// one in real time that has missed its moment.
const triesMax = 3

// toldMax bounds what is shown of a test that could not be run.
const toldMax = 4000

// verdict is what one claim came to.
type verdict struct {
	claim
	caught bool
	// vain is that the test failed and said that it has shown nothing, which is no
	// catch.
	vain bool
	// after is how long the test ran until it failed; whole is how long the go
	// command took, with what it built.
	after, whole time.Duration
}

type verdicts []verdict

func (v verdicts) all() bool {
	for _, one := range v {
		if !one.caught {
			return false
		}
	}
	return len(v) > 0
}

// hunt runs the tests of a mutant, without it, unless they are known to be sound,
// and with it.
func (m *mutant) hunt(ctx context.Context, top string, sound map[claim]bool) (found verdicts, err error) {
	dir, err := os.MkdirTemp("", "rota-mutant-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	overlay, err := m.plant(top, dir)
	if err != nil {
		return nil, err
	}
	for _, c := range m.tests {
		if err := c.proveSound(ctx, top, sound); err != nil {
			return nil, err
		}
		v, err := c.try(ctx, top, "-overlay", overlay)
		if err != nil {
			return nil, err
		}
		found = append(found, v)
	}
	return found, nil
}

// proveSound runs the test without any mutant, once: what fails then proves nothing.
func (c claim) proveSound(ctx context.Context, top string, sound map[claim]bool) error {
	if sound[c] {
		return nil
	}
	v, err := c.try(ctx, top)
	switch {
	case err == nil && v.caught:
		err = fmt.Errorf("%s of %s fails without the mutant, too", c.test, c.pkg)
	case err == nil && v.vain:
		err = fmt.Errorf("%s of %s has shown nothing in %d tries without the mutant", c.test, c.pkg, triesMax)
	}
	sound[c] = err == nil
	return err
}

// try runs the test of a claim, again if it has shown nothing. An error is that it
// could not be run.
func (c claim) try(ctx context.Context, top string, flags ...string) (v verdict, err error) {
	for range triesMax {
		if v, err = c.once(ctx, top, flags...); err != nil || !v.vain {
			break
		}
	}
	return v, err
}

// once runs the test of a claim.
func (c claim) once(ctx context.Context, top string, flags ...string) (v verdict, err error) {
	args := append([]string{"test", "-json", "-count=1", "-failfast", "-timeout", testTimeout.String(), "-run", "^" + c.test + "$"}, flags...)
	args = append(append(args, c.pkg), strings.Fields(c.args)...)
	if c.usesRapid(top) { // What it finds it is not to write into the repository, nor to make smaller for long.
		args = append(args, "-rapid.nofailfile", "-rapid.shrinktime=1s")
	}
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = top
	var said bytes.Buffer
	cmd.Stderr = &said
	began := time.Now()
	out, err := cmd.Output()
	v = verdict{claim: c, whole: time.Since(began)}
	ran, v := v.read(out)
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		return v, err
	}
	if !ran || (v.caught || v.vain) != (err != nil) {
		return v, fmt.Errorf("%s of %s did not run:\n%s%s", c.test, c.pkg, out[max(0, len(out)-toldMax):], said.Bytes())
	}
	return v, nil
}

// usesRapid reports whether the package's tests have rapid, and its flags.
func (c claim) usesRapid(top string) bool {
	files, _ := filepath.Glob(filepath.Join(top, c.pkg, "*_test.go"))
	for _, file := range files {
		if text, err := os.ReadFile(file); err == nil && bytes.Contains(text, []byte(`"pgregory.net/rapid"`)) {
			return true
		}
	}
	return false
}

// saysNothing is what a test says of itself whose failure is none of what it tests.
var saysNothing = regexp.MustCompile(`\b(shows|tests|proves) nothing\b`)

// read takes the events of go test; ran is whether the test began.
func (v verdict) read(out []byte) (ran bool, _ verdict) {
	var began, ended time.Time
	for line := range bytes.Lines(out) {
		var e struct {
			Time                 time.Time
			Action, Test, Output string
		}
		if json.Unmarshal(line, &e) != nil {
			continue
		}
		top, _, _ := strings.Cut(e.Test, "/")
		switch {
		case top == v.test && e.Action == "run" && !ran:
			ran, began = true, e.Time
		case ran && e.Action == "output" && saysNothing.MatchString(e.Output):
			v.vain = true
		case ran && e.Action == "fail" && !v.caught:
			// Of the test; of the package if the process ended with it.
			v.caught, ended = true, e.Time
		}
	}
	v.vain = v.vain && v.caught
	if v.caught = v.caught && !v.vain; v.caught {
		v.after = ended.Sub(began)
	}
	return ran, v
}

func moduleDir(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}").Output()
	return strings.TrimSpace(string(out)), err
}
