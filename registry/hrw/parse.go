package hrw

import (
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
)

// What a text of each type has to look like, for errors.
const (
	formBytes    = "an even number of hex digits, like 00ff"
	formDigest   = "a whole number from 0 to 4294967295, like 3214735720"
	formCount    = "a whole number from 0 to 18446744073709551615, like 42"
	formInt      = "a whole number from -9223372036854775808 to 9223372036854775807, like -1"
	formBool     = "T or F"
	formDouble   = "a finite number, like 123.0"
	formTime     = "a finite number of seconds since 1970, like 1763848800.0"
	formInterval = "a number of seconds, like 90061.0, of fewer than 2^63 days"
	formEnum     = "the full names of type and value, like \"Log::ID Conn::LOG\""
	formPort     = "a number from 0 to 65535 and tcp, udp, icmp or unknown, like 80/tcp"
	formAddr     = "an IPv4 or IPv6 address without zone, like 10.0.0.1 or 2001:db8::1"
	formSubnet   = "an address and a prefix length, like 192.168.1.0/24 or 2001:db8::/32"
)

// KeyTypes are the types that ParseKey knows.
func KeyTypes() []string {
	return []string{
		"string", "bytes", "digest", "count", "int", "bool", "double", "time", "interval",
		"enum", "port", "addr", "subnet",
	}
}

// ParseKey reads a key from the name of its type and its value as text: a
// string as it is, bytes in hex, bool as T or F, numbers in decimal, time and
// interval in seconds, and the others as their constructors take them. The
// error says what the text should look like.
func ParseKey(typ, value string) (Key, error) {
	switch typ {
	case "string":
		return String(value), nil
	case "bytes":
		return parseBytes(value)
	case "digest", "count":
		return parseUnsigned(typ, value)
	case "int":
		return parseInt(value)
	case "bool":
		return parseBool(value)
	case "double", "time", "interval":
		return parseFloat(typ, value)
	case "enum":
		return Enum(value)
	case "port":
		return Port(value)
	case "addr":
		return Addr(value)
	case "subnet":
		return Subnet(value)
	default:
		return Key{}, fmt.Errorf("key type %q of value %q: not known; write one of %v",
			clip(typ), clip(value), KeyTypes())
	}
}

func parseBytes(value string) (Key, error) {
	b, err := hex.DecodeString(value)
	if err != nil {
		return Key{}, refuse("bytes", value, formBytes)
	}
	return Bytes(b), nil
}

func parseUnsigned(typ, value string) (Key, error) {
	if typ == "digest" {
		n, err := strconv.ParseUint(value, 10, 32)
		if err != nil {
			return Key{}, refuse(typ, value, formDigest)
		}
		return Digest(uint32(n)), nil
	}
	n, err := strconv.ParseUint(value, 10, 64)
	if err != nil {
		return Key{}, refuse(typ, value, formCount)
	}
	return Count(n), nil
}

func parseInt(value string) (Key, error) {
	n, err := strconv.ParseInt(value, 10, 64)
	if err != nil {
		return Key{}, refuse("int", value, formInt)
	}
	return Int(n), nil
}

func parseBool(value string) (Key, error) {
	if value != "T" && value != "F" {
		return Key{}, refuse("bool", value, formBool)
	}
	return Bool(value == "T"), nil
}

func parseFloat(typ, value string) (Key, error) {
	key, form := Double, formDouble
	switch typ {
	case "time":
		key, form = Time, formTime
	case "interval":
		key, form = Interval, formInterval
	}
	f, err := strconv.ParseFloat(value, 64)
	if err != nil || strings.ContainsAny(value, "xX_") { // Go's syntax, not Zeek's
		return Key{}, refuse(typ, value, form)
	}
	return key(f)
}

// fullName says whether s is a Zeek identifier with the modules it is in, and
// so without spaces and NULs, which the hashed form relies on.
func fullName(s string) bool {
	start := true // of an identifier
	for i := 0; i < len(s); i++ {
		c := s[i]
		letter := 'a' <= c|0x20 && c|0x20 <= 'z' || c == '_'
		digit := '0' <= c && c <= '9'
		switch {
		case letter, digit && !start:
			start = false
		case c == ':' && !start && i+1 < len(s) && s[i+1] == ':':
			start = true
			i++
		default:
			return false
		}
	}
	return !start
}

func refuse(typ, value, form string) error {
	return fmt.Errorf("%s key %q: write %s", typ, clip(value), form)
}

func formatFloat(f float64) string { return strconv.FormatFloat(f, 'g', -1, 64) }

// clip keeps an error short, whatever somebody sent.
func clip(s string) string {
	const most = 64
	if len(s) <= most {
		return s
	}
	return s[:most] + "…"
}
