package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/rota-registry/rota/registry"
)

func TestEveryErrorHasItsExitCode(t *testing.T) {
	cases := []struct {
		err  error
		want exitCode
	}{
		{nil, 0},
		{errors.New("anything"), 1},
		{registry.ErrInternal, 1},
		{registry.ErrInvalid, 2},
		{usagef("wrong"), 2},
		{registry.ErrNotFound, 3},
		{registry.ErrConflict, 1},
		{registry.ErrUnavailable, 4},
		{registry.ErrDeadline, 5},
		{context.DeadlineExceeded, 5},
		{nothingEligible("worker", "none_alive"), 6},
		{registry.ErrOutcomeUnknown, 7},
		{registry.ErrOverloaded, 1},
		{registry.ErrLimit, 1},
		{registry.ErrSessionUnknown, 1},
		{registry.ErrUnimplemented, 1},
		{exitWith(6, registry.ErrNotFound), 6},
		{exitWith(6, nil), 0},
	}
	for _, c := range cases {
		if got := exitCodeOf(c.err); got != c.want {
			t.Errorf("%v ends with %d, want %d", c.err, got, c.want)
		}
		if c.err == nil {
			continue
		}
		if got := exitCodeOf(fmt.Errorf("wrapped: %w", c.err)); got != c.want {
			t.Errorf("%v, wrapped, ends with %d, want %d", c.err, got, c.want)
		}
	}
}

// outcome is what one command line came to.
type outcome struct {
	code     exitCode
	out, err string
}

func runLine(t *testing.T, args ...string) outcome {
	t.Helper()
	var out, talk bytes.Buffer
	code := run(t.Context(), args, streams{in: strings.NewReader(""), out: &out, err: &talk})
	return outcome{code: code, out: out.String(), err: talk.String()}
}

func TestUsageErrorsEndWith2AndDoNotDumpTheUsage(t *testing.T) {
	for _, args := range [][]string{
		{"nonsense"},
		{"version", "extra"},
		{"version", "--nonsense"},
		{"server"},
		{"agent", "--name", "a b", "--type", "worker"},
		{"dev", "--agents", "worker"},
		{"version", "-o", "xml"},
		{"version", "--server", ""},
		{"version", "--timeout", "31s"},
	} {
		got := runLine(t, args...)
		if got.code != exitUsage {
			t.Errorf("rota %s ends with %d, want 2; it says %s", strings.Join(args, " "), got.code, got.err)
		}
		if got.out != "" || !strings.Contains(got.err, "rota: ") || strings.Contains(got.err, "Usage:") {
			t.Errorf("rota %s: stdout %q, stderr %q", strings.Join(args, " "), got.out, got.err)
		}
	}
}

func TestHelpIsDataAndEndsWith0(t *testing.T) {
	for _, args := range [][]string{{"--help"}, {"server", "--help"}, {"help", "agent"}} {
		got := runLine(t, args...)
		if got.code != exitOK || !strings.Contains(got.out, "Usage:") || got.err != "" {
			t.Errorf("rota %v ends with %d, stdout %.40q, stderr %q", args, got.code, got.out, got.err)
		}
	}
}

func TestVersionSaysWhichBuildThisIs(t *testing.T) {
	if got := runLine(t, "version"); got.code != exitOK || !strings.HasPrefix(got.out, "rota ") {
		t.Errorf("as text: %+v", got)
	}
	if got := runLine(t, "version", "-o", "json"); got.code != exitOK || !strings.Contains(got.out, `"go":"go`) {
		t.Errorf("as JSON: %+v", got)
	}
}
