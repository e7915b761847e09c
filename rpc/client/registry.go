package client

import (
	"context"
	"errors"

	"github.com/rota-registry/rota/registry"
	rotav1 "github.com/rota-registry/rota/rpc/gen/rota/v1"
	"github.com/rota-registry/rota/rpc/wire"
)

// RegisterOptions say what RegisterPool may do.
type RegisterOptions struct {
	// Replace puts the spec in the place of another one under its name, which
	// is a conflict otherwise.
	Replace bool
	// RequireNodes refuses the pool while there are too few nodes for the
	// exclusive pools of its type, as Zeek does at its start.
	RequireNodes bool
}

// RegisterPool makes a pool. An identical spec again succeeds; so it may run
// twice, unless Replace is set: it could then put its spec in the place of one
// that another client has put there in between.
func (c *Client) RegisterPool(ctx context.Context, spec registry.Spec, opts RegisterOptions) (PoolChange, error) {
	name := string(spec.Name)
	if name == "" {
		name = string(spec.Topic)
	}
	m := method{kind: repeatable, verb: "register pool", name: name}
	if opts.Replace {
		m.kind = once
	}
	res, err := invoke(ctx, c, m,
		func(s *server) unary[rotav1.RegisterPoolRequest, rotav1.RegisterPoolResponse] {
			return s.registry.RegisterPool
		},
		&rotav1.RegisterPoolRequest{Spec: wire.ToSpec(spec), Replace: opts.Replace, RequireNodes: opts.RequireNodes})
	if err != nil {
		return PoolChange{}, err
	}
	info, err := wire.FromPool(res.GetPool())
	if err != nil {
		return PoolChange{}, told(ctx, m, unreadable(res, err))
	}
	return PoolChange{PoolInfo: info, Changed: res.GetChanged(), Served: served(res)}, nil
}

// UnregisterPool removes a pool and its cursors. It is not repeated when its
// outcome is unknown: the second time would say not_found of what the first one
// did, or remove a pool that was registered in between.
func (c *Client) UnregisterPool(ctx context.Context, name registry.PoolName) (Served, error) {
	res, err := invoke(ctx, c, method{kind: once, verb: "unregister pool", name: string(name)},
		func(s *server) unary[rotav1.UnregisterPoolRequest, rotav1.UnregisterPoolResponse] {
			return s.registry.UnregisterPool
		},
		&rotav1.UnregisterPoolRequest{Name: string(name)})
	if err != nil {
		return Served{}, err
	}
	return served(res), nil
}

// Pools lists all pools with their members.
func (c *Client) Pools(ctx context.Context, opts ...ReadOption) (PoolList, error) {
	fresh, index := c.reading(opts)
	m := method{kind: read, verb: "list pools"}
	res, err := invoke(ctx, c, m,
		func(s *server) unary[rotav1.ListPoolsRequest, rotav1.ListPoolsResponse] { return s.registry.ListPools },
		&rotav1.ListPoolsRequest{Consistency: fresh, AtLeastIndex: index})
	if err != nil {
		return PoolList{}, err
	}
	list := PoolList{Pools: make([]registry.PoolInfo, len(res.GetPools())), Served: served(res)}
	var faults []error
	for i, p := range res.GetPools() {
		var fault error
		list.Pools[i], fault = wire.FromPool(p)
		faults = append(faults, fault)
	}
	if err := errors.Join(faults...); err != nil {
		return PoolList{}, told(ctx, m, unreadable(res, err))
	}
	return list, nil
}

// RebalancePools applies Zeek's whole assignment function to all pools and says
// which members that moved; with dryRun it changes nothing and says which it
// would move. It is not repeated when its outcome is unknown: the second time
// could not say what the first one moved.
func (c *Client) RebalancePools(ctx context.Context, dryRun bool) (Rebalance, error) {
	m := method{kind: once, verb: "rebalance pools"}
	if dryRun {
		m.kind = read
	}
	res, err := invoke(ctx, c, m,
		func(s *server) unary[rotav1.RebalancePoolsRequest, rotav1.RebalancePoolsResponse] {
			return s.registry.RebalancePools
		},
		&rotav1.RebalancePoolsRequest{DryRun: dryRun})
	if err != nil {
		return Rebalance{}, err
	}
	return Rebalance{Moves: wire.FromMoves(res.GetMoves()), Served: served(res)}, nil
}

// LogTopic answers which logger's turn it is for a log, or the log's own topic
// if none is eligible: Zeek's rr_log_topic. It moves a cursor, like RR once. The
// answer does not depend on path.
func (c *Client) LogTopic(ctx context.Context, id, path string) (Answer, error) {
	turn, err := wire.FromLogTopic(id, path)
	if err != nil {
		return Answer{}, err
	}
	answer, from, err := c.take(ctx, method{kind: counted, verb: "rr of log", name: id}, turn)
	if err != nil {
		return Answer{}, err
	}
	return answer.one(from), nil
}

// Settings gives the cluster's settings.
func (c *Client) Settings(ctx context.Context, opts ...ReadOption) (SettingsState, error) {
	fresh, index := c.reading(opts)
	m := method{kind: read, verb: "get settings"}
	res, err := invoke(ctx, c, m,
		func(s *server) unary[rotav1.GetSettingsRequest, rotav1.GetSettingsResponse] {
			return s.registry.GetSettings
		},
		&rotav1.GetSettingsRequest{Consistency: fresh, AtLeastIndex: index})
	if err != nil {
		return SettingsState{}, err
	}
	settings, err := wire.FromSettings(res.GetSettings())
	if err != nil {
		return SettingsState{}, told(ctx, m, unreadable(res, err))
	}
	return SettingsState{Settings: settings, Served: served(res)}, nil
}

// SetSettings changes the settings that change names and leaves the others. It
// says what they shall be, not how they change, so it may run twice.
func (c *Client) SetSettings(ctx context.Context, change registry.SettingsChange) (SettingsState, error) {
	m := method{kind: repeatable, verb: "set settings"}
	res, err := invoke(ctx, c, m,
		func(s *server) unary[rotav1.SetSettingsRequest, rotav1.SetSettingsResponse] {
			return s.registry.SetSettings
		},
		&rotav1.SetSettingsRequest{Settings: wire.ToSettingsChange(change)})
	if err != nil {
		return SettingsState{}, err
	}
	settings, err := wire.FromSettings(res.GetSettings())
	if err != nil {
		return SettingsState{}, told(ctx, m, unreadable(res, err))
	}
	return SettingsState{Settings: settings, Changed: res.GetChanged(), Served: served(res)}, nil
}

// wanted is how fresh a read must be: the Client's consistency unless an option
// says another.
func (c *Client) wanted(opts []ReadOption) registry.ReadOptions {
	if len(opts) == 0 {
		return registry.ReadOptions{Consistency: c.options.Consistency}
	}
	want := registry.ReadOptions{Consistency: c.options.Consistency}
	for _, opt := range opts {
		opt(&want)
	}
	return want
}

// reading is wanted for a request that is sent now.
func (c *Client) reading(opts []ReadOption) (consistency string, atLeastIndex uint64) {
	want := c.wanted(opts)
	q := question{consistency: want.Consistency, atLeast: want.AtLeastIndex}.now(c)
	return q.consistency.String(), uint64(q.atLeast)
}
