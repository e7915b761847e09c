package main

import (
	"context"

	goredis "github.com/redis/go-redis/v9"

	"github.com/rota-registry/rota/tests/bench/load"
)

// counting is work on Redis through one client with so many connections.
func counting(name string, callers, conns int, op func(c *goredis.Client) load.Op) work {
	return work{on: redis, name: name, callers: callers, open: func(_ context.Context, s *site) (load.Op, func(), error) {
		c := goredis.NewClient(&goredis.Options{Addr: s.redis.Addr, PoolSize: conns, MinIdleConns: conns, PoolTimeout: waitMax})
		return op(c), func() { _ = c.Close() }, nil
	}}
}

// incr is a round robin as Redis does it: the count is the cursor.
func incr(by int64) func(c *goredis.Client) load.Op {
	return func(c *goredis.Client) load.Op {
		return func(ctx context.Context, _ int) (int, error) {
			n, err := c.IncrBy(ctx, cursorKey, by).Result()
			if err == nil && n < by {
				err = errNoCursor
			}
			return int(by), err
		}
	}
}

// incrPipelined sends so many at a time without waiting for each.
func incrPipelined(n int) func(c *goredis.Client) load.Op {
	return func(c *goredis.Client) load.Op {
		return func(ctx context.Context, _ int) (int, error) {
			done, err := c.Pipelined(ctx, func(p goredis.Pipeliner) error {
				for range n {
					p.Incr(ctx, cursorKey)
				}
				return nil
			})
			if err == nil && len(done) != n {
				err = errNoCursor
			}
			return n, err
		}
	}
}
