package server

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/rota-registry/rota/registry"
	rotav1 "github.com/rota-registry/rota/rpc/gen/rota/v1"
	"github.com/rota-registry/rota/rpc/gen/rota/v1/rotav1connect"
	"github.com/rota-registry/rota/rpc/wire"
)

// watchPath is where curl and browsers watch:
//
//	curl -N 'http://REPLICA/watch?pool=NAME'
//
// The answer is a stream of server-sent events: pool, change and alive, whose
// data is a WatchResponse in JSON; their id is the pool's epoch, from which the
// header Last-Event-ID, or afterEpoch in the query, goes on. An error in
// mid-stream is an event, too, with its code and text, and the last one. What
// cannot begin has a status of its own; but a browser, which would not come back
// after one, hears in a stream of what may be otherwise in a moment.
const watchPath = "/watch"

const watchUsage = "GET " + watchPath + "?pool=NAME, and &afterEpoch=N to go on from an epoch"

func (s *Server) watchPage(w http.ResponseWriter, r *http.Request) {
	request, err := watchQuery(r)
	if err != nil {
		plainError(w, err)
		return
	}
	leave, err := s.enter(rotav1connect.RegistryServiceWatchProcedure)
	if err != nil {
		cannotBegin(w, r, err)
		return
	}
	defer leave()
	s.stream(w, r, func(w http.ResponseWriter, r *http.Request) {
		began := time.Now()
		err := s.sendEvents(w, r, request)
		code := "ok"
		if err != nil {
			code = registry.CodeOf(err).String()
		}
		s.observe(rotav1connect.RegistryServiceWatchProcedure, code, time.Since(began))
	})
}

// watchQuery reads what to watch. Like in a body, what nobody knows is refused.
func watchQuery(r *http.Request) (*rotav1.WatchRequest, error) {
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, registry.Errorf(registry.Invalid, "%v: %s", wire.Clip(err.Error()), watchUsage)
	}
	for name, list := range values {
		if name != "pool" && name != "afterEpoch" {
			return nil, registry.Errorf(registry.Invalid, "%q is not known: %s", wire.Clip(name), watchUsage)
		}
		if len(list) > 1 {
			return nil, registry.Errorf(registry.Invalid, "%s is given %d times: %s", name, len(list), watchUsage)
		}
	}
	if !values.Has("pool") {
		return nil, registry.Errorf(registry.Invalid, "pool is missing: %s", watchUsage)
	}
	request := &rotav1.WatchRequest{Pool: values.Get("pool")}
	// A browser that comes back sends the header with the old query.
	epoch, what := r.Header.Get("Last-Event-ID"), "Last-Event-ID"
	if epoch == "" {
		if !values.Has("afterEpoch") {
			return request, nil
		}
		epoch, what = values.Get("afterEpoch"), "afterEpoch"
	}
	if request.AfterEpoch, err = strconv.ParseUint(epoch, 10, 64); err != nil {
		return nil, registry.Errorf(registry.Invalid, "%s %q is no epoch, which is a number: %s", what, wire.Clip(epoch), watchUsage)
	}
	return request, nil
}

// sendEvents gives the error that the watcher was told.
func (s *Server) sendEvents(w http.ResponseWriter, r *http.Request, request *rotav1.WatchRequest) error {
	begun := false
	send := func(event []byte) error {
		if !begun {
			begun = true
			beginEvents(w)
		}
		_, err := w.Write(event)
		_ = http.NewResponseController(w).Flush() // the next write says what is wrong
		return err
	}
	err := s.watching.tell(r.Context(), request, func(f *frame) error {
		if r.Method == http.MethodHead {
			beginEvents(w)
			return errHeadOnly
		}
		event, err := f.event()
		if err != nil {
			return err
		}
		return send(event)
	})
	switch {
	case err == nil:
	case begun:
		_ = send(errorEvent(err)) // nobody may be there to read it
	default:
		cannotBegin(w, r, err)
	}
	return err
}

// cannotBegin answers instead of a stream; a browser that may come back is told so.
func cannotBegin(w http.ResponseWriter, r *http.Request, err error) {
	if !isBrowser(r) || !passes(err) {
		plainError(w, err)
		return
	}
	beginEvents(w)
	_, _ = fmt.Fprintf(w, "retry: %d\n%s", comeBack.Milliseconds(), errorEvent(err)) // nobody may be there to read it
}

// comeBack is when a browser asks again.
const comeBack = 2 * time.Second

var errHeadOnly = errors.New("no more than the headers was asked for")

func beginEvents(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("X-Accel-Buffering", "no") // proxies that gather would hold events back
	w.WriteHeader(http.StatusOK)
}

// isBrowser is how an EventSource asks.
func isBrowser(r *http.Request) bool { return r.Header.Get("Accept") == "text/event-stream" }

// passes is true of an error that may be gone in a moment, or at another
// replica.
func passes(err error) bool {
	switch registry.CodeOf(err) {
	case registry.Unavailable, registry.Deadline, registry.Overloaded:
		return true
	}
	return false
}

// event gives the frame as a server-sent event.
func (f *frame) event() ([]byte, error) {
	event := fmt.Appendf(nil, "event: %s\n", f.kind)
	if f.body != nil {
		event = fmt.Appendf(event, "id: %d\n", f.epoch)
	}
	event, err := f.appendJSON(append(event, "data: "...))
	return append(event, "\n\n"...), err
}

func errorEvent(err error) []byte {
	data, _ := json.Marshal(struct { // of strings: it cannot fail
		Code    string `json:"code"`
		Message string `json:"message"`
	}{registry.CodeOf(err).String(), err.Error()})
	return fmt.Appendf(nil, "event: error\ndata: %s\n\n", data)
}

// plainError answers a page's request with an error's text.
func plainError(w http.ResponseWriter, err error) {
	status := http.StatusInternalServerError
	switch registry.CodeOf(err) {
	case registry.Invalid, registry.Limit:
		status = http.StatusBadRequest
	case registry.NotFound:
		status = http.StatusNotFound
	case registry.Conflict:
		status = http.StatusConflict
	case registry.Overloaded:
		status = http.StatusTooManyRequests
	case registry.Unavailable:
		status = http.StatusServiceUnavailable
	case registry.Deadline:
		status = http.StatusGatewayTimeout
	case registry.Unimplemented:
		status = http.StatusNotImplemented
	}
	plain(w, status, "%s", err)
}
