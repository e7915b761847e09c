package client

import (
	"context"
	"errors"
	"net"
	"testing"
	"testing/synctest"
	"time"
)

func TestCloseWaitsForTheCallsUnderWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, err := Dial([]string{"a:1"}, Options{})
		if err != nil {
			t.Fatal(err)
		}
		if err := c.enter(); err != nil {
			t.Fatal(err)
		}
		closed := make(chan struct{})
		go func() {
			defer close(closed)
			c.Close()
		}()
		synctest.Wait()
		select {
		case <-closed:
			t.Error("Close returned with a call under way")
		default:
		}
		c.calls.Done()
		<-closed
	})
}

func TestCloseBreaksConnectionsAndDials(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		late, other := net.Pipe()
		defer other.Close()
		n := newNetwork(func(ctx context.Context, _, address string) (net.Conn, error) {
			if address == "hole" {
				<-ctx.Done()
				return nil, ctx.Err()
			}
			return near, nil
		}, time.Minute)
		if _, err := n.connect(t.Context(), "tcp", "a:1"); err != nil {
			t.Fatal(err)
		}
		dialled := make(chan error, 1)
		start := time.Now()
		go func() {
			_, err := n.connect(context.Background(), "tcp", "hole")
			dialled <- err
		}()
		synctest.Wait()
		n.close()
		if _, err := far.Read(make([]byte, 1)); err == nil {
			t.Error("a connection outlived the network")
		}
		if err := <-dialled; !errors.Is(err, context.Canceled) || time.Since(start) != 0 {
			t.Errorf("a dial ended with %v after %v, want it cancelled at once", err, time.Since(start))
		}
		if _, err := n.track(late); !errors.Is(err, net.ErrClosed) {
			t.Errorf("a connection made too late: %v, want closed", err)
		}
		if _, err := late.Write([]byte{0}); err == nil {
			t.Error("a connection made too late is open")
		}
	})
}
