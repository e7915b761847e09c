package registry

import "strings"

// Names of things. They are distinct types because each could be taken for
// another: all are short strings.
type (
	// PoolName names a pool: 1 to 63 of [A-Za-z0-9][A-Za-z0-9._-]*.
	PoolName string
	// NodeName names a node, in the alphabet of a pool's name.
	NodeName string
	// ReplicaName names a replica, in the alphabet of a pool's name.
	ReplicaName string
	// NodeType is what a node is for: [a-z][a-z0-9_-]{0,31}.
	NodeType string
	// BootID is one life of a node's process: 16 lower-case hex digits, or
	// empty for a node that has never been seen.
	BootID string
	// ClusterID is drawn when a cluster is founded: 32 lower-case hex digits.
	ClusterID string
	// StoreID is drawn when a replica's store is created: 32 lower-case hex
	// digits. A wiped disk comes back with another one, and is refused.
	StoreID string
	// SessionID is drawn by whoever proposes to open the session: 32 lower-case
	// hex digits.
	SessionID string
	// Topic is a publish/subscribe topic as it is stored, with "/" between
	// its segments; Settings.Show gives what users see.
	Topic string
)

// Numbers that the log gives.
type (
	// Index is the index of a log entry; the first one is 1.
	Index uint64
	// Term is a Raft term.
	Term uint64
	// Epoch is the Index of the entry that last changed a pool.
	Epoch uint64
	// Millis is a time or a span in milliseconds. Which clock it was read from
	// is said where it stands.
	Millis int64
	// Micros is a span in microseconds.
	Micros int64
)

// Node types that Zeek gives a meaning.
const (
	Worker  NodeType = "worker"
	Proxy   NodeType = "proxy"
	Logger  NodeType = "logger"
	Manager NodeType = "manager"
	Control NodeType = "control"
	None    NodeType = "none"
)

// Poolable reports whether pools may be made of nodes of the type. Zeek pools
// no managers, and control and none are no cluster nodes at all. (A manager
// may still be a member of logger pools; see Settings.ManagerIsLogger.)
func (t NodeType) Poolable() bool { return t != Manager && t != Control && t != None }

// Validate says what is wrong with the name, or nil.
func (n PoolName) Validate() error { return validateName("pool name", string(n)) }

// Validate says what is wrong with the name, or nil.
func (n NodeName) Validate() error { return validateName("node name", string(n)) }

// Validate says what is wrong with the name, or nil.
func (n ReplicaName) Validate() error { return validateName("replica name", string(n)) }

func validateName(what, name string) error {
	if name == "" {
		return Errorf(Invalid, "%s is empty: give 1 to %d characters of [A-Za-z0-9][A-Za-z0-9._-]*", what, NameMax)
	}
	if len(name) > NameMax {
		return Errorf(Invalid, "%s %q has %d characters, at most %d are allowed", what, clip(name), len(name), NameMax)
	}
	for i, c := range []byte(name) {
		if !isAlnum(c) && (i == 0 || strings.IndexByte("._-", c) < 0) {
			return Errorf(Invalid, "%s %q has %q at position %d: use [A-Za-z0-9][A-Za-z0-9._-]*", what, name, c, i+1)
		}
	}
	return nil
}

// Validate says what is wrong with the node type, or nil.
func (t NodeType) Validate() error {
	if t == "" {
		return Errorf(Invalid, "node type is empty: give worker, proxy, logger or another of [a-z][a-z0-9_-]{0,%d}", TypeMax-1)
	}
	if len(t) > TypeMax {
		return Errorf(Invalid, "node type %q has %d characters, at most %d are allowed", clip(string(t)), len(t), TypeMax)
	}
	for i, c := range []byte(t) {
		if !isLower(c) && (i == 0 || (!isDigit(c) && c != '_' && c != '-')) {
			return Errorf(Invalid, "node type %q has %q at position %d: use [a-z][a-z0-9_-]*", t, c, i+1)
		}
	}
	return nil
}

// Validate says what is wrong with the boot id, or nil.
func (b BootID) Validate() error { return validateHex("boot id", string(b), BootIDLen) }

// Validate says what is wrong with the cluster id, or nil.
func (c ClusterID) Validate() error { return validateHex("cluster id", string(c), ClusterIDLen) }

// Validate says what is wrong with the store id, or nil.
func (s StoreID) Validate() error { return validateHex("store id", string(s), StoreIDLen) }

// Validate says what is wrong with the session id, or nil.
func (s SessionID) Validate() error { return validateHex("session id", string(s), SessionIDLen) }

func validateHex(what, s string, digits int) error {
	if len(s) != digits || !isHex(s) {
		return Errorf(Invalid, "%s %q: want %d lower-case hex digits", what, clip(s), digits)
	}
	return nil
}

func isHex(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

// validateText holds for what people and programs write into topics, reasons
// and addresses: printable ASCII or valid UTF-8, no control characters.
func validateText(what, s string, limit int) error {
	if len(s) > limit {
		return Errorf(Invalid, "%s %q has %d bytes, at most %d are allowed", what, clip(s), len(s), limit)
	}
	if !printable(s) {
		return Errorf(Invalid, "%s %q has a control character or is not UTF-8", what, clip(s))
	}
	return nil
}

func printable(s string) bool {
	for _, r := range s {
		if r < ' ' || r == 0x7f || r == '\uFFFD' {
			return false
		}
	}
	return true
}

// clip keeps an error short when its subject is long.
func clip(s string) string {
	const most = 80
	if len(s) <= most {
		return s
	}
	return s[:most] + "…"
}

func isLower(c byte) bool { return 'a' <= c && c <= 'z' }
func isDigit(c byte) bool { return '0' <= c && c <= '9' }
func isAlnum(c byte) bool { return isLower(c) || 'A' <= c && c <= 'Z' || isDigit(c) }
