package main

import (
	"context"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/rota-registry/rota/registry"
	"github.com/rota-registry/rota/rpc/client"
)

const (
	// The pauses before an agent attends a replica again: short, because until
	// then only gossip would notice its death, and growing while none takes it. At
	// the longest it calls about as often as it looks at its record: who waits
	// longer is still waiting when an outage is over.
	attendPauseMin = 100 * time.Millisecond
	attendPauseMax = agentLookEvery / 2
	// attendedLong is a stream that held: after it the pauses are short again.
	attendedLong = 5 * time.Second
)

// attendance keeps a stream open to some replica while the agent lives, which
// breaks when it dies. It has a goroutine of its own, and needs nothing else of
// the agent: whatever becomes of the stream, the agent goes on.
type attendance struct {
	log hclog.Logger
	// client is that of the agent, which makes a new one of other servers at times
	// and closes the one before.
	client atomic.Pointer[client.Client]
}

// run attends one replica after the other until ctx ends.
func (a *attendance) run(ctx context.Context, name registry.NodeName, boot registry.BootID) {
	wait := attendPauseMin
	for ctx.Err() == nil {
		began := time.Now()
		err := a.client.Load().Attend(ctx, name, boot, func(by registry.ReplicaName) {
			a.log.Debug("a replica is attended", "replica", by)
		})
		if time.Since(began) > attendedLong {
			wait = attendPauseMin
		}
		if ctx.Err() == nil {
			a.log.Debug("no replica is attended: until one is, only gossip would notice that this node dies", "error", err)
		}
		if !sleep(ctx, wait+rand.N(wait)) {
			return
		}
		wait = longer(wait)
	}
}

// longer is the pause after this one; up to as much again is added to each.
func longer(wait time.Duration) time.Duration { return min(2*wait, attendPauseMax) }
