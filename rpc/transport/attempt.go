package transport

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptrace"
	"strings"
	"sync/atomic"
)

// NotSentError is the error of a request for which no connection could be had:
// not a byte of it was sent.
type NotSentError struct{ Err error }

func (e *NotSentError) Error() string { return e.Err.Error() }

// Unwrap gives what was in the way.
func (e *NotSentError) Unwrap() error { return e.Err }

// RefusedError is the error of a request whose stream the server refused
// without processing it: reset with REFUSED_STREAM, or above the last stream of
// a GOAWAY (RFC 9113, 6.8 and 8.7). That is how a replica that shuts down turns
// requests away.
type RefusedError struct{ Err error }

func (e *RefusedError) Error() string { return "the stream was refused unprocessed: " + e.Err.Error() }

// Unwrap gives net/http's error.
func (e *RefusedError) Unwrap() error { return e.Err }

// NotDone reports whether err says that certainly nothing was done: it is, or
// wraps, a NotSentError or a RefusedError.
func NotDone(err error) bool {
	_, unsent := errors.AsType[*NotSentError](err)
	_, refused := errors.AsType[*RefusedError](err)
	return unsent || refused
}

// fate is what is known of one request.
type fate struct {
	connected atomic.Bool // some of it may have been sent
	refused   atomic.Bool
}

type fateKey struct{}

// explain wraps an error of the request in what is known, unless it is.
func (f *fate) explain(err error) error {
	switch {
	case err == nil || NotDone(err):
		return err
	case !f.connected.Load():
		return &NotSentError{err}
	case f.refused.Load():
		return &RefusedError{err}
	default:
		return err
	}
}

// Attempt calls send, which sends one request or none by Do and with that
// context, and gives its error. NotDone is right about that error whatever
// stands between send and Do: connect puts a context's end in the place of an
// error that knew that nothing had been sent.
func Attempt(ctx context.Context, send func(ctx context.Context) error) error {
	f := new(fate)
	return f.explain(send(context.WithValue(ctx, fateKey{}, f)))
}

// Do sends a request once and gives what came back, redirects too. An error of
// which NotDone is true says so.
func (t *Transport) Do(req *http.Request) (*http.Response, error) {
	f, ok := req.Context().Value(fateKey{}).(*fate)
	if !ok {
		f = new(fate)
	}
	res, err := t.http.RoundTrip(single(req, f))
	if err == nil {
		return res, nil
	}
	if NotDone(err) || neverSent(err) { // it had a connection, whose turn never came
		f.connected.Store(false)
	}
	f.refused.Store(refusedUnprocessed(err))
	return nil, f.explain(err)
}

// single copies a request into one that net/http can send only once: without a
// GetBody, and, as it repeats what has no body in any case, with a body.
func single(req *http.Request, f *fate) *http.Request {
	traced := httptrace.WithClientTrace(req.Context(), &httptrace.ClientTrace{
		GotConn: func(httptrace.GotConnInfo) { f.connected.Store(true) },
	})
	once := req.WithContext(traced)
	once.GetBody = nil
	if once.Body == nil || once.Body == http.NoBody {
		once.Body = io.NopCloser(strings.NewReader(""))
	}
	return once
}

// neverSent knows the error of a request whose connection broke while it waited
// for its turn to be written. net/http would send it on another connection, but
// has closed its body and has no GetBody; without one, it comes to this only
// when the broken connection had taken nothing of the request.
func neverSent(err error) bool {
	return strings.Contains(err.Error(), "cannot rewind body after connection loss")
}

// refusedUnprocessed knows net/http's errors by their text, as neverSent does,
// because their types are not exported. If a text changes, the request counts as
// one that may have been processed, and a test fails.
func refusedUnprocessed(err error) bool {
	text := err.Error()
	return strings.Contains(text, "graceful shutdown GOAWAY") ||
		strings.Contains(text, "; REFUSED_STREAM; received from peer")
}
