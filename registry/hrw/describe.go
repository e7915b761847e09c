package hrw

import (
	"encoding/binary"
	"math"
	"net/netip"
	"strconv"
)

// The units of an interval, in seconds, as in Zeek's IntervalVal.
const (
	day  = 86400.0
	usec = 1e-6
)

var wholeUnits = [...]struct {
	seconds float64
	word    string
}{{day, "day"}, {3600, "hr"}, {60, "min"}, {1, "sec"}, {1e-3, "msec"}}

// describeInterval is IntervalVal::ValDescribe in binary: whole numbers of each
// unit, largest first, then the rest in microseconds. The caller has made sure
// that the days fit an int64, where Zeek keeps them; numbers of smaller units
// are of a remainder, and always fit.
func describeInterval(v float64) string {
	var b []byte
	for _, unit := range wholeUnits {
		n := math.Trunc(v / unit.seconds)
		if n == 0 {
			continue
		}
		// The conversion forbids a fused multiply-add, which would round once
		// where Zeek rounds twice.
		v -= float64(n * unit.seconds)
		b = appendUnit(b, n, unit.word)
	}
	if rest := v / usec; !near(rest, 0) {
		b = appendUnit(b, rest, "usec")
	}
	if len(b) == 0 {
		return "0 secs\x00"
	}
	return string(b)
}

func appendUnit(b []byte, n float64, word string) []byte {
	b = binary.LittleEndian.AppendUint64(b, math.Float64bits(n))
	b = append(b, word...)
	b = append(b, 0)
	if !near(n, 1) && !near(n, -1) {
		b = append(b, 's', 0)
	}
	return b
}

// near is Zeek's approx_equal.
func near(a, b float64) bool { return math.Abs(a-b) < 1e-6 }

func finite(f float64) bool { return !math.IsNaN(f) && !math.IsInf(f, 0) }

// addrText is IPAddr::AsString: mapped addresses as IPv4, others by the
// inet_ntop that Zeek brings along. netip agrees with it, but for the two
// prefixes behind which it writes the last 32 bits dotted.
func addrText(a netip.Addr) string {
	if a = a.Unmap(); a.Is4() {
		return a.String()
	}
	b := a.As16()
	words := func(prefix [12]byte) bool { return [12]byte(b[:12]) == prefix }
	last := netip.AddrFrom4([4]byte(b[12:])).String()
	switch {
	case words([12]byte{}) && (b[12] != 0 || b[13] != 0):
		return "::" + last
	case words([12]byte{8: 0xff, 9: 0xff}):
		return "::ffff:0:" + last
	default:
		return a.String()
	}
}

// subnetText is IPPrefix::AsString. Zeek keeps every length out of 128, and
// shows it less 96 when what is left after masking is a mapped address.
func subnetText(p netip.Prefix) string {
	p = p.Masked()
	bits := p.Bits()
	if p.Addr().Is4In6() {
		bits -= 96
	}
	return addrText(p.Addr()) + "/" + strconv.Itoa(bits)
}
