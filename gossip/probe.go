package gossip

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"time"

	"github.com/hashicorp/memberlist"
)

const (
	// probeAsks is how often Probe asks: UDP loses packets, and memberlist waits
	// for one answer no longer than its own probes may take.
	probeAsks = 5
	// probeRounds bounds the rounds of a probe, those that do not count included.
	probeRounds = 3 * probeAsks
)

// Reply is what a probe has heard; each says more than the one before it.
type Reply uint8

// The replies.
const (
	// Silent: nothing, or a refusal.
	Silent Reply = iota
	// Connected: no answer over UDP, and something took the TCP connection. It may
	// be the life, with UDP lost on the way, or a process that hangs, or another
	// one that has the port now.
	Connected
	// Answered: that very life did.
	Answered
)

// Probe asks one life directly, by its full name, at a host:port, and gives
// what it has heard within the probe timeout, or up to three of them when this
// process gets too little processor time; another life at the same address does not
// answer. A name is looked up for one probe timeout first. An error means that the
// life could not be asked, or that ctx ended first, and says nothing about it; it is
// ErrNoHost if there is no host of that name.
func (g *Gossip) Probe(ctx context.Context, name, boot, addr string) (Reply, error) {
	id := lifeID(name, boot)
	if err := errors.Join(validateName(name), validateBoot(boot)); err != nil {
		return Silent, fmt.Errorf("probe: %w", err)
	}
	at, err := g.lookUp(ctx, addr)
	if err != nil {
		return Silent, fmt.Errorf("probe of %s at %q: %w", id, clip(addr), err)
	}
	reply, err := g.ask(ctx, id, at)
	if err != nil {
		return Silent, fmt.Errorf("probe of %s at %s: %w", id, addr, err)
	}
	return reply, nil
}

// ErrNoHost is of a host name that does not exist: DNS has answered, and has said so.
var ErrNoHost = errors.New("no such host")

// lookUp waits no longer than the probe does: who asks has the answers about other
// addresses to wait for, too.
func (g *Gossip) lookUp(ctx context.Context, addr string) ([]netip.AddrPort, error) {
	ctx, cancel := context.WithTimeout(ctx, g.cfg.ProbeTimeout)
	defer cancel()
	at, err := resolveAddr(ctx, addr)
	if fault := (*net.DNSError)(nil); errors.As(err, &fault) && fault.IsNotFound {
		return nil, fmt.Errorf("%w: %w", ErrNoHost, err)
	}
	return at, err
}

// SameAddr reports whether two host:ports lead to one ip:port, as far as their names
// can be looked up.
func (g *Gossip) SameAddr(ctx context.Context, a, b string) bool {
	if a == b {
		return true
	}
	of, err := g.lookUp(ctx, a)
	if err != nil {
		return false
	}
	others, err := g.lookUp(ctx, b)
	return err == nil && slices.ContainsFunc(of, func(at netip.AddrPort) bool { return slices.Contains(others, at) })
}

// ask pings all addresses in probeAsks rounds over the probe timeout, and dials
// them when the first ping is not answered soon. A round in which this process got
// no processor does not count, for the answer may be there and unread; when too
// many do not, it fails, as it does if every ping could not be sent and nobody took
// a dial.
func (g *Gossip) ask(ctx context.Context, id string, at []netip.AddrPort) (Reply, error) {
	pause := max(g.cfg.ProbeTimeout/probeAsks, time.Millisecond)
	results := make(chan error, len(at)*probeRounds)
	taken := make(chan struct{}, len(at)*probeRounds)
	end := time.NewTimer(pause)
	defer end.Stop()
	reply, sent, failed, fault := Silent, 0, 0, error(nil)
	for round, sound, dial := 0, 0, false; sound < probeAsks; round++ {
		if round == probeRounds {
			return Silent, errors.New("this process gets too little processor time to ask anybody")
		}
		if dial {
			g.dialAll(id, at, max(g.cfg.ProbeTimeout-pause, time.Millisecond), taken)
		}
		began := time.Now()
		sent += g.pingAll(id, at, results)
		end.Reset(pause)
		for waits := true; waits; {
			select {
			case err := <-results:
				if err == nil {
					return Answered, nil
				}
				if !errors.As(err, new(memberlist.NoPingResponseError)) {
					fault = err
					failed++
				}
			case <-taken:
				reply = Connected
			case <-end.C:
				waits = false
			case <-ctx.Done():
				return Silent, ctx.Err()
			}
		}
		stalled := time.Since(began) > 2*pause
		if !stalled {
			sound++
		}
		dial = round == 0 || stalled
	}
	if failed < sent || reply == Connected {
		fault = nil
	}
	return reply, fault
}

// pingAll starts a ping to each address and returns how many; each gives one
// result.
func (g *Gossip) pingAll(id string, at []netip.AddrPort, results chan<- error) int {
	for _, a := range at {
		ping := func() {
			_, err := g.list.Ping(id, net.UDPAddrFromAddrPort(a))
			results <- err
		}
		if !g.spawn(ping) {
			results <- ErrClosed
		}
	}
	return len(at)
}

// dialAll starts a dial of each address, and puts one into taken for each that is
// taken. Who took it is sent the label, which makes memberlist take the end that
// follows for an end, and not for a stranger's call.
func (g *Gossip) dialAll(id string, at []netip.AddrPort, timeout time.Duration, taken chan<- struct{}) {
	for _, a := range at {
		g.spawn(func() {
			conn, err := g.net.DialAddressTimeout(memberlist.Address{Addr: a.String(), Name: id}, timeout)
			if err != nil {
				return
			}
			taken <- struct{}{}
			_ = memberlist.AddLabelHeaderToStream(conn, g.cfg.Label) // it was taken, whatever becomes of this
			_ = conn.Close()
		})
	}
}
