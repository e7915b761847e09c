package server_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/rota-registry/rota/registry"
	rotav1 "github.com/rota-registry/rota/rpc/gen/rota/v1"
	"github.com/rota-registry/rota/rpc/server"
)

// A request that is asked again is answered as it was first, index and term
// included, whatever has happened since.
func TestARequestIsAnsweredAlike(t *testing.T) {
	onEveryProtocol(t, func(t *testing.T, m *memory, a api) {
		m.do(t, join("logger-1", "logger"))
		session := call(t, a.OpenSession, &rotav1.OpenSessionRequest{}).GetSession()
		id := func(serial uint64) *rotav1.RequestId { return &rotav1.RequestId{Session: session, Serial: serial} }
		var first []proto.Message
		for range 2 {
			got := []proto.Message{
				call(t, a.RrTopic, &rotav1.RrTopicRequest{Pool: "proxy", Key: "k", Request: id(1)}),
				call(t, a.RrTopics, &rotav1.RrTopicsRequest{Pool: "proxy", Key: "k", Count: 4, Request: id(2)}),
				call(t, a.RrLogTopic, &rotav1.RrLogTopicRequest{LogId: "Conn::LOG", Request: id(3)}),
				call(t, a.RrTopic, &rotav1.RrTopicRequest{Pool: "logger", Request: id(4)}),
			}
			for i := range first {
				if !proto.Equal(first[i], got[i]) {
					t.Errorf("first %v, then %v", first[i], got[i])
				}
			}
			first = got
			m.do(t, registry.DrainNode{Name: "proxy-1", Draining: true})
			m.do(t, registry.LeaveNode{Name: "logger-1", Boot: boot})
		}
		if cursors := call(t, a.ListCursors, &rotav1.ListCursorsRequest{Pool: "proxy"}).GetCursors(); len(cursors) != 1 || cursors[0].GetNext() != 1 {
			t.Errorf("after five turns of two: %v", cursors)
		}
		if next := call(t, a.RrTopic, &rotav1.RrTopicRequest{Pool: "proxy", Key: "k", Request: id(5)}); next.GetNode() != "proxy-2" || next.GetIndex() <= first[0].(*rotav1.RrTopicResponse).GetIndex() {
			t.Errorf("a new request: %v", next)
		}
	})
}

// What the table refuses has a code of its own; and a request that is there but
// empty is not taken for none, which would count every time.
func TestRequestsThatAreRefused(t *testing.T) {
	onEveryProtocol(t, func(t *testing.T, m *memory, a api) {
		session := call(t, a.OpenSession, &rotav1.OpenSessionRequest{}).GetSession()
		if other := call(t, a.OpenSession, &rotav1.OpenSessionRequest{}).GetSession(); other == session || !regexp.MustCompile("^[0-9a-f]{32}$").MatchString(session) {
			t.Errorf("sessions %q and %q", session, other)
		}
		ask := func(serial, first uint64) *rotav1.RrTopicRequest {
			return &rotav1.RrTopicRequest{Pool: "proxy", Request: &rotav1.RequestId{Session: session, Serial: serial, FirstUnacked: first}}
		}
		call(t, a.RrTopic, ask(1, 0))
		call(t, a.RrTopic, ask(2, 2))
		before := m.Self().Applied
		for _, id := range []*rotav1.RequestId{{}, {Session: "s", Serial: 1}, {Session: session}, {Session: session, Serial: 3, FirstUnacked: 4}} {
			fails(t, registry.Invalid, a.RrTopic, &rotav1.RrTopicRequest{Pool: "proxy", Request: id})
			fails(t, registry.Invalid, a.RrTopics, &rotav1.RrTopicsRequest{Pool: "proxy", Count: 1, Request: id})
			fails(t, registry.Invalid, a.RrLogTopic, &rotav1.RrLogTopicRequest{LogId: "Conn::LOG", Request: id})
		}
		if m.Self().Applied != before {
			t.Error("something invalid was proposed")
		}
		fails(t, registry.Conflict, a.RrTopic, ask(1, 0))
		fails(t, registry.Limit, a.RrTopic, ask(2+registry.OutstandingMax, 0))
		stranger := &rotav1.RequestId{Session: "0123456789abcdef0123456789abcdef", Serial: 1}
		fails(t, registry.SessionUnknown, a.RrTopic, &rotav1.RrTopicRequest{Pool: "proxy", Request: stranger})
		if cursors := call(t, a.ListCursors, &rotav1.ListCursorsRequest{Pool: "proxy"}).GetCursors(); cursors[0].GetNext() != 0 {
			t.Errorf("after two turns of two: %v", cursors)
		}
	})
}

// The same door for curl.
func TestCurlMayRetry(t *testing.T) {
	s := newServer(t, server.Options{Replica: withNodes(t)})
	ask := func(method, body string) map[string]any {
		got := handle(s, post("/rota.v1.RegistryService/"+method, "application/json", body))
		var answer map[string]any
		if err := json.Unmarshal(got.Body.Bytes(), &answer); err != nil || got.Code != http.StatusOK {
			t.Fatalf("%s: %d %s (%v)", method, got.Code, got.Body, err)
		}
		return answer
	}
	body := fmt.Sprintf(`{"pool":"proxy","request":{"session":%q,"serial":1}}`, ask("OpenSession", `{}`)["session"])
	first, again := ask("RrTopic", body), ask("RrTopic", body)
	if first["node"] != "proxy-1" || again["node"] != first["node"] || again["index"] != first["index"] {
		t.Errorf("first %v, then %v", first, again)
	}
}
