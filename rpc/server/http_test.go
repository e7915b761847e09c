package server_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/rota-registry/rota/registry"
	rotav1 "github.com/rota-registry/rota/rpc/gen/rota/v1"
	"github.com/rota-registry/rota/rpc/server"
)

const hrwPath = "/rota.v1.RegistryService/HrwTopic"

// post is a request as curl sends it.
func post(path, contentType, body string) *http.Request {
	r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(body))
	r.Header.Set("Content-Type", contentType)
	return r
}

// fault is an error as curl shows it.
type fault struct {
	Code, Message string
	Details       []struct{ Debug struct{ Code string } }
}

func (f fault) detail() string {
	if len(f.Details) != 1 {
		return ""
	}
	return f.Details[0].Debug.Code
}

func faultOf(t *testing.T, body []byte) fault {
	t.Helper()
	var f fault
	if err := json.Unmarshal(body, &f); err != nil {
		t.Fatalf("%q is not an error in JSON: %v", body, err)
	}
	return f
}

func TestCurl(t *testing.T) {
	s := newServer(t, server.Options{Replica: withNodes(t)})
	for _, contentType := range []string{"application/json", "application/json; charset=utf-8", "application/json;charset=UTF-8"} {
		got := handle(s, post(hrwPath, contentType, `{"pool":"proxy","key":{"string":"k"},"consistency":"local"}`))
		var answer map[string]any
		if err := json.Unmarshal(got.Body.Bytes(), &answer); err != nil || got.Code != http.StatusOK {
			t.Fatalf("%s: %d %s (%v)", contentType, got.Code, got.Body, err)
		}
		if answer["servedBy"] != "r1" || answer["index"] != "13" || answer["ageMs"] != "17" || !strings.HasPrefix(fmt.Sprint(answer["topic"]), "zeek/cluster/node/proxy-") {
			t.Errorf("%s: %v", contentType, answer)
		}
	}
}

// The topic is there although it is empty.
func TestCurlShowsWhatIsEmpty(t *testing.T) {
	s := newServer(t, server.Options{Replica: newMemory()})
	got := handle(s, post(hrwPath, "application/json", `{"pool":"proxy","key":{"count":"42"}}`))
	var answer map[string]any
	if err := json.Unmarshal(got.Body.Bytes(), &answer); err != nil || answer["topic"] != "" || answer["emptyReason"] != "no_members" {
		t.Errorf("%s (%v)", got.Body, err)
	}
	if _, there := answer["ageMs"]; there {
		t.Error("an answer that is not local has an age")
	}
}

func TestUnknownFieldsAreRefusedByName(t *testing.T) {
	m := newMemory()
	s := newServer(t, server.Options{Replica: m})
	for _, contentType := range []string{"application/json", "application/json; charset=utf-8", "application/json;charset=UTF-8"} {
		for _, body := range []string{`{"poool":"proxy"}`, `{"pool":"proxy","key":{"string":"k","poool":1}}`} {
			got := handle(s, post(hrwPath, contentType, body))
			if f := faultOf(t, got.Body.Bytes()); got.Code != http.StatusBadRequest || f.Code != "invalid_argument" || !strings.Contains(f.Message, `unknown field "poool"`) {
				t.Errorf("%s, %s: %d %s", contentType, body, got.Code, got.Body)
			}
		}
	}
}

func TestBadJSONIsRefused(t *testing.T) {
	s := newServer(t, server.Options{Replica: newMemory()})
	for body, want := range map[string]string{
		``: "empty", `{`: "unexpected", `[]`: "unexpected token", `{"pool":1}`: "pool", `{"pool":"a","pool":"b"}`: "duplicate field",
		`{"consistency":"LOCAL"}`: "LOCAL", `{"` + strings.Repeat("x", 50_000) + `":1}`: "unknown field",
		`{"pool":"\xff"}`: "UTF-8",
	} {
		got := handle(s, post(hrwPath, "application/json", strings.ReplaceAll(body, `\xff`, "\xff")))
		if f := faultOf(t, got.Body.Bytes()); got.Code != http.StatusBadRequest || !strings.Contains(f.Message, want) || len(f.Message) > 300 {
			t.Errorf("%.40s: %d %.400s, want a short text with %q", body, got.Code, got.Body, want)
		}
	}
}

func TestPages(t *testing.T) {
	m := newMemory()
	s := newServer(t, server.Options{Replica: m})
	want := func(method, path string, status int, texts ...string) {
		t.Helper()
		got := handle(s, httptest.NewRequest(method, path, nil))
		for _, text := range texts {
			if got.Code != status || !strings.Contains(got.Body.String(), text) {
				t.Errorf("%s %s: %d %q, want %d with %q", method, path, got.Code, got.Body, status, text)
			}
		}
	}
	want("GET", "/healthz", 200, "ok")
	want("GET", "/readyz", 200, "ready")
	want("GET", "/metrics", 200, "metric 1")
	want("GET", "/", 200, "rota", "/rota.v1.RegistryService/", "/healthz", "curl")
	want("POST", "/healthz", 405, "GET")
	want("GET", "/nowhere", 404, "/nowhere", "/rota.v1.RegistryService/", "/metrics")
	want("POST", "/rota.v1.RegistryService/HrwTopik", 404, "HrwTopik", "/rota.v1.RegistryService/HrwTopic\n")
	want("GET", "/"+strings.Repeat("x", 5000), 404, "…")
	want("GET", hrwPath, 405, "POST", "curl", hrwPath)
	m.setReady(false)
	want("GET", "/readyz", 503, "waiting for r2")
	want("GET", "/healthz", 200, "ok")
}

func TestWithoutMetricsThereIsNoPage(t *testing.T) {
	s, err := server.New(server.Options{Replica: newMemory(), Name: "r1"})
	if err != nil {
		t.Fatal(err)
	}
	if got := handle(s, httptest.NewRequest(http.MethodGet, "/metrics", nil)); got.Code != http.StatusNotFound {
		t.Errorf("got %d", got.Code)
	}
}

// Curl's own default is not JSON; net/http's 415 would say nothing.
func TestAWrongContentTypeSaysWhatIsRight(t *testing.T) {
	s := newServer(t, server.Options{Replica: newMemory()})
	for _, contentType := range []string{"", "application/x-www-form-urlencoded", "text/json", "application/json; charset=latin1", "application/json; x=y", ";", strings.Repeat("x/y", 1000)} {
		got := handle(s, post(hrwPath, contentType, "{}"))
		if got.Code != http.StatusUnsupportedMediaType || !strings.Contains(got.Body.String(), "-H 'Content-Type: application/json'") || got.Body.Len() > 500 {
			t.Errorf("%.40q: %d %q", contentType, got.Code, got.Body)
		}
	}
}

func TestBodiesHaveALimit(t *testing.T) {
	s := newServer(t, server.Options{Replica: withNodes(t)})
	for path, most := range map[string]int{
		hrwPath:                              registry.BodyMax,
		"/rota.v1.RegistryService/HrwTopics": registry.BatchBodyMax,
		"/rota.v1.RegistryService/RrTopics":  registry.BatchBodyMax,
		"/rota.v1.RegistryService/RrBatch":   registry.BatchBodyMax,
		"/rota.v1.ReplicaService/Forward":    registry.BatchBodyMax,
		"/rota.v1.NodeService/AddNode":       registry.BodyMax,
	} {
		for _, chunked := range []bool{false, true} {
			ask := func(size int) *httptest.ResponseRecorder {
				r := post(path, "application/json", `{}`+strings.Repeat(" ", size-2))
				if chunked {
					r.ContentLength = -1
				}
				return handle(s, r)
			}
			if got := ask(most); got.Code != http.StatusBadRequest || !strings.Contains(got.Body.String(), "invalid") {
				t.Errorf("%s at the limit: %d %s, want to be read and found invalid", path, got.Code, got.Body)
			}
			for _, size := range []int{most + 1, most + 100, 4 * most} {
				got := ask(size)
				f := faultOf(t, got.Body.Bytes())
				if !chunked && f.detail() != "limit" || chunked && f.Code != "resource_exhausted" {
					t.Errorf("%s with %d bytes, chunked %v: %d %s", path, size, chunked, got.Code, got.Body)
				}
			}
		}
	}
}

// A small body can unpack to a large one.
func TestCompressedBodiesHaveTheSameLimit(t *testing.T) {
	url := listen(t, newServer(t, server.Options{Replica: withNodes(t)}))
	client := httpClient(t, "json")
	body := gzipped(t, `{}`+strings.Repeat(" ", 50<<20))
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url+hrwPath, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Content-Encoding", "gzip")
	response, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	answer, err := io.ReadAll(response.Body)
	if f := faultOf(t, answer); err != nil || f.Code != "resource_exhausted" {
		t.Errorf("%d bytes: %s (%v)", len(body), answer, err)
	}
}

func TestLimitsOfRequests(t *testing.T) {
	onEveryProtocol(t, func(t *testing.T, m *memory, a api) {
		keys := make([]*rotav1.Key, registry.BatchKeysMax+1)
		for i := range keys {
			keys[i] = &rotav1.Key{Kind: &rotav1.Key_Digest{Digest: uint32(i)}}
		}
		if got := call(t, a.HrwTopics, &rotav1.HrwTopicsRequest{Pool: "proxy", Keys: keys[:registry.BatchKeysMax]}); len(got.GetTopics()) != registry.BatchKeysMax {
			t.Errorf("%d topics", len(got.GetTopics()))
		}
		fails(t, registry.Limit, a.HrwTopics, &rotav1.HrwTopicsRequest{Pool: "proxy", Keys: keys})
		fails(t, registry.Invalid, a.HrwTopics, &rotav1.HrwTopicsRequest{Pool: "proxy"})

		longest := strings.Repeat("k", registry.KeyMax)
		call(t, a.HrwTopic, &rotav1.HrwTopicRequest{Pool: "proxy", Key: text(longest)})
		fails(t, registry.Limit, a.HrwTopic, &rotav1.HrwTopicRequest{Pool: "proxy", Key: text(longest + "k")})
		if err := fails(t, registry.Invalid, a.HrwTopic, &rotav1.HrwTopicRequest{Pool: "proxy"}); !strings.HasPrefix(err.Text, "key: ") {
			t.Errorf("a missing key: %v", err)
		}
		keys[7] = &rotav1.Key{}
		if err := fails(t, registry.Invalid, a.HrwTopics, &rotav1.HrwTopicsRequest{Pool: "proxy", Keys: keys[:9]}); !strings.HasPrefix(err.Text, "keys[7]: ") {
			t.Errorf("a missing key among others: %v", err)
		}

		call(t, a.RankNodes, &rotav1.RankNodesRequest{Pool: "proxy", Key: text("k"), Limit: registry.RankMax})
		fails(t, registry.Limit, a.RankNodes, &rotav1.RankNodesRequest{Pool: "proxy", Key: text("k"), Limit: registry.RankMax + 1})

		if got := call(t, a.RrTopics, &rotav1.RrTopicsRequest{Pool: "proxy", Count: registry.BatchAnswersMax}); len(got.GetTopics()) != registry.BatchAnswersMax {
			t.Errorf("%d turns", len(got.GetTopics()))
		}
		before := m.Self().Applied
		fails(t, registry.Limit, a.RrTopics, &rotav1.RrTopicsRequest{Pool: "proxy", Count: registry.BatchAnswersMax + 1})
		fails(t, registry.Invalid, a.RrTopics, &rotav1.RrTopicsRequest{Pool: "proxy"})
		fails(t, registry.Invalid, a.RrTopic, &rotav1.RrTopicRequest{Pool: "proxy", Key: strings.Repeat("k", registry.RRKeyMax+1)})
		fails(t, registry.Invalid, a.RrLogTopic, &rotav1.RrLogTopicRequest{})
		fails(t, registry.Invalid, a.RrLogTopic, &rotav1.RrLogTopicRequest{LogId: strings.Repeat("x", registry.LogIDMax+1)})
		fails(t, registry.Invalid, a.RrLogTopic, &rotav1.RrLogTopicRequest{LogId: "x", Path: strings.Repeat("x", registry.LogIDMax+1)})
		fails(t, registry.Invalid, a.RegisterPool, &rotav1.RegisterPoolRequest{Spec: &rotav1.PoolSpec{Name: strings.Repeat("x", registry.NameMax+1), NodeType: "worker"}})
		fails(t, registry.Invalid, a.RegisterPool, &rotav1.RegisterPoolRequest{Spec: &rotav1.PoolSpec{Name: "p", NodeType: "worker", Hash: "md5"}})
		fails(t, registry.Invalid, a.RegisterPool, &rotav1.RegisterPoolRequest{})
		fails(t, registry.Invalid, a.SetCursor, &rotav1.SetCursorRequest{Pool: "proxy", Next: 1 << 31})
		fails(t, registry.Invalid, a.SetSettings, &rotav1.SetSettingsRequest{Settings: &rotav1.Settings{LeftRetentionMs: proto.Int64(-1)}})
		if after := m.Self().Applied; after != before {
			t.Errorf("%d refused requests entered the log", after-before)
		}
	})
}

// Gzip halves the throughput of small messages, and is worth it for large ones.
func TestOnlyLargeAnswersAreCompressed(t *testing.T) {
	m := withNodes(t)
	s := newServer(t, server.Options{Replica: m})
	ask := func() string {
		r := post("/rota.v1.NodeService/ListNodes", "application/json", "{}")
		r.Header.Set("Accept-Encoding", "gzip")
		return handle(s, r).Header().Get("Content-Encoding")
	}
	if got := ask(); got != "" {
		t.Errorf("a small answer is encoded as %q", got)
	}
	for i := range 100 {
		m.do(t, registry.AddNode{Name: registry.NodeName(fmt.Sprintf("n%d", i)), Type: "worker"})
	}
	if got := ask(); got != "gzip" {
		t.Errorf("a large answer is encoded as %q", got)
	}
}

func TestOptionsAreChecked(t *testing.T) {
	_, err := server.New(server.Options{InFlightMax: -1})
	for _, want := range []string{"Replica", "name", "InFlightMax"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v says nothing about %s", err, want)
		}
	}
}

// Every code of the domain reaches curl by its own name.
func TestEveryCodeReachesCurl(t *testing.T) {
	m := newMemory()
	s := newServer(t, server.Options{Replica: m})
	for code := registry.Internal; code <= registry.Unimplemented; code++ {
		m.before = func(context.Context, string) error { return registry.Errorf(code, "told so") }
		got := handle(s, post("/rota.v1.RegistryService/RrTopic", "application/json", `{"pool":"proxy"}`))
		if f := faultOf(t, got.Body.Bytes()); f.detail() != code.String() || f.Message != "told so" {
			t.Errorf("%s: %s", code, got.Body)
		}
	}
}
