package server

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/rota-registry/rota/registry"
	rotav1 "github.com/rota-registry/rota/rpc/gen/rota/v1"
	"github.com/rota-registry/rota/rpc/gen/rota/v1/rotav1connect"
	"github.com/rota-registry/rota/rpc/wire"
)

// watchPath is where server-sent events are.
const watchPath = "/watch"

// Watch streams a pool. It has no deadline: it ends when the client goes away,
// the replica stops, or the pool is removed.
func (s registryService) Watch(ctx context.Context, r *connect.Request[rotav1.WatchRequest], stream *connect.ServerStream[rotav1.WatchResponse]) error {
	return s.watch(ctx, r.Msg, stream.Send)
}

func (s registryService) watch(ctx context.Context, request *rotav1.WatchRequest, send func(*rotav1.WatchResponse) error) error {
	pool := registry.PoolName(request.GetPool())
	if err := pool.Validate(); err != nil {
		return err
	}
	for event, err := range s.replica.Watch(ctx, pool, registry.Epoch(request.GetAfterEpoch())) {
		if err == nil {
			err = send(wire.ToPoolEvent(event, s.servedBy))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// serveWatch gives a watch its own bounds instead of a request's: it may last,
// but each event must be taken within eventTimeout, so that a client that takes
// none is cut off. It holds no slot, since a replica admits so many watchers
// and no more.
func (s *Server) serveWatch(w http.ResponseWriter, r *http.Request, handler http.Handler) {
	writer := &eventWriter{ResponseWriter: w, control: http.NewResponseController(w)}
	_ = writer.control.SetReadDeadline(time.Time{}) // what cannot be set stays as it is
	writer.extend()
	handler.ServeHTTP(writer, r)
}

// eventWriter moves the deadline on with each event.
type eventWriter struct {
	http.ResponseWriter
	control *http.ResponseController
}

func (w *eventWriter) extend() { _ = w.control.SetWriteDeadline(time.Now().Add(eventTimeout)) }

// Write implements io.Writer.
func (w *eventWriter) Write(b []byte) (int, error) {
	w.extend()
	return w.ResponseWriter.Write(b)
}

// Flush implements http.Flusher, which connect asks for.
func (w *eventWriter) Flush() {
	w.extend()
	_ = w.control.Flush() // the next write says what is wrong
}

// Unwrap is for http.ResponseController.
func (w *eventWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// events answers a GET with server-sent events, for curl and browsers: what
// Watch streams, in the JSON of the API. An event's id is the pool's epoch, from
// which a browser goes on by itself.
func (s *Server) events(w http.ResponseWriter, r *http.Request) {
	request, err := watchRequest(r)
	if err != nil {
		plain(w, http.StatusBadRequest, "%v", err)
		return
	}
	began := time.Now()
	stream := &eventStream{w: w, control: http.NewResponseController(w), epoch: request.GetAfterEpoch()}
	err = registryService{s.calls}.watch(r.Context(), request, stream.send)
	s.observe(rotav1connect.RegistryServiceWatchProcedure, codeOf(err), time.Since(began))
	if err == nil || r.Context().Err() != nil {
		return // the client is gone, or all are cut off
	}
	if stream.begun {
		stream.fail(err)
		return
	}
	plain(w, statusOf(err), "%v", err)
}

func codeOf(err error) string {
	if err == nil {
		return "ok"
	}
	return registry.CodeOf(err).String()
}

func watchRequest(r *http.Request) (*rotav1.WatchRequest, error) {
	query := r.URL.Query()
	after := query.Get("afterEpoch")
	if last := r.Header.Get("Last-Event-ID"); last != "" {
		after = last
	}
	request := &rotav1.WatchRequest{Pool: query.Get("pool")}
	if request.GetPool() == "" {
		return nil, registry.Errorf(registry.Invalid, "pool is missing: ask with GET %s?pool=NAME, and &afterEpoch=N to go on from an epoch", watchPath)
	}
	if after == "" {
		return request, nil
	}
	var err error
	if request.AfterEpoch, err = strconv.ParseUint(after, 10, 64); err != nil {
		return nil, registry.Errorf(registry.Invalid, "afterEpoch %q: give the number of an epoch, or none", wire.Clip(after))
	}
	return request, nil
}

// eventStream writes events as HTML's standard has them.
type eventStream struct {
	w       http.ResponseWriter
	control *http.ResponseController
	epoch   uint64 // that the client has
	begun   bool
}

func (e *eventStream) send(event *rotav1.WatchResponse) error {
	kind := "alive"
	switch {
	case event.GetPool() != nil:
		kind, e.epoch = "pool", event.GetPool().GetEpoch()
	case event.GetChange() != nil:
		kind, e.epoch = "change", event.GetChange().GetPool().GetEpoch()
	}
	data, err := protojson.MarshalOptions{EmitDefaultValues: true}.Marshal(event)
	if err != nil {
		return err
	}
	return e.write("event: %s\nid: %d\ndata: %s\n\n", kind, e.epoch, data)
}

// fail is the last event. A browser would come back at once: what it then hears
// is a status that keeps it away, if the error lasts.
func (e *eventStream) fail(err error) {
	_ = e.write("event: error\ndata: {\"code\":%q,\"message\":%q}\n\n", registry.CodeOf(err).String(), err.Error()) // it is over either way
}

func (e *eventStream) write(format string, args ...any) error {
	if !e.begun {
		e.begun = true
		e.w.Header().Set("Content-Type", "text/event-stream")
		e.w.Header().Set("Cache-Control", "no-store")
		e.w.Header().Set("X-Accel-Buffering", "no") // proxies that gather would hold events back
	}
	if _, err := fmt.Fprintf(e.w, format, args...); err != nil {
		return err
	}
	return e.control.Flush()
}

// statusOf is an error's HTTP status, as connect has them.
func statusOf(err error) int {
	switch registry.CodeOf(err) {
	case registry.Invalid, registry.Limit:
		return http.StatusBadRequest
	case registry.NotFound:
		return http.StatusNotFound
	case registry.Overloaded:
		return http.StatusTooManyRequests
	case registry.Unavailable, registry.Deadline:
		return http.StatusServiceUnavailable
	default:
		return http.StatusInternalServerError
	}
}
