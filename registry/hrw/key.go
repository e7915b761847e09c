package hrw

import (
	"encoding/binary"
	"math"
	"net/netip"
	"strconv"
	"strings"
)

// tag is Zeek's number of a type (TypeTag in Type.h), which precedes a value's
// description in what is hashed, as an int32.
type tag uint8

const (
	// tagString stands for 7, Zeek's number of strings; it is 0 here so that
	// the zero Key is the empty string.
	tagString   tag = 0
	tagBool     tag = 1
	tagInt      tag = 2
	tagCount    tag = 3
	tagDouble   tag = 4
	tagTime     tag = 5
	tagInterval tag = 6
	tagEnum     tag = 9
	tagPort     tag = 10
	tagAddr     tag = 11
	tagSubnet   tag = 12
	// tagDigest is none of Zeek's: the caller has hashed the value already.
	tagDigest tag = 255

	// zeekString is what tagString stands for.
	zeekString = 7
)

// Key is a key of a pool: a Zeek value as Zeek describes it to its hash. Every
// Key can be hashed by every Hash; values that Zeek could not hash, or not the
// same on every machine, do not become keys. Keys compare with ==, and the
// zero Key is the empty string.
type Key struct {
	tag tag
	// number is the value of a digest, bool, int, count, double (its bits) and
	// time (likewise); the others have none.
	number uint64
	// text is the value of a string; of interval, enum, port, addr and subnet
	// it is the binary description; the others have none.
	text string
}

// String is the key of a Zeek string.
func String(s string) Key { return Key{tag: tagString, text: s} }

// Bytes is the key of a Zeek string that need not be UTF-8. It keeps a copy.
func Bytes(b []byte) Key { return String(string(b)) }

// Count is the key of a count.
func Count(n uint64) Key { return Key{tag: tagCount, number: n} }

// Int is the key of an int.
func Int(n int64) Key { return Key{tag: tagInt, number: uint64(n)} }

// Bool is the key of a bool.
func Bool(b bool) Key {
	if b {
		return Key{tag: tagBool, number: 1}
	}
	return Key{tag: tagBool}
}

// Digest is the key of a value that the caller has hashed with fnv1a32, of any
// Zeek type: it is its own digest.
func Digest(d uint32) Key { return Key{tag: tagDigest, number: uint64(d)} }

// Double is the key of a double. Its bits are hashed, so -0 is not 0. NaN and
// the infinities are refused.
func Double(f float64) (Key, error) {
	if !finite(f) {
		return Key{}, refuse("double", formatFloat(f), formDouble)
	}
	return Key{tag: tagDouble, number: math.Float64bits(f)}, nil
}

// Time is the key of a time, in seconds since 1970. NaN and the infinities are
// refused.
func Time(seconds float64) (Key, error) {
	if !finite(seconds) {
		return Key{}, refuse("time", formatFloat(seconds), formTime)
	}
	return Key{tag: tagTime, number: math.Float64bits(seconds)}, nil
}

// Interval is the key of an interval, in seconds. Zeek counts its days in an
// int64; what has more, NaN and the infinities are refused.
func Interval(seconds float64) (Key, error) {
	if !finite(seconds) || math.Abs(seconds/day) >= 1<<63 {
		return Key{}, refuse("interval", formatFloat(seconds), formInterval)
	}
	return Key{tag: tagInterval, text: describeInterval(seconds)}, nil
}

// Enum is the key of an enum value, written as the full names of its type and
// of the value with a space between: "Log::ID Conn::LOG".
func Enum(text string) (Key, error) {
	typ, value, _ := strings.Cut(text, " ")
	if !fullName(typ) || !fullName(value) {
		return Key{}, refuse("enum", text, formEnum)
	}
	return Key{tag: tagEnum, text: typ + value + "\x00"}, nil
}

// Port is the key of a port, written as number and protocol: "80/tcp". The
// protocols are Zeek's: tcp, udp, icmp, unknown.
func Port(text string) (Key, error) {
	digits, protocol, _ := strings.Cut(text, "/")
	number, err := strconv.ParseUint(digits, 10, 16)
	known := protocol == "tcp" || protocol == "udp" || protocol == "icmp" || protocol == "unknown"
	if err != nil || !known {
		return Key{}, refuse("port", text, formPort)
	}
	description := binary.LittleEndian.AppendUint32(make([]byte, 0, 16), uint32(number))
	description = append(description, "/\x00"...)
	return Key{tag: tagPort, text: string(append(description, protocol...))}, nil
}

// Addr is the key of an IPv4 or IPv6 address without a zone. An IPv4-mapped
// address is the IPv4 address.
func Addr(text string) (Key, error) {
	a, err := netip.ParseAddr(text)
	if err != nil || a.Zone() != "" {
		return Key{}, refuse("addr", text, formAddr)
	}
	return Key{tag: tagAddr, text: addrText(a) + "\x00"}, nil
}

// Subnet is the key of a subnet, written as address and prefix length; bits of
// the address behind the prefix do not count. The length of an IPv6 address is
// out of 128, mapped or not: ::ffff:10.0.0.0/104 is 10.0.0.0/8.
func Subnet(text string) (Key, error) {
	p, err := netip.ParsePrefix(text)
	if err != nil {
		return Key{}, refuse("subnet", text, formSubnet)
	}
	return Key{tag: tagSubnet, text: subnetText(p) + "\x00"}, nil
}

// Digest is the key's 32-bit digest in h, which must be Valid. It does not
// allocate.
func (k Key) Digest(h Hash) uint32 {
	switch k.tag {
	case tagDigest:
		return uint32(k.number)
	case tagString:
		return k.digestString(h)
	case tagBool, tagInt, tagCount, tagDouble, tagTime:
		return fnvNumber(fnvNumber(fnvOffset, uint64(k.tag), 4), k.number, 8)
	default:
		return fnv(fnvNumber(fnvOffset, uint64(k.tag), 4), k.text)
	}
}

func (k Key) digestString(h Hash) uint32 {
	d := fnvOffset
	if h == Zeek62 {
		d = fnvNumber(d, zeekString, 4)
		d = fnvNumber(d, uint64(len(k.text)), 4)
	}
	return fnv(d, k.text)
}

// Len is the size of the key's value in bytes, type number and length apart,
// for the caller's limit.
func (k Key) Len() int {
	switch k.tag {
	case tagDigest:
		return 4
	case tagBool, tagInt, tagCount, tagDouble, tagTime:
		return 8
	default:
		return len(k.text)
	}
}
