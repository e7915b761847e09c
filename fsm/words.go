package fsm

import (
	"encoding/binary"
	"math/bits"
)

const (
	wordsFrom  = 8     // items of a list for which keeping its words is worth it
	wordsMax   = 2_048 // words of a message that are kept
	wordsTried = 4     // slots that one word may be in
)

// words keeps the words of what is being read, so that a name that stands there
// thousands of times is in memory once. It does not grow: a word that finds its
// slots taken becomes a copy of its own, which costs memory and is as right. Nil
// keeps none.
type words struct {
	slots []string // a power of two of them; an empty one is free
	shift int      // leaves of a hash the index of a slot
}

// newWords has room for n words, and is thinly enough filled with them.
func newWords(n int) *words {
	size := bits.Len(uint(n))
	return &words{slots: make([]string, 1<<size), shift: 64 - size}
}

// get gives the word of these bytes, which it does not keep.
func (ws *words) get(b []byte) string {
	if ws == nil {
		return string(b)
	}
	first := hash(b) >> ws.shift
	for i := range uint64(wordsTried) {
		slot := &ws.slots[(first+i)&uint64(len(ws.slots)-1)]
		if *slot == string(b) {
			return *slot
		}
		if *slot == "" {
			*slot = string(b)
			return *slot
		}
	}
	return string(b)
}

// hash spreads words over slots by its upper bits, and decides nothing else. It
// takes eight bytes at a time, where FNV takes one.
func hash(b []byte) uint64 {
	h := uint64(len(b))
	if len(b) < 8 {
		for i, c := range b {
			h ^= uint64(c) << (8 * i)
		}
		return spread(h)
	}
	for rest := b; len(rest) > 8; rest = rest[8:] {
		h = spread(h ^ binary.LittleEndian.Uint64(rest))
	}
	return spread(h ^ binary.LittleEndian.Uint64(b[len(b)-8:]))
}

// spread is Fibonacci hashing: the number is 2^64 divided by the golden ratio.
func spread(h uint64) uint64 {
	h *= 0x9e3779b97f4a7c15
	return h ^ h>>32
}
