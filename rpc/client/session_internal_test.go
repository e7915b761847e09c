package client

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/rota-registry/rota/registry"
)

// Whatever the order in which batches are finished, each turn has a serial of
// its own, nothing that is under way is acknowledged, and all are serials that
// the cluster takes: less than OutstandingMax above the first of them.
func TestSerials(t *testing.T) {
	type drawn struct {
		serial uint64
		n      int
	}
	rapid.Check(t, func(t *rapid.T) {
		s := newSession("s")
		var underWay []drawn
		next := uint64(1)
		for range 100 {
			if len(underWay) > 0 && rapid.Bool().Draw(t, "finish") {
				i := rapid.IntRange(0, len(underWay)-1).Draw(t, "which")
				s.finish(underWay[i].serial, underWay[i].n)
				underWay = append(underWay[:i], underWay[i+1:]...)
				continue
			}
			first := next
			for _, other := range underWay {
				first = min(first, other.serial)
			}
			if room := registry.OutstandingMax - int(next-first); s.room() != room {
				t.Fatalf("there is room for %d, want %d", s.room(), room)
			}
			n := rapid.IntRange(0, min(s.room(), turnsMax)).Draw(t, "turns")
			serial, firstUnacked := s.draw(n)
			if n > 0 && (serial != next || firstUnacked != first || serial+uint64(n)-first > registry.OutstandingMax) {
				t.Fatalf("got %d to %d and acknowledge below %d, want from %d and below %d", serial, serial+uint64(n)-1, firstUnacked, next, first)
			}
			next += uint64(n)
			if n > 0 {
				underWay = append(underWay, drawn{serial, n})
			} else {
				s.finish(serial, n)
			}
		}
	})
}
