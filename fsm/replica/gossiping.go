package replica

import (
	"fmt"
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

func (p *gossipPort) reserve(bind, advertiseHost string) (err error) {
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

// gossipSeeds gives where the replicas gossip, this one included.
func (r *Replica) gossipSeeds() []string {
	var seeds []string
	for _, o := range r.replicas() {
		if o.Gossip != "" {
			seeds = append(seeds, o.Gossip)
		}
	}
	return seeds
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
