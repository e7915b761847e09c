package replica

import (
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"sync"

	"github.com/rota-registry/rota/gossip"
	"github.com/rota-registry/rota/registry"
)

// gossipPort holds the gossip address from the start on, so that it can be
// told to others, and a taken port is found, before gossip may begin: its label
// is the cluster id, which only the log tells.
type gossipPort struct {
	bind      string // host:port with the port that was taken
	advertise string // host:port that others use

	mu  sync.Mutex
	tcp net.Listener
	udp net.PacketConn
}

// portTries is how often reserve looks for a port that is free for both.
const portTries = 20

// reserve takes the address; on another network than sockets it is as it was
// given, and nobody else's.
func (p *gossipPort) reserve(network Network, bind, advertiseHost string) (err error) {
	if network != nil {
		p.bind, p.advertise = bind, advertised(advertiseHost, address(bind))
		return nil
	}
	for range portTries {
		if err = p.try(bind); err == nil {
			p.advertise = advertised(advertiseHost, p.tcp.Addr())
			return nil
		}
		if _, port, _ := net.SplitHostPort(bind); port != "0" {
			return err
		}
	}
	return err
}

func (p *gossipPort) try(bind string) error {
	tcp, err := net.Listen("tcp", bind)
	if err != nil {
		return err
	}
	host, _, _ := net.SplitHostPort(bind)
	at := net.JoinHostPort(host, strconv.Itoa(tcp.Addr().(*net.TCPAddr).Port))
	udp, err := net.ListenPacket("udp", at)
	if err != nil {
		_ = tcp.Close()
		return err
	}
	p.tcp, p.udp, p.bind = tcp, udp, at
	return nil
}

func (p *gossipPort) release() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.tcp != nil {
		_, _ = p.tcp.Close(), p.udp.Close()
		p.tcp, p.udp = nil, nil
	}
}

func (r *Replica) startGossip(id registry.ClusterID) error {
	r.gossip.release()
	var over gossip.Transport // nil: sockets, which gossip opens itself
	if n := r.opts.Network; n != nil {
		var err error
		if over, err = n.Gossip(r.gossip.bind); err != nil {
			return fmt.Errorf("gossip address %s: %w", r.gossip.bind, err)
		}
	}
	g, err := gossip.Start(gossip.Config{
		Name:      string(r.opts.Name),
		Boot:      string(r.boot),
		Label:     string(id),
		Role:      gossip.Replica,
		API:       r.opts.API,
		Bind:      r.gossip.bind,
		Advertise: r.gossip.advertise,
		Profile:   r.opts.GossipProfile,
		Seeds:     r.gossipSeeds,
		Logger:    r.log.Named("gossip"),
		Transport: over,
	})
	if err != nil {
		return fmt.Errorf("gossip address %s: %w", r.gossip.bind, err)
	}
	r.members.Store(g)
	if r.life.ctx.Err() != nil {
		return g.Close()
	}
	r.lead.poke()
	return nil
}

// nodeSeedsMax is how many of the nodes that are out of view are called in one
// round of joins: one that answers brings all it knows of with it.
const nodeSeedsMax = 8

// gossipSeeds gives where the replicas gossip, this one included, and where
// some of the nodes did that are out of view: when all replicas have moved,
// the nodes do not know where to, and only the replicas can call.
func (r *Replica) gossipSeeds() []string {
	var seeds []string
	for _, o := range r.replicas() {
		if o.Gossip != "" {
			seeds = append(seeds, o.Gossip)
		}
	}
	lost := r.lostNodes()
	rand.Shuffle(len(lost), func(i, j int) { lost[i], lost[j] = lost[j], lost[i] })
	return append(seeds, lost[:min(len(lost), nodeSeedsMax)]...)
}

// lostNodes gives the addresses of the nodes that said no goodbye and are out
// of view.
func (r *Replica) lostNodes() []string {
	inView := make(map[registry.BootID]bool)
	lives, _ := r.lives()
	for _, l := range lives {
		inView[l.Boot] = true
	}
	var lost []string
	view, _ := r.machine.View()
	for _, n := range view.Layout() {
		if n.Boot != "" && n.State != registry.Left && n.Address != "" && !inView[n.Boot] {
			lost = append(lost, n.Address)
		}
	}
	return lost
}

// lives gives the nodes' lives that gossip shows.
func (r *Replica) lives() (nodes []registry.Seen, replicas int) {
	g := r.members.Load()
	if g == nil {
		return nil, 0
	}
	for _, m := range g.Members() {
		if m.Role == gossip.Replica {
			replicas++
			continue
		}
		nodes = append(nodes, registry.Seen{Name: registry.NodeName(m.Name), Boot: registry.BootID(m.Boot), Addr: m.Addr})
	}
	return nodes, replicas
}
