package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/rota-registry/rota/registry"
	"github.com/rota-registry/rota/registry/hrw"
	"github.com/rota-registry/rota/rpc/client"
	rotav1 "github.com/rota-registry/rota/rpc/gen/rota/v1"
	"github.com/rota-registry/rota/rpc/gen/rota/v1/rotav1connect"
)

// rotaOp makes a call out of the clients among which callers are dealt.
type rotaOp func(clients []*client.Client) op

// asked says which pool a caller's next call is about.
type asked func(caller int) registry.PoolName

func samePool(int) registry.PoolName { return pool }

func rotaRR(clients []*client.Client) op { return rrOf(clients, samePool) }

func rrOf(clients []*client.Client, pool asked) op {
	return func(ctx context.Context, caller int) (int, error) {
		a, err := clients[caller%len(clients)].Pool(pool(caller)).RR(ctx, "")
		if err == nil && a.Topic == "" {
			err = fmt.Errorf("rr: no topic: %s", a.EmptyReason)
		}
		return 1, err
	}
}

// rotaInTurn is rotaRR of a lone caller that asks every replica in turn, as
// etcd's client does by itself.
func rotaInTurn(clients []*client.Client) op {
	one, calls := rotaRR(clients), 0
	return func(ctx context.Context, _ int) (int, error) {
		calls++
		return one(ctx, calls)
	}
}

func rotaRRN(n int) rotaOp {
	return func(clients []*client.Client) op {
		return func(ctx context.Context, caller int) (int, error) {
			a, err := clients[caller%len(clients)].Pool(pool).RRN(ctx, "", n)
			if err != nil {
				return 0, err
			}
			if len(a.Each) != n || a.Each[0].Topic == "" || a.Each[n-1].Topic == "" {
				return 0, fmt.Errorf("rr: %d topics, want %d", len(a.Each), n)
			}
			return n, nil
		}
	}
}

// keys is how many different keys a caller of hrw asks for.
const keys = 1000

func hrwKeys() []hrw.Key {
	all := make([]hrw.Key, keys)
	for i := range all {
		all[i] = hrw.String("key-" + strconv.Itoa(i))
	}
	return all
}

func rotaHRW(options ...client.ReadOption) rotaOp {
	return func(clients []*client.Client) op { return hrwOf(clients, samePool, options...) }
}

func hrwOf(clients []*client.Client, pool asked, options ...client.ReadOption) op {
	all := hrwKeys()
	return func(ctx context.Context, caller int) (int, error) {
		a, err := clients[caller%len(clients)].Pool(pool(caller)).HRW(ctx, all[caller%keys], options...)
		if err == nil && a.Topic == "" {
			err = fmt.Errorf("hrw: no topic: %s", a.EmptyReason)
		}
		return 1, err
	}
}

func rotaHRWs(clients []*client.Client) op {
	all := hrwKeys()
	return func(ctx context.Context, caller int) (int, error) {
		a, err := clients[caller%len(clients)].Pool(pool).HRWs(ctx, all)
		if err != nil {
			return 0, err
		}
		if len(a.Each) != keys || a.Each[0].Topic == "" || a.Each[keys-1].Topic == "" {
			return 0, fmt.Errorf("hrw: %d topics, want %d", len(a.Each), keys)
		}
		return keys, nil
	}
}

// dealt says which clients a row has.
type dealt func(*rotaCluster) ([]*client.Client, error)

func shared(c *rotaCluster) ([]*client.Client, error)     { return c.oneShared() }
func everywhere(c *rotaCluster) ([]*client.Client, error) { return c.onEach() }

func onLeader(c *rotaCluster) ([]*client.Client, error) {
	return c.only([]string{c.leader}, replicas-1)
}

func onFollowers(c *rotaCluster) ([]*client.Client, error) {
	return c.only(c.followers(), replicas-1)
}

// rotaWith measures a call of rota's own client.
func rotaWith(callers int, clients dealt, make rotaOp) func(context.Context, *bench) (result, error) {
	return func(ctx context.Context, b *bench) (result, error) {
		all, err := clients(b.rotas)
		if err != nil {
			return result{}, err
		}
		return b.rotas.steadily(ctx, members, func() (result, error) {
			return b.measure(ctx, load{callers: callers, op: make(all)})
		})
	}
}

// port says which addresses of a cluster are asked, one a replica.
type port func(*rotaCluster) []string

func grpcPort(c *rotaCluster) []string { return c.grpcs }
func apiPort(c *rotaCluster) []string  { return c.apis }

// rotaUnary measures plain unary gRPC, as a program in any language has it:
// nothing is combined before it leaves. A replica takes 100 requests at a time
// of one connection, hence several.
func rotaUnary(callers int, port port) func(context.Context, *bench) (result, error) {
	return func(ctx context.Context, b *bench) (result, error) {
		conns := make([]*grpc.ClientConn, connections)
		for i := range conns {
			conn, err := grpc.NewClient("passthrough:///"+port(b.rotas)[i%replicas], grpc.WithTransportCredentials(insecure.NewCredentials()))
			if err != nil {
				return result{}, err
			}
			defer conn.Close()
			conns[i] = conn
		}
		call := func(ctx context.Context, caller int) (int, error) {
			var answer rotav1.RrTopicResponse
			err := conns[caller%connections].Invoke(ctx, rotav1connect.RegistryServiceRrTopicProcedure, &rotav1.RrTopicRequest{Pool: pool}, &answer)
			if err == nil && answer.GetTopic() == "" {
				err = errors.New("RrTopic: no topic: " + answer.GetEmptyReason())
			}
			return 1, err
		}
		return b.rotas.steadily(ctx, members, func() (result, error) {
			return b.measure(ctx, load{callers: callers, op: call})
		})
	}
}

// rotaPrefetch measures turns that the client takes ahead of its callers.
func rotaPrefetch(ctx context.Context, b *bench) (result, error) {
	all, err := b.rotas.oneShared()
	if err != nil {
		return result{}, err
	}
	ahead, err := all[0].Pool(pool).Prefetch("", registry.BatchAnswersMax, client.PrefetchOptions{})
	if err != nil {
		return result{}, err
	}
	defer ahead.Close()
	next := func(ctx context.Context, _ int) (int, error) {
		a, err := ahead.Next(ctx)
		if err == nil && a.Topic == "" {
			err = fmt.Errorf("prefetch: no topic: %s", a.EmptyReason)
		}
		return 1, err
	}
	return b.rotas.steadily(ctx, members, func() (result, error) {
		return b.measure(ctx, load{callers: 64, op: next})
	})
}

// rotaWatched measures answers that ask nobody. A call is many of them, for to
// look at a clock takes about as long as one.
func rotaWatched(ctx context.Context, b *bench) (result, error) {
	const many = 100_000
	all, err := b.rotas.oneShared()
	if err != nil {
		return result{}, err
	}
	watched, err := all[0].Pool(pool).Watch(ctx)
	if err != nil {
		return result{}, err
	}
	defer watched.Close()
	key := hrw.String("0123456789abcdef")
	answers := func(context.Context, int) (int, error) {
		for range many {
			if a, err := watched.HRW(key); err != nil || a.Topic == "" {
				return 0, fmt.Errorf("watched pool: topic %q: %w", a.Topic, err)
			}
		}
		return many, nil
	}
	return b.rotas.steadily(ctx, members, func() (result, error) {
		return b.measure(ctx, load{callers: 1, op: answers})
	})
}
