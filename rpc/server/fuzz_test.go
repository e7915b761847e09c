package server_test

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"

	rotav1 "github.com/rota-registry/rota/rpc/gen/rota/v1"
	"github.com/rota-registry/rota/rpc/server"
)

// unaryMethods are all methods that take a plain body, sorted by path.
func unaryMethods() []protoreflect.MethodDescriptor {
	var methods []protoreflect.MethodDescriptor
	for _, file := range []protoreflect.FileDescriptor{
		rotav1.File_rota_v1_registry_proto, rotav1.File_rota_v1_node_proto,
		rotav1.File_rota_v1_cluster_proto, rotav1.File_rota_v1_replica_proto,
	} {
		for i := range file.Services().Len() {
			service := file.Services().Get(i)
			for j := range service.Methods().Len() {
				if method := service.Methods().Get(j); !method.IsStreamingServer() {
					methods = append(methods, method)
				}
			}
		}
	}
	slices.SortFunc(methods, func(a, b protoreflect.MethodDescriptor) int {
		return strings.Compare(string(a.FullName()), string(b.FullName()))
	})
	return methods
}

// pathOf is where a method is called.
func pathOf(method protoreflect.MethodDescriptor) string {
	return "/" + string(method.Parent().FullName()) + "/" + string(method.Name())
}

// seeds are bodies that get past decoding, in JSON.
func seeds() []string {
	return []string{
		`{}`, `{"name":"proxy"}`, `{"pool":"proxy"}`, `{"pool":"proxy","key":"k"}`, `{"pool":"proxy","key":"k","count":3}`,
		`{"pool":"proxy","key":{"string":"k"},"consistency":"local"}`,
		`{"pool":"proxy","key":{"interval":0.25},"limit":2,"explain":true}`,
		`{"pool":"proxy","keys":[{"port":"80/tcp"},{"addr":"::ffff:10.0.0.1"},{"subnet":"10.0.0.0/8"},{"enum":"Log::ID Conn::LOG"}]}`,
		`{"spec":{"name":"p","nodeType":"proxy","maxNodes":1,"exclusive":true,"hash":"zeek-6.2"},"replace":true,"requireNodes":true}`,
		`{"spec":{"topic":"a/b/p","nodeType":"worker"}}`,
		`{"settings":{"topicSeparator":".","managerIsLogger":"true","nodeTypes":{"types":["worker"]},"failedRetentionMs":"5000"}}`,
		`{"name":"n","type":"worker","address":"h:1","bootId":"0123456789abcdef"}`, `{"name":"worker-1","reason":"because"}`,
		`{"logId":"Conn::LOG","path":"conn"}`, `{"pool":"proxy","next":1}`, `{"dryRun":true}`, `{"command":"eHg="}`,
		`{"greeting":{"replica":{"name":"r2","storeId":"0123456789abcdef0123456789abcdef"},"roster":[{"name":"r1"}]}}`,
		`{"pool":"proxy","request":{"session":"s","serial":"1"}}`,
		`{"pool":"proxy","count":2,"request":{"session":"0123456789abcdef0123456789abcdef","serial":"2","firstUnacked":"1"}}`,
	}
}

// addSeeds adds to each method the bodies that it can decode, in both codings.
func addSeeds(f *testing.F, methods []protoreflect.MethodDescriptor) {
	for i, method := range methods {
		for _, seed := range seeds() {
			message := dynamicpb.NewMessage(method.Input())
			if protojson.Unmarshal([]byte(seed), message) != nil {
				continue
			}
			body, err := proto.Marshal(message)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(uint8(i), false, []byte(seed))
			f.Add(uint8(i), true, body)
		}
	}
	for _, malformed := range []string{`{"poool":1}`, `[`, ``, "\xff", `{"pool":"\u0000\uffff"}`} {
		f.Add(uint8(0), false, []byte(malformed))
		f.Add(uint8(0), true, []byte(malformed))
	}
}

// FuzzBodies sends bytes to every method, as JSON and as protobuf. Whatever
// they are, the answer is one that rota means: never a panic, never internal
// or unavailable.
func FuzzBodies(f *testing.F) {
	methods := unaryMethods()
	addSeeds(f, methods)
	m := newMemory()
	s := newServer(f, server.Options{Replica: m})
	f.Fuzz(func(t *testing.T, which uint8, binary bool, body []byte) {
		method := methods[int(which)%len(methods)]
		m.reset(t)
		r := httptest.NewRequest(http.MethodPost, pathOf(method), bytes.NewReader(body))
		r.Header.Set("Content-Type", "application/json")
		if binary {
			r.Header.Set("Content-Type", "application/proto")
		}
		got := handle(s, r)
		switch got.Code {
		case http.StatusOK:
			checkAnswer(t, method, binary, got.Body.Bytes())
		case http.StatusBadRequest, http.StatusNotFound, http.StatusTooManyRequests, http.StatusNotImplemented, http.StatusConflict:
			if f := faultOf(t, got.Body.Bytes()); f.Code == "" || f.Message == "" || len(f.Message) > 1000 {
				t.Errorf("%s: %d %s", method.FullName(), got.Code, got.Body)
			}
		case http.StatusGatewayTimeout: // an index that is not there yet
			if !bytes.Contains(got.Body.Bytes(), []byte("is not here yet")) {
				t.Errorf("%s: %d %s", method.FullName(), got.Code, got.Body)
			}
		default:
			t.Errorf("%s: %d %s", method.FullName(), got.Code, got.Body)
		}
	})
}

// checkAnswer fails if the answer is not a message of the method's type.
func checkAnswer(t *testing.T, method protoreflect.MethodDescriptor, binary bool, body []byte) {
	t.Helper()
	message := dynamicpb.NewMessage(method.Output())
	var err error
	if binary {
		err = proto.Unmarshal(body, message)
	} else {
		err = protojson.Unmarshal(body, message)
	}
	if err != nil {
		t.Errorf("%s: %q: %v", method.FullName(), body, err)
	}
}
