package registry

import (
	"iter"
	"maps"
	"slices"

	"github.com/rota-registry/rota/registry/hrw"
)

// table is a map of which a copy can be had at once, however large it is: for a
// snapshot is written while entries are applied, and may not hold them up. It
// is in parts; a copy shares them, and a part that is shared is cloned before
// its next change.
type table[K ~string, V any] struct {
	parts []*part[K, V] // a power of two of them; a key's is by its hash
	len   int
}

type part[K ~string, V any] struct {
	values map[K]V
	shared bool // with a copy
}

// The parts grow when they hold more than partLoad on average, to partsGrow
// times as many: what is cloned at once stays small, and a table that holds a
// few keys has one part.
const (
	partLoad  = 32
	partsGrow = 8
)

func newTable[K ~string, V any]() *table[K, V] {
	return &table[K, V]{parts: []*part[K, V]{{values: make(map[K]V)}}}
}

// at is the index of the key's part. Nothing that anybody sees depends on it.
func (t *table[K, V]) at(key K) int {
	if len(t.parts) == 1 {
		return 0
	}
	return int(hrw.String(string(key)).Digest(hrw.Zeek71)) & (len(t.parts) - 1)
}

func (t *table[K, V]) get(key K) (V, bool) {
	v, ok := t.parts[t.at(key)].values[key]
	return v, ok
}

func (t *table[K, V]) set(key K, v V) {
	values := t.own(t.at(key))
	before := len(values)
	values[key] = v
	if t.len += len(values) - before; t.len > partLoad*len(t.parts) {
		t.grow()
	}
}

// remove reports whether the key was there.
func (t *table[K, V]) remove(key K) bool {
	values := t.own(t.at(key))
	before := len(values)
	delete(values, key)
	t.len -= before - len(values)
	return len(values) < before
}

// own gives the values of a part that may be changed.
func (t *table[K, V]) own(at int) map[K]V {
	if p := t.parts[at]; p.shared {
		t.parts[at] = &part[K, V]{values: maps.Clone(p.values)}
	}
	return t.parts[at].values
}

func (t *table[K, V]) grow() {
	grown := &table[K, V]{parts: make([]*part[K, V], partsGrow*len(t.parts))}
	for i := range grown.parts {
		grown.parts[i] = &part[K, V]{values: make(map[K]V)}
	}
	for _, p := range t.parts {
		for key, v := range p.values { // any order
			grown.parts[grown.at(key)].values[key] = v
		}
	}
	t.parts = grown.parts
}

// copy gives a table that stays as this one is now. The two may be used at the
// same time, but not this one and the making of the copy.
func (t *table[K, V]) copy() *table[K, V] {
	for _, p := range t.parts {
		p.shared = true
	}
	return &table[K, V]{parts: slices.Clone(t.parts), len: t.len}
}

// update changes every value.
func (t *table[K, V]) update(f func(V) V) {
	for i := range t.parts {
		values := t.own(i)
		for key, v := range values { // any order
			values[key] = f(v)
		}
	}
}

// all gives every key and its value, in any order.
func (t *table[K, V]) all() iter.Seq2[K, V] {
	return func(yield func(K, V) bool) {
		for _, p := range t.parts {
			for key, v := range p.values { // any order
				if !yield(key, v) {
					return
				}
			}
		}
	}
}

// sorted lists the keys.
func (t *table[K, V]) sorted() []K {
	keys := make([]K, 0, t.len)
	for _, p := range t.parts {
		for key := range p.values { // any order
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	return keys
}
