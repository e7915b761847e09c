package simnet_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rota-registry/rota/tests/simnet"
)

const a, b = "10.0.0.1", "10.0.0.2"

func bubble(t *testing.T, f func(t *testing.T, n *simnet.Network)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { f(t, simnet.New(1)) })
}

// open gives a stream from a to b on the API's plane, both ends.
func open(t *testing.T, n *simnet.Network) (near, far net.Conn) {
	t.Helper()
	l, err := n.Host(b).Listen(simnet.API, "10.0.0.2:7700")
	if err != nil {
		t.Fatal(err)
	}
	near, err = dial(t, n, time.Second)
	if err != nil {
		t.Fatal(err)
	}
	far, err = l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_, _, _ = near.Close(), far.Close(), l.Close()
		if n.Open() != 0 {
			t.Errorf("%d streams are open that both ends have closed", n.Open())
		}
	})
	return near, far
}

func dial(t *testing.T, n *simnet.Network, within time.Duration) (net.Conn, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	return n.Host(a).Dial(ctx, simnet.API, "10.0.0.2:7700")
}

func mustWrite(t *testing.T, c net.Conn, text string) {
	t.Helper()
	if _, err := c.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
}

// heard reads one message, which takes as long as it takes.
func heard(t *testing.T, c net.Conn, want string) time.Duration {
	t.Helper()
	got, start := make([]byte, len(want)), time.Now()
	if _, err := io.ReadFull(c, got); err != nil || string(got) != want {
		t.Fatalf("read %q, %v, want %q", got, err, want)
	}
	return time.Since(start)
}

// silent wants that nothing comes for a while.
func silent(t *testing.T, c net.Conn, during time.Duration) {
	t.Helper()
	_ = c.SetReadDeadline(time.Now().Add(during))
	if k, err := c.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("read %d bytes, %v, want nothing", k, err)
	}
	_ = c.SetReadDeadline(time.Time{})
}

func cut(l *simnet.Link)   { l.Cut = true }
func uncut(l *simnet.Link) { l.Cut = false }

func TestAStreamKeepsItsOrderWhateverTheLink(t *testing.T) {
	bubble(t, func(t *testing.T, n *simnet.Network) {
		near, far := open(t, n)
		n.Change(simnet.All, a, b, func(l *simnet.Link) {
			*l = simnet.Link{Delay: 50 * time.Millisecond, Jitter: 450 * time.Millisecond, Loss: 0.3, Duplicate: 0.5, Reorder: 0.5}
		})
		const messages = 2000
		go func() {
			for i := range uint32(messages) {
				_, _ = near.Write(binary.BigEndian.AppendUint32(nil, i))
				time.Sleep(time.Millisecond)
			}
		}()
		start := time.Now()
		for i := range uint32(messages) {
			var got [4]byte
			if _, err := io.ReadFull(far, got[:]); err != nil || binary.BigEndian.Uint32(got[:]) != i {
				t.Fatalf("message %d: %v, %v", i, got, err)
			}
		}
		if took := time.Since(start); took < messages*time.Millisecond+50*time.Millisecond {
			t.Errorf("all were there after %v, sooner than the link allows", took)
		}
	})
}

func TestPacketsMayBeLostTwiceOrLate(t *testing.T) {
	bubble(t, func(t *testing.T, n *simnet.Network) {
		from, to := gossip(t, n, a), gossip(t, n, b)
		n.Change(simnet.Packets, a, b, func(l *simnet.Link) { l.Loss, l.Duplicate, l.Reorder = 0.1, 0.2, 0.3 })
		const packets = 1000
		for i := range uint32(packets) {
			if _, err := from.WriteTo(binary.BigEndian.AppendUint32(nil, i), b+":7702"); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Millisecond)
		}
		time.Sleep(time.Second)
		seen, twice, late, last := map[uint32]int{}, 0, 0, uint32(0)
		for len(to.PacketCh()) > 0 {
			p := <-to.PacketCh()
			i := binary.BigEndian.Uint32(p.Buf)
			if seen[i]++; seen[i] == 2 {
				twice++
			}
			if i < last {
				late++
			}
			last = max(last, i)
		}
		lost := packets - len(seen)
		if lost < 50 || lost > 150 || twice < 120 || late < 100 {
			t.Errorf("of %d packets %d were lost, %d came twice and %d late", packets, lost, twice, late)
		}
		if got := n.Counts(); got.Packets != packets || got.Lost != lost || got.Duplicated != twice || got.Reordered == 0 {
			t.Errorf("counts %+v, seen %d lost and %d twice", got, lost, twice)
		}
	})
}

func gossip(t *testing.T, n *simnet.Network, ip string) *simnet.Transport {
	t.Helper()
	g, err := n.Host(ip).Transport(ip + ":7702")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = g.Shutdown() })
	return g
}

func TestACutHoldsAStreamBackOneWayOnly(t *testing.T) {
	bubble(t, func(t *testing.T, n *simnet.Network) {
		near, far := open(t, n)
		n.Change(simnet.API, a, b, cut)
		mustWrite(t, near, "held")
		mustWrite(t, far, "through")
		heard(t, near, "through")
		silent(t, far, time.Minute)
		n.Change(simnet.API, a, b, uncut)
		if took := heard(t, far, "held"); took > time.Second {
			t.Errorf("what was held came %v after the cut's end", took)
		}
	})
}

func TestWhatArrivedBeforeACutIsThere(t *testing.T) {
	bubble(t, func(t *testing.T, n *simnet.Network) {
		near, far := open(t, n)
		mustWrite(t, near, "early")
		time.Sleep(time.Second)
		n.Change(simnet.API, a, b, cut)
		if took := heard(t, far, "early"); took != 0 {
			t.Errorf("what was in the kernel took %v", took)
		}
	})
}

func TestAPlaneOrAPairIsCutAlone(t *testing.T) {
	bubble(t, func(t *testing.T, n *simnet.Network) {
		near, far := open(t, n)
		n.Change(simnet.Raft|simnet.Gossip, a, b, cut)
		n.Change(simnet.All, "10.0.0.3", b, cut)
		mustWrite(t, near, "x")
		heard(t, far, "x")
		from, to := gossip(t, n, a), gossip(t, n, b)
		if _, err := from.WriteTo([]byte("lost"), b+":7702"); err != nil {
			t.Fatal(err)
		}
		if _, err := to.WriteTo([]byte("back"), a+":7702"); err != nil {
			t.Fatal(err)
		}
		if p := <-from.PacketCh(); string(p.Buf) != "back" || len(to.PacketCh()) != 0 {
			t.Errorf("got %q there and %d packets here", p.Buf, len(to.PacketCh()))
		}
	})
}

func TestDeadlinesEndReadsAndWrites(t *testing.T) {
	bubble(t, func(t *testing.T, n *simnet.Network) {
		near, far := open(t, n)
		start := time.Now()
		_ = near.SetDeadline(start.Add(3 * time.Second))
		if _, err := near.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(start) != 3*time.Second {
			t.Errorf("read: %v after %v", err, time.Since(start))
		}
		_ = near.SetWriteDeadline(time.Now().Add(2 * time.Second))
		full := make([]byte, 256<<10)
		mustWrite(t, near, string(full))
		start = time.Now()
		if _, err := near.Write([]byte("x")); !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(start) != 2*time.Second {
			t.Errorf("write to a full peer: %v after %v", err, time.Since(start))
		}
		_ = near.SetDeadline(time.Time{})
		go func() {
			time.Sleep(time.Second)
			_, _ = io.ReadFull(far, full)
		}()
		start = time.Now()
		mustWrite(t, near, "x")
		if time.Since(start) != time.Second {
			t.Errorf("a peer that reads made room after %v, want 1s", time.Since(start))
		}
	})
}

func TestAPeerThatNeverReadsIsGivenUp(t *testing.T) {
	bubble(t, func(t *testing.T, n *simnet.Network) {
		near, far := open(t, n)
		start := time.Now()
		mustWrite(t, near, string(make([]byte, 256<<10)))
		if _, err := near.Write([]byte("x")); !errors.Is(err, syscall.ETIMEDOUT) || time.Since(start) != 15*time.Minute {
			t.Errorf("%v after %v", err, time.Since(start))
		}
		if _, err := far.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("the other end: %v", err)
		}
	})
}

func TestCloseOfEitherEndBreaksBoth(t *testing.T) {
	for _, which := range []string{"who called", "who was called"} {
		bubble(t, func(t *testing.T, n *simnet.Network) {
			closes, stays := open(t, n)
			if which == "who was called" {
				closes, stays = stays, closes
			}
			var blocked sync.WaitGroup
			blocked.Go(func() {
				if _, err := closes.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
					t.Errorf("%s: the read that Close met: %v", which, err)
				}
			})
			blocked.Go(func() {
				_, err := closes.Write(make([]byte, 256<<10))
				if err == nil {
					_, err = closes.Write([]byte("x"))
				}
				if !errors.Is(err, net.ErrClosed) {
					t.Errorf("%s: the write that Close met: %v", which, err)
				}
			})
			synctest.Wait()
			_ = closes.Close()
			blocked.Wait()
			rest, err := io.ReadAll(stays)
			if len(rest) != 256<<10 || err != nil {
				t.Errorf("%s: the other end read %d bytes, %v, want all and the end", which, len(rest), err)
			}
			if _, err := stays.Write([]byte("x")); !errors.Is(err, syscall.EPIPE) {
				t.Errorf("%s: the other end wrote: %v", which, err)
			}
			if err := closes.Close(); !errors.Is(err, net.ErrClosed) {
				t.Errorf("%s: closed again: %v", which, err)
			}
		})
	}
}

func TestACrashResetsAndRefuses(t *testing.T) {
	bubble(t, func(t *testing.T, n *simnet.Network) {
		near, far := open(t, n)
		mustWrite(t, far, "lost with the crash")
		n.Crash(b)
		for _, c := range []net.Conn{near, far} {
			if _, err := c.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("%v: %v", c.LocalAddr(), err)
			}
		}
		if _, err := dial(t, n, time.Second); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("dial: %v", err)
		}
		n.Boot(b)
		c, err := dial(t, n, time.Second)
		if err != nil {
			t.Fatal(err)
		}
		_ = c.Close()
		n.Reset(simnet.All, a, b)
	})
}

func TestAHostWithoutPowerSaysNothing(t *testing.T) {
	bubble(t, func(t *testing.T, n *simnet.Network) {
		near, far := open(t, n)
		n.PowerOff(b)
		_ = far.Close() // with its process, of which nobody hears
		mustWrite(t, near, "into the dark")
		silent(t, near, time.Hour)
		start := time.Now()
		if _, err := dial(t, n, 5*time.Second); !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(start) != 5*time.Second {
			t.Errorf("dial: %v after %v", err, time.Since(start))
		}
		n.Boot(b)
		if _, err := near.Read(make([]byte, 1)); err == nil {
			t.Error("the host is back and knows nothing of the stream, whose read goes on")
		}
		if _, err := near.Write([]byte("x")); err == nil {
			t.Error("the host is back and knows nothing of the stream, whose write goes on")
		}
	})
}

func TestACallThatACutMeetsGoesThroughWhenItEnds(t *testing.T) {
	bubble(t, func(t *testing.T, n *simnet.Network) {
		open(t, n)
		n.Change(simnet.API, b, a, cut) // the way back
		go func() {
			time.Sleep(3 * time.Second)
			n.Heal()
		}()
		start := time.Now()
		c, err := dial(t, n, time.Minute)
		if took := time.Since(start); err != nil || took < 3*time.Second || took > 5*time.Second {
			t.Fatalf("%v after %v", err, took)
		}
		_ = c.Close()
		n.Reset(simnet.API, b, a)
		if got := n.Counts().Reset; got != 2 {
			t.Errorf("%d streams were reset, want 2", got)
		}
	})
}

func TestAListenerThatClosesResetsWhoWaits(t *testing.T) {
	bubble(t, func(t *testing.T, n *simnet.Network) {
		l, err := n.Host(b).Listen(simnet.API, ":7700")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := n.Host(b).Listen(simnet.API, ":7700"); !errors.Is(err, syscall.EADDRINUSE) {
			t.Errorf("the address twice: %v", err)
		}
		c, err := dial(t, n, time.Second)
		if err != nil {
			t.Fatal(err)
		}
		_ = l.Close()
		if _, err := io.Copy(io.Discard, c); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("who waited: %v", err)
		}
		if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("accept: %v", err)
		}
		if _, err := dial(t, n, time.Second); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("dial: %v", err)
		}
	})
}

func TestManyStreamsAtOnce(t *testing.T) {
	bubble(t, func(t *testing.T, n *simnet.Network) {
		l, err := n.Host(b).Listen(simnet.API, ":7700")
		if err != nil {
			t.Fatal(err)
		}
		var work sync.WaitGroup
		work.Go(func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				work.Go(func() {
					_, _ = io.Copy(c, c)
					_ = c.Close()
				})
			}
		})
		var callers sync.WaitGroup
		for range 50 {
			callers.Go(func() {
				c, err := dial(t, n, 10*time.Second)
				if err != nil {
					t.Error(err)
					return
				}
				want := bytes.Repeat([]byte("0123456789abcdef"), 40_000) // more than a window
				go func() { _, _ = c.Write(want) }()
				if got := make([]byte, len(want)); true {
					if _, err := io.ReadFull(c, got); err != nil || !bytes.Equal(got, want) {
						t.Errorf("an echo of %d bytes: %v", len(want), err)
					}
				}
				_ = c.Close()
			})
		}
		callers.Wait()
		_ = l.Close()
		work.Wait()
	})
}
