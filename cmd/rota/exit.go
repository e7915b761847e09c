package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/rota-registry/rota/registry"
)

// exitCode is what the process ends with. The numbers are an interface that
// scripts rely on: append only.
type exitCode int

// The exit codes.
const (
	exitOK          exitCode = iota
	exitFailed               // it was tried and refused, or the machine failed
	exitUsage                // the command line or the configuration is wrong
	exitNotFound             // the pool, node or cursor is not there
	exitUnreachable          // no leader, or no replica answered; nothing was done
	exitDeadline             // --timeout passed; nothing was done
	exitNobody               // nothing is eligible; stdout has the empty answer
	exitUnknown              // it may or may not have been done
)

// usageError is the fault of who typed.
type usageError struct{ err error }

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

// usagef makes a usage error; the text names its subject and what to do.
func usagef(format string, args ...any) error {
	return &usageError{err: fmt.Errorf(format, args...)}
}

// codedError ends the process with its code, whatever err is.
type codedError struct {
	code exitCode
	err  error
}

func (e *codedError) Error() string { return e.err.Error() }
func (e *codedError) Unwrap() error { return e.err }

// exitWith makes err end the process with that code; nil stays nil.
func exitWith(code exitCode, err error) error {
	if err == nil {
		return nil
	}
	return &codedError{code: code, err: err}
}

// nothingEligible is how hrw and rr end when their answer is the empty topic.
func nothingEligible(pool, reason string) error {
	return exitWith(exitNobody, fmt.Errorf("pool %q has no eligible node: %s", pool, reason))
}

// exitCodeOf gives the code for what a RunE returned.
func exitCodeOf(err error) exitCode {
	if err == nil {
		return exitOK
	}
	if coded, ok := errors.AsType[*codedError](err); ok {
		return coded.code
	}
	if _, ok := errors.AsType[*usageError](err); ok {
		return exitUsage
	}
	if coded, ok := errors.AsType[*registry.Error](err); ok {
		return exitCodeOfRegistry(coded.Code)
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return exitDeadline
	}
	return exitFailed
}

// exitCodeOfRegistry maps the registry's codes. Invalid is the usage's: the
// request could not be right, whatever the state.
func exitCodeOfRegistry(code registry.Code) exitCode {
	switch code {
	case registry.Invalid:
		return exitUsage
	case registry.NotFound:
		return exitNotFound
	case registry.Unavailable:
		return exitUnreachable
	case registry.Deadline:
		return exitDeadline
	case registry.OutcomeUnknown:
		return exitUnknown
	default:
		return exitFailed
	}
}
