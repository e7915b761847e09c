package gossip_test

import (
	"bytes"
	"errors"
	"fmt"
	"log"
	"math/rand/v2"
	"net"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/memberlist"

	"github.com/rota-registry/rota/gossip"
)

const cluster = "0123456789abcdef0123456789abcdef"

// network is an in-memory network of packets and streams, with cuts.
type network struct {
	mu    sync.Mutex
	hosts map[string]*host
	cut   func(from, to string) bool
	conns []*pipe
	deaf  bool // packets are lost, and streams are not
}

// pipe is one end of a stream, known by both addresses so that a cut ends it.
type pipe struct {
	net.Conn
	from, to string
}

// host is a memberlist.Transport at one address.
type host struct {
	net     *network
	addr    *net.TCPAddr
	packets chan *memberlist.Packet
	streams chan net.Conn
}

func newNetwork() *network {
	return &network{hosts: map[string]*host{}, cut: func(string, string) bool { return false }}
}

// host takes an address, from a former host there if need be.
func (n *network) host(addr string) *host {
	at, err := net.ResolveTCPAddr("tcp", addr)
	if err != nil {
		panic(err)
	}
	h := &host{net: n, addr: at, packets: make(chan *memberlist.Packet, 1024), streams: make(chan net.Conn, 64)}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.hosts[addr] = h
	return h
}

// partition lets only addresses on the same side reach each other; a nil side
// heals.
func (n *network) partition(side func(addr string) int) {
	n.mu.Lock()
	n.cut = func(from, to string) bool { return side != nil && side(from) != side(to) }
	conns := n.conns
	n.conns = nil
	n.mu.Unlock()
	for _, c := range conns {
		if side != nil && side(c.from) != side(c.to) {
			_ = c.Close()
		}
	}
}

// lose drops packets, and attempts to connect, with a probability.
func (n *network) lose(share float64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.cut = func(string, string) bool { return rand.Float64() < share }
}

func (n *network) route(from, to string) *host {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.cut(from, to) {
		return nil
	}
	return n.hosts[to]
}

// deafen loses all packets from now on.
func (n *network) deafen() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.deaf = true
}

func (n *network) isDeaf() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.deaf
}

func (h *host) FinalAdvertiseAddr(string, int) (net.IP, int, error) {
	return h.addr.IP, h.addr.Port, nil
}

func (h *host) WriteTo(b []byte, to string) (time.Time, error) {
	if other := h.net.route(h.addr.String(), to); other != nil && !h.net.isDeaf() {
		select {
		case other.packets <- &memberlist.Packet{Buf: bytes.Clone(b), From: h.addr, Timestamp: time.Now()}:
		default: // full: UDP drops
		}
	}
	return time.Now(), nil
}

func (h *host) PacketCh() <-chan *memberlist.Packet { return h.packets }
func (h *host) StreamCh() <-chan net.Conn           { return h.streams }

func (h *host) DialTimeout(to string, _ time.Duration) (net.Conn, error) {
	other := h.net.route(h.addr.String(), to)
	if other == nil {
		return nil, errors.New("sim: unreachable")
	}
	a, b := net.Pipe()
	near, far := &pipe{a, h.addr.String(), to}, &pipe{b, to, h.addr.String()}
	select {
	case other.streams <- far:
	default:
		return nil, errors.New("sim: backlog full")
	}
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	h.net.conns = append(h.net.conns, near, far)
	return near, nil
}

func (h *host) Shutdown() error {
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	if h.net.hosts[h.addr.String()] == h {
		delete(h.net.hosts, h.addr.String())
	}
	for {
		select {
		case c := <-h.streams:
			_ = c.Close()
			continue
		default:
			return nil
		}
	}
}

// bubble runs f in virtual time. A goroutine that outlives what f started
// fails the test: the sleep lets memberlist's timers run out.
//
// It gets one processor. On two, the goroutines of a bubble that find their timers
// due at the same time share one shadow stack of the race detector, without a lock,
// and it breaks: the process dies of SIGSEGV (golang/go#78156).
func bubble(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	synctest.Test(t, func(t *testing.T) {
		t.Cleanup(func() { time.Sleep(10 * time.Second) })
		f(t)
	})
}

func addrOf(i int) string { return fmt.Sprintf("10.0.0.%d:7702", i) }
func bootOf(i int) string { return fmt.Sprintf("%016x", i) }

// seedsOf are the addresses of hosts 1 to n.
func seedsOf(n int) func() []string {
	var seeds []string
	for i := range n {
		seeds = append(seeds, addrOf(i+1))
	}
	return func() []string { return seeds }
}

// config is that of replica i of n, r1 at 10.0.0.1 and so on.
func config(n *network, i, replicas int) gossip.Config {
	return gossip.Config{
		Name: fmt.Sprintf("r%d", i), Boot: bootOf(i), Label: cluster, Role: gossip.Replica,
		API: fmt.Sprintf("10.0.0.%d:7700", i), Seeds: seedsOf(replicas), Transport: n.host(addrOf(i)),
	}
}

func start(t *testing.T, c gossip.Config) *gossip.Gossip {
	t.Helper()
	g, err := gossip.Start(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = g.Close() })
	return g
}

// startAll starts replicas 1 to n and waits until all see all.
func startAll(t *testing.T, n *network, replicas int, change func(*gossip.Config)) []*gossip.Gossip {
	t.Helper()
	var all []*gossip.Gossip
	for i := range replicas {
		c := config(n, i+1, replicas)
		if change != nil {
			change(&c)
		}
		all = append(all, start(t, c))
	}
	within(t, 20*time.Second, func() bool { return seeAll(all, replicas) }, "all see all")
	return all
}

func seeAll(all []*gossip.Gossip, n int) bool {
	return !slices.ContainsFunc(all, func(g *gossip.Gossip) bool { return len(g.Members()) != n })
}

// within polls until ok, and gives how long it took.
func within(t *testing.T, limit time.Duration, ok func() bool, what string) time.Duration {
	t.Helper()
	start := time.Now()
	for !ok() {
		if time.Since(start) > limit {
			t.Fatalf("not within %v: %s", limit, what)
		}
		time.Sleep(20 * time.Millisecond)
	}
	return time.Since(start)
}

func sees(g *gossip.Gossip, id string) bool { return slices.Contains(ids(g), id) }

func ids(g *gossip.Gossip) []string {
	var all []string
	for _, m := range g.Members() {
		all = append(all, m.ID())
	}
	return all
}

// logs collects what is said at a level or above.
type logs struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logs) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logs) lines() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	text := strings.TrimSpace(l.b.String())
	if text == "" {
		return nil
	}
	return strings.Split(text, "\n")
}

func (l *logs) logger(level hclog.Level) hclog.Logger {
	return hclog.New(&hclog.LoggerOptions{Output: l, Level: level, DisableTime: true})
}

// stranger is a bare memberlist that says what it likes of itself.
type stranger struct {
	*memberlist.Memberlist
	meta []byte
}

func (s *stranger) NodeMeta(int) []byte               { return s.meta }
func (s *stranger) NotifyMsg([]byte)                  {}
func (s *stranger) GetBroadcasts(_, _ int) [][]byte   { return nil }
func (s *stranger) LocalState(bool) []byte            { return nil }
func (s *stranger) MergeRemoteState(_ []byte, _ bool) {}

func newStranger(t *testing.T, h *host, name string, meta []byte, change func(*memberlist.Config)) *stranger {
	t.Helper()
	s := &stranger{meta: meta}
	c := memberlist.DefaultLANConfig()
	c.Name, c.Label, c.Transport, c.Delegate = name, cluster, h, s
	c.Logger = log.New(new(logs), "", 0)
	if change != nil {
		change(c)
	}
	list, err := memberlist.Create(c)
	if err != nil {
		t.Fatal(err)
	}
	s.Memberlist = list
	t.Cleanup(func() { _ = list.Shutdown() })
	return s
}
