package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
)

// etcdCluster is three members, with every setting as it is shipped.
type etcdCluster struct {
	processes
	endpoints []string
	clients   []*clientv3.Client // all that were dialled
}

// etcdKey is the one key on which the rotation is: its version is the cursor.
const etcdKey = "pool/worker/cursor"

// etcdTxnOps is how many operations etcd takes in one transaction.
const etcdTxnOps = 128

func startEtcd(ctx context.Context, b *bench) (*etcdCluster, error) {
	addrs, err := b.addrs.free(2 * replicas)
	if err != nil {
		return nil, err
	}
	var peers []string
	for i := range replicas {
		peers = append(peers, fmt.Sprintf("e%d=http://%s", i+1, addrs[2*i+1]))
	}
	c := &etcdCluster{}
	for i := range replicas {
		name, api, peer := fmt.Sprintf("e%d", i+1), "http://"+addrs[2*i], "http://"+addrs[2*i+1]
		p, err := start(b.dir, name, b.etcd, "--name", name, "--data-dir", filepath.Join(b.dir, name),
			"--listen-client-urls", api, "--advertise-client-urls", api,
			"--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer,
			"--initial-cluster", strings.Join(peers, ","), "--initial-cluster-state", "new", "--log-level", "error")
		if err != nil {
			c.close()
			return nil, err
		}
		c.processes = append(c.processes, p)
		c.endpoints = append(c.endpoints, addrs[2*i])
	}
	first, err := c.dial(c.endpoints...)
	if err == nil {
		err = c.await(ctx, func(ctx context.Context) error {
			_, err := first.Put(ctx, etcdKey, "")
			return err
		})
	}
	if err != nil {
		c.close()
		return nil, err
	}
	return c, nil
}

func (c *etcdCluster) close() {
	for _, client := range c.clients {
		_ = client.Close()
	}
	c.kill()
}

func (c *etcdCluster) dial(endpoints ...string) (*clientv3.Client, error) {
	client, err := clientv3.New(clientv3.Config{Endpoints: endpoints, Logger: quietly()})
	if err != nil {
		return nil, fmt.Errorf("etcd: %w", err)
	}
	c.clients = append(c.clients, client)
	return client, nil
}

// quietly keeps a client from writing on its own.
func quietly() *zap.Logger { return zap.NewNop() }

// shared is one client of all members, which takes them in turn.
func (c *etcdCluster) shared() ([]*clientv3.Client, error) {
	client, err := c.dial(c.endpoints...)
	return []*clientv3.Client{client}, err
}

// spread is n connections, each of a client of its own, over the members.
func (c *etcdCluster) spread(n int) (all []*clientv3.Client, err error) {
	for i := range n {
		client, err := c.dial(c.endpoints[i%len(c.endpoints)])
		if err != nil {
			return nil, err
		}
		all = append(all, client)
	}
	return all, nil
}

// etcdOp makes a call out of the clients among which callers are dealt.
type etcdOp func(clients []*clientv3.Client) op

// etcdPut moves the cursor on, and says where it was.
func etcdPut(clients []*clientv3.Client) op {
	return func(ctx context.Context, caller int) (int, error) {
		r, err := clients[caller%len(clients)].Put(ctx, etcdKey, "", clientv3.WithPrevKV())
		if err != nil {
			return 0, fmt.Errorf("etcd Put: %w", err)
		}
		if r.PrevKv == nil || r.PrevKv.Version == 0 {
			return 0, errors.New("etcd Put: the answer has no version before")
		}
		return 1, nil
	}
}

// etcdTxn moves as many cursors as a transaction takes, for a transaction must
// not put one key twice.
func etcdTxn(clients []*clientv3.Client) op {
	return func(ctx context.Context, caller int) (int, error) {
		puts := make([]clientv3.Op, etcdTxnOps)
		for i := range puts {
			puts[i] = clientv3.OpPut(fmt.Sprintf("%s/%d/%d", etcdKey, caller, i), "", clientv3.WithPrevKV())
		}
		r, err := clients[caller%len(clients)].Txn(ctx).Then(puts...).Commit()
		if err != nil {
			return 0, fmt.Errorf("etcd Txn: %w", err)
		}
		if len(r.Responses) != etcdTxnOps {
			return 0, fmt.Errorf("etcd Txn: %d answers to %d operations", len(r.Responses), etcdTxnOps)
		}
		return etcdTxnOps, nil
	}
}

// etcdGet reads one key.
func etcdGet(options ...clientv3.OpOption) etcdOp {
	return func(clients []*clientv3.Client) op {
		return func(ctx context.Context, caller int) (int, error) {
			r, err := clients[caller%len(clients)].Get(ctx, etcdKey, options...)
			if err != nil {
				return 0, fmt.Errorf("etcd Get: %w", err)
			}
			if len(r.Kvs) != 1 {
				return 0, fmt.Errorf("etcd Get: %d keys, want 1", len(r.Kvs))
			}
			return 1, nil
		}
	}
}

// etcdWith measures op with whichever is faster: one client as a program has
// it, or as many connections as the plain gRPC row has.
func etcdWith(callers int, make etcdOp) func(context.Context, *bench) (result, error) {
	return func(ctx context.Context, b *bench) (result, error) {
		one, err := b.etcds.shared()
		if err != nil {
			return result{}, err
		}
		many, err := b.etcds.spread(connections)
		if err != nil {
			return result{}, err
		}
		ways := []load{{callers: callers, op: make(one)}, {callers: callers, op: make(many)}}
		if callers == 1 {
			return b.measure(ctx, ways[0])
		}
		best, err := fastest(ctx, ways)
		if err != nil {
			return result{}, err
		}
		b.note("etcd is fastest with %s", []string{"one client", fmt.Sprint(connections, " connections")}[best])
		return b.measure(ctx, ways[best])
	}
}
