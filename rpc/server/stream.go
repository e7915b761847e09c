package server

import (
	"context"
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/rota-registry/rota/registry"
	"github.com/rota-registry/rota/rpc/gen/rota/v1/rotav1connect"
)

// stream answers a request whose answer goes on until somebody ends it. The
// server's deadlines for a whole answer do not hold for it, but one for each
// piece that is written. A shutdown ends its context at once, and the cause
// says so.
func (s *Server) stream(w http.ResponseWriter, r *http.Request, answer http.HandlerFunc) {
	ctx, done := s.untilStopped(r.Context())
	defer done()
	control := http.NewResponseController(w)
	r = r.WithContext(ctx)
	if r.Body = (&streamBody{r.Body, control}); r.ContentLength == 0 {
		_ = control.SetReadDeadline(time.Time{})
	}
	rests := r.URL.Path == rotav1connect.NodeServiceAttendProcedure
	answer(&streamWriter{ResponseWriter: w, control: control, timeout: s.pieceTimeout, rests: rests}, r)
}

// untilStopped gives a context that also ends at a shutdown, which its cause
// then says.
func (s *Server) untilStopped(parent context.Context) (ctx context.Context, done func()) {
	ctx, cancel := context.WithCancelCause(parent)
	release := context.AfterFunc(s.streams, func() { cancel(context.Cause(s.streams)) })
	return ctx, func() {
		release()
		cancel(nil)
	}
}

// stopping is what streams end with at a shutdown.
func stopping() error {
	return registry.Errorf(registry.Unavailable, "this replica is stopping: watch at another")
}

// streamBody drops the deadline for reading, with which net/http would cancel
// the request, when the body has been read, and not before: who sends it slowly
// is cut off like anybody else.
type streamBody struct {
	io.ReadCloser
	control *http.ResponseController
}

// Read implements io.Reader.
func (b *streamBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if errors.Is(err, io.EOF) {
		_ = b.control.SetReadDeadline(time.Time{})
	}
	return n, err
}

// streamWriter writes in pieces, each with a deadline of its own: a peer that
// takes nothing for that long is cut off, and one that is slow is not.
type streamWriter struct {
	http.ResponseWriter
	control *http.ResponseController
	timeout time.Duration
	begun   time.Time // of the last piece that has a deadline of its own
	// rests says that nothing follows for long what is flushed: the deadline of a
	// piece ends with it, because HTTP/2 resets a stream whose deadline passes also
	// when nothing is written.
	rests bool
}

var _ http.Flusher = (*streamWriter)(nil) // connect asks for it

// Write implements io.Writer.
func (w *streamWriter) Write(p []byte) (n int, err error) {
	for {
		piece := p[n:min(len(p), n+pieceBytes)]
		w.extend()
		written, err := w.ResponseWriter.Write(piece)
		if n += written; err != nil || n >= len(p) {
			return n, err
		}
	}
}

// Flush implements http.Flusher. That it fails ends the request's context.
func (w *streamWriter) Flush() {
	w.extend()
	_ = w.control.Flush()
	if w.rests {
		w.begun = time.Time{}
		_ = w.control.SetWriteDeadline(time.Time{})
	}
}

// Unwrap is for http.ResponseController.
func (w *streamWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// extend puts the write deadline off, unless that was done a moment ago: an event
// is several pieces, and over HTTP/2 each new deadline is a message to another
// goroutine. Where there are no deadlines, as in a test without a network, there
// is none to put off.
func (w *streamWriter) extend() {
	if now := time.Now(); now.Sub(w.begun) > w.timeout/8 {
		w.begun = now
		_ = w.control.SetWriteDeadline(now.Add(w.timeout))
	}
}
