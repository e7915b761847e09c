package hrw_test

import (
	"testing"

	"github.com/rota-registry/rota/registry/hrw"
)

// Whatever text somebody sends as a key, the answer is a key or an error, the
// same each time, and of a size that its limit can be checked by.
func FuzzParseKey(f *testing.F) {
	for typ, value := range sample {
		f.Add(typ, value)
	}
	f.Fuzz(func(t *testing.T, typ, value string) {
		k, err := hrw.ParseKey(typ, value)
		again, errAgain := hrw.ParseKey(typ, value)
		if err != nil {
			if k != (hrw.Key{}) || errAgain == nil || errAgain.Error() != err.Error() || len(err.Error()) > 1000 {
				t.Fatalf("%q %q: %v, %v, then %v", typ, value, k, err, errAgain)
			}
			return
		}
		if errAgain != nil || again != k {
			t.Fatalf("%q %q: %v, then %v, %v", typ, value, k, again, errAgain)
		}
		for _, h := range []hrw.Hash{hrw.Zeek71, hrw.Zeek62} {
			if k.Digest(h) != again.Digest(h) {
				t.Fatalf("%q %q has two digests in %v", typ, value, h)
			}
		}
		// The longest descriptions of short texts: six units, an IPv6 address.
		if k.Len() > len(value)+100 {
			t.Fatalf("%q %q: %d bytes became %d", typ, value, len(value), k.Len())
		}
	})
}
