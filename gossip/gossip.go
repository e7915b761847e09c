package gossip

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"
)

const (
	// leaveTimeoutMax bounds a goodbye: a few gossip rounds are enough.
	leaveTimeoutMax = 3 * time.Second
	// resolveTimeout bounds one look-up of a host name.
	resolveTimeout = 2 * time.Second
)

// ErrClosed is returned by what is called after Close.
var ErrClosed = errors.New("gossip is closed")

// Gossip is one life's part in the gossip. It is safe for concurrent use.
type Gossip struct {
	cfg    Config
	addr   string // advertised, constant
	list   *memberlist.Memberlist
	net    *transport
	view   *view
	lines  *lineLog
	cancel context.CancelFunc // ends dials, and the rejoin loop
	close  func() error
	began  time.Time

	// work counts the rejoin loop and every call into memberlist that may
	// block; it grows only while closed is false, and Close waits for it.
	work sync.WaitGroup
	// rejoinStop is called by Leave: who has said goodbye joins nobody.
	rejoinStop context.CancelFunc

	mu struct {
		sync.Mutex
		closed bool
	}
}

// Start joins the gossip: it listens, shows itself, and goes on joining seeds
// in the background until Close. That nobody answers yet is no error.
func Start(cfg Config) (*Gossip, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()
	g := &Gossip{cfg: cfg, view: newView(encodeMeta(cfg.Role, cfg.API)), lines: newLineLog(cfg.Logger), began: time.Now()}
	g.close = sync.OnceValue(g.closeOnce)
	ctx, cancel := context.WithCancel(context.Background())
	g.cancel = cancel
	if err := g.create(ctx); err != nil {
		cancel()
		return nil, err
	}
	loop, stop := context.WithCancel(ctx)
	g.rejoinStop = stop
	g.work.Go(func() { g.run(loop) })
	return g, nil
}

// create starts memberlist, and undoes everything if it will not run.
func (g *Gossip) create(ctx context.Context) error {
	c, err := g.listConfig(ctx)
	if err != nil {
		return err
	}
	g.list, err = memberlist.Create(c)
	if err != nil {
		_ = g.net.Shutdown()
		return fmt.Errorf("start gossip of %s: %w", c.Name, err)
	}
	self, ok := g.view.get(c.Name)
	if !ok {
		g.lines.quiet.Store(true)
		_ = g.list.Shutdown()
		return fmt.Errorf("start gossip of %s: %w", c.Name, errors.Join(g.ownRefusals()...))
	}
	g.addr = self.Addr
	return nil
}

// ownRefusals says why we are not in our own view.
func (g *Gossip) ownRefusals() []error {
	faults := []error{errors.New("its own record was refused")}
	for _, r := range g.view.takeRefusals() {
		faults = append(faults, r.reason)
	}
	return faults
}

// listConfig fills in memberlist's configuration and binds the port.
func (g *Gossip) listConfig(ctx context.Context) (*memberlist.Config, error) {
	c := g.cfg.Profile.config()
	c.Name = lifeID(g.cfg.Name, g.cfg.Boot)
	c.Label = g.cfg.Label
	c.Logger = log.New(g.lines, "", 0)
	c.Delegate, c.Events, c.Alive = g.view, g.view, g.view
	inner, port, err := g.listen(ctx, c.Logger)
	if err != nil {
		return nil, err
	}
	g.net = newTransport(inner)
	c.Transport, c.BindPort = g.net, port
	if err := g.setAdvertise(ctx, c, port); err != nil {
		_ = g.net.Shutdown()
		return nil, err
	}
	return c, nil
}

// listen gives the transport and the port that it is bound to, 0 if it is not
// ours to know.
func (g *Gossip) listen(ctx context.Context, logger *log.Logger) (memberlist.Transport, int, error) {
	if g.cfg.Transport != nil {
		return g.cfg.Transport, 0, nil
	}
	host, port, err := splitBind(g.cfg.Bind)
	if err != nil {
		return nil, 0, err
	}
	ip, err := ResolveHost(ctx, host)
	if err != nil {
		return nil, 0, fmt.Errorf("bind address %s: %w", g.cfg.Bind, err)
	}
	t, err := listenNet(ctx, ip[0].String(), port, logger)
	if err != nil {
		return nil, 0, err
	}
	return t, t.GetAutoBindPort(), nil
}

func (g *Gossip) setAdvertise(ctx context.Context, c *memberlist.Config, bound int) error {
	c.AdvertisePort = bound
	if g.cfg.Advertise == "" {
		return nil
	}
	host, port, err := splitAdvertise(g.cfg.Advertise, bound)
	if err != nil {
		return err
	}
	ip, err := ResolveHost(ctx, host)
	if err != nil {
		return fmt.Errorf("advertised address %s: %w", g.cfg.Advertise, err)
	}
	c.AdvertiseAddr, c.AdvertisePort = ip[0].String(), port
	return nil
}

// ResolveHost gives at least one address, or says within 2 s why there is none.
// memberlist is never given a name: it binds everything when it cannot read one,
// and asks DNS without a deadline.
func ResolveHost(ctx context.Context, host string) ([]netip.Addr, error) {
	if ip, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{ip.Unmap()}, nil
	}
	ctx, cancel := context.WithTimeout(ctx, resolveTimeout)
	defer cancel()
	ips, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return nil, fmt.Errorf("resolve %s: %w", host, err)
	}
	for i := range ips {
		ips[i] = ips[i].Unmap()
	}
	return ips, nil
}

// Members is who is in view: alive, or suspected and not yet declared dead,
// this life itself included until it leaves. Sorted by name, then by boot id:
// two lives of one name may be there. The slice is the caller's.
func (g *Gossip) Members() []Member { return g.view.members() }

// LastAddr is the ip:port of a life in view, or of one that was when it went out of
// view; empty if it never was, or so long ago that it is forgotten.
func (g *Gossip) LastAddr(name, boot string) string { return g.view.lastAddr(lifeID(name, boot)) }

// Changed has something to receive when the view may have changed since the
// last receive. It has one slot and serves one reader, who compares Members
// with what it had; it is never closed.
func (g *Gossip) Changed() <-chan struct{} { return g.view.changed }

// Age is for how long this life has gossiped: a view is empty at first, and has
// not heard of everybody while it is young.
func (g *Gossip) Age() time.Duration { return time.Since(g.began) }

// Addr is the ip:port at which others reach this life.
func (g *Gossip) Addr() string { return g.addr }

// Leave says goodbye and waits until the word is out, until ctx ends, or for
// 3 s; an error means that others may have to find out by themselves. To them
// it looks like a death: who wants it told apart commits it first. Afterwards
// only Close makes sense.
func (g *Gossip) Leave(ctx context.Context) error {
	timeout := leaveTimeoutMax
	if deadline, ok := ctx.Deadline(); ok {
		timeout = min(timeout, time.Until(deadline))
	}
	if timeout <= 0 {
		return fmt.Errorf("leave gossip: %w", context.DeadlineExceeded)
	}
	g.rejoinStop()
	out := make(chan error, 1)
	if !g.spawn(func() { out <- g.list.Leave(timeout) }) {
		return ErrClosed
	}
	select {
	case err := <-out:
		if err != nil {
			return fmt.Errorf("leave gossip: %w", err)
		}
		return nil
	case <-ctx.Done():
		return fmt.Errorf("leave gossip: %w", ctx.Err())
	}
}

// Close ends this life's part without a goodbye, and all its goroutines. It
// may be called more than once, and returns the same each time.
func (g *Gossip) Close() error { return g.close() }

// closeOnce stops in this order: no new work; dials and connections, which
// work may be waiting for; work, which uses memberlist; memberlist, which uses
// the transport until it is down.
func (g *Gossip) closeOnce() error {
	g.mu.Lock()
	g.mu.closed = true
	g.mu.Unlock()
	g.lines.quiet.Store(true)
	g.cancel()
	g.net.hangUp()
	g.work.Wait()
	if err := g.list.Shutdown(); err != nil {
		return fmt.Errorf("close gossip: %w", err)
	}
	return nil
}

// spawn runs f as work that Close waits for; false says that it is too late.
func (g *Gossip) spawn(f func()) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.mu.closed {
		return false
	}
	g.work.Go(f)
	return true
}
