package main

import (
	"context"
	"errors"
	"slices"
	"syscall"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/rota-registry/rota/gossip"
	"github.com/rota-registry/rota/registry"
)

const (
	// agentJoinPause is between two attempts to join.
	agentJoinPause = 300 * time.Millisecond
	// portAttempts is how often a free port is taken anew, when another
	// process was faster.
	portAttempts = 3
)

// attach joins the registry and then the gossip. The gossip's port is held
// until the moment gossip binds it, so that the address that the registry is
// told is the right one. It is one life, whichever port it gets.
func (g *agent) attach(ctx context.Context) error {
	if err := g.options.resolve(ctx); err != nil {
		return err
	}
	g.life.Boot = newBootID()
	for attempt := 1; ; attempt++ {
		port, err := reservePort(g.options.gossip)
		if err != nil {
			return prefixed("--gossip", err)
		}
		g.life.Address = port.advertised(g.options.advertise)
		err = g.join(ctx)
		port.release()
		if err == nil {
			err = g.startGossip(port.bind)
		}
		if attempt < portAttempts && port.free && errors.Is(err, syscall.EADDRINUSE) {
			continue
		}
		return err
	}
}

// join waits until a server has taken the node, or refused it for good.
func (g *agent) join(ctx context.Context) error {
	for {
		err := g.joinOnce(ctx)
		if err == nil || ctx.Err() != nil || final(err) {
			return err
		}
		g.silence.note(g.servers, err)
		if !sleep(ctx, agentJoinPause) {
			return ctx.Err()
		}
	}
}

// joinOnce asks once, and keeps what it is told.
func (g *agent) joinOnce(ctx context.Context) error {
	admission, err := g.client.Join(ctx, g.life)
	switch {
	case err == nil || errors.Is(err, registry.ErrOutcomeUnknown):
		g.mayBeIn = true
	case final(err):
		g.mayBeIn = false
	}
	if err != nil {
		return err
	}
	g.silence.end()
	g.setSeeds(admission.Seeds)
	g.cluster, g.seen = admission.ClusterID, admission.Index
	g.meet(admission.Servers)
	return nil
}

// final is true of a refusal that asking again does not change. Unimplemented is
// one of a rota server, or of all servers if none of them is rota's.
func final(err error) bool {
	switch registry.CodeOf(err) {
	case registry.Conflict, registry.Invalid, registry.Unimplemented:
		return true
	default:
		return false
	}
}

// startGossip shows the node to the cluster that it has joined.
func (g *agent) startGossip(bind string) error {
	started, err := gossip.Start(gossip.Config{
		Name: g.options.name, Boot: string(g.life.Boot), Label: string(g.cluster), Role: gossip.Node,
		Bind: bind, Advertise: g.life.Address, Profile: gossip.Profile(g.options.profile),
		Seeds: g.takeSeeds, Logger: g.log.Named("gossip"),
	})
	if err != nil {
		return err
	}
	g.gossip, g.lonelySince = started, time.Now()
	g.options.gossip = bind
	return nil
}

func (g *agent) setSeeds(seeds []string) {
	g.seeds.Lock()
	defer g.seeds.Unlock()
	g.seeds.known = slices.Clone(seeds)
}

func (g *agent) takeSeeds() []string {
	g.seeds.Lock()
	defer g.seeds.Unlock()
	return slices.Clone(g.seeds.known)
}

// meet adds API addresses to those that are asked. The configured ones stay
// first, the newest of the others follow. Told the same in another order it does
// nothing: a new client breaks the stream by which a death is noticed at once.
func (g *agent) meet(told []string) {
	servers := slices.Clone(g.options.servers)
	for _, s := range slices.Concat(told, g.servers) {
		if len(servers) < registry.ReplicasMax && !slices.Contains(servers, s) && dialable(s) == nil {
			servers = append(servers, s)
		}
	}
	if slices.Equal(slices.Sorted(slices.Values(servers)), slices.Sorted(slices.Values(g.servers))) {
		return
	}
	if err := g.dial(servers); err != nil {
		g.log.Warn("the addresses that a replica told cannot be used", "servers", servers, "error", err)
	}
}

// silence says that no server answers: at once, then every 5 s.
type silence struct {
	log  hclog.Logger
	last time.Time // zero while they answer
}

const silenceEvery = 5 * time.Second

func (s *silence) note(servers []string, err error) {
	if time.Since(s.last) < silenceEvery {
		return
	}
	s.last = time.Now()
	s.log.Warn("no server has taken the call: waiting", "servers", servers, "error", err)
}

func (s *silence) end() {
	if !s.last.IsZero() {
		s.log.Info("the servers answer again")
	}
	s.last = time.Time{}
}
