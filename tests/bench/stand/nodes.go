package stand

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"sync"

	"github.com/rota-registry/rota/gossip"
	"github.com/rota-registry/rota/registry"
	"github.com/rota-registry/rota/rpc/client"
)

// joiners is how many nodes join at the same time.
const joiners = 64

// Live makes n nodes worker-1 and up that stay alive until Stop: members of the
// gossip in this process, which are to the cluster what agents are.
func (r *Rota) Live(ctx context.Context, c *client.Client, n int) error {
	addrs, err := r.ports.Free(n)
	if err != nil {
		return err
	}
	for i, addr := range addrs {
		boot := bootID()
		admission, err := c.Join(ctx, client.Life{Name: worker(i), Type: "worker", Address: addr, Boot: boot})
		if err != nil {
			return err
		}
		node, err := gossip.Start(gossip.Config{
			Name: string(worker(i)), Boot: string(boot), Label: string(admission.ClusterID), Role: gossip.Node,
			Bind: addr, Seeds: func() []string { return admission.Seeds },
		})
		if err != nil {
			return fmt.Errorf("node %s: %w", worker(i), err)
		}
		r.nodes = append(r.nodes, node)
	}
	return nil
}

// Joined makes n nodes worker-1 and up that nobody gossips for, so that
// thousands cost this machine nothing. The registry takes them for alive for
// about twice the gossip's suspicion time; who needs them for longer calls
// Joined again, which begins a new life of each.
func Joined(ctx context.Context, c *client.Client, n int) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	next := make(chan int)
	var work sync.WaitGroup
	for range joiners {
		work.Go(func() {
			for i := range next {
				life := client.Life{Name: worker(i), Type: "worker", Address: fmt.Sprintf("127.0.0.1:%d", 1+i), Boot: bootID()}
				if _, err := c.Join(ctx, life); err != nil {
					cancel(err)
				}
			}
		})
	}
	for i := range n {
		next <- i
	}
	close(next)
	work.Wait()
	if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, context.Canceled) {
		return cause
	}
	return ctx.Err()
}

func worker(i int) registry.NodeName { return registry.NodeName(fmt.Sprintf("worker-%d", i+1)) }

func bootID() registry.BootID {
	var id [registry.BootIDLen / 2]byte
	_, _ = rand.Read(id[:]) // never fails: it ends the process instead
	return registry.BootID(hex.EncodeToString(id[:]))
}
