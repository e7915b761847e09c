// Package hrw is rendezvous hashing bit for bit as Zeek does it.
package hrw

// Hash is a version of Zeek's hash. Values are stored: append only.
type Hash uint8

// The versions.
const (
	Zeek71 Hash = iota // zeek-7.1: strings hash as their bytes
	Zeek62             // zeek-6.2: strings hash as type tag, length and bytes
)

// Key is a key, ready to be hashed by either version.
type Key struct{}
