package hrw_test

import (
	"strings"
	"testing"

	"github.com/rota-registry/rota/registry/hrw"
)

func TestFNV1a32IsTheStandardFunction(t *testing.T) {
	// From the draft's own test vectors.
	for text, want := range map[string]uint32{
		"": 0x811c9dc5, "a": 0xe40c292c, "foobar": 0xbf9cf968, "chongo was here!\n": 0xd49930d5,
	} {
		if got := hrw.FNV1a32([]byte(text)); got != want {
			t.Errorf("FNV1a32(%q) = %#08x, want %#08x", text, got, want)
		}
	}
}

func TestHashesAreNamedAndEmptyIsTodaysZeek(t *testing.T) {
	for name, want := range map[string]hrw.Hash{
		"": hrw.Zeek71, "zeek-7.1": hrw.Zeek71, "zeek-6.2": hrw.Zeek62,
	} {
		got, err := hrw.ParseHash(name)
		if err != nil || got != want || !got.Valid() {
			t.Errorf("ParseHash(%q) = %v, %v, want %v", name, got, err, want)
		}
		if name != "" && got.String() != name {
			t.Errorf("hash %d is called %q, want %q", got, got, name)
		}
	}
	if hrw.Zeek71 != 0 || hrw.Zeek62 != 1 {
		t.Error("the stored values of the hashes have changed")
	}
}

func TestUnknownHashesAreRefusedWithTheKnownOnes(t *testing.T) {
	for _, name := range []string{"zeek-7.0", "ZEEK-7.1", " zeek-7.1", strings.Repeat("z", 1000)} {
		_, err := hrw.ParseHash(name)
		if err == nil {
			t.Errorf("ParseHash(%q) succeeded", name)
			continue
		}
		text := err.Error()
		if !strings.Contains(text, "zeek-7.1") || !strings.Contains(text, "zeek-6.2") || len(text) > 200 {
			t.Errorf("ParseHash(%q) says %q", name, text)
		}
	}
	if h := hrw.Hash(2); h.Valid() || h.String() != "hash_2" {
		t.Errorf("hash 2 is %v, valid %v", h, h.Valid())
	}
}

func TestSiteIDIsTheHashOfTheAlias(t *testing.T) {
	if got := hrw.Alias("worker-1", 0); got != "worker-1.0" {
		t.Errorf("first alias of worker-1 is %q", got)
	}
	if got := hrw.Alias("a", 4294967295); got != "a.4294967295" {
		t.Errorf("last alias of a is %q", got)
	}
	old := append([]byte{7, 0, 0, 0, 10, 0, 0, 0}, "worker-1.0"...)
	if got, want := hrw.SiteID(hrw.Zeek71, "worker-1.0"), hrw.FNV1a32([]byte("worker-1.0")); got != want {
		t.Errorf("site id in zeek-7.1 is %#x, want %#x", got, want)
	}
	if got, want := hrw.SiteID(hrw.Zeek62, "worker-1.0"), hrw.FNV1a32(old); got != want {
		t.Errorf("site id in zeek-6.2 is %#x, want %#x", got, want)
	}
}
