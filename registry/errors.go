package registry

import (
	"errors"
	"fmt"
)

// Code classifies an error; the code decides, the text informs. Codes travel
// in the log's answers and over the wire: append new ones at the end, never
// reorder or reuse.
type Code uint8

// The codes.
const (
	Internal       Code = iota // a bug or a broken machine; nothing below fits
	Invalid                    // the request cannot be right, whatever the state
	NotFound                   // the pool, node, cursor or replica is not there
	Conflict                   // the state does not allow it; look and decide again
	Unavailable                // no leader or no answer in time to try; nothing was done
	Deadline                   // the deadline passed; nothing was done
	OutcomeUnknown             // it may or may not have been done
	Overloaded                 // too many requests under way; nothing was done
	Limit                      // a bound of limits.go would be passed
	SessionUnknown             // the session was never opened, or has expired
	Unimplemented              // this release does not have it
)

var codeNames = [...]string{
	Internal: "internal", Invalid: "invalid", NotFound: "not_found", Conflict: "conflict",
	Unavailable: "unavailable", Deadline: "deadline", OutcomeUnknown: "outcome_unknown",
	Overloaded: "overloaded", Limit: "limit", SessionUnknown: "session_unknown",
	Unimplemented: "unimplemented",
}

// String gives the code's name on the wire.
func (c Code) String() string {
	if int(c) < len(codeNames) {
		return codeNames[c]
	}
	return fmt.Sprintf("code_%d", uint8(c))
}

// CodeNamed gives the code of that name; Internal when there is none.
func CodeNamed(name string) Code {
	for c, n := range codeNames {
		if n == name {
			return Code(c)
		}
	}
	return Internal
}

// Error is the one error type that crosses a package's or a process's boundary
// on purpose.
type Error struct {
	Code Code
	// Text names the subject, what is wrong with it, and what to do next.
	Text string
}

// Sentinels for errors.Is, one a code: errors.Is(err, registry.ErrNotFound).
var (
	ErrInternal       = &Error{Code: Internal}
	ErrInvalid        = &Error{Code: Invalid}
	ErrNotFound       = &Error{Code: NotFound}
	ErrConflict       = &Error{Code: Conflict}
	ErrUnavailable    = &Error{Code: Unavailable}
	ErrDeadline       = &Error{Code: Deadline}
	ErrOutcomeUnknown = &Error{Code: OutcomeUnknown}
	ErrOverloaded     = &Error{Code: Overloaded}
	ErrLimit          = &Error{Code: Limit}
	ErrSessionUnknown = &Error{Code: SessionUnknown}
	ErrUnimplemented  = &Error{Code: Unimplemented}
)

// Errorf makes an Error; the text begins with its subject.
func Errorf(code Code, format string, args ...any) *Error {
	return &Error{Code: code, Text: fmt.Sprintf(format, args...)}
}

func (e *Error) Error() string {
	if e.Text == "" {
		return e.Code.String()
	}
	return e.Text
}

// Is makes every error of a code match that code's sentinel.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error) //nolint:errorlint // Is compares with the target itself, not with its chain.
	return ok && t.Text == "" && t.Code == e.Code
}

// CodeOf gives the code of the first Error in err's chain, or Internal. It is
// asked of errors alone: that nothing went wrong has no code.
func CodeOf(err error) Code {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Code
	}
	return Internal
}
