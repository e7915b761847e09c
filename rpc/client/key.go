package client

import (
	"unicode/utf8"

	"github.com/rota-registry/rota/registry/hrw"
	rotav1 "github.com/rota-registry/rota/rpc/gen/rota/v1"
)

// toKey puts a key onto the wire. A string goes as it is, since the pool's hash
// decides how it hashes; every other key has one digest in all hashes, and goes
// as that.
func toKey(k hrw.Key) *rotav1.Key {
	value, ok := k.StringValue()
	switch {
	case !ok:
		return &rotav1.Key{Kind: &rotav1.Key_Digest{Digest: k.Digest(hrw.Zeek71)}}
	case utf8.ValidString(value):
		return &rotav1.Key{Kind: &rotav1.Key_String_{String_: value}}
	default:
		return &rotav1.Key{Kind: &rotav1.Key_Bytes{Bytes: []byte(value)}}
	}
}

func toKeys(keys []hrw.Key) []*rotav1.Key {
	out := make([]*rotav1.Key, len(keys))
	for i, k := range keys {
		out[i] = toKey(k)
	}
	return out
}
