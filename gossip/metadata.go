package gossip

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"

	"github.com/hashicorp/memberlist"
)

// Role is what a member is.
type Role string

// The roles.
const (
	Replica Role = "replica" // holds the registry; has an API address
	Node    Role = "node"    // a member of pools, by its agent
)

// Member is one life in view.
type Member struct {
	Name string
	Boot string // 16 lower-case hex digits
	Role Role
	API  string // host:port of a replica's API, empty for nodes
	Addr string // ip:port of its gossip
}

// ID is the member's name in memberlist: name#boot.
func (m Member) ID() string { return lifeID(m.Name, m.Boot) }

func lifeID(name, boot string) string { return name + "#" + boot }

// compare orders members by name, then by boot id.
func (m Member) compare(o Member) int {
	return cmp.Or(strings.Compare(m.Name, o.Name), strings.Compare(m.Boot, o.Boot))
}

// metaVersion is the first byte of metadata. The second is the role, the third
// the length of the API address, which follows and ends it: each metadata has
// one encoding.
const (
	metaVersion   = 1
	metaHeaderLen = 3
	metaReplica   = 1
	metaNode      = 2
)

// encodeMeta gives the metadata of a valid role and API address.
func encodeMeta(role Role, api string) []byte {
	code := byte(metaNode)
	if role == Replica {
		code = metaReplica
	}
	return append([]byte{metaVersion, code, byte(len(api))}, api...)
}

// decodeMeta reads what a stranger wrote. It refuses all that encodeMeta would
// not have written, and keeps no reference to b.
func decodeMeta(b []byte) (Role, string, error) {
	switch {
	case len(b) > MetaMax:
		return "", "", fmt.Errorf("metadata has %d bytes, at most %d are allowed", len(b), MetaMax)
	case len(b) < metaHeaderLen:
		return "", "", fmt.Errorf("metadata has %d bytes, want at least %d", len(b), metaHeaderLen)
	case b[0] != metaVersion:
		return "", "", fmt.Errorf("metadata has version %d, this program knows %d", b[0], metaVersion)
	case len(b) != metaHeaderLen+int(b[2]):
		return "", "", fmt.Errorf("metadata has %d bytes, its header says %d", len(b), metaHeaderLen+int(b[2]))
	}
	role, err := roleOf(b[1])
	if err != nil {
		return "", "", err
	}
	api := string(b[metaHeaderLen:])
	return role, api, validateAPI(role, api)
}

func roleOf(code byte) (Role, error) {
	switch code {
	case metaReplica:
		return Replica, nil
	case metaNode:
		return Node, nil
	}
	return "", fmt.Errorf("metadata has the unknown role %d", code)
}

// validateAPI holds for what is sent and for what is received.
func validateAPI(role Role, api string) error {
	if role == Node {
		if api != "" {
			return fmt.Errorf("API address %q: a node has none", clip(api))
		}
		return nil
	}
	if len(api) > APIMax {
		return fmt.Errorf("API address %q has %d bytes, at most %d are allowed", clip(api), len(api), APIMax)
	}
	if err := validateHostPort(api); err != nil {
		return fmt.Errorf("API address %w", err)
	}
	return nil
}

// validateHostPort takes IP addresses and host names with a port from 1 on.
func validateHostPort(s string) error {
	host, port, err := net.SplitHostPort(s)
	if err != nil {
		return fmt.Errorf("%q: want host:port", clip(s))
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 || strconv.FormatUint(n, 10) != port {
		return fmt.Errorf("%q: port %q is not a number from 1 to 65535", clip(s), clip(port))
	}
	return validateHost(host)
}

func validateHost(host string) error {
	if ip, err := netip.ParseAddr(host); err == nil {
		if len(ip.Zone()) > 0 && !isHostName(ip.Zone()) {
			return fmt.Errorf("host %q: its zone is malformed", clip(host))
		}
		return nil
	}
	if !isHostName(host) {
		return fmt.Errorf("host %q: want an IP address or a host name of letters, digits, '-', '_' and '.'", clip(host))
	}
	return nil
}

func isHostName(s string) bool {
	if s == "" || len(s) > 253 {
		return false
	}
	for _, c := range []byte(s) {
		if !isAlnum(c) && c != '-' && c != '.' && c != '_' {
			return false
		}
	}
	return true
}

// validateName takes 1 to NameMax of [A-Za-z0-9][A-Za-z0-9._-]*.
func validateName(s string) error {
	if s == "" || len(s) > NameMax {
		return fmt.Errorf("name %q has %d bytes, want 1 to %d", clip(s), len(s), NameMax)
	}
	for i, c := range []byte(s) {
		if !isAlnum(c) && (i == 0 || strings.IndexByte("._-", c) < 0) {
			return fmt.Errorf("name %q has %q at position %d: use [A-Za-z0-9][A-Za-z0-9._-]*", s, c, i+1)
		}
	}
	return nil
}

func validateBoot(s string) error {
	if len(s) != BootLen || strings.Trim(s, "0123456789abcdef") != "" {
		return fmt.Errorf("boot id %q: want %d lower-case hex digits", clip(s), BootLen)
	}
	return nil
}

// parseID splits name#boot.
func parseID(id string) (name, boot string, err error) {
	name, boot, ok := strings.Cut(id, "#")
	if !ok {
		return "", "", fmt.Errorf("member %q: want name#boot", clip(id))
	}
	return name, boot, errors.Join(validateName(name), validateBoot(boot))
}

// memberOf reads a record of memberlist, which a stranger may have written.
func memberOf(n *memberlist.Node) (Member, error) {
	name, boot, err := parseID(n.Name)
	if err != nil {
		return Member{}, err
	}
	role, api, err := decodeMeta(n.Meta)
	if err != nil {
		return Member{}, err
	}
	ip, ok := netip.AddrFromSlice(n.Addr)
	ip = ip.Unmap()
	if !ok || ip.IsUnspecified() || ip.IsMulticast() || n.Port == 0 {
		return Member{}, fmt.Errorf("address %v port %d is not one host's: set an address to advertise", n.Addr, n.Port)
	}
	return Member{Name: name, Boot: boot, Role: role, API: api, Addr: netip.AddrPortFrom(ip, n.Port).String()}, nil
}

// validateVersions keeps out who does not speak our protocol: memberlist would
// take it in, and then refuse every join because no version suits everyone.
func validateVersions(n *memberlist.Node) error {
	const ours = memberlist.ProtocolVersion2Compatible
	if n.PCur != ours || n.PMin > ours || n.PMax < ours || n.DMin != 0 || n.DMax != 0 || n.DCur != 0 {
		return fmt.Errorf("protocol versions %d in %d-%d, delegate %d in %d-%d: this program speaks %d and 0",
			n.PCur, n.PMin, n.PMax, n.DCur, n.DMin, n.DMax, ours)
	}
	return nil
}

// clip keeps an error short when its subject is long.
func clip(s string) string {
	const most = 80
	if len(s) <= most {
		return s
	}
	return s[:most] + "…"
}

func isAlnum(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
}
