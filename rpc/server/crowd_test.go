package server_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"connectrpc.com/connect"

	"github.com/rota-registry/rota/registry"
	rotav1 "github.com/rota-registry/rota/rpc/gen/rota/v1"
	"github.com/rota-registry/rota/rpc/server"
)

// Ten thousand calls at once, of which at first none can be answered: no more are
// kept than may be, the others are turned away, and a page is still answered. When
// the replica can answer again, it does; and every call has heard one or the other.
func TestTenThousandCallsAtOnce(t *testing.T) {
	const calls, most = 10_000, 500
	m := newMemory()
	var within, peak, answered, refused, other atomic.Int32
	release := make(chan struct{})
	m.before = func(context.Context, string) error {
		defer within.Add(-1)
		for now, was := within.Add(1), peak.Load(); now > was && !peak.CompareAndSwap(was, now); was = peak.Load() {
		}
		<-release
		return nil
	}
	url := listen(t, newServer(t, server.Options{Replica: m, InFlightMax: most}))
	a := newAPI(t, url, "grpc")
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	var wg sync.WaitGroup
	for range calls {
		wg.Go(func() {
			_, err := a.ListNodes(ctx, connect.NewRequest(&rotav1.ListNodesRequest{}))
			switch {
			case err == nil:
				answered.Add(1)
			case connect.CodeOf(err) == connect.CodeResourceExhausted || connect.CodeOf(err) == connect.CodeUnavailable:
				refused.Add(1)
			case other.Add(1) == 1:
				t.Error(err)
			}
		})
	}
	for deadline := time.Now().Add(2 * time.Minute); peak.Load() < most || refused.Load() == 0; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d calls are kept and %d refused, of %d", within.Load(), refused.Load(), calls)
		}
	}
	response, err := httpClient(t, "json").Get(url + "/healthz")
	if err != nil || response.StatusCode != http.StatusOK {
		t.Errorf("healthz when full: %v, %v", response, err)
	} else {
		_ = response.Body.Close()
	}
	close(release)
	wg.Wait()
	if peak.Load() > most || answered.Load() < most || answered.Load()+refused.Load() != calls {
		t.Errorf("%d at once; %d were answered and %d refused, of %d; at most %d may be kept", peak.Load(), answered.Load(), refused.Load(), calls, most)
	}
	call(t, a.ListNodes, &rotav1.ListNodesRequest{})
}

// Who sends his headers a byte at a time is cut off, however many they are, and
// keeps nobody else waiting.
func TestSlowHeadersAreCutOff(t *testing.T) {
	t.Parallel()
	url := listen(t, newServer(t, server.Options{Replica: newMemory()}))
	a := newAPI(t, url, "connect")
	const crowd = 200
	var wg sync.WaitGroup
	began := time.Now()
	for range crowd {
		conn, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		wg.Go(func() {
			defer conn.Close()
			wg.Go(func() {
				every := time.NewTicker(100 * time.Millisecond)
				defer every.Stop()
				for text := "POST /rota.v1.NodeService/ListNodes HTTP/1.1\r\nX: " + strings.Repeat("x", 1000); text != ""; text = text[1:] {
					if _, err := io.WriteString(conn, text[:1]); err != nil {
						return
					}
					<-every.C
				}
			})
			_ = conn.SetReadDeadline(began.Add(20 * time.Second))
			_, err := io.ReadAll(conn)
			if timeout := net.Error(nil); errors.As(err, &timeout) && timeout.Timeout() {
				t.Error("a connection whose headers never end is kept")
			}
		})
	}
	for range 20 {
		asked := time.Now()
		call(t, a.ListNodes, &rotav1.ListNodesRequest{})
		if took := time.Since(asked); took > 2*time.Second {
			t.Errorf("beside %d slow ones a call took %s", crowd, took)
		}
	}
	wg.Wait()
}

// Who never sends the body that he has announced holds nobody up, and a body that
// is too long is refused before it is read.
func TestBodiesThatNeverCome(t *testing.T) {
	t.Parallel()
	url := listen(t, newServer(t, server.Options{Replica: newMemory()}))
	address := strings.TrimPrefix(url, "http://")
	for range 200 {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		if _, err := io.WriteString(conn, "POST /rota.v1.NodeService/ListNodes HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{"); err != nil {
			t.Fatal(err)
		}
	}
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_, _ = io.WriteString(conn, "POST /rota.v1.NodeService/ListNodes HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: 1000000000000\r\n\r\n{")
	_ = conn.SetReadDeadline(time.Now().Add(10 * time.Second))
	answer, err := io.ReadAll(conn)
	if err != nil || !strings.Contains(string(answer), registry.Limit.String()) {
		t.Errorf("a body of a terabyte: %q, %v; want %v", answer, err, registry.Limit)
	}
	call(t, newAPI(t, url, "connect").ListNodes, &rotav1.ListNodesRequest{})
}
