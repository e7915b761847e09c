package fsm_test

import (
	"bytes"
	"encoding/binary"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/rota-registry/rota/fsm"
	"github.com/rota-registry/rota/registry"
)

// FuzzEntry: no bytes make the decoder panic, and what decodes encodes to
// something that decodes equal. Each input is tried as it is and with a right
// CRC, which hardly any mutation has; what decodes is applied, too.
func FuzzEntry(f *testing.F) {
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, b := range [][]byte{b, sealed(b)} {
			e, err := fsm.DecodeEntry(b)
			if err != nil {
				continue
			}
			again, err := fsm.EncodeEntry(e)
			if registry.CodeOf(err) == registry.Limit && len(b) > registry.EntryMax {
				continue // No replica writes so long a one.
			}
			if err != nil {
				t.Fatal(err)
			}
			twice, err := fsm.DecodeEntry(again)
			if diff := cmp.Diff(e, twice); err != nil || diff != "" {
				t.Fatalf("%v (-first +second):\n%s", err, diff)
			}
			apply(t, told(t), e.Command)
		}
	})
}

// FuzzOutcome is FuzzEntry for what replicas answer each other.
func FuzzOutcome(f *testing.F) {
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, b := range [][]byte{b, sealed(b)} {
			o, err := fsm.DecodeOutcome(b)
			if err != nil {
				continue
			}
			twice, err := fsm.DecodeOutcome(fsm.EncodeOutcome(o))
			if diff := cmp.Diff(o, twice); err != nil || diff != "" {
				t.Fatalf("%v (-first +second):\n%s", err, diff)
			}
		}
	})
}

// FuzzSnapshot: no bytes make a restore panic, and what restores gives a state
// whose snapshot restores, to the same bytes, and takes commands.
func FuzzSnapshot(f *testing.F) {
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, b := range [][]byte{b, resealed(b)} {
			m := newMachine(t)
			if err := m.Restore(reader(b)); err != nil {
				continue
			}
			again := bytesOf(t, m)
			same(t, "restored twice", again, bytesOf(t, restored(t, again)))
			for _, cmd := range story() {
				apply(t, m, cmd)
			}
			b := bytesOf(t, m)
			same(t, "after commands", b, bytesOf(t, restored(t, b)))
		}
	})
}

// resealed puts the right length and CRC into the sections of a snapshot, as
// far as it has any, so that a mutation gets behind them.
func resealed(b []byte) []byte {
	if len(b) < 8 {
		return b
	}
	out, b := slices.Clone(b[:8]), b[8:]
	for len(b) >= 9 {
		n := min(uint64(binary.LittleEndian.Uint32(b[1:])), uint64(len(b)-9))
		out = append(out, section(b[0], b[5:5+n])...)
		b = b[9+n:]
	}
	return append(out, b...)
}

// TestResealedIsWhole: the fuzz target's helper leaves what is right alone, and
// repairs what is not.
func TestResealedIsWhole(t *testing.T) {
	b := bytesOf(t, told(t))
	if !bytes.Equal(b, resealed(b)) {
		t.Error("a whole snapshot was changed")
	}
	flipped := slices.Clone(b)
	flipped[len(flipped)-1] ^= 1
	if !bytes.Equal(b, resealed(flipped)) {
		t.Error("a CRC was not repaired")
	}
}
