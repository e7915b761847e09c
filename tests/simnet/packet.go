package simnet

import (
	"bytes"
	"context"
	"net"
	"time"

	"github.com/hashicorp/memberlist"
)

// packetsMax is how many packets wait at a host for its process; more are lost.
const packetsMax = 4096

// Transport is gossip's: packets and streams at one address of a host.
type Transport struct {
	host    *Host
	streams *listener
	packets chan *memberlist.Packet
	life    context.Context //nolint:containedctx // its own lifetime, which no dial's outlives
	end     context.CancelFunc
}

var _ memberlist.Transport = (*Transport)(nil)

// Transport takes an address of the host for gossip.
func (h *Host) Transport(bind string) (*Transport, error) {
	l, err := h.listen(Streams, bind)
	if err != nil {
		return nil, err
	}
	t := &Transport{host: h, streams: l, packets: make(chan *memberlist.Packet, packetsMax)}
	t.life, t.end = context.WithCancel(context.Background())
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	h.net.mu.packets[l.addr.String()] = t
	return t, nil
}

// FinalAdvertiseAddr implements memberlist.Transport.
func (t *Transport) FinalAdvertiseAddr(string, int) (net.IP, int, error) {
	return t.streams.addr.IP, t.streams.addr.Port, nil
}

// WriteTo implements memberlist.Transport. Nobody is told what becomes of a
// packet.
func (t *Transport) WriteTo(b []byte, to string) (time.Time, error) {
	now := time.Now()
	host, _, err := net.SplitHostPort(to)
	if err != nil {
		return now, fault("write", to, err)
	}
	copied := bytes.Clone(b)
	for _, after := range t.host.net.fates(route{Packets, t.host.ip, host}) {
		time.AfterFunc(after, func() { t.host.net.arrive(copied, t.streams.addr, to) })
	}
	return now, nil
}

// fates draws when a packet arrives: not at all, once, or twice.
func (n *Network) fates(r route) (after []time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	l := n.linkLocked(r)
	n.mu.counts.Packets++
	if n.cutLocked(r) || n.mu.down[r.from] != up || n.mu.down[r.to] != up || n.drawLocked(l.Loss) {
		n.mu.counts.Lost++
		return nil
	}
	after = append(after, n.spreadLocked(l))
	if n.drawLocked(l.Reorder) {
		n.mu.counts.Reordered++
		after[0] += time.Duration(n.mu.rand.Int64N(int64(lateMax)))
	}
	if n.drawLocked(l.Duplicate) {
		n.mu.counts.Duplicated++
		after = append(after, after[0]+time.Duration(n.mu.rand.Int64N(int64(lateMax))))
	}
	return after
}

func (n *Network) drawLocked(p float64) bool { return p > 0 && n.mu.rand.Float64() < p }

// arrive hands a packet to whoever has the address by now.
func (n *Network) arrive(b []byte, from net.Addr, to string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	t := n.mu.packets[to]
	if t == nil || n.mu.down[t.host.ip] != up {
		n.mu.counts.Lost++
		return
	}
	select {
	case t.packets <- &memberlist.Packet{Buf: bytes.Clone(b), From: from, Timestamp: time.Now()}:
	default:
		n.mu.counts.Lost++
	}
}

// PacketCh implements memberlist.Transport.
func (t *Transport) PacketCh() <-chan *memberlist.Packet { return t.packets }

// StreamCh implements memberlist.Transport.
func (t *Transport) StreamCh() <-chan net.Conn { return t.streams.calls }

// DialTimeout implements memberlist.Transport.
func (t *Transport) DialTimeout(to string, timeout time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(t.life, timeout)
	defer cancel()
	return t.host.Dial(ctx, Streams, to)
}

// EndDials ends the calls that are being made, and all to come. Gossip over
// sockets ends its own when it closes, before it waits for who makes them; it
// cannot end those of a transport that it is given, so whoever closes gossip
// says it here first.
func (t *Transport) EndDials() { t.end() }

// Shutdown implements memberlist.Transport; it may be called more than once.
func (t *Transport) Shutdown() error {
	t.end()
	n := t.host.net
	n.mu.Lock()
	if at := t.streams.addr.String(); n.mu.packets[at] == t {
		delete(n.mu.packets, at)
	}
	n.mu.Unlock()
	_ = t.streams.Close() // closed already, if this is not the first time
	return nil
}
