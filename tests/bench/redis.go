package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"
)

// redisServer is one server, unreplicated, that syncs before it answers.
type redisServer struct {
	processes
	addr string
}

const redisKey = "pool:worker:cursor"

// redisPipeline is how many calls a pipelining caller sends at once.
const redisPipeline = 16

func startRedis(ctx context.Context, b *bench) (*redisServer, error) {
	addrs, err := b.addrs.free(1)
	if err != nil {
		return nil, err
	}
	host, port, err := net.SplitHostPort(addrs[0])
	if err != nil {
		return nil, err
	}
	dir := filepath.Join(b.dir, "redis")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	p, err := start(b.dir, "redis", b.binaries.redis, "--bind", host, "--port", port, "--dir", dir,
		"--appendonly", "yes", "--appendfsync", "always", "--save", "")
	if err != nil {
		return nil, err
	}
	logging.Disable()
	s := &redisServer{processes: processes{p}, addr: addrs[0]}
	client := s.dial(1)
	defer client.Close()
	if err := s.await(ctx, func(ctx context.Context) error { return client.Ping(ctx).Err() }); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

func (s *redisServer) close() { s.kill() }

func (s *redisServer) dial(pool int) *redis.Client {
	return redis.NewClient(&redis.Options{Addr: s.addr, PoolSize: pool, MaxActiveConns: pool, PoolTimeout: grace})
}

func redisIncr(client *redis.Client) op {
	return func(ctx context.Context, _ int) (int, error) {
		n, err := client.Incr(ctx, redisKey).Result()
		if err != nil || n < 1 {
			return 0, fmt.Errorf("redis INCR: answer %d, %w", n, err)
		}
		return 1, nil
	}
}

func redisIncrBy(by int) func(client *redis.Client) op {
	return func(client *redis.Client) op {
		return func(ctx context.Context, _ int) (int, error) {
			n, err := client.IncrBy(ctx, redisKey, int64(by)).Result()
			if err != nil || n < int64(by) {
				return 0, fmt.Errorf("redis INCRBY: answer %d, %w", n, err)
			}
			return by, nil
		}
	}
}

func redisPipelined(client *redis.Client) op {
	return func(ctx context.Context, _ int) (int, error) {
		cmds, err := client.Pipelined(ctx, func(p redis.Pipeliner) error {
			for range redisPipeline {
				p.Incr(ctx, redisKey)
			}
			return nil
		})
		if err != nil || len(cmds) != redisPipeline {
			return 0, fmt.Errorf("redis pipeline: %d answers, %w", len(cmds), err)
		}
		return redisPipeline, nil
	}
}

// redisWith measures op with the size of connection pool that is fastest.
func redisWith(callers int, make func(*redis.Client) op) func(context.Context, *bench) (result, error) {
	return func(ctx context.Context, b *bench) (result, error) {
		var ways []load
		var sizes []int
		for _, size := range []int{8, 16, 64, 256, 1024} {
			if size > callers && len(ways) > 0 {
				break
			}
			client := b.redis.dial(size)
			defer client.Close()
			ways, sizes = append(ways, load{callers: callers, op: make(client)}), append(sizes, size)
		}
		best, err := fastest(ctx, ways)
		if err != nil {
			return result{}, err
		}
		b.note("Redis is fastest with a pool of %d connections", sizes[best])
		return b.measure(ctx, ways[best])
	}
}
