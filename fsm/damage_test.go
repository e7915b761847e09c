package fsm_test

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/rota-registry/rota/fsm"
	"github.com/rota-registry/rota/registry"
)

// sealed puts the right CRC behind bytes: what a newer release, or a hand,
// could write.
func sealed(b []byte) []byte {
	return binary.LittleEndian.AppendUint32(slices.Clone(b), crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)))
}

func unsealed(b []byte) []byte { return slices.Clone(b[:len(b)-4]) }

// damaged calls check with the bytes with each bit flipped, and with the bytes
// cut off at each length.
func damaged(b []byte, check func(what string, at int, b []byte)) {
	for i := range b {
		for bit := range 8 {
			flipped := slices.Clone(b)
			flipped[i] ^= 1 << bit
			check("flipped in byte", i, flipped)
		}
		check("cut off at byte", i, b[:i])
	}
}

// TestDamagedEntries: no flipped bit, and no missing end, goes unnoticed.
func TestDamagedEntries(t *testing.T) {
	for name, b := range goldens(t) {
		if name == "snapshot" || name == "outcome" {
			continue
		}
		damaged(b, func(what string, at int, b []byte) {
			if e, err := fsm.DecodeEntry(b); err == nil {
				t.Errorf("%s %s %d became %+v", name, what, at, e)
			}
			if fsm.CheckEntry(b) == nil {
				t.Errorf("CheckEntry takes %s %s %d", name, what, at)
			}
		})
	}
}

func TestDamagedOutcome(t *testing.T) {
	damaged(goldens(t)["outcome"], func(what string, at int, b []byte) {
		if o, err := fsm.DecodeOutcome(b); err == nil {
			t.Errorf("%s %d became %+v", what, at, o)
		}
	})
}

// TestDamagedSnapshot: no flipped bit, no missing end and no byte too many goes
// unnoticed. A snapshot that is there in part is none.
func TestDamagedSnapshot(t *testing.T) {
	whole := bytesOf(t, told(t))
	damaged(whole, func(what string, at int, b []byte) {
		if _, _, _, err := fsm.ReadSnapshot(bytes.NewReader(b)); err == nil {
			t.Errorf("%s %d of %d was read", what, at, len(whole))
		}
	})
	if _, _, _, err := fsm.ReadSnapshot(bytes.NewReader(append(whole, 0))); err == nil {
		t.Error("a byte behind the end was not noticed")
	}
}

// TestDamagedSnapshotKeepsTheState: a restore that fails has changed nothing.
func TestDamagedSnapshotKeepsTheState(t *testing.T) {
	other := newMachine(t)
	apply(t, other, registry.TermStart{Leader: "r9"})
	snapshot := bytesOf(t, other)
	m := told(t)
	before := bytesOf(t, m)
	damaged(snapshot, func(what string, at int, b []byte) {
		if err := m.Restore(reader(b)); err == nil {
			t.Errorf("%s %d was restored", what, at)
		}
	})
	same(t, "after the failed restores", before, bytesOf(t, m))
	if err := m.Restore(reader(snapshot)); err != nil {
		t.Fatal(err)
	}
	same(t, "after the good one", snapshot, bytesOf(t, m))
}

// TestImpossibleSnapshotKeepsTheState: its bytes are whole, and no registry can
// have written them.
func TestImpossibleSnapshotKeepsTheState(t *testing.T) {
	m := told(t)
	before := bytesOf(t, m)
	snap, at, chain, err := fsm.ReadSnapshot(bytes.NewReader(before))
	if err != nil {
		t.Fatal(err)
	}
	snap.Pools[0].Members = append(snap.Pools[0].Members, registry.MemberSnapshot{Node: "nobody", Alias: "nobody.0"})
	var b bytes.Buffer
	if err := fsm.WriteSnapshot(&b, snap, at, chain); err != nil {
		t.Fatal(err)
	}
	if err := m.Restore(reader(b.Bytes())); err == nil || !strings.Contains(err.Error(), "nobody") {
		t.Errorf("a member that no layout has: %v", err)
	}
	same(t, "after the failed restore", before, bytesOf(t, m))
}

// TestUnknownEntries: what a newer release may write is refused, with words,
// and not guessed at.
func TestUnknownEntries(t *testing.T) {
	good, err := fsm.EncodeCommand(registry.DrainNode{Name: "n", Draining: true})
	if err != nil {
		t.Fatal(err)
	}
	head, body := unsealed(good)[:4], unsealed(good)[4:]
	number := func(n uint64) []byte {
		return append(append([]byte{1}, protowire.AppendVarint(nil, n)...), head[2:]...)
	}
	with := func(head, body, more []byte) []byte { return slices.Concat(head, body, more) }
	field := func(num protowire.Number, kind protowire.Type, v ...byte) []byte {
		return append(protowire.AppendTag(nil, num, kind), v...)
	}
	for _, c := range []struct {
		what, want string
		b          []byte
	}{
		{"the entry itself", "", with(head, body, nil)},
		{"version 0", "version", with([]byte{0}, head[1:], body)},
		{"version 2", "version", with([]byte{2}, head[1:], body)},
		{"nothing but a CRC", "version", nil},
		{"command 0", "command number 0 is unknown", with(number(0), body, nil)},
		{"command 21", "command number 21 is unknown", with(number(21), body, nil)},
		{"a request where there was none", "field 1: field 6 is unknown", with(number(7), nil, field(1, protowire.BytesType, 2, 0x30, 1))},
		{"a huge command", "is unknown", with(number(1<<63), body, nil)},
		{"a cut head", "head", []byte{1, 14, 0}},
		{"an endless number", "head", append([]byte{1}, bytes.Repeat([]byte{0xff}, 11)...)},
		{"an unknown field", "field 9 is unknown", with(head, body, field(9, protowire.VarintType, 1))},
		{"another command's body", "field 2 is unknown", with(number(6), []byte{}, []byte{0x10, 1})},
		{"a field twice", "field 2 stands behind field 2", with(head, body, field(2, protowire.VarintType, 1))},
		{"a field again", "field 1 stands behind field 2", with(head, body, field(1, protowire.BytesType, 1, 'm'))},
		{"fields out of order", "field 1 stands behind field 2", with(head, body[3:], body[:3])},
		{"a list in two parts", "field 1 stands behind field 2", with(number(16), field(1, protowire.BytesType, 0), append(field(2, protowire.BytesType, 1, 'r'), field(1, protowire.BytesType, 0)...))},
		{"a text as a number", "field 1 has wire type 0", with(head, nil, field(1, protowire.VarintType, 1))},
		{"a number as a text", "field 2 has wire type 2", with(head, nil, field(2, protowire.BytesType, 0))},
		{"a group", "wire type 3", with(head, body, field(9, protowire.StartGroupType))},
		{"a bool of 2", "2 is not a bool", with(head, nil, field(2, protowire.VarintType, 2))},
		{"a bool of 256", "256 is out of range", with(head, nil, field(2, protowire.VarintType, 0x80, 2))},
		{"a text that is cut off", "EOF", with(head, nil, field(1, protowire.BytesType, 5, 'm'))},
		{"an unknown field within", "field 1: field 15 is unknown", with(number(4), nil, field(1, protowire.BytesType, 2, 0x78, 1))},
		{"no spec", "field 1 is missing", number(4)},
		{"no replica", "field 1 is missing", number(3)},
	} {
		_, err := fsm.DecodeEntry(sealed(c.b))
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v; want %q", c.what, err, c.want)
		}
	}
}

// section is one section of a snapshot, with its CRC.
func section(kind byte, body []byte) []byte {
	b := binary.LittleEndian.AppendUint32([]byte{kind}, uint32(len(body)))
	return sealed(append(b, body...))
}

// TestUnknownSnapshots: sections that are whole, in an order or of a kind that
// this release does not write.
func TestUnknownSnapshots(t *testing.T) {
	const magic = "ROTASNP1"
	meta, node, end := section(1, []byte{0x2a, 0}), section(3, nil), section(5, nil)
	session, answer := section(6, nil), section(7, []byte{0x12, 0})
	huge := binary.LittleEndian.AppendUint32([]byte{1}, 64<<20+1)
	for _, c := range []struct {
		what, want string
		parts      [][]byte
	}{
		{"the smallest one", "", [][]byte{[]byte(magic), meta, end}},
		{"another magic", "begin", [][]byte{[]byte("ROTASNP2"), meta, end}},
		{"nothing at all", "begin", nil},
		{"no meta", "section of kind 5 after one of kind 0", [][]byte{[]byte(magic), end}},
		{"meta twice", "section of kind 1 after one of kind 1", [][]byte{[]byte(magic), meta, meta, end}},
		{"a node before meta", "section of kind 3 after one of kind 0", [][]byte{[]byte(magic), node, meta, end}},
		{"a node behind a pool", "section of kind 3 after one of kind 4", [][]byte{[]byte(magic), meta, section(4, []byte{0x0a, 0}), node, end}},
		{"kind 0", "section of kind 0", [][]byte{[]byte(magic), section(0, nil)}},
		{"kind 8", "section of kind 8", [][]byte{[]byte(magic), meta, section(8, nil), end}},
		{"sessions", "", [][]byte{[]byte(magic), meta, session, answer, answer, session, session, answer, end}},
		{"an answer of no session", "section of kind 7 after one of kind 3", [][]byte{[]byte(magic), meta, node, answer, end}},
		{"a node behind a session", "section of kind 3 after one of kind 6", [][]byte{[]byte(magic), meta, session, node, end}},
		{"a node behind an answer", "section of kind 3 after one of kind 7", [][]byte{[]byte(magic), meta, session, answer, node, end}},
		{"meta behind a session", "section of kind 1 after one of kind 6", [][]byte{[]byte(magic), meta, session, meta, end}},
		{"no end", "cut off", [][]byte{[]byte(magic), meta, node}},
		{"an end with a body", "not empty", [][]byte{[]byte(magic), meta, section(5, []byte{8, 1})}},
		{"bytes behind the end", "follow its end", [][]byte{[]byte(magic), meta, end, end}},
		{"an unknown field", "field 16 is unknown", [][]byte{[]byte(magic), meta, section(3, []byte{0x80, 1, 1}), end}},
		{"a section past the limit", "claims", [][]byte{[]byte(magic), huge}},
	} {
		_, _, _, err := fsm.ReadSnapshot(bytes.NewReader(slices.Concat(c.parts...)))
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v; want %q", c.what, err, c.want)
		}
	}
}
