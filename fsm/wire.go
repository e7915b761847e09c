package fsm

import (
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"
)

// walk visits the fields of one message, writing them or reading them: one
// function a type says the format for both directions, so that they cannot
// disagree. Zero values are not written, except where presence counts.
type walk struct {
	out     []byte // what has been written
	reading bool
	in      map[protowire.Number][]value // what is still to be read
	err     error                        // the first fault
}

// value is one field of a message being read.
type value struct {
	kind   protowire.Type
	number uint64
	bytes  []byte
}

func encode[T any](v *T, visit func(*walk, *T)) []byte {
	w := &walk{}
	visit(w, v)
	return w.out
}

func decode[T any](b []byte, v *T, visit func(*walk, *T)) error {
	w := &walk{reading: true}
	if w.in, w.err = parse(b); w.err != nil {
		return w.err
	}
	visit(w, v)
	if w.err != nil {
		return w.err
	}
	if len(w.in) > 0 {
		return fmt.Errorf("%d unknown fields: written by a newer release", len(w.in))
	}
	return nil
}

func parse(b []byte) (map[protowire.Number][]value, error) {
	in := make(map[protowire.Number][]value)
	for len(b) > 0 {
		num, kind, n := protowire.ConsumeTag(b)
		if n < 0 {
			return nil, protowire.ParseError(n)
		}
		b = b[n:]
		v := value{kind: kind}
		switch kind {
		case protowire.VarintType:
			v.number, n = protowire.ConsumeVarint(b)
		case protowire.BytesType:
			v.bytes, n = protowire.ConsumeBytes(b)
		default:
			return nil, fmt.Errorf("field %d has wire type %d", num, kind)
		}
		if n < 0 {
			return nil, protowire.ParseError(n)
		}
		b = b[n:]
		in[num] = append(in[num], v)
	}
	return in, nil
}

// take gives the values of a field, all of one kind.
func (w *walk) take(num protowire.Number, kind protowire.Type) []value {
	vs := w.in[num]
	delete(w.in, num)
	for _, v := range vs {
		if v.kind != kind {
			w.fail("field %d has wire type %d, want %d", num, v.kind, kind)
			return nil
		}
	}
	return vs
}

// one gives the value of a field that stands at most once.
func (w *walk) one(num protowire.Number, kind protowire.Type) (value, bool) {
	vs := w.take(num, kind)
	if len(vs) > 1 {
		w.fail("field %d stands %d times", num, len(vs))
	}
	if len(vs) == 0 || w.err != nil {
		return value{}, false
	}
	return vs[0], true
}

func (w *walk) fail(format string, args ...any) {
	if w.err == nil {
		w.err = fmt.Errorf(format, args...)
	}
}

func (w *walk) putBytes(num protowire.Number, b []byte) {
	w.out = protowire.AppendTag(w.out, num, protowire.BytesType)
	w.out = protowire.AppendBytes(w.out, b)
}

func (w *walk) putNumber(num protowire.Number, n uint64) {
	w.out = protowire.AppendTag(w.out, num, protowire.VarintType)
	w.out = protowire.AppendVarint(w.out, n)
}

// text is a string, left out when empty.
func text[T ~string](w *walk, num protowire.Number, p *T) {
	if w.reading {
		v, _ := w.one(num, protowire.BytesType)
		*p = T(v.bytes)
		return
	}
	if *p != "" {
		w.putBytes(num, []byte(*p))
	}
}

// number is an integer, left out when 0; negative ones take ten bytes.
func number[T ~int | ~int64 | ~uint8 | ~uint32 | ~uint64](w *walk, num protowire.Number, p *T) {
	if w.reading {
		v, _ := w.one(num, protowire.VarintType)
		*p = T(v.number)
		if uint64(*p) != v.number {
			w.fail("field %d: %d is out of range", num, v.number)
		}
		return
	}
	if *p != 0 {
		w.putNumber(num, uint64(*p))
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
	if !w.reading {
		w.putBytes(num, encode(p, visit))
		return
	}
	v, ok := w.one(num, protowire.BytesType)
	if !ok {
		w.fail("field %d is missing", num)
		return
	}
	w.sub(num, decode(v.bytes, p, visit))
}

// list is any number of messages, in order.
func list[T any](w *walk, num protowire.Number, p *[]T, visit func(*walk, *T)) {
	if !w.reading {
		for i := range *p {
			w.putBytes(num, encode(&(*p)[i], visit))
		}
		return
	}
	vs := w.take(num, protowire.BytesType)
	*p = nil
	for _, v := range vs {
		var item T
		w.sub(num, decode(v.bytes, &item, visit))
		*p = append(*p, item)
	}
}

// present is a message that may be missing.
func present[T any](w *walk, num protowire.Number, p **T, visit func(*walk, *T)) {
	if !w.reading {
		if *p != nil {
			w.putBytes(num, encode(*p, visit))
		}
		return
	}
	*p = nil
	if v, ok := w.one(num, protowire.BytesType); ok {
		*p = new(T)
		w.sub(num, decode(v.bytes, *p, visit))
	}
}

// optional is a message of one field 1, so that a zero value can be present.
func optional[T any](w *walk, num protowire.Number, p **T, field func(*walk, protowire.Number, *T)) {
	present(w, num, p, func(w *walk, v *T) { field(w, 1, v) })
}

// texts is any number of strings, in order; empty ones count.
func texts[T ~string](w *walk, num protowire.Number, p *[]T) {
	if !w.reading {
		for _, s := range *p {
			w.putBytes(num, []byte(s))
		}
		return
	}
	vs := w.take(num, protowire.BytesType)
	*p = nil
	for _, v := range vs {
		*p = append(*p, T(v.bytes))
	}
}

func (w *walk) sub(num protowire.Number, err error) {
	if err != nil {
		w.fail("field %d: %w", num, err)
	}
}
