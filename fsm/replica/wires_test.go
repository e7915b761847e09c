package replica_test

import (
	"context"
	"errors"
	"io"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/rota-registry/rota/registry"
)

// wires are the calls of one replica to the others. They go straight to the
// other's methods, unless they are cut or hang.
type wires struct {
	c    *cluster
	from string
}

// reach gives the replica at an address. While the address hangs it waits for
// ctx; sent says that the request may have arrived.
func (c *cluster) reach(ctx context.Context, from, to string) (r *running, sent bool, err error) {
	c.mu.Lock()
	r = c.at[to]
	cut, hung := r == nil || c.cut[from] || c.cut[to], c.hung[to]
	c.mu.Unlock()
	switch {
	case cut:
		return nil, false, registry.Errorf(registry.Unavailable, "%s cannot be reached", to)
	case hung:
		<-ctx.Done()
		return nil, true, registry.Errorf(registry.Deadline, "%s did not answer in time", to)
	}
	return r, true, nil
}

// set changes cut, hung or asked.
func (c *cluster) set(change func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	change()
}

func (w wires) Hello(ctx context.Context, api string, from registry.Greeting) (registry.Greeting, error) {
	r, _, err := w.c.reach(ctx, w.from, api)
	if err != nil {
		return registry.Greeting{}, err
	}
	if w.c.raft != nil {
		from.Raft = w.c.raft.between(api, w.from, from.Raft)
	}
	g, err := r.Hello(ctx, from)
	if w.c.raft != nil && err == nil {
		g.Raft = w.c.raft.between(w.from, api, g.Raft)
	}
	return g, err
}

func (w wires) CurrentTerm(ctx context.Context, api string, name registry.ReplicaName) (registry.Term, error) {
	w.c.mu.Lock()
	asked := w.c.asked
	w.c.mu.Unlock()
	if asked != nil {
		asked()
	}
	r, _, err := w.c.reach(ctx, w.from, api)
	if err != nil {
		return 0, err
	}
	return r.CurrentTerm(ctx, name)
}

func (w wires) ReadIndex(ctx context.Context, api string) (registry.Index, error) {
	r, _, err := w.c.reach(ctx, w.from, api)
	if err != nil {
		return 0, err
	}
	return r.ReadIndex(ctx)
}

func (w wires) Forward(ctx context.Context, api string, command []byte) ([]byte, registry.Position, error) {
	r, sent, err := w.c.reach(ctx, w.from, api)
	if err != nil && sent {
		err = registry.Errorf(registry.OutcomeUnknown, "%s broke off after the command may have reached it", api)
	}
	if err != nil {
		return nil, registry.Position{}, err
	}
	return r.Forward(ctx, command)
}

func (w wires) SeesNodes(ctx context.Context, api string, lives []registry.Life, probe bool) ([]registry.Sight, error) {
	r, _, err := w.c.reach(ctx, w.from, api)
	if err != nil {
		return nil, err
	}
	w.c.mu.Lock()
	say := w.c.say
	w.c.mu.Unlock()
	if say != nil {
		return slices.Repeat([]registry.Sight{*say}, len(lives)), nil
	}
	return r.SeesNodes(ctx, lives, probe), nil
}

func (w wires) NodesBroke(ctx context.Context, api string, lives []registry.Life) error {
	r, _, err := w.c.reach(ctx, w.from, api)
	if err != nil {
		return err
	}
	return r.NodesBroke(ctx, lives)
}

func (w wires) Liveness(ctx context.Context, api string, thaw bool, t registry.NodeType) (registry.LivenessReport, error) {
	r, _, err := w.c.reach(ctx, w.from, api)
	if err != nil {
		return registry.LivenessReport{}, err
	}
	return r.OwnLiveness(thaw, t)
}

// links stand between the replicas' Rafts, one listener for each direction of
// each pair, so that one replica can be cut off.
type links struct {
	t  testing.TB
	wg sync.WaitGroup

	mu     sync.Mutex
	links  map[[2]string]*link // by the API addresses, from and to
	cut    map[string]bool     // API addresses
	frozen [2]string           // the link that stands still, none if empty
	part   int                 // what goes there of the first longer piece, with which it does; 0: it does with the next answer
	thaw   chan struct{}       // closed when it moves again
	asks   chan struct{}       // closed when what goes there moves again, too
	held   int                 // pieces that wait for either
	closed bool
}

type link struct {
	net.Listener
	to    string // the Raft address of the moment
	conns map[net.Conn]struct{}
}

func newLinks(t testing.TB) *links {
	l := &links{t: t, links: map[[2]string]*link{}, cut: map[string]bool{}}
	t.Cleanup(l.close)
	return l
}

// between gives the address at which one replica reaches another's Raft.
func (l *links) between(from, to, raftAddr string) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	key := [2]string{from, to}
	if k := l.links[key]; k != nil {
		k.to = raftAddr
		return k.Addr().String()
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		l.t.Error(err)
		return raftAddr
	}
	k := &link{Listener: listener, to: raftAddr, conns: map[net.Conn]struct{}{}}
	l.links[key] = k
	l.wg.Go(func() { l.serve(key, k) })
	return k.Addr().String()
}

func (l *links) serve(key [2]string, k *link) {
	for {
		in, err := k.Accept()
		if err != nil {
			return
		}
		l.mu.Lock()
		to := k.to
		l.mu.Unlock()
		out, err := net.Dial("tcp", to)
		if err != nil || !l.connect(key, k, in, out) {
			_ = in.Close()
		}
	}
}

// connect lets bytes flow both ways, unless the link is cut.
func (l *links) connect(key [2]string, k *link, in, out net.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed || l.cut[key[0]] || l.cut[key[1]] {
		_ = out.Close()
		return false
	}
	k.conns[in], k.conns[out] = struct{}{}, struct{}{}
	l.wg.Go(func() { l.pipe(k, in, gated{out, func(n int) (int, chan struct{}) { return l.gate(key, false, n) }}) })
	l.wg.Go(func() { l.pipe(k, out, gated{in, func(n int) (int, chan struct{}) { return l.gate(key, true, n) }}) })
	return true
}

// gated is a connection that a part of what is written, or all of it, waits before.
type gated struct {
	net.Conn
	gate func(bytes int) (goes int, thaw chan struct{})
}

func (g gated) Write(b []byte) (int, error) {
	goes, thaw := g.gate(len(b))
	n, err := g.Conn.Write(b[:goes])
	if err != nil || goes == len(b) {
		return n, err
	}
	<-thaw
	n, err = g.Conn.Write(b[goes:])
	return goes + n, err
}

// freeze lets what two replicas' Rafts tell each other on the connections from one
// to the other wait, once an answer is among it. It returns then. The answers go on
// when thawed; nothing is asked anew before the test ends.
func (l *links) freeze(c *cluster, from, to string) (thaw func()) {
	thaw = l.freezeIn(from, to, 0)
	l.awaitFrozen(c)
	return thaw
}

// freezeIn does so in the middle of the first piece of more than so many bytes, of
// which so many still go there, and thaws both ways; it does not wait.
func (l *links) freezeIn(from, to string, bytes int) (thaw func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.frozen, l.part, l.thaw = [2]string{from, to}, bytes, make(chan struct{})
	l.asks = l.thaw
	thaw = sync.OnceFunc(func() { close(l.thaw) })
	l.t.Cleanup(thaw)
	if bytes == 0 {
		asks := make(chan struct{})
		l.asks = asks
		l.t.Cleanup(func() { close(asks) })
	}
	return thaw
}

func (l *links) awaitFrozen(c *cluster) {
	c.eventually(10*time.Second, func() error {
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.held == 0 {
			return errors.New("nothing was on its way")
		}
		return nil
	})
}

// gate says how much of a piece goes on at once, and what the rest waits for.
func (l *links) gate(key [2]string, answer bool, bytes int) (goes int, thaw chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	goes, thaw = bytes, l.asks
	if answer {
		thaw = l.thaw
	}
	switch {
	case l.frozen != key:
	case l.part > 0:
		if !answer && bytes > l.part {
			goes, l.part = l.part, 0
		}
	case answer || l.held > 0:
		goes = 0
	}
	if goes < bytes {
		l.held++
	}
	return goes, thaw
}

func (l *links) pipe(k *link, from, to net.Conn) {
	_, _ = io.Copy(to, from)
	_, _ = from.Close(), to.Close()
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(k.conns, from)
}

// isolate breaks every Raft connection of one replica until rejoin, but those
// that are frozen.
func (l *links) isolate(api string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cut[api] = true
	for key, k := range l.links {
		if (key[0] == api || key[1] == api) && key != l.frozen {
			for c := range k.conns {
				_ = c.Close()
			}
		}
	}
}

func (l *links) rejoin(api string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.cut, api)
}

func (l *links) close() {
	l.mu.Lock()
	l.closed = true
	for _, k := range l.links {
		_ = k.Close()
		for c := range k.conns {
			_ = c.Close()
		}
	}
	l.mu.Unlock()
	l.wg.Wait()
}
