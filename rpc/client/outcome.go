package client

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"connectrpc.com/connect"

	"github.com/rota-registry/rota/registry"
	"github.com/rota-registry/rota/rpc/transport"
	"github.com/rota-registry/rota/rpc/wire"
)

// classify says what became of an attempt at a server, made by
// transport.Attempt. over tells that its time ended or the caller did. The
// error is for the caller: that of rota's server as it was sent, and anything
// else as it comes.
func classify(err error, address string, over bool) (outcome, error) {
	if err == nil {
		return answered, nil
	}
	if refusal, ok := err.(*registry.Error); ok { //nolint:errorlint // what an attempt has read in an answer, as it is
		return classifyCoded(refusal, address)
	}
	coded, wired := wire.FromError(err)
	switch {
	case wired && wire.HasDetail(err):
		return classifyCoded(coded, address)
	case transport.NotDone(err) && over:
		return unopened, err
	case transport.NotDone(err):
		return unreached, err
	case over:
		return silent, err
	}
	last := foreign(err, wired)
	if last == broken {
		return broken, err
	}
	return last, registry.Errorf(wire.FromCode(connect.CodeOf(err)), "%s: it answered %q: is it a rota server, and of this release?", address, text(err))
}

// classifyCoded is classify for what a rota server said. The codes that do not
// depend on who was asked are returned word for word.
func classifyCoded(err *registry.Error, address string) (outcome, error) {
	switch err.Code {
	case registry.Unavailable:
		return declined, err
	case registry.Overloaded:
		return crowded, err
	case registry.Deadline:
		return late, err
	case registry.OutcomeUnknown:
		return unsure, err
	case registry.SessionUnknown:
		return sessionless, err
	case registry.Internal:
		return answered, registry.Errorf(err.Code, "%s (said by %s)", err.Text, address)
	default:
		return answered, err
	}
}

// foreign is classify for an answer that is not rota's. Of some it is certain that
// no handler has run; whether another server fares better depends on whose
// complaint it is.
func foreign(err error, wired bool) outcome {
	switch connect.CodeOf(err) {
	case connect.CodeUnimplemented, connect.CodePermissionDenied, connect.CodeUnauthenticated:
		return strange // of this server, or of what guards it
	case connect.CodeInvalidArgument, connect.CodeNotFound, connect.CodeFailedPrecondition, connect.CodeResourceExhausted:
		if wired {
			return answered // of the request
		}
		return broken // this side's, of an answer
	default:
		return broken
	}
}

// givenUp is why a call got no answer, before it is told to anyone: several
// calls may have failed together, and each hears of itself.
type givenUp struct {
	code registry.Code
	// part is the part of the call that failed, with a space behind it; empty
	// if it is the call itself.
	part string
	why  string
}

func (g *givenUp) Error() string { return g.why }

// of makes the error of one call.
func (g *givenUp) of(m method) error { return registry.Errorf(g.code, "%s%v: %s", g.part, m, g.why) }

// notAsked is of a call that was over before it began.
func notAsked() error {
	return &givenUp{code: registry.Deadline, why: "not asked, nothing was done: its deadline had passed, or it was cancelled"}
}

// failure is why a call is given up with code.
func (c *call) failure(code registry.Code) error {
	servers := "tried " + strings.Join(c.tried, ", ")
	last := "last " + c.last + ": " + text(c.err)
	spent := time.Since(c.start).Round(time.Millisecond)
	g := &givenUp{code: code}
	switch code {
	case registry.OutcomeUnknown:
		g.why = fmt.Sprintf("it may or may not have been done (%s; %s): look before you ask again", servers, last)
	case registry.Deadline:
		g.why = fmt.Sprintf("no answer in %v (%s; %s): see \"rota status\", or give it more time", spent, servers, last)
	case registry.Overloaded:
		g.why = fmt.Sprintf("too many requests are under way (%s; %s): ask again later, or less often", servers, last)
	default:
		g.why = fmt.Sprintf("no replica could do it in %v (%s; %s): check the addresses, and that a majority of the replicas is up", spent, servers, last)
	}
	return g
}

// text is an attempt's error for people, without connect's prefix.
func text(err error) string {
	wired, ok := errors.AsType[*connect.Error](err)
	if !ok {
		return err.Error()
	}
	if code := wired.Code(); code == connect.CodeCanceled || code == connect.CodeDeadlineExceeded {
		return "no answer"
	}
	return wired.Message()
}

// ended is an error of a call that the caller's context ended: it is both.
type ended struct {
	error
	cause error
}

// Unwrap gives the registry.Error and the context's error to errors.Is.
func (e *ended) Unwrap() []error { return []error{e.error, e.cause} }
