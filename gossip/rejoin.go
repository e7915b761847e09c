package gossip

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"time"
)

const (
	// The pauses of the first join, until it succeeds: the replicas of a new
	// cluster start in any order, and nobody should wait for the slow loop.
	firstPauseMin = 100 * time.Millisecond
	firstPauseMax = time.Second
	// joinRoundMax bounds a round, name look-ups included.
	joinRoundMax = 30 * time.Second
)

// run joins lost seeds and reports refused records until ctx ends. Without it
// a partition that lasts longer than memberlist remembers its dead would never
// heal: neither side would look for the other again.
func (g *Gossip) run(ctx context.Context) {
	pause := firstPauseMin
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-g.view.refused:
			g.reportRefusals()
		case <-timer.C:
			pause = g.rejoin(ctx, pause)
			timer.Reset(jitter(pause))
		}
	}
}

// rejoin runs a round and gives the pause to the next: growing until somebody
// has been met, then the configured one.
func (g *Gossip) rejoin(ctx context.Context, pause time.Duration) time.Duration {
	joined, err := g.joinSeeds(ctx, g.view.addrs())
	if err != nil && ctx.Err() == nil {
		g.cfg.Logger.Debug("some seeds did not answer", "error", err)
	}
	if joined > 0 || pause == g.cfg.Rejoin || len(g.view.addrs()) > 1 {
		return g.cfg.Rejoin
	}
	return min(2*pause, firstPauseMax, g.cfg.Rejoin)
}

// jitter spreads pauses over half of their length, so that the members of a
// cluster that started together do not join in step.
func jitter(d time.Duration) time.Duration { return d + rand.N(d/2+1) }

// reportRefusals logs what the callbacks could not.
func (g *Gossip) reportRefusals() {
	for _, r := range g.view.takeRefusals() {
		g.cfg.Logger.Warn("gossip refused a member; it will not be reported again", "member", r.member, "error", r.reason)
	}
}

// Join tries all seeds now, those in view too, and returns nil if one of them
// answered, or if there is none but this life itself. An answer does not mean
// that the answerer has us in view: see Members, there and here.
func (g *Gossip) Join(ctx context.Context) error {
	joined, err := g.joinSeeds(ctx, nil)
	if joined > 0 {
		return nil
	}
	return err
}

// joinSeeds tries the seeds at none of the addresses in skip, all at once. It
// counts those that answered, and joins the errors of the others.
func (g *Gossip) joinSeeds(ctx context.Context, skip map[string]struct{}) (joined int, err error) {
	ctx, cancel := context.WithTimeout(ctx, joinRoundMax)
	defer cancel()
	seeds := slices.Compact(slices.Sorted(slices.Values(g.cfg.Seeds())))
	seeds = seeds[:min(len(seeds), SeedsMax)]
	results := make(chan seedResult, len(seeds))
	for _, seed := range seeds {
		if !g.spawn(func() { results <- g.joinSeed(ctx, seed, skip) }) {
			return 0, ErrClosed
		}
	}
	for range seeds {
		select {
		case r := <-results:
			joined += r.joined
			err = errors.Join(err, r.err)
		case <-ctx.Done():
			return joined, errors.Join(err, ctx.Err())
		}
	}
	return joined, err
}

// seedResult has joined 1, an error, or neither for a seed that was skipped.
type seedResult struct {
	joined int
	err    error
}

// joinSeed tries the addresses of one seed until one answers. The time that
// memberlist takes for one is bounded by its TCP timeout.
func (g *Gossip) joinSeed(ctx context.Context, seed string, skip map[string]struct{}) seedResult {
	addrs, err := resolveAddr(ctx, seed)
	if err != nil {
		return seedResult{err: fmt.Errorf("seed %q: %w", clip(seed), err)}
	}
	for _, a := range addrs {
		if _, known := skip[a.String()]; known || a.String() == g.addr {
			return seedResult{}
		}
	}
	for _, a := range addrs {
		if ctx.Err() != nil {
			return seedResult{err: ctx.Err()}
		}
		_, err = g.list.Join([]string{a.String()})
		if err == nil {
			return seedResult{joined: 1}
		}
	}
	return seedResult{err: fmt.Errorf("seed %s: %w", seed, err)}
}

// resolveAddr gives the addresses, at least one, behind a host:port.
func resolveAddr(ctx context.Context, addr string) ([]netip.AddrPort, error) {
	if err := validateHostPort(addr); err != nil {
		return nil, err
	}
	host, digits, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	port, err := strconv.ParseUint(digits, 10, 16)
	if err != nil {
		return nil, err
	}
	ips, err := ResolveHost(ctx, host)
	if err != nil {
		return nil, err
	}
	all := make([]netip.AddrPort, len(ips))
	for i, ip := range ips {
		all[i] = netip.AddrPortFrom(ip, uint16(port))
	}
	return all, nil
}
