package server_test

import (
	"bufio"
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protojson"

	"github.com/rota-registry/rota/registry"
	rotav1 "github.com/rota-registry/rota/rpc/gen/rota/v1"
	"github.com/rota-registry/rota/rpc/server"
)

// page is an answer that is read as it comes.
type page struct {
	*http.Response
	text *bufio.Scanner
}

func lines(t testing.TB, url string, header http.Header) *page {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, values := range header {
		r.Header[name] = values
	}
	response, err := httpClient(t, "json").Do(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = response.Body.Close() })
	return &page{response, bufio.NewScanner(response.Body)}
}

// until reads on to a line.
func (p *page) until(t testing.TB, line string) {
	t.Helper()
	for p.text.Scan() {
		if p.text.Text() == line {
			return
		}
	}
	t.Fatalf("no %q: %v", line, p.text.Err())
}

func (p *page) ends(t testing.TB) {
	t.Helper()
	if p.text.Scan() && p.text.Text() != "" || p.text.Scan() || p.text.Err() != nil {
		t.Errorf("it does not end: %q, %v", p.text.Text(), p.text.Err())
	}
}

// event is a server-sent event, with its data as the API's message.
func (p *page) event(t testing.TB) (kind, id string, message *rotav1.WatchResponse) {
	t.Helper()
	for p.text.Scan() && p.text.Text() != "" {
		name, value, _ := strings.Cut(p.text.Text(), ": ")
		switch name {
		case "event":
			kind = value
		case "id":
			id = value
		case "data":
			message = &rotav1.WatchResponse{}
			if err := protojson.Unmarshal([]byte(value), message); err != nil {
				t.Fatalf("%s: %v", value, err)
			}
		default:
			t.Fatalf("line %q", p.text.Text())
		}
	}
	return kind, id, message
}

func TestWatchPage(t *testing.T) {
	m := withNodes(t)
	url := listen(t, newServer(t, server.Options{Replica: m})) + "/watch?pool=proxy"
	p := lines(t, url, nil)
	if p.StatusCode != http.StatusOK || p.Header.Get("Content-Type") != "text/event-stream" || p.Header.Get("Cache-Control") != "no-store" {
		t.Fatalf("%d %v", p.StatusCode, p.Header)
	}
	kind, id, message := p.event(t)
	if kind != "pool" || id != "12" || len(message.GetPool().GetMembers()) != 2 || message.GetReset_() || message.GetServedBy() != "r1" {
		t.Errorf("%s %s %+v", kind, id, message)
	}
	m.do(t, registry.DrainNode{Name: "proxy-1", Draining: true})
	kind, id, message = p.event(t)
	if kind != "change" || id != "14" || message.GetChange().GetFromEpoch() != 12 || message.GetIndex() != 14 {
		t.Errorf("%s %s %+v", kind, id, message)
	}
	m.do(t, registry.TermStart{Leader: "r1"})
	kind, id, message = p.event(t)
	if kind != "alive" || id != "" || message.GetIndex() != 15 || message.GetAgeMs() != 17 {
		t.Errorf("%s %s %+v", kind, id, message)
	}

	// A browser that comes back sends what it had last, and the query it had first.
	for header, want := range map[string]string{"14": "alive", "": "pool"} {
		back := lines(t, url+"&afterEpoch=12", http.Header{"Last-Event-Id": {header}})
		if kind, _, message := back.event(t); kind != want || message.GetReset_() != (want == "pool") {
			t.Errorf("Last-Event-ID %q: %s %+v", header, kind, message)
		}
	}
	if kind, _, _ := lines(t, url+"&afterEpoch=14", nil).event(t); kind != "alive" {
		t.Errorf("afterEpoch: %s", kind)
	}
}

// The stream of a pool that is removed ends with an event that says so.
func TestWatchPageEnds(t *testing.T) {
	m := withNodes(t)
	m.do(t, registry.RegisterPool{Spec: registry.Spec{Name: "p", NodeType: "proxy"}})
	p := lines(t, listen(t, newServer(t, server.Options{Replica: m}))+"/watch?pool=p", nil)
	p.event(t)
	m.do(t, registry.UnregisterPool{Name: "p"})
	p.until(t, "event: error")
	p.until(t, "data: {\"code\":\"not_found\",\"message\":\"pool \\\"p\\\" is not registered: see `rota pool list`\"}")
	p.ends(t)
	m.left(t)
	p.Body.Close()
}

// A browser gives up for good on a status that is not 200, and comes back when a
// stream ends: what another moment, or another replica, may do is told it in a
// stream.
func TestWatchPageKeepsBrowsers(t *testing.T) {
	m := withNodes(t)
	s := newServer(t, server.Options{Replica: m})
	url := listen(t, s) + "/watch?pool=proxy"
	browser := http.Header{"Accept": {"text/event-stream"}, "Last-Event-Id": {"99999"}}
	told := func(transient error) {
		t.Helper()
		p := lines(t, url, browser)
		if p.StatusCode != http.StatusOK || p.Header.Get("Content-Type") != "text/event-stream" {
			t.Fatalf("%v: %s %s", transient, p.Status, p.Header.Get("Content-Type"))
		}
		p.until(t, "retry: 2000")
		p.until(t, "event: error")
		if !p.text.Scan() || !strings.Contains(p.text.Text(), registry.CodeOf(transient).String()) {
			t.Errorf("%v is told as %q", transient, p.text.Text())
		}
		p.ends(t)
	}
	for _, transient := range []error{registry.ErrDeadline, registry.ErrUnavailable, registry.ErrOverloaded} {
		m.before = func(context.Context, string) error { return transient }
		told(transient)
	}
	giveBack := s.LeaveRoomForWatchers(0)
	told(registry.ErrOverloaded) // of the server's own
	if p := lines(t, url, nil); p.StatusCode != http.StatusTooManyRequests {
		t.Errorf("who is no browser: %s", p.Status)
	}
	giveBack()
	m.before = func(context.Context, string) error { return registry.ErrNotFound }
	if p := lines(t, url, browser); p.StatusCode != http.StatusNotFound {
		t.Errorf("of a pool that is not there: %s", p.Status)
	}
}

// HEAD has the headers of what GET would begin with, and ends.
func TestWatchPageHead(t *testing.T) {
	m := withNodes(t)
	got := handle(newServer(t, server.Options{Replica: m}), httptest.NewRequest(http.MethodHead, "/watch?pool=proxy", nil))
	if got.Code != http.StatusOK || got.Header().Get("Content-Type") != "text/event-stream" || got.Body.Len() > 0 {
		t.Errorf("%d %v %q", got.Code, got.Header(), got.Body)
	}
	m.left(t)
}

// What cannot begin has a status of its own.
func TestWatchPageRefuses(t *testing.T) {
	m := withNodes(t)
	s := newServer(t, server.Options{Replica: m})
	want := func(method, path string, status int, text string) {
		t.Helper()
		r := httptest.NewRequest(method, path, nil)
		got := handle(s, r)
		if got.Code != status || !strings.Contains(got.Body.String(), text) || !strings.HasPrefix(got.Header().Get("Content-Type"), "text/plain") || got.Body.Len() > 400 {
			t.Errorf("%s %.60s: %d %q, want %d with %q", method, path, got.Code, got.Body, status, text)
		}
	}
	want("GET", "/watch", 400, "pool is missing")
	want("GET", "/watch?pool=", 400, "pool name is empty")
	want("GET", "/watch?pool=nothing", 404, `pool "nothing" is not registered`)
	want("GET", "/watch?pool=proxy&afterEpoch=x", 400, `afterEpoch "x" is no epoch`)
	want("GET", "/watch?pool=proxy&afterEpoch=-1", 400, "-1")
	want("GET", "/watch?pool=proxy&afterEpoch="+strings.Repeat("9", 5000), 400, "…")
	want("GET", "/watch?pool=proxy&afterepoch=1", 400, `"afterepoch" is not known`)
	want("GET", "/watch?pool=proxy&"+strings.Repeat("x", 5000), 400, "…")
	want("GET", "/watch?pool=proxy&pool=worker", 400, "2 times")
	want("GET", "/watch?pool=%zz", 400, "%zz")
	want("GET", "/watch?pool=proxy&afterEpoch=", 400, `afterEpoch "" is no epoch`)
	want("HEAD", "/watch?pool=nothing", 404, "")
	want("POST", "/watch?pool=proxy", 405, "GET")
	want("GET", "/", 200, "/watch?pool=NAME")
	for code, status := range map[error]int{
		registry.ErrUnavailable: 503, registry.ErrOverloaded: 429, registry.ErrDeadline: 504, registry.ErrLimit: 400,
		registry.ErrConflict: 409, registry.ErrUnimplemented: 501, registry.ErrInternal: 500, errors.New("odd"): 500,
	} {
		m.before = func(context.Context, string) error { return code }
		want("GET", "/watch?pool=proxy", status, code.Error())
	}
}
