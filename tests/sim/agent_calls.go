package sim

import (
	"context"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/rota-registry/rota/registry"
	"github.com/rota-registry/rota/rpc/client"
)

// Those of rota agent: the pauses before it attends a replica again, and how
// long a stream must have held for them to be short once more.
const (
	attendPauseMin = 100 * time.Millisecond
	attendPauseMax = agentLookEvery / 2
	attendedLong   = 5 * time.Second
)

// dial makes a client of these servers, instead of the one there was.
func (l *agentLife) dial(servers []string) error {
	dialled, err := client.Dial(servers, client.Options{
		Timeout: 2500 * time.Millisecond, AttemptTimeout: 800 * time.Millisecond, By: "agent " + string(l.life.Name), Dial: apiDial(l.agent.host),
	})
	if err != nil {
		return err
	}
	if was := l.client.Swap(dialled); was != nil {
		_ = was.Close() // it always gives nil
	}
	l.servers = servers
	return nil
}

// meet adds API addresses to those that are asked. The configured ones stay
// first, the newest of the others follow.
func (l *agentLife) meet(told []string) error {
	servers := slices.Clone(l.configured)
	for _, s := range slices.Concat(told, l.servers) {
		if len(servers) < registry.ReplicasMax && !slices.Contains(servers, s) {
			servers = append(servers, s)
		}
	}
	if slices.Equal(slices.Sorted(slices.Values(servers)), slices.Sorted(slices.Values(l.servers))) {
		return nil
	}
	return l.dial(servers)
}

// turned gives a list that begins elsewhere. Each agent begins with another
// replica, as rota agent does by chance: so each replica is attended.
func turned[T any](list []T, by int) []T {
	by %= len(list)
	return slices.Concat(list[by:], list[:by])
}

// attend keeps a stream open to one replica after the other until ctx ends. Its
// end is a hint that the node has died; until there is one again only gossip
// would notice a death.
func (l *agentLife) attend(ctx context.Context) {
	for wait := attendPauseMin; ctx.Err() == nil; wait = min(2*wait, attendPauseMax) {
		began := time.Now()
		_ = l.client.Load().Attend(ctx, l.life.Name, l.life.Boot, l.setAttends) // it always ends with an error
		l.setAttends("")
		if time.Since(began) > attendedLong {
			wait = attendPauseMin
		}
		if !sleep(ctx, wait+rand.N(wait)) {
			return
		}
	}
}

func (l *agentLife) setAttends(by registry.ReplicaName) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.mu.attends = by
}

// Attends is the replica to which the agent, which runs, has a stream now; empty
// if to none.
func (a *Agent) Attends() registry.ReplicaName {
	a.life.mu.Lock()
	defer a.life.mu.Unlock()
	return a.life.mu.attends
}
