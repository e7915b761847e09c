package transport_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rota-registry/rota/rpc/transport"
	"github.com/rota-registry/rota/rpc/transport/transporttest"
)

type dialer = func(ctx context.Context, network, address string) (net.Conn, error)

func refuse(context.Context, string, string) (net.Conn, error) {
	return nil, &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
}

// swallow is the dial of a machine that does not even refuse.
func swallow(ctx context.Context, _, _ string) (net.Conn, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

func newTransport(t *testing.T, options transport.Options) *transport.Transport {
	t.Helper()
	tr := transport.New(options)
	t.Cleanup(tr.Close)
	return tr
}

// ask sends a request and reads the answer.
func ask(ctx context.Context, tr *transport.Transport, method string, body io.Reader) (int, error) {
	req, err := http.NewRequestWithContext(ctx, method, "http://a:1/x", body)
	if err != nil {
		return 0, err
	}
	res, err := tr.Do(req)
	if err != nil {
		return 0, err
	}
	_, err = io.Copy(io.Discard, res.Body)
	return res.StatusCode, errors.Join(err, res.Body.Close())
}

// bodies are all those that net/http treats in their own ways; a bytes.Reader
// gets a GetBody from it.
func bodies() map[string]func() io.Reader {
	return map[string]func() io.Reader{
		"none":      func() io.Reader { return nil },
		"NoBody":    func() io.Reader { return http.NoBody },
		"GetBody":   func() io.Reader { return bytes.NewReader([]byte("x")) },
		"read once": func() io.Reader { return io.MultiReader(bytes.NewReader([]byte("x"))) },
	}
}

// net/http alone sends such a request again, most of them without end.
func TestARequestThatIsTurnedAwayIsSentOnce(t *testing.T) {
	for answer, notDone := range map[transporttest.Answer]bool{
		transporttest.ProtocolError: false, transporttest.RefusedStream: true, transporttest.GoAway: true,
	} {
		for name, body := range bodies() {
			for _, method := range []string{http.MethodPost, http.MethodGet} {
				synctest.Test(t, func(t *testing.T) {
					server := transporttest.New(answer)
					tr := newTransport(t, transport.Options{Dial: server.Dial})
					start := time.Now()
					_, err := ask(t.Context(), tr, method, body())
					if _, refused := errors.AsType[*transport.RefusedError](err); err == nil || refused != notDone || transport.NotDone(err) != notDone {
						t.Errorf("answer %d, %s, body %s: %v, want not done: %v", answer, method, name, err, notDone)
					}
					if n := server.Requests(); n != 1 || time.Since(start) != 0 {
						t.Errorf("answer %d, %s, body %s: sent %d times in %v, want once", answer, method, name, n, time.Since(start))
					}
				})
			}
		}
	}
}

func TestWithoutAConnectionNothingIsSent(t *testing.T) {
	for name, test := range map[string]struct {
		dial  dialer
		took  time.Duration
		wraps error
	}{
		"refused":          {refuse, 0, syscall.ECONNREFUSED},
		"swallowed":        {swallow, 3 * time.Second, nil},
		"the time is over": {swallow, time.Second, context.DeadlineExceeded},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				tr := newTransport(t, transport.Options{Dial: test.dial, DialTimeout: 3 * time.Second})
				ctx := t.Context()
				if test.took == time.Second {
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeout(ctx, time.Second)
					defer cancel()
				}
				start := time.Now()
				_, err := ask(ctx, tr, http.MethodPost, bytes.NewReader([]byte("x")))
				if _, unsent := errors.AsType[*transport.NotSentError](err); !unsent || !transport.NotDone(err) {
					t.Errorf("got %v, want a NotSentError", err)
				}
				if took := time.Since(start); took != test.took || test.wraps != nil && !errors.Is(err, test.wraps) {
					t.Errorf("got %v after %v, want %v after %v", err, took, test.wraps, test.took)
				}
			})
		})
	}
}

func TestADialIsGivenUpAfterASecondByDefault(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		_, err := ask(t.Context(), newTransport(t, transport.Options{Dial: swallow}), http.MethodPost, nil)
		if !transport.NotDone(err) || err.Error() != "dial a:1: no connection in 1s" || time.Since(start) != time.Second {
			t.Errorf("got %v after %v", err, time.Since(start))
		}
	})
}

// connect gives the context's error in the place of the transport's.
func TestAnAttemptKnowsWhatItsErrorDoesNot(t *testing.T) {
	hidden := errors.New("no answer")
	for name, test := range map[string]struct {
		dial    dialer
		notDone bool
	}{
		"refused":        {refuse, true},
		"REFUSED_STREAM": {transporttest.New(transporttest.RefusedStream).Dial, true},
		"PROTOCOL_ERROR": {transporttest.New(transporttest.ProtocolError).Dial, false},
	} {
		tr := newTransport(t, transport.Options{Dial: test.dial})
		err := transport.Attempt(t.Context(), func(ctx context.Context) error {
			if _, err := ask(ctx, tr, http.MethodPost, nil); err == nil {
				t.Errorf("%s: the request has no error", name)
			}
			return hidden
		})
		if !errors.Is(err, hidden) || err.Error() == "" || transport.NotDone(err) != test.notDone {
			t.Errorf("%s: %v, want not done: %v", name, err, test.notDone)
		}
	}
	if err := transport.Attempt(t.Context(), func(context.Context) error { return hidden }); !transport.NotDone(err) || !errors.Is(err, hidden) {
		t.Errorf("an attempt that sent nothing: %v, want not done", err)
	}
	if err := transport.Attempt(t.Context(), func(context.Context) error { return nil }); err != nil {
		t.Errorf("an attempt without an error: %v", err)
	}
}

// The connection breaks while one request is written to it and another waits
// its turn: the first may have been done. Nothing of the second was sent.
func TestARequestThatWaitedForABrokenConnectionIsNotSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		tr := newTransport(t, transport.Options{Dial: func(context.Context, string, string) (net.Conn, error) { return near, nil }})
		var errs [2]error
		var asking sync.WaitGroup
		for i := range errs {
			asking.Go(func() { _, errs[i] = ask(t.Context(), tr, http.MethodPost, bytes.NewReader([]byte("x"))) })
			if i == 0 {
				greet(t, far)
			}
			synctest.Wait()
		}
		_ = far.Close()
		asking.Wait()
		if errs[0] == nil || transport.NotDone(errs[0]) {
			t.Errorf("the request that was being sent: %v, want an error that leaves it open", errs[0])
		}
		if _, unsent := errors.AsType[*transport.NotSentError](errs[1]); !unsent {
			t.Errorf("the request that waited: %v, want a NotSentError", errs[1])
		}
	})
}

// greet reads what a client sends before its first request: the preface,
// SETTINGS and WINDOW_UPDATE.
func greet(t *testing.T, conn net.Conn) {
	t.Helper()
	if _, err := io.ReadFull(conn, make([]byte, 24)); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		var head [9]byte
		_, err := io.ReadFull(conn, head[:])
		if err == nil {
			_, err = io.ReadFull(conn, make([]byte, int(head[1])<<8|int(head[2])))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// What takes a request and never answers it has the time of a ping.
func TestASilentConnectionMustAnswerAPing(t *testing.T) {
	for options, most := range map[[2]time.Duration]time.Duration{
		{}:                           3 * time.Second,
		{time.Second, time.Minute}:   61 * time.Second,
		{time.Minute, 2 * time.Hour}: 121 * time.Minute,
	} {
		synctest.Test(t, func(t *testing.T) {
			var hung sync.WaitGroup
			defer hung.Wait()
			tr := transport.New(transport.Options{
				PingAfter: options[0], PingTimeout: options[1],
				Dial: func(context.Context, string, string) (net.Conn, error) {
					near, far := net.Pipe()
					hung.Go(func() { _, _ = io.Copy(io.Discard, far) })
					return near, nil
				},
			})
			defer tr.Close()
			start := time.Now()
			_, err := ask(t.Context(), tr, http.MethodPost, bytes.NewReader([]byte("x")))
			if took := time.Since(start); err == nil || transport.NotDone(err) || took != most {
				t.Errorf("got %v after %v, want an error that leaves it open after %v", err, took, most)
			}
		})
	}
}

// Over TCP: answers come back as they are, over one connection.
func TestAnswersAndRedirectsAreHandedOn(t *testing.T) {
	var asked, conns atomic.Int64
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		body, _ := io.ReadAll(r.Body)
		if len(body) == 0 {
			http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
		}
	}))
	server.Config.Protocols = new(http.Protocols)
	server.Config.Protocols.SetUnencryptedHTTP2(true)
	server.Start()
	t.Cleanup(server.Close)
	tr := newTransport(t, transport.Options{Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		conns.Add(1)
		return new(net.Dialer).DialContext(ctx, network, server.Listener.Addr().String())
	}})
	for name, body := range bodies() {
		want := http.StatusOK
		if name == "none" || name == "NoBody" {
			want = http.StatusTemporaryRedirect
		}
		if status, err := ask(t.Context(), tr, http.MethodPost, body()); err != nil || status != want {
			t.Errorf("body %s: %d, %v, want %d", name, status, err, want)
		}
	}
	if asked.Load() != int64(len(bodies())) || conns.Load() != 1 {
		t.Errorf("%d requests over %d connections, want %d over 1", asked.Load(), conns.Load(), len(bodies()))
	}
}
