package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/rota-registry/rota/registry"
	"github.com/rota-registry/rota/registry/hrw"
	"github.com/rota-registry/rota/rpc/client"
	"github.com/rota-registry/rota/tests/bench/load"
)

// pool is the one that is asked: the default pool of all workers.
const pool registry.PoolName = "worker"

// whom says which replicas are asked. Callers share one client for each.
type whom uint8

const (
	leader whom = iota
	followers
	everyone
)

// pick gives the addresses that one client each is made for.
func (w whom) pick(leaderFirst []string) []string {
	switch w {
	case leader:
		return leaderFirst[:1]
	case followers:
		return leaderFirst[1:]
	default:
		return leaderFirst
	}
}

// errNoTopic is a round robin that chose nobody, while ten nodes are eligible.
var errNoTopic = errors.New("rota: an answer has no topic")

// asking is work that asks rota through its Go client.
func asking(name string, callers int, who whom, op func(p *client.Pool) load.Op) work {
	return work{on: rota, name: name, callers: callers, open: func(_ context.Context, s *site) (load.Op, func(), error) {
		var clients []*client.Client
		var ops []load.Op
		end := func() {
			for _, c := range clients {
				_ = c.Close() // always nil
			}
		}
		for _, api := range who.pick(s.rota.APIs) {
			c, err := client.Dial([]string{api}, client.Options{})
			if err != nil {
				end()
				return nil, nil, err
			}
			clients, ops = append(clients, c), append(ops, op(c.Pool(pool)))
		}
		return spread(ops), end, nil
	}}
}

// spread lets the callers take turns with several ways to do a thing.
func spread(ops []load.Op) load.Op {
	return func(ctx context.Context, caller int) (int, error) { return ops[caller%len(ops)](ctx, caller) }
}

// rr asks for one turn a call.
func rr(callers int, who whom, name string) work {
	return asking(name, callers, who, func(p *client.Pool) load.Op {
		return func(ctx context.Context, _ int) (int, error) {
			answer, err := p.RR(ctx, "")
			if err == nil && answer.Topic == "" {
				err = errNoTopic
			}
			return 1, err
		}
	})
}

// rrMany asks for n turns a call.
func rrMany(callers, n int, name string) work {
	return asking(name, callers, leader, func(p *client.Pool) load.Op {
		return func(ctx context.Context, _ int) (int, error) {
			answers, err := p.RRN(ctx, "", n)
			return topics(answers, n, err)
		}
	})
}

// topics looks at what a call for n answers brought.
func topics(answers client.Answers, n int, err error) (int, error) {
	if err != nil {
		return 0, err
	}
	if len(answers.Each) != n {
		return 0, fmt.Errorf("rota: %d answers, asked for %d", len(answers.Each), n)
	}
	for _, each := range answers.Each {
		if each.Topic == "" {
			return 0, errNoTopic
		}
	}
	return n, nil
}

// hrwOne asks for one key a call, all replicas alike.
func hrwOne(callers int, name string, options ...client.ReadOption) work {
	return asking(name, callers, everyone, func(p *client.Pool) load.Op {
		keys := stringKeys(keysDiffering)
		return func(ctx context.Context, caller int) (int, error) {
			answer, err := p.HRW(ctx, keys[caller%len(keys)], options...)
			if err == nil && answer.Topic == "" {
				err = errNoTopic
			}
			return 1, err
		}
	})
}

// hrwMany asks for n keys a call, all replicas alike.
func hrwMany(callers, n int, name string) work {
	return asking(name, callers, everyone, func(p *client.Pool) load.Op {
		keys := stringKeys(n)
		return func(ctx context.Context, _ int) (int, error) {
			answers, err := p.HRWs(ctx, keys)
			return topics(answers, n, err)
		}
	})
}

// keysDiffering is how many keys the callers ask for.
const keysDiffering = 1024

func stringKeys(n int) []hrw.Key {
	keys := make([]hrw.Key, n)
	for i := range keys {
		keys[i] = hrw.String(fmt.Sprintf("192.168.%d.%d", i/256%256, i%256))
	}
	return keys
}
