package transport

import (
	"context"
	"errors"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rota-registry/rota/rpc/transport/transporttest"
)

func TestCloseWaitsForTheCallsUnderWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := New(Options{})
		ctx, end, err := tr.Begin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		closed := make(chan struct{})
		go func() {
			defer close(closed)
			tr.Close()
		}()
		synctest.Wait()
		select {
		case <-closed:
			t.Error("Close returned with a call under way")
		default:
		}
		if !errors.Is(ctx.Err(), context.Canceled) {
			t.Errorf("the call's context: %v, want it cancelled", ctx.Err())
		}
		end()
		<-closed
	})
}

func TestCloseWaitsForTheDialsUnderWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const slow = time.Millisecond // to notice that its context has ended
		tr := New(Options{Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
			<-ctx.Done()
			time.Sleep(slow)
			return nil, ctx.Err()
		}})
		go func() { _, _ = tr.Do(request(t, nil)) }()
		synctest.Wait()
		start := time.Now()
		tr.Close()
		if took := time.Since(start); took != slow {
			t.Errorf("Close took %v, want the dial's %v", took, slow)
		}
	})
}

func TestCloseBreaksConnectionsAndDials(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		late, other := net.Pipe()
		defer other.Close()
		tr := New(Options{DialTimeout: time.Minute, Dial: func(ctx context.Context, _, address string) (net.Conn, error) {
			if address == "hole" {
				<-ctx.Done()
				return nil, ctx.Err()
			}
			return near, nil
		}})
		if _, err := tr.dial(t.Context(), "tcp", "a:1"); err != nil {
			t.Fatal(err)
		}
		dialled := make(chan error, 1)
		start := time.Now()
		go func() {
			_, err := tr.dial(context.Background(), "tcp", "hole")
			dialled <- err
		}()
		synctest.Wait()
		tr.Close()
		if _, err := far.Read(make([]byte, 1)); err == nil {
			t.Error("a connection outlived the transport")
		}
		if err := <-dialled; !errors.Is(err, context.Canceled) || time.Since(start) != 0 {
			t.Errorf("a dial ended with %v after %v, want it cancelled at once", err, time.Since(start))
		}
		if _, err := tr.track(late); !errors.Is(err, net.ErrClosed) {
			t.Errorf("a connection made too late: %v, want closed", err)
		}
		if _, err := late.Write([]byte{0}); err == nil {
			t.Error("a connection made too late is open")
		}
	})
}

// What is asked after Close was not sent, and may be closed again.
func TestNothingBeginsAfterClose(t *testing.T) {
	server := transporttest.New(transporttest.ProtocolError)
	tr := New(Options{Dial: server.Dial})
	if _, err := tr.Do(request(t, nil)); err == nil || NotDone(err) {
		t.Fatalf("before Close: %v, want an error that leaves it open", err)
	}
	tr.Close()
	server.Wait() // its connections are closed
	if _, _, err := tr.Begin(t.Context()); !errors.Is(err, net.ErrClosed) || !NotDone(err) {
		t.Errorf("Begin: %v, want closed", err)
	}
	if _, err := tr.Do(request(t, nil)); !errors.Is(err, net.ErrClosed) || !NotDone(err) {
		t.Errorf("Do: %v, want closed", err)
	}
	tr.Close()
	if n := server.Requests(); n != 1 {
		t.Errorf("%d requests were sent, want the one before Close", n)
	}
}

// A connection that its other end closes is forgotten.
func TestOnlyOpenConnectionsAreKnown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := transporttest.New(transporttest.GoAway)
		tr := New(Options{Dial: server.Dial})
		defer tr.Close()
		for range 3 {
			if _, err := tr.Do(request(t, strings.NewReader("x"))); err == nil {
				t.Fatal("a request that was turned away has no error")
			}
			synctest.Wait()
			if n := len(tr.open()); n != 0 {
				t.Errorf("%d connections are known after GOAWAY, want none", n)
			}
		}
	})
}

func request(t *testing.T, body *strings.Reader) *http.Request {
	t.Helper()
	var req *http.Request
	var err error
	if body == nil {
		req, err = http.NewRequestWithContext(t.Context(), http.MethodPost, "http://a:1/x", http.NoBody)
	} else {
		req, err = http.NewRequestWithContext(t.Context(), http.MethodPost, "http://a:1/x", body)
	}
	if err != nil {
		t.Fatal(err)
	}
	return req
}
