package sim

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/rota-registry/rota/registry"
	"github.com/rota-registry/rota/registry/hrw"
	"github.com/rota-registry/rota/rpc/client"
	"github.com/rota-registry/rota/tests/check"
)

// copies are the watched copies of pools that there are.
type copies struct {
	mu  sync.Mutex
	all map[*client.WatchedPool]bool
}

func (s *copies) set(p *client.WatchedPool, is bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.all == nil {
		s.all = make(map[*client.WatchedPool]bool)
	}
	if is {
		s.all[p] = true
	} else {
		delete(s.all, p)
	}
}

// watcher watches a pool and answers from the copy, which at the index that it
// names must be right, though others may know better by then.
func (w *Workload) watcher() func(int, *rand.Rand) {
	var shared *Client
	if w.mix.Watchers > 0 {
		shared = w.c.NewClient(client.Options{Timeout: callMax})
	}
	return func(id int, rnd *rand.Rand) {
		var p *client.WatchedPool
		for p == nil {
			if !w.pause(rnd) {
				return
			}
			p, _ = shared.Pool(poolMain).Watch(context.Background()) // it is tried again
		}
		w.c.copies.set(p, true)
		defer func() {
			w.c.copies.set(p, false)
			p.Close()
		}()
		epoch := registry.Epoch(0)
		for w.pause(rnd) {
			o := check.Operation{Client: id, Kind: check.HRW, Pool: poolMain, Key: pick(rnd, keysOf("session")), Consistency: registry.Local, Called: w.now()}
			got, err := p.HRW(hrw.String(o.Key))
			o.Epoch, o.Reason = got.Epoch, got.EmptyReason
			if got.Topic != "" {
				o.Answers = []registry.Answer{{Node: got.Node, Topic: got.Topic}}
			}
			if err == nil && got.Epoch < epoch {
				w.late.add("%s: the copy's epoch was %d before", &o, epoch)
			}
			epoch = got.Epoch
			got.Age = check.Never // a copy's leaves out how long the news took to come
			w.record(o, got.Served, err)
		}
	}
}

// copiesAreFresh wants each watched copy at the epoch that the pool has now.
func (c *Cluster) copiesAreFresh() error {
	c.copies.mu.Lock()
	defer c.copies.mu.Unlock()
	for p := range c.copies.all {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		is, err := c.operator.Pool(p.Name()).HRW(ctx, hrw.String("x"))
		cancel()
		if err != nil {
			return err
		}
		if got, err := p.HRW(hrw.String("x")); err != nil || got.Epoch != is.Epoch || got.Node != is.Node {
			return fmt.Errorf("a copy of %s says %s at epoch %d (%v), the cluster says %s at %d", p.Name(), got.Node, got.Epoch, err, is.Node, is.Epoch)
		}
	}
	return nil
}
