package client_test

import (
	"bytes"
	"context"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"

	"github.com/rota-registry/rota/registry"
	"github.com/rota-registry/rota/registry/hrw"
	"github.com/rota-registry/rota/rpc/client"
	rotav1 "github.com/rota-registry/rota/rpc/gen/rota/v1"
	"github.com/rota-registry/rota/rpc/gen/rota/v1/rotav1connect"
)

// overHTTP2 serves a handler on loopback, by HTTP/1.1 and HTTP/2 without TLS.
func overHTTP2(t *testing.T, handler http.Handler) (address string) {
	t.Helper()
	s := httptest.NewUnstartedServer(handler)
	s.Config.Protocols = new(http.Protocols)
	s.Config.Protocols.SetHTTP1(true)
	s.Config.Protocols.SetUnencryptedHTTP2(true)
	s.Start()
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

// grpcOnly is a proxy as they stand before services: what is gRPC over HTTP/2 it
// passes on to the address, and nothing else.
func grpcOnly(t *testing.T, address string) http.Handler {
	t.Helper()
	proxy := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: address})
	behind := &http.Transport{Protocols: new(http.Protocols)}
	behind.Protocols.SetUnencryptedHTTP2(true)
	t.Cleanup(behind.CloseIdleConnections)
	proxy.Transport, proxy.FlushInterval = behind, -1
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		content := r.Header.Get("Content-Type")
		if r.ProtoMajor != 2 || r.Method != http.MethodPost || content != "application/grpc" && !strings.HasPrefix(content, "application/grpc+") {
			http.Error(w, "only gRPC over HTTP/2 passes", http.StatusUnsupportedMediaType)
			return
		}
		proxy.ServeHTTP(w, r)
	})
}

// streamer answers a watch with one pool after the other, each when it is asked
// for, and then says that the pool is gone.
type streamer struct {
	rotav1connect.UnimplementedRegistryServiceHandler
	next chan struct{}
}

func (s *streamer) Watch(ctx context.Context, req *connect.Request[rotav1.WatchRequest], stream *connect.ServerStream[rotav1.WatchResponse]) error {
	for range 3 {
		select {
		case <-s.next:
		case <-ctx.Done():
			return ctx.Err()
		}
		if err := stream.Send(&rotav1.WatchResponse{}); err != nil {
			return err
		}
	}
	return connect.NewError(connect.CodeNotFound, errPlain)
}

// behindAProxy gives the client of a replica that only gRPC reaches.
func behindAProxy(t *testing.T, c *cluster, s *streamer) (*client.Client, string) {
	t.Helper()
	api := (&voter{cluster: c}).api(t, "r1")
	_, watch := rotav1connect.NewRegistryServiceHandler(s)
	mux := http.NewServeMux()
	mux.Handle("/", api)
	mux.Handle(rotav1connect.RegistryServiceWatchProcedure, watch)
	address := overHTTP2(t, grpcOnly(t, overHTTP2(t, mux)))
	cl, err := client.Dial([]string{address}, client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cl.Close() })
	return cl, address
}

// The Client needs nothing of what stands before a replica but that it passes
// gRPC on: not one request goes another way.
func TestBehindAProxyThatPassesGRPCOnly(t *testing.T) {
	s := &streamer{next: make(chan struct{}, 1)}
	c := newCluster(t)
	cl, address := behindAProxy(t, c, s)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	refused, err := http.Post("http://"+address+rotav1connect.RegistryServiceRrTopicProcedure, "application/json", bytes.NewReader([]byte(`{"pool":"p"}`)))
	if err != nil {
		t.Fatal(err)
	}
	_ = refused.Body.Close()
	if refused.StatusCode != http.StatusUnsupportedMediaType {
		t.Fatalf("the proxy passes JSON on: %s", refused.Status)
	}

	var all sync.WaitGroup
	for range 50 {
		all.Go(func() {
			if got, err := cl.Pool("p").RR(ctx, ""); err != nil || got.Topic == "" {
				t.Errorf("rr: %+v, %v", got, err)
			}
			if got, err := cl.Pool("p").HRW(ctx, hrw.String("k")); err != nil || got.Topic == "" {
				t.Errorf("hrw: %+v, %v", got, err)
			}
		})
	}
	all.Wait()
	if c.turns(t) != 50 {
		t.Errorf("%d turns were taken, want 50", c.turns(t))
	}
	if got, err := cl.LogTopic(ctx, "Conn::LOG", ""); err != nil || got.Topic != "zeek/logs/Conn::LOG" {
		t.Errorf("rr of a log: %+v, %v", got, err)
	}
	keys := make([]hrw.Key, registry.BatchKeysMax)
	for i := range keys {
		keys[i] = hrw.Count(uint64(i))
	}
	if got, err := cl.Pool("p").HRWs(ctx, keys); err != nil || len(got.Each) != len(keys) || got.Each[7].Topic == "" {
		t.Errorf("hrw of many: %d answers, %v", len(got.Each), err)
	}
	_, err = cl.Pool("nowhere").RRN(ctx, "", 2)
	wantCode(t, err, registry.NotFound, `"nowhere"`)
	_, err = cl.Pool("nowhere").HRW(ctx, hrw.String("k"))
	wantCode(t, err, registry.NotFound, `"nowhere"`)
	streamThrough(t, ctx, cl, s)
}

// streamThrough: each message arrives when it is sent, and the end with its code.
func streamThrough(t *testing.T, ctx context.Context, cl *client.Client, s *streamer) {
	t.Helper()
	s.next <- struct{}{} // the call returns when the stream has begun
	stream, err := cl.Registry().Watch(ctx, connect.NewRequest(&rotav1.WatchRequest{Pool: "p"}))
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Close()
	for i := range 3 {
		if i > 0 {
			s.next <- struct{}{}
		}
		if !stream.Receive() {
			t.Fatalf("message %d: %v", i, stream.Err())
		}
	}
	if stream.Receive() || connect.CodeOf(stream.Err()) != connect.CodeNotFound {
		t.Errorf("the stream ends with %v", stream.Err())
	}
}
