// Package hrw is rendezvous hashing (highest random weight) bit for bit as
// Zeek's cluster pools do it: site ids of members, digests of keys of every
// type that Zeek scripts hash, weights, and who wins.
//
// It is pure arithmetic on what the caller passes in: it knows no pools, no
// nodes and no state, never does I/O, and uses floating point only where Zeek
// does, in an order that gives the same bits on every machine. Package
// registry calls it on the replicas and rpc/client in the client's process;
// both give the same answer because it is the same code.
//
// The hash is versioned, because Zeek 7.1 changed how strings hash: a pool's
// spec names its [Hash], and a change of Zeek's function becomes a new value of
// it, never a new behaviour of an old one. hash/fnv of the standard library
// lost to four lines here: it takes no strings without a copy.
package hrw

import (
	"fmt"
	"strconv"
)

// Hash is a version of Zeek's hash. Values are stored: append only.
type Hash uint8

// The versions.
const (
	Zeek71 Hash = iota // zeek-7.1: strings hash as their bytes
	Zeek62             // zeek-6.2: strings hash as type number, length and bytes
)

var hashNames = [...]string{Zeek71: "zeek-7.1", Zeek62: "zeek-6.2"}

// String gives the name that a pool's spec has for the hash.
func (h Hash) String() string {
	if h.Valid() {
		return hashNames[h]
	}
	return "hash_" + strconv.Itoa(int(h))
}

// Valid says whether this release knows the hash.
func (h Hash) Valid() bool { return int(h) < len(hashNames) }

// ParseHash gives the hash of that name; the empty name is today's Zeek's.
func ParseHash(s string) (Hash, error) {
	if s == "" {
		return Zeek71, nil
	}
	for h, name := range hashNames {
		if name == s {
			return Hash(h), nil
		}
	}
	return 0, fmt.Errorf("hash %q: not known; write %s or %s", clip(s), Zeek71, Zeek62)
}

// The parameters of 32-bit FNV-1a (draft-eastlake-fnv).
const (
	fnvOffset uint32 = 2166136261
	fnvPrime  uint32 = 16777619
)

// FNV1a32 is the 32-bit FNV-1a hash of b, as Zeek's builtin fnv1a32 has it.
func FNV1a32(b []byte) uint32 { return fnv(fnvOffset, b) }

// fnv goes on from h, the hash of what came before b.
func fnv[T string | []byte](h uint32, b T) uint32 {
	for i := range len(b) {
		h = (h ^ uint32(b[i])) * fnvPrime
	}
	return h
}

// fnvNumber goes on from h with the size lowest bytes of v, lowest first.
func fnvNumber(h uint32, v uint64, size int) uint32 {
	for range size {
		h = (h ^ uint32(byte(v))) * fnvPrime
		v >>= 8
	}
	return h
}

// Alias is the string that stands for a node in a pool. c is 0 unless the site
// id of a smaller c already belongs to another member of the pool.
func Alias(name string, c uint32) string {
	return name + "." + strconv.FormatUint(uint64(c), 10)
}

// SiteID is the number that stands for the member with that alias in h.
func SiteID(h Hash, alias string) uint32 { return String(alias).Digest(h) }

// The multiplier and increment of the linear congruential generator in the
// weight function of Thaler and Ravishankar, "A Name-Based Mapping Scheme for
// Rendezvous" (1996), which Zeek took over.
const (
	lcgMultiplier uint32 = 1103515245
	lcgIncrement  uint32 = 12345
	lcgMask       uint32 = 1<<31 - 1
)

// Weight is how strongly a site is drawn to a key's digest, below 2^31. Bit 31
// of neither has a part in it, so two sites that differ there alone tie on
// every key.
func Weight(site, digest uint32) uint32 {
	inner := (lcgMultiplier*site + lcgIncrement) ^ (digest & lcgMask)
	return (lcgMultiplier*inner + lcgIncrement) & lcgMask
}
