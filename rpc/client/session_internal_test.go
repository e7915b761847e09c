package client

import (
	"context"
	"errors"
	"net"
	"testing"
	"testing/synctest"

	"pgregory.net/rapid"

	"github.com/rota-registry/rota/registry"
	rotav1 "github.com/rota-registry/rota/rpc/gen/rota/v1"
)

// Whatever the order in which requests are finished, each has a serial of its
// own, acknowledges nothing that is under way, and is one that the cluster
// takes: less than OutstandingMax above the first of them.
func TestSerials(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := newSession("s")
		var underWay []*rotav1.RequestId
		for serial := uint64(1); serial < 100; {
			if len(underWay) > 0 && rapid.Bool().Draw(t, "finish") {
				i := rapid.IntRange(0, len(underWay)-1).Draw(t, "which")
				s.finish(underWay[i])
				underWay = append(underWay[:i], underWay[i+1:]...)
				continue
			}
			id := s.draw()
			first := serial
			for _, other := range underWay {
				first = min(first, other.GetSerial())
			}
			if id.GetSession() != "s" || id.GetSerial() != serial || id.GetFirstUnacked() != first {
				t.Fatalf("got %v, want serial %d and first %d", id, serial, first)
			}
			underWay = append(underWay, id)
			serial++
		}
	})
}

func TestASessionHasRoomForOutstandingMax(t *testing.T) {
	s := newSession("s")
	var ids []*rotav1.RequestId
	for range registry.OutstandingMax {
		ids = append(ids, s.draw())
	}
	s.finish(ids[1])
	if id := s.draw(); ids[len(ids)-1] == nil || id != nil {
		t.Fatalf("the last at the bound is %v, one past it %v", ids[len(ids)-1], id)
	}
	s.finish(ids[0])
	if id := s.draw(); id.GetSerial()-id.GetFirstUnacked() != registry.OutstandingMax-2 {
		t.Errorf("with two finished: %v", id)
	}
}

// A session without room is left, and another one opened.
func TestAFullSessionIsLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		refused := errors.New("refused")
		c, err := Dial([]string{"a:1"}, Options{Dial: func(context.Context, string, string) (net.Conn, error) { return nil, refused }})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		full := newSession("s")
		c.sessions.current = full
		for range registry.OutstandingMax {
			s, id, err := c.request(t.Context(), c.deadline(), method{})
			if err != nil || s != full || id == nil {
				t.Fatalf("%v, %v", id, err)
			}
		}
		_, _, err = c.request(t.Context(), c.deadline(), method{kind: counted, verb: "rr"})
		if registry.CodeOf(err) != registry.Unavailable || c.sessions.current != nil || c.sessions.opening != nil {
			t.Errorf("got %v, want that no other one could be opened", err)
		}
	})
}
