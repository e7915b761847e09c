package hrw_test

import (
	"bytes"
	"encoding/binary"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/rota-registry/rota/registry/hrw"
)

func mustKey(t testing.TB, typ, value string) hrw.Key {
	t.Helper()
	k, err := hrw.ParseKey(typ, value)
	if err != nil {
		t.Fatalf("ParseKey(%s, %q): %v", typ, value, err)
	}
	return k
}

func TestEveryTypeHashesAsInZeek(t *testing.T) {
	for _, c := range []struct {
		typ, value string
		want       uint32
	}{
		{"string", "foobar", 0xbf9cf968},
		{"bytes", "666f6f626172", 0xbf9cf968},
		{"digest", "3214735720", 3214735720},
		{"count", "42", 0x39e5298c},
		{"int", "-1", 0xc3f7ca0f},
		{"bool", "T", 0x6c1151a5},
		{"double", "123.0", 0x15d2016f},
		{"time", "0.0", 0xc07e31c0},
		{"interval", "90061.0", 0x5ebabae2},
		{"enum", "Log::ID Conn::LOG", 0x2d8119ef},
		{"port", "80/tcp", 0xa80145f7},
		{"addr", "10.0.0.1", 0xbb67905a},
		{"subnet", "192.168.1.77/24", 0xcff68ea6},
	} {
		if got := mustKey(t, c.typ, c.value).Digest(hrw.Zeek71); got != c.want {
			t.Errorf("%s %s hashes to %#08x, want %#08x", c.typ, c.value, got, c.want)
		}
	}
}

// digestOf is the digest of what a value hashes as: a type number and bytes.
func digestOf(number uint32, description string) uint32 {
	return hrw.FNV1a32(append(binary.LittleEndian.AppendUint32(nil, number), description...))
}

func TestOnlyStringsHashDifferentlyInZeek62(t *testing.T) {
	for _, typ := range hrw.KeyTypes() {
		k := mustKey(t, typ, sample[typ])
		differs := k.Digest(hrw.Zeek62) != k.Digest(hrw.Zeek71)
		if text := typ == "string" || typ == "bytes"; differs != text {
			t.Errorf("%s %s: digests differ: %v, want %v", typ, sample[typ], differs, text)
		}
	}
	long := strings.Repeat("x", 300)
	if got, want := hrw.String(long).Digest(hrw.Zeek62), digestOf(7, "\x2c\x01\x00\x00"+long); got != want {
		t.Errorf("300 bytes hash to %#x in zeek-6.2, want %#x", got, want)
	}
}

// sample has a good text for every type.
var sample = map[string]string{
	"string": "foobar", "bytes": "00ff", "digest": "7", "count": "42", "int": "-1", "bool": "F",
	"double": "-2.25", "time": "1763848800.5", "interval": "0.25", "enum": "Log::ID DNS::LOG",
	"port": "53/udp", "addr": "2001:db8::1", "subnet": "2001:db8::/32",
}

func TestConstructorsAndTextsMakeTheSameKeys(t *testing.T) {
	made := func(k hrw.Key, err error) hrw.Key {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	for typ, k := range map[string]hrw.Key{
		"string": hrw.String("foobar"), "bytes": hrw.Bytes([]byte{0, 0xff}), "digest": hrw.Digest(7),
		"count": hrw.Count(42), "int": hrw.Int(-1), "bool": hrw.Bool(false),
		"double": made(hrw.Double(-2.25)), "time": made(hrw.Time(1763848800.5)),
		"interval": made(hrw.Interval(0.25)), "enum": made(hrw.Enum("Log::ID DNS::LOG")),
		"port": made(hrw.Port("53/udp")), "addr": made(hrw.Addr("2001:db8::1")),
		"subnet": made(hrw.Subnet("2001:db8::/32")),
	} {
		if parsed := mustKey(t, typ, sample[typ]); parsed != k {
			t.Errorf("%s %s parses to %v, its constructor gives %v", typ, sample[typ], parsed, k)
		}
	}
	if (hrw.Key{}) != hrw.String("") {
		t.Error("the zero key is not the empty string")
	}
}

func TestBytesKeepsACopy(t *testing.T) {
	b := []byte("foobar")
	k := hrw.Bytes(b)
	b[0] = 'x'
	if k != hrw.String("foobar") {
		t.Error("the key changed with the caller's bytes")
	}
}

func TestEqualNumbersOfDifferentTypesAreDifferentKeys(t *testing.T) {
	seen := map[uint32]hrw.Key{}
	for _, k := range []hrw.Key{
		hrw.Count(1), hrw.Int(1), hrw.Bool(true), mustKey(t, "double", "1"), mustKey(t, "time", "1"),
		mustKey(t, "interval", "1"), hrw.String("1"), hrw.Digest(1),
	} {
		if other, ok := seen[k.Digest(hrw.Zeek71)]; ok {
			t.Errorf("%v and %v share a digest", k, other)
		}
		seen[k.Digest(hrw.Zeek71)] = k
	}
}

func TestNumbersHashLittleEndianWithTheirType(t *testing.T) {
	le := func(v uint64) string { return string(binary.LittleEndian.AppendUint64(nil, v)) }
	for _, c := range []struct {
		typ, value string
		number     uint32
		bytes      string
	}{
		{"bool", "F", 1, le(0)},
		{"int", "-9223372036854775808", 2, le(1 << 63)},
		{"int", "+5", 2, le(5)},
		{"count", "18446744073709551615", 3, le(math.MaxUint64)},
		{"double", "-0.0", 4, le(1 << 63)},
		{"double", "1e+300", 4, le(math.Float64bits(1e300))},
		{"time", "-1.5", 5, le(math.Float64bits(-1.5))},
	} {
		if got, want := mustKey(t, c.typ, c.value).Digest(hrw.Zeek71), digestOf(c.number, c.bytes); got != want {
			t.Errorf("%s %s hashes to %#x, want %#x", c.typ, c.value, got, want)
		}
	}
}

func TestPortsAndEnumsHashTheirDescription(t *testing.T) {
	for value, want := range map[string]string{
		"0/unknown": "\x00\x00\x00\x00/\x00unknown",
		"8/icmp":    "\x08\x00\x00\x00/\x00icmp",
		"65535/udp": "\xff\xff\x00\x00/\x00udp",
		"0443/tcp":  "\xbb\x01\x00\x00/\x00tcp",
	} {
		if got := mustKey(t, "port", value).Digest(hrw.Zeek71); got != digestOf(10, want) {
			t.Errorf("port %s does not hash as %q", value, want)
		}
	}
	k := mustKey(t, "enum", "Cluster::NodeType Cluster::PROXY")
	if k.Digest(hrw.Zeek71) != digestOf(9, "Cluster::NodeTypeCluster::PROXY\x00") {
		t.Error("the enum Cluster::PROXY hashes otherwise than as its names")
	}
}

func TestAddressesHashAsZeekPrintsThem(t *testing.T) {
	for value, want := range map[string]string{
		"10.0.0.1": "10.0.0.1", "0.0.0.0": "0.0.0.0",
		"::": "::", "::1": "::1", "::2": "::2", "::ffff": "::ffff",
		"::1:0": "::0.1.0.0", "::1.2.3.4": "::1.2.3.4", "::8000:1": "::128.0.0.1",
		"::ffff:192.0.2.1": "192.0.2.1", "::ffff:c000:201": "192.0.2.1", "::ffff:0.0.0.0": "0.0.0.0",
		"::ffff:0:1.2.3.4": "::ffff:0:1.2.3.4", "::ffff:0:0:0": "::ffff:0:0.0.0.0",
		"::fffe:0:1.2.3.4": "::fffe:0:102:304", "::1:1:0:0": "::1:1:0:0", "::1:102:304": "::1:102:304",
		"1::ffff:0:1.2.3.4": "1::ffff:0:102:304",
		"2001:DB8::A":       "2001:db8::a", "2001:db8:0:1:1:1:1:1": "2001:db8:0:1:1:1:1:1",
		"1:0:0:2:0:0:0:3": "1:0:0:2::3", "1:0:0:2:3:0:0:4": "1::2:3:0:0:4", "1:2:3:4:5:6:0:0": "1:2:3:4:5:6::",
		"0:0:1::": "0:0:1::", "fe80::1:0:0:ddda": "fe80::1:0:0:ddda",
	} {
		if got := mustKey(t, "addr", value).Digest(hrw.Zeek71); got != digestOf(11, want+"\x00") {
			t.Errorf("addr %s does not hash as %s", value, want)
		}
	}
}

func TestSubnetsHashMaskedAndMappedOnesByIPv4Length(t *testing.T) {
	for value, want := range map[string]string{
		"192.168.1.77/24": "192.168.1.0/24", "0.0.0.0/0": "0.0.0.0/0", "10.1.2.3/32": "10.1.2.3/32",
		"255.255.255.255/0": "0.0.0.0/0", "10.255.0.0/9": "10.128.0.0/9",
		"2001:db8:6c66::1/48": "2001:db8:6c66::/48", "::/0": "::/0", "ff::1/128": "ff::1/128",
		"::ffff:10.0.0.0/104": "10.0.0.0/8", "::ffff:10.1.2.3/128": "10.1.2.3/32",
		"::ffff:10.0.0.0/96": "0.0.0.0/0", "::ffff:10.0.0.0/95": "::fffe:0:0/95",
		"::ffff:10.0.0.0/24": "::/24", "::1.2.3.4/112": "::1.2.0.0/112", "::1.2.3.4/100": "::/100",
		"::ffff:0:1.2.3.4/127": "::ffff:0:1.2.3.4/127",
	} {
		if got := mustKey(t, "subnet", value).Digest(hrw.Zeek71); got != digestOf(12, want+"\x00") {
			t.Errorf("subnet %s does not hash as %s", value, want)
		}
	}
}

func TestWhatIsNoValueIsRefusedAndTheErrorSaysHow(t *testing.T) {
	for typ, values := range map[string][]string{
		"bytes":    {"0", "0g", "0x00", " 00", "00 "},
		"digest":   {"", "-1", "4294967296", "1.0", "0x10"},
		"count":    {"", "-1", "18446744073709551616", "1.0", " 1", "0x10", "1_000", "foo"},
		"int":      {"", "9223372036854775808", "-9223372036854775809", "1e3", "--1"},
		"bool":     {"", "t", "true", "0", "1", "TF"},
		"double":   {"", "NaN", "Inf", "-Infinity", "1e400", "-1e400", "1,5", "0x1p4", "1_0", "x"},
		"time":     {"", "nan", "+inf", "1e309", "2025-11-23", "0X1P4"},
		"interval": {"", "NaN", "-Inf", "1e400", "1 day", "8e23", "-8e23", "1e300"},
		"enum": {
			"", "Log::ID", "Log::ID ", " Conn::LOG", "Log::ID  Conn::LOG", "Log::ID Conn::LOG ", "Log::ID Conn:LOG",
			"Log:: Conn::LOG", "Log::ID ::LOG", "1Log::ID Conn::LOG", "Log::ID Conn::LOG\x00", "Log::ID Ключ", "A::1 B",
		},
		"port":   {"", "80", "80/", "/tcp", "80/TCP", "80/sctp", "65536/tcp", "-1/tcp", "+1/tcp", "80 /tcp", "80/tcp/x", "80/tcp "},
		"addr":   {"", "10.0.0", "10.0.0.256", "10.0.0.01", "::g", "[::1]", "fe80::1%eth0", "10.0.0.1/32", "localhost", ":::"},
		"subnet": {"", "10.0.0.0", "10.0.0.0/33", "::/129", "10.0.0.0/-1", "10.0.0.0/08", "fe80::1%eth0/64", "/8", "10.0.0.0/8/8"},
	} {
		for _, value := range values {
			k, err := hrw.ParseKey(typ, value)
			if err == nil || k != (hrw.Key{}) {
				t.Errorf("%s %q gives %v, %v", typ, value, k, err)
				continue
			}
			if text := err.Error(); !strings.HasPrefix(text, typ+" key ") || !strings.Contains(text, "write ") {
				t.Errorf("%s %q: the error does not say what to do: %s", typ, value, text)
			}
		}
	}
}

func TestErrorsNameTheValueButNotAllOfAHugeOne(t *testing.T) {
	_, err := hrw.ParseKey("count", "seven")
	if err == nil || !strings.Contains(err.Error(), `count key "seven"`) {
		t.Errorf("the error of a count of seven is: %v", err)
	}
	for _, typ := range hrw.KeyTypes() {
		_, err := hrw.ParseKey(typ, strings.Repeat("?", 100_000))
		if typ != "string" && (err == nil || len(err.Error()) > 300) {
			t.Errorf("%s: the error of 100,000 bytes is too long: %.400v", typ, err)
		}
	}
}

func TestUnknownTypesAreRefusedWithTheKnownOnes(t *testing.T) {
	for _, typ := range []string{"", "Count", "pattern", "string ", strings.Repeat("t", 1000)} {
		_, err := hrw.ParseKey(typ, "42")
		if err == nil || len(err.Error()) > 400 {
			t.Errorf("type %.20q: %v", typ, err)
			continue
		}
		for _, known := range hrw.KeyTypes() {
			if !strings.Contains(err.Error(), known) {
				t.Errorf("the error of type %.20q does not offer %s", typ, known)
			}
		}
	}
}

func TestKeyTypesIsTheCallersOwn(t *testing.T) {
	types := hrw.KeyTypes()
	if len(types) != len(sample) {
		t.Errorf("%d types, want %d", len(types), len(sample))
	}
	slices.Reverse(types)
	if slices.Equal(types, hrw.KeyTypes()) {
		t.Error("a caller's change of the types reached the next caller")
	}
}

func TestFloatConstructorsRefuseWhatIsNotFinite(t *testing.T) {
	for typ, construct := range map[string]func(float64) (hrw.Key, error){
		"double": hrw.Double, "time": hrw.Time, "interval": hrw.Interval,
	} {
		for _, f := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
			if k, err := construct(f); err == nil || k != (hrw.Key{}) || !strings.HasPrefix(err.Error(), typ+" key ") {
				t.Errorf("%s %v gives %v, %v", typ, f, k, err)
			}
		}
	}
}

func TestLenIsTheSizeOfTheValue(t *testing.T) {
	for typ, want := range map[string]int{
		"string": 6, "bytes": 2, "digest": 4, "count": 8, "int": 8, "bool": 8, "double": 8, "time": 8,
		"interval": 15, "enum": 16, "port": 9, "addr": 12, "subnet": 14,
	} {
		if got := mustKey(t, typ, sample[typ]).Len(); got != want {
			t.Errorf("%s %s has length %d, want %d", typ, sample[typ], got, want)
		}
	}
}

func TestHashingDoesNotAllocate(t *testing.T) {
	for _, typ := range hrw.KeyTypes() {
		k := mustKey(t, typ, sample[typ])
		var sum uint32
		n := testing.AllocsPerRun(100, func() { sum += k.Digest(hrw.Zeek71) + k.Digest(hrw.Zeek62) })
		if n != 0 {
			t.Errorf("hashing a %s allocates %v times (%d)", typ, n, sum)
		}
	}
	raw := bytes.Repeat([]byte("k"), 64)
	if n := testing.AllocsPerRun(100, func() { hrw.FNV1a32(raw) }); n != 0 {
		t.Errorf("FNV1a32 allocates %v times", n)
	}
}
