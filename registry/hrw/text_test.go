package hrw_test

import (
	"testing"

	"github.com/rota-registry/rota/registry/hrw"
)

func TestOnlyStringsHaveAStringValue(t *testing.T) {
	if got, ok := hrw.Bytes([]byte("a\x00\xff")).StringValue(); !ok || got != "a\x00\xff" {
		t.Errorf("bytes give %q, %v; want them back", got, ok)
	}
	if _, ok := (hrw.Key{}).StringValue(); !ok {
		t.Error("the zero key is not the empty string")
	}
	for _, typ := range hrw.KeyTypes() {
		value := map[string]string{
			"digest": "7", "count": "7", "int": "-7", "bool": "T", "double": "7.5", "time": "7.5",
			"interval": "7.5", "enum": "Log::ID Conn::LOG", "port": "80/tcp", "addr": "10.0.0.1",
			"subnet": "10.0.0.0/8",
		}[typ]
		if value == "" {
			continue // string and bytes, above
		}
		k := mustKey(t, typ, value)
		if _, ok := k.StringValue(); ok {
			t.Errorf("a %s claims to be a string", typ)
		}
		if a, b := k.Digest(hrw.Zeek71), k.Digest(hrw.Zeek62); a != b {
			t.Errorf("a %s has digest %#x in one hash and %#x in the other", typ, a, b)
		}
	}
}
