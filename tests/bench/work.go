package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/rota-registry/rota/rpc/client"
	"github.com/rota-registry/rota/tests/bench/load"
	"github.com/rota-registry/rota/tests/bench/stand"
)

// system is who is measured. One runs at a time.
type system string

const (
	rota  system = "rota"
	etcd  system = "etcd"
	redis system = "Redis"
)

// systems are in the order in which a round takes them.
func systems() []system { return []system{rota, etcd, redis} }

// site is the one system that runs now; the others are nil.
type site struct {
	rota  *stand.Rota
	etcd  *stand.Etcd
	redis *stand.Redis
}

// work is one thing that callers do to one system. Its name tells it from all
// others.
type work struct {
	on      system
	name    string
	callers int
	// open connects, and gives what each caller does, and what ends that.
	open func(ctx context.Context, s *site) (load.Op, func(), error)
}

func (w work) String() string { return string(w.on) + " " + w.name }

// nodes is how many the pool has while rota is measured.
const nodes = 10

// start starts a system, with what all work on it needs.
func start(ctx context.Context, st *stand.Stand, which system) (*site, error) {
	s := &site{}
	var err error
	switch which {
	case rota:
		if s.rota, err = st.StartRota(ctx, 3); err == nil {
			err = withNodes(ctx, s.rota)
		}
	case etcd:
		s.etcd, err = st.StartEtcd(ctx)
	case redis:
		s.redis, err = st.StartRedis(ctx)
	}
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", which, errors.Join(err, s.stop()))
	}
	return s, nil
}

func withNodes(ctx context.Context, r *stand.Rota) error {
	c, err := client.Dial(r.APIs, client.Options{})
	if err != nil {
		return err
	}
	defer c.Close()
	return r.Live(ctx, c, nodes)
}

func (s *site) stop() error {
	switch {
	case s.rota != nil:
		return s.rota.Stop()
	case s.etcd != nil:
		return s.etcd.Stop()
	case s.redis != nil:
		return s.redis.Stop()
	}
	return nil
}

// check gives an error if a process has ended, or the pool has not the nodes
// that it should have.
func (s *site) check(ctx context.Context) error {
	switch {
	case s.rota != nil:
		return errors.Join(s.rota.Check(), eligible(ctx, s.rota.APIs, nodes))
	case s.etcd != nil:
		return s.etcd.Check()
	case s.redis != nil:
		return s.redis.Check()
	}
	return nil
}

func eligible(ctx context.Context, apis []string, want int) error {
	c, err := client.Dial(apis, client.Options{})
	if err != nil {
		return err
	}
	defer c.Close()
	state, err := c.Pool(pool).Info(ctx, false)
	if err == nil && state.EligibleCount != want {
		err = fmt.Errorf("pool %s has %d eligible nodes, want %d", pool, state.EligibleCount, want)
	}
	return err
}
