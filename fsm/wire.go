package fsm

import (
	"fmt"
	"io"
	"slices"

	"github.com/rota-registry/rota/registry"
	"google.golang.org/protobuf/encoding/protowire"
)

// walk visits the fields of one message, writing them or reading them: one
// function a type says the format for both directions, so that they cannot
// disagree. Zero values are not written, except where presence counts.
//
// These functions visit fields in ascending order of their numbers, and no
// release has ever written them in another one. So reading goes through the
// bytes once, forward: a field either comes next or is not there. What is left
// over at the end no release wrote (a field that stands twice, or behind a
// larger one) or a newer one did, and is refused.
type walk struct {
	reading bool
	// b is what is read, or what has been written.
	b []byte
	// What is still to be read of this message is b from at to end. These are
	// numbers and not a slice because a pointer costs the garbage collector's
	// attention each time that it is set.
	at, end int
	// last is the number of the last field that came.
	last  protowire.Number
	err   error  // the first fault
	words *words // where words are kept while reading; nil while there are few
}

// shortMax is room for most messages: those of one turn, or one answer.
const shortMax = 128

func encode[T any](v *T, visit func(*walk, *T)) []byte {
	w := &walk{b: make([]byte, 0, shortMax)}
	visit(w, v)
	return w.b
}

// decode reads b into v, which is zero.
func decode[T any](b []byte, v *T, visit func(*walk, *T)) error {
	w := &walk{reading: true, b: b, end: len(b)}
	read(w, v, visit)
	return w.err
}

// read reads the message that is b from at to end.
func read[T any](w *walk, v *T, visit func(*walk, *T)) {
	w.last = 0
	visit(w, v)
	if w.at < w.end {
		w.refuseRest()
	}
}

// refuseRest says what is wrong with a field that was not asked for.
func (w *walk) refuseRest() {
	num, kind, n := protowire.ConsumeTag(w.b[w.at:w.end])
	switch {
	case n < 0:
		w.fail("%w", protowire.ParseError(n))
	case kind != protowire.VarintType && kind != protowire.BytesType:
		w.fail("field %d has wire type %d", num, kind)
	case num > w.last:
		w.fail("field %d is unknown: written by a newer release", num)
	default:
		w.fail("field %d stands behind field %d: no release writes it there", num, w.last)
	}
}

// fail notes the first fault; behind it nothing more is read.
func (w *walk) fail(format string, args ...any) {
	if w.err == nil {
		w.err = fmt.Errorf(format, args...)
	}
	w.at, w.end = 0, 0
}

// fieldMax is the largest number of a field. Its tag is one byte: a message that
// gets more fields must read and write longer ones.
const fieldMax = 15

// tag is what stands before a field's value.
func tag(num protowire.Number, kind protowire.Type) byte { return byte(num)<<3 | byte(kind) }

// comes reports whether the field num comes next, and goes on to its value.
func (w *walk) comes(num protowire.Number, kind protowire.Type) bool {
	if w.at == w.end {
		return false
	}
	next := w.b[w.at]
	if next == tag(num, kind) {
		w.last = num
		w.at++
		return true
	}
	if next>>3 == byte(num) {
		w.fail("field %d has wire type %d, want %d", num, next&7, kind)
	}
	return false
}

// varint reads a number of the field num.
func (w *walk) varint(num protowire.Number) uint64 {
	if at := w.at; at < w.end && w.b[at] < 0x80 {
		w.at++
		return uint64(w.b[at])
	}
	v, n := protowire.ConsumeVarint(w.b[w.at:w.end])
	if n < 0 {
		w.fail("field %d: %w", num, protowire.ParseError(n))
		return 0
	}
	w.at += n
	return v
}

// bytes reads the value of the field num; it shares its memory with b.
func (w *walk) bytes(num protowire.Number) []byte {
	size := w.varint(num)
	if size > uint64(w.end-w.at) {
		w.fail("field %d: %w", num, io.ErrUnexpectedEOF)
		return nil
	}
	from := w.at
	w.at += int(size)
	return w.b[from:w.at]
}

// take reads the message that is the value of the field num.
func take[T any](w *walk, num protowire.Number, p *T, visit func(*walk, *T)) {
	size := len(w.bytes(num))
	if w.err != nil {
		return
	}
	behind, end := w.at, w.end
	w.at, w.end = behind-size, behind
	if read(w, p, visit); w.err != nil {
		w.err = fmt.Errorf("field %d: %w", num, w.err)
		return
	}
	w.at, w.end, w.last = behind, end, num
}

// together counts how often the field num, whose first value is next, stands in
// a row. It is for the size of a list alone: whatever is broken ends the row,
// and is found when it is read.
func (w *walk) together(num protowire.Number) int {
	n, b := 1, w.b[w.at:w.end]
	for {
		size, head := protowire.ConsumeVarint(b)
		if head < 0 || size >= uint64(len(b)-head) || b[head:][size] != tag(num, protowire.BytesType) {
			return n
		}
		n, b = n+1, b[head:][size+1:]
	}
}

func (w *walk) putTag(num protowire.Number, kind protowire.Type) {
	if num > fieldMax {
		panic("a field's number is larger than fieldMax")
	}
	w.b = append(w.b, tag(num, kind))
}

func (w *walk) putVarint(v uint64) {
	for ; v >= 0x80; v >>= 7 {
		w.b = append(w.b, byte(v)|0x80)
	}
	w.b = append(w.b, byte(v))
}

func (w *walk) putNumber(num protowire.Number, n uint64) {
	w.putTag(num, protowire.VarintType)
	w.putVarint(n)
}

func putText[T ~string](w *walk, num protowire.Number, s T) {
	w.putTag(num, protowire.BytesType)
	w.putVarint(uint64(len(s)))
	w.b = append(w.b, s...)
}

// put writes a message in place. Its length stands before it and is known
// behind it: one byte is kept for the length, and a message that needs more is
// moved, which few are.
func put[T any](w *walk, num protowire.Number, p *T, visit func(*walk, *T)) {
	w.putTag(num, protowire.BytesType)
	w.b = append(w.b, 0)
	from := len(w.b)
	visit(w, p)
	size := uint64(len(w.b) - from)
	if more := protowire.SizeVarint(size) - 1; more > 0 {
		w.b = slices.Grow(w.b, more)[:len(w.b)+more]
		copy(w.b[from+more:], w.b[from:])
	}
	protowire.AppendVarint(w.b[:from-1], size)
}

// text is a string, left out when empty.
func text[T ~string](w *walk, num protowire.Number, p *T) {
	if !w.reading {
		if *p != "" {
			putText(w, num, *p)
		}
		return
	}
	if w.comes(num, protowire.BytesType) {
		*p = T(w.bytes(num))
	}
}

// word is a text that is likely to come again, a name say: where there are many,
// those that are equal share their memory. It is written as any other.
func word[T ~string](w *walk, num protowire.Number, p *T) {
	if !w.reading {
		text(w, num, p)
		return
	}
	if w.comes(num, protowire.BytesType) {
		*p = T(w.words.get(w.bytes(num)))
	}
}

// number is an integer, left out when 0; negative ones take ten bytes.
func number[T ~int | ~int64 | ~uint8 | ~uint32 | ~uint64](w *walk, num protowire.Number, p *T) {
	if !w.reading {
		if *p != 0 {
			w.putNumber(num, uint64(*p))
		}
		return
	}
	if w.comes(num, protowire.VarintType) {
		v := w.varint(num)
		if *p = T(v); uint64(*p) != v {
			w.fail("field %d: %d is out of range", num, v)
		}
	}
}

// flag is a bool, left out when false.
func flag(w *walk, num protowire.Number, p *bool) {
	var n uint8
	if *p {
		n = 1
	}
	number(w, num, &n)
	if n > 1 {
		w.fail("field %d: %d is not a bool", num, n)
	}
	*p = n == 1
}

// message is a message in a message; it is always there.
func message[T any](w *walk, num protowire.Number, p *T, visit func(*walk, *T)) {
	switch {
	case !w.reading:
		put(w, num, p, visit)
	case w.comes(num, protowire.BytesType):
		take(w, num, p, visit)
	default:
		w.fail("field %d is missing", num)
	}
}

// list is any number of messages, in order.
func list[T any](w *walk, num protowire.Number, p *[]T, visit func(*walk, *T)) {
	if !w.reading {
		for i := range *p {
			before := len(w.b)
			put(w, num, &(*p)[i], visit)
			if i == 0 {
				w.expect((len(w.b) - before) * (len(*p) - 1))
			}
		}
		return
	}
	if !w.comes(num, protowire.BytesType) {
		return
	}
	n := w.together(num)
	if w.words == nil && n >= wordsFrom {
		w.words = newWords(min(n, wordsMax))
	}
	*p = make([]T, n)
	take(w, num, &(*p)[0], visit)
	for i := 1; i < n && w.comes(num, protowire.BytesType); i++ {
		take(w, num, &(*p)[i], visit)
	}
}

// expectMax bounds what a first item, longer than those behind it, makes expect
// allocate.
const expectMax = registry.EntryMax

// expect makes room for that many bytes and a few more, so that a long list is
// not copied over and over as it grows.
func (w *walk) expect(n int) { w.b = slices.Grow(w.b, min(n+n/8, expectMax)) }

// present is a message that may be missing.
func present[T any](w *walk, num protowire.Number, p **T, visit func(*walk, *T)) {
	if !w.reading {
		if *p != nil {
			put(w, num, *p, visit)
		}
		return
	}
	if w.comes(num, protowire.BytesType) {
		*p = new(T)
		take(w, num, *p, visit)
	}
}

// optional is a message of one field 1, so that a zero value can be present.
func optional[T any](w *walk, num protowire.Number, p **T, field func(*walk, protowire.Number, *T)) {
	present(w, num, p, func(w *walk, v *T) { field(w, 1, v) })
}

// texts is any number of words, in order; empty ones count.
func texts[T ~string](w *walk, num protowire.Number, p *[]T) {
	if !w.reading {
		for _, s := range *p {
			putText(w, num, s)
		}
		return
	}
	for w.comes(num, protowire.BytesType) {
		*p = append(*p, T(w.words.get(w.bytes(num))))
	}
}
