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

// writeKeys puts the keys of a request onto the wire, in its shorter form if it
// can.
func writeKeys(m *rotav1.HrwTopicsRequest, keys []hrw.Key) {
	m.Strings = make([]string, len(keys))
	for i, k := range keys {
		value, ok := k.StringValue()
		if !ok || !utf8.ValidString(value) {
			m.Strings, m.Keys = nil, toKeys(keys)
			return
		}
		m.Strings[i] = value
	}
}

// toKeys is toKey for many, in few allocations.
func toKeys(keys []hrw.Key) []*rotav1.Key {
	out, all := make([]*rotav1.Key, len(keys)), make([]rotav1.Key, len(keys))
	var digests []rotav1.Key_Digest
	for i, k := range keys {
		out[i] = &all[i]
		if _, text := k.StringValue(); text {
			all[i].Kind = toKey(k).GetKind()
			continue
		}
		if digests == nil {
			digests = make([]rotav1.Key_Digest, len(keys)-i)
		}
		digests[0].Digest = k.Digest(hrw.Zeek71)
		all[i].Kind, digests = &digests[0], digests[1:]
	}
	return out
}
