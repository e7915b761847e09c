package main

import (
	"context"
	"errors"
	"fmt"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/rota-registry/rota/tests/bench/load"
)

// putting is work on etcd over so many clients, each with one connection: to the
// leader, or to the members in turn.
func putting(name string, callers, conns int, who whom, op func(c *clientv3.Client) load.Op) work {
	return work{on: etcd, name: name, callers: callers, open: func(ctx context.Context, s *site) (load.Op, func(), error) {
		var clients []*clientv3.Client
		var ops []load.Op
		end := func() {
			for _, c := range clients {
				_ = c.Close() // it is not used any more
			}
		}
		endpoints := who.pick(s.etcd.Endpoints)
		for i := range conns {
			c, err := clientv3.New(clientv3.Config{Endpoints: []string{endpoints[i%len(endpoints)]}})
			if err != nil {
				end()
				return nil, nil, err
			}
			clients, ops = append(clients, c), append(ops, op(c))
		}
		return spread(ops), end, seed(ctx, clients[0])
	}}
}

const cursorKey = "rr"

// seed writes the keys that are read and put.
func seed(ctx context.Context, c *clientv3.Client) error {
	_, err := c.Put(ctx, cursorKey, "0")
	return err
}

// errNoCursor is an answer of etcd or Redis from which nobody could tell whose
// turn it is.
var errNoCursor = errors.New("the answer has no cursor")

// put is a round robin as etcd does it: the version that a put replaced is the
// cursor, and the client, who knows the members, divides.
func put(c *clientv3.Client) load.Op {
	return func(ctx context.Context, _ int) (int, error) {
		res, err := c.Put(ctx, cursorKey, "x", clientv3.WithPrevKV())
		if err == nil && res.PrevKv.GetVersion() == 0 {
			err = errNoCursor
		}
		return 1, err
	}
}

// txn puts many keys at once: one key can be put only once in it.
func txn(puts int) func(c *clientv3.Client) load.Op {
	return func(c *clientv3.Client) load.Op {
		ops := make([]clientv3.Op, puts)
		for i := range ops {
			ops[i] = clientv3.OpPut(fmt.Sprintf("rr-%d", i), "x", clientv3.WithPrevKV())
		}
		return func(ctx context.Context, _ int) (int, error) {
			res, err := c.Txn(ctx).Then(ops...).Commit()
			if err == nil && (!res.Succeeded || len(res.Responses) != puts) {
				err = errNoCursor
			}
			return puts, err
		}
	}
}

// get reads one key.
func get(options ...clientv3.OpOption) func(c *clientv3.Client) load.Op {
	return func(c *clientv3.Client) load.Op {
		return func(ctx context.Context, _ int) (int, error) {
			res, err := c.Get(ctx, cursorKey, options...)
			if err == nil && res.Count != 1 {
				err = errNoCursor
			}
			return 1, err
		}
	}
}
