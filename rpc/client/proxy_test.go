package client_test

import (
	"bytes"
	"context"
	"iter"
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

// watched is a voter whose watchers are told one thing after the other, each when
// it is asked for: first the pool, then twice that it is as it was, and then
// that it is gone.
type watched struct {
	voter
	next chan struct{}
}

func (v *watched) Watch(ctx context.Context, pool registry.PoolName, _ registry.Epoch) iter.Seq2[registry.PoolEvent, error] {
	return func(yield func(registry.PoolEvent, error) bool) {
		view, info, err := v.Read(ctx, registry.ReadOptions{})
		for i := 0; err == nil && i < 3; i++ {
			event := registry.PoolEvent{ReadInfo: info}
			if i == 0 {
				var whole registry.PoolInfo
				whole, err = view.Pool(pool)
				event.Pool = &whole
			}
			select {
			case <-v.next:
			case <-ctx.Done():
				return
			}
			if !yield(event, err) {
				return
			}
		}
		yield(registry.PoolEvent{}, registry.Errorf(registry.NotFound, "pool %q is gone", pool))
	}
}

// The Client needs nothing of what stands before a replica but that it passes
// gRPC on: not one request goes another way.
func TestBehindAProxyThatPassesGRPCOnly(t *testing.T) {
	c := newCluster(t)
	v := &watched{voter: voter{cluster: c}, next: make(chan struct{}, 1)}
	address := overHTTP2(t, grpcOnly(t, overHTTP2(t, apiOf(t, v, "r1"))))
	cl, err := client.Dial([]string{address}, client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
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
	streamThrough(t, ctx, cl, v.next)
}

// streamThrough: each message arrives when it is sent, and the end with its code.
func streamThrough(t *testing.T, ctx context.Context, cl *client.Client, next chan<- struct{}) {
	t.Helper()
	next <- struct{}{} // the call returns when the stream has begun
	stream, err := cl.Registry().Watch(ctx, connect.NewRequest(&rotav1.WatchRequest{Pool: "p"}))
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Close()
	for i := range 3 {
		if i > 0 {
			next <- struct{}{}
		}
		if !stream.Receive() || (len(stream.Msg().GetPool().GetMembers()) == clusterNodes) != (i == 0) {
			t.Fatalf("message %d: %v, %v", i, stream.Msg(), stream.Err())
		}
	}
	if stream.Receive() || connect.CodeOf(stream.Err()) != connect.CodeNotFound {
		t.Errorf("the stream ends with %v", stream.Err())
	}
}
