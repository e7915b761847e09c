package gossip

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/hashicorp/memberlist"
)

// probeAsks is how often Probe asks: UDP loses packets, and memberlist waits
// for one answer no longer than its own probes may take.
const probeAsks = 5

// Probe asks one life directly, by its full name, at a host:port: true if that
// very life answers, false if it does not within the probe timeout; another
// life at the same address stays silent. An error means that it could not be
// asked, or that ctx ended first, and says nothing about the life.
func (g *Gossip) Probe(ctx context.Context, name, boot, addr string) (bool, error) {
	id := lifeID(name, boot)
	if err := errors.Join(validateName(name), validateBoot(boot)); err != nil {
		return false, fmt.Errorf("probe: %w", err)
	}
	at, err := resolveAddr(ctx, addr)
	if err != nil {
		return false, fmt.Errorf("probe of %s at %q: %w", id, clip(addr), err)
	}
	ok, err := g.ask(ctx, id, at)
	if err != nil {
		return false, fmt.Errorf("probe of %s at %s: %w", id, addr, err)
	}
	return ok, nil
}

// ask pings all addresses probeAsks times over the probe timeout. It fails only
// if every ping could not be sent.
func (g *Gossip) ask(ctx context.Context, id string, at []netip.AddrPort) (bool, error) {
	pings := len(at) * probeAsks
	results := make(chan error, pings)
	end := time.NewTimer(g.cfg.ProbeTimeout)
	defer end.Stop()
	next := time.NewTicker(max(g.cfg.ProbeTimeout/probeAsks, time.Millisecond))
	defer next.Stop()
	var fault error
	for sent, failed := g.pingAll(id, at, results), 0; ; {
		select {
		case err := <-results:
			if err == nil {
				return true, nil
			}
			if !errors.As(err, new(memberlist.NoPingResponseError)) {
				fault = err
				failed++
			}
		case <-next.C:
			if sent < pings {
				sent += g.pingAll(id, at, results)
			}
		case <-end.C:
			if failed < sent {
				fault = nil
			}
			return false, fault
		case <-ctx.Done():
			return false, ctx.Err()
		}
	}
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
