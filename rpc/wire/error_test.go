package wire_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"

	"github.com/rota-registry/rota/registry"
	rotav1 "github.com/rota-registry/rota/rpc/gen/rota/v1"
	"github.com/rota-registry/rota/rpc/gen/rota/v1/rotav1connect"
	"github.com/rota-registry/rota/rpc/wire"
)

// answering is a registry whose every GetPool ends with one error.
type answering struct {
	rotav1connect.UnimplementedRegistryServiceHandler
	err error
}

func (a answering) GetPool(context.Context, *connect.Request[rotav1.GetPoolRequest]) (*connect.Response[rotav1.GetPoolResponse], error) {
	return nil, wired(a.err)
}

// wired is what a handler of rota makes of an error; connect's own stay as
// they are.
func wired(err error) error {
	if _, ok := errors.AsType[*connect.Error](err); ok {
		return err
	}
	return wire.ToError(err)
}

// overTheWire sends err through a real server and client of each protocol.
func overTheWire(t *testing.T, err error, each func(protocol string, got error)) {
	t.Helper()
	_, handler := rotav1connect.NewRegistryServiceHandler(answering{err: err})
	server := httptest.NewUnstartedServer(handler)
	server.Config.Protocols, server.Config.HTTP2 = new(http.Protocols), nil
	server.Config.Protocols.SetHTTP1(true)
	server.Config.Protocols.SetUnencryptedHTTP2(true)
	server.Start()
	t.Cleanup(server.Close)
	transport := &http.Transport{Protocols: new(http.Protocols)}
	transport.Protocols.SetUnencryptedHTTP2(true)
	t.Cleanup(transport.CloseIdleConnections)
	protocols := map[string][]connect.ClientOption{
		"connect": nil, "json": {connect.WithProtoJSON()}, "grpc": {connect.WithGRPC()}, "grpc-web": {connect.WithGRPCWeb()},
	}
	for protocol, options := range protocols {
		client := rotav1connect.NewRegistryServiceClient(&http.Client{Transport: transport}, server.URL, options...)
		_, got := client.GetPool(t.Context(), connect.NewRequest(&rotav1.GetPoolRequest{}))
		each(protocol, got)
	}
}

// codes are all of them: CodeNamed gives Internal to a name past the last.
func codes() []registry.Code {
	all := []registry.Code{registry.Internal}
	for c := registry.Internal + 1; registry.CodeNamed(c.String()) == c; c++ {
		all = append(all, c)
	}
	return all
}

func TestEveryCodeCrossesTheWireExactly(t *testing.T) {
	if len(codes()) != 11 {
		t.Fatalf("found %d codes, want 11: add the new one here and to the table", len(codes()))
	}
	seen := make(map[connect.Code]registry.Code)
	for _, code := range codes() {
		wired := wire.ToCode(code)
		if other, twice := seen[wired]; twice {
			t.Errorf("%s and %s share connect's %s", other, code, wired)
		}
		seen[wired] = code
		sent := registry.Errorf(code, "pool %q: something", "p")
		overTheWire(t, fmt.Errorf("wrapped: %w", sent), func(protocol string, err error) {
			got, ok := wire.FromError(err)
			if !ok || got.Code != code || got.Text != `wrapped: pool "p": something` {
				t.Errorf("%s over %s: got %v, %v", code, protocol, got, ok)
			}
			if connect.CodeOf(err) != wired {
				t.Errorf("%s over %s: connect code %s, want %s", code, protocol, connect.CodeOf(err), wired)
			}
		})
	}
}

// The numbers of connect's codes are gRPC's: what a code looks like to a
// program that knows no ErrorDetail must never change.
func TestTheTableIsAppendOnly(t *testing.T) {
	want := map[registry.Code]string{
		registry.Internal: "internal", registry.Invalid: "invalid_argument", registry.NotFound: "not_found",
		registry.Conflict: "failed_precondition", registry.Unavailable: "unavailable", registry.Deadline: "deadline_exceeded",
		registry.OutcomeUnknown: "unknown", registry.Overloaded: "resource_exhausted", registry.Limit: "out_of_range",
		registry.SessionUnknown: "aborted", registry.Unimplemented: "unimplemented",
	}
	for code, name := range want {
		if got := wire.ToCode(code).String(); got != name {
			t.Errorf("%s is %s on the wire, want %s", code, got, name)
		}
	}
	if got := wire.ToCode(200); got != connect.CodeInternal {
		t.Errorf("a code from the future is %s, want internal", got)
	}
}

func TestErrorsWithoutDetailAreReadSafely(t *testing.T) {
	want := map[connect.Code]registry.Code{
		connect.CodeCanceled: registry.OutcomeUnknown, connect.CodeUnknown: registry.OutcomeUnknown,
		connect.CodeInvalidArgument: registry.Invalid, connect.CodeDeadlineExceeded: registry.OutcomeUnknown,
		connect.CodeNotFound: registry.NotFound, connect.CodeAlreadyExists: registry.Conflict,
		connect.CodePermissionDenied: registry.Invalid, connect.CodeResourceExhausted: registry.Limit,
		connect.CodeFailedPrecondition: registry.Conflict, connect.CodeAborted: registry.OutcomeUnknown,
		connect.CodeOutOfRange: registry.Limit, connect.CodeUnimplemented: registry.Unimplemented,
		connect.CodeInternal: registry.Internal, connect.CodeUnavailable: registry.OutcomeUnknown,
		connect.CodeDataLoss: registry.Internal, connect.CodeUnauthenticated: registry.Invalid,
	}
	for wired, code := range want {
		overTheWire(t, connect.NewError(wired, errors.New("text")), func(protocol string, err error) {
			got, ok := wire.FromError(err)
			if !ok || got.Code != code || got.Text != "text" {
				t.Errorf("%s over %s: got %v, %v, want %s", wired, protocol, got, ok, code)
			}
		})
	}
}

// Only what a handler of rota answers has its detail.
func TestRotasErrorsAreToldFromOthers(t *testing.T) {
	plain := connect.NewError(connect.CodeUnavailable, errors.New("upstream reset"))
	foreign := connect.NewError(connect.CodeUnavailable, errors.New("upstream reset"))
	for _, message := range []proto.Message{&rotav1.ErrorDetail{}, &rotav1.Settings{}} {
		detail, err := connect.NewErrorDetail(message)
		if err != nil {
			t.Fatal(err)
		}
		foreign.AddDetail(detail)
	}
	for _, test := range []struct {
		err  error
		want bool
	}{
		{registry.Errorf(registry.Unavailable, "no leader"), true},
		{errors.New("bolt: bad page"), true},
		{plain, false},
		{foreign, false},
	} {
		overTheWire(t, test.err, func(protocol string, err error) {
			if got := wire.HasDetail(err); got != test.want {
				t.Errorf("%v over %s: has the detail: %v, want %v", test.err, protocol, got, test.want)
			}
		})
	}
	if wire.HasDetail(context.DeadlineExceeded) {
		t.Error("an error of this side has the detail")
	}
}

func TestErrorsOfThisSideAreNotTheOthers(t *testing.T) {
	for _, err := range []error{
		errors.New("plain"), context.DeadlineExceeded, connect.NewError(connect.CodeUnavailable, errors.New("refused")),
	} {
		if got, ok := wire.FromError(err); ok {
			t.Errorf("%v was taken for the other side's %v", err, got)
		}
	}
}

func TestUncodedErrors(t *testing.T) {
	for _, test := range []struct {
		err  error
		code registry.Code
		text string
	}{
		{context.DeadlineExceeded, registry.Deadline, "deadline passed"},
		{fmt.Errorf("reading: %w", context.Canceled), registry.Unavailable, "cancelled"},
		{errors.New("bolt: bad page"), registry.Internal, "bolt: bad page"},
	} {
		overTheWire(t, wire.ToError(test.err), func(protocol string, err error) {
			got, ok := wire.FromError(err)
			if !ok || got.Code != test.code || !strings.Contains(got.Text, test.text) {
				t.Errorf("%v over %s: got %v, want %s with %q", test.err, protocol, got, test.code, test.text)
			}
		})
	}
}

// What curl shows: the code's own name is readable in the detail.
func TestTheCodesNameIsReadable(t *testing.T) {
	recorder := httptest.NewRecorder()
	request := httptest.NewRequest(http.MethodPost, "/x", strings.NewReader("{}"))
	request.Header.Set("Content-Type", "application/json")
	if err := connect.NewErrorWriter().Write(recorder, request, wire.ToError(registry.Errorf(registry.Conflict, "pool p: no"))); err != nil {
		t.Fatal(err)
	}
	var body struct {
		Details []struct{ Debug struct{ Code string } }
	}
	if err := json.Unmarshal(recorder.Body.Bytes(), &body); err != nil || len(body.Details) != 1 || body.Details[0].Debug.Code != "conflict" {
		t.Errorf("got %s (%v), want a detail with debug.code conflict", recorder.Body, err)
	}
}
