package simnet

import (
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"time"
)

// Plane is a kind of traffic, or several.
type Plane uint8

// The planes.
const (
	Raft Plane = 1 << iota
	API
	Packets // gossip's, by UDP
	Streams // gossip's, by TCP
	Gossip  = Packets | Streams
	All     = Raft | API | Gossip
)

// Link is what happens to what one host sends to another. The zero value
// delivers everything at once.
type Link struct {
	// Cut holds everything back: packets are lost, streams wait for its end.
	Cut bool
	// Each message takes Delay, and up to Jitter on top of it.
	Delay, Jitter time.Duration
	// Loss is the share of packets that are lost; what a stream carries comes
	// later instead.
	Loss float64
	// Duplicate is the share of packets that arrive twice, and Reorder the one
	// of those that arrive up to 100 ms late, behind others.
	Duplicate, Reorder float64
}

const (
	baseDelay  = 100 * time.Microsecond
	baseJitter = 300 * time.Microsecond
	// resendAfter is when a stream's segment that was lost is sent again; the
	// pause doubles, as TCP's does.
	resendAfter = 200 * time.Millisecond
	resendsMax  = 5
	lateMax     = 100 * time.Millisecond
)

// route is one direction between two hosts on one plane.
type route struct {
	plane    Plane // one bit
	from, to string
}

func (r route) back() route { return route{plane: r.plane, from: r.to, to: r.from} }

// outage is how a host is down.
type outage int

const (
	up      outage = iota
	crashed        // its kernel refuses and resets
	dark           // nothing answers
)

// Network joins the hosts. Its methods may be called from any goroutine.
type Network struct {
	mu struct {
		sync.Mutex
		rand      *rand.Rand
		links     map[route]Link // those that are not as base
		down      map[string]outage
		listeners map[string]*listener // by address
		packets   map[string]*Transport
		conns     map[*pair]struct{}
		changed   chan struct{} // closed when links, hosts or listeners change; nil while nobody waits
		counts    Counts
		port      int
	}
}

// Counts are what has happened so far.
type Counts struct {
	Packets, Lost, Duplicated, Reordered int // of packets
	Streams, Refused, Reset              int // of streams
	Held                                 int // messages of streams that a cut held back
}

// New makes a network whose chance comes from seed.
func New(seed uint64) *Network {
	n := &Network{}
	n.mu.rand = rand.New(rand.NewPCG(seed, 0x73696d6e6574))
	n.mu.links = make(map[route]Link)
	n.mu.down = make(map[string]outage)
	n.mu.listeners = make(map[string]*listener)
	n.mu.packets = make(map[string]*Transport)
	n.mu.conns = make(map[*pair]struct{})
	n.mu.port = 32768
	return n
}

// Host is a machine of the network, by its IP address.
type Host struct {
	net *Network
	ip  string
}

// Host gives the host of an IP address.
func (n *Network) Host(ip string) *Host {
	netip.MustParseAddr(ip)
	return &Host{net: n, ip: ip}
}

// IP is the host's address.
func (h *Host) IP() string { return h.ip }

// Change changes the links of some planes, from one host to another; the way
// back stays as it is. Changes add up, until Heal.
func (n *Network) Change(planes Plane, from, to string, change func(*Link)) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for p := Raft; p <= Streams; p <<= 1 {
		if planes&p == 0 {
			continue
		}
		r := route{p, from, to}
		l := n.linkLocked(r)
		change(&l)
		n.mu.links[r] = l
	}
	n.settleLocked()
}

// Heal makes all links good again. Hosts that are down stay so.
func (n *Network) Heal() {
	n.mu.Lock()
	defer n.mu.Unlock()
	clear(n.mu.links)
	n.settleLocked()
}

// Crash is the end of a host's processes by kill -9: its streams are reset, its
// packets are lost, and who calls it is refused, until Boot.
func (n *Network) Crash(ip string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.mu.down[ip] = crashed
	n.resetLocked(func(r route) bool { return r.from == ip || r.to == ip })
	n.settleLocked()
}

// PowerOff is the end of a host without a word: nothing leaves it or reaches it,
// and nobody is told, until Boot.
func (n *Network) PowerOff(ip string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.mu.down[ip] = dark
	n.settleLocked()
}

// Boot ends a Crash or a PowerOff.
func (n *Network) Boot(ip string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.mu.down, ip)
	n.settleLocked()
}

// Reset breaks the streams off that there are between two hosts, whoever opened
// them.
func (n *Network) Reset(planes Plane, a, b string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.resetLocked(func(r route) bool {
		return planes&r.plane != 0 && (r.from == a && r.to == b || r.from == b && r.to == a)
	})
}

// Counts gives what has happened so far.
func (n *Network) Counts() Counts {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.mu.counts
}

// Open is the number of streams that are open at one end at least.
func (n *Network) Open() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return len(n.mu.conns)
}

func (n *Network) linkLocked(r route) Link {
	if l, ok := n.mu.links[r]; ok {
		return l
	}
	return Link{Delay: baseDelay, Jitter: baseJitter}
}

// cutLocked reports whether nothing gets through.
func (n *Network) cutLocked(r route) bool {
	return n.linkLocked(r).Cut || n.mu.down[r.from] == dark || n.mu.down[r.to] == dark
}

// resetLocked breaks streams; a pair is looked at in its opener's direction.
func (n *Network) resetLocked(which func(route) bool) {
	for p := range n.mu.conns {
		if which(p.near.out.route) {
			n.mu.counts.Reset++
			p.reset()
			delete(n.mu.conns, p)
		}
	}
}

// settleLocked makes what is on its way follow the links as they are now, and
// wakes who waits for a change.
func (n *Network) settleLocked() {
	for p := range n.mu.conns {
		for _, h := range []*half{p.near.out, p.near.in} {
			n.mu.counts.Held += h.setCut(n.cutLocked(h.route), n.delayLocked(h.route))
		}
	}
	if n.mu.changed != nil {
		close(n.mu.changed)
		n.mu.changed = nil
	}
}

// changeLocked is closed at the next change.
func (n *Network) changeLocked() <-chan struct{} {
	if n.mu.changed == nil {
		n.mu.changed = make(chan struct{})
	}
	return n.mu.changed
}

// delayLocked draws how long one message takes on a stream.
func (n *Network) delayLocked(r route) time.Duration {
	l := n.linkLocked(r)
	d := n.spreadLocked(l)
	again := resendAfter
	for range resendsMax {
		if l.Loss == 0 || n.mu.rand.Float64() >= l.Loss {
			break
		}
		d += again
		again *= 2
	}
	return d
}

func (n *Network) spreadLocked(l Link) time.Duration {
	if l.Jitter <= 0 {
		return l.Delay
	}
	return l.Delay + time.Duration(n.mu.rand.Int64N(int64(l.Jitter)))
}

// departs draws when a stream's next message arrives, if it is not cut off.
func (n *Network) departs(r route) (at time.Time, cut bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if cut = n.cutLocked(r); cut {
		n.mu.counts.Held++
	}
	return time.Now().Add(n.delayLocked(r)), cut
}

func (n *Network) forget(p *pair) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.mu.conns, p)
}

// address is host:port of a TCP end.
func address(ip string, port int) *net.TCPAddr {
	return net.TCPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(ip), uint16(port)))
}
