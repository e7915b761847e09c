package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rota-registry/rota/gossip"
	"github.com/rota-registry/rota/registry"
	"github.com/rota-registry/rota/rpc/client"
)

// rotaCluster is replicas of rota, with every setting as it is shipped, and
// nodes whose gossip is in this process.
type rotaCluster struct {
	processes
	apis    []string
	gossips []string
	grpcs   []string       // of gRPC alone
	ask     *client.Client // for all that is not measured
	clients []*client.Client
	nodes   []*gossip.Gossip
	leader  string // API address, as of the last awaitLeader
}

// pool is the one that is asked: rota has it from the beginning, and its
// members are all nodes of the type of that name.
const pool = "worker"

// startRota starts n replicas and waits until all have one leader.
func startRota(ctx context.Context, b *bench, n int) (*rotaCluster, error) {
	addrs, err := b.addrs.free(4 * n)
	if err != nil {
		return nil, err
	}
	c := &rotaCluster{}
	for i := range n {
		c.apis, c.gossips, c.grpcs = append(c.apis, addrs[4*i]), append(c.gossips, addrs[4*i+2]), append(c.grpcs, addrs[4*i+3])
	}
	for i := range n {
		name := fmt.Sprintf("r%d", i+1)
		p, err := start(b.dir, name, b.rota, "server", "--name", name, "--data-dir", filepath.Join(b.dir, name),
			"--api", c.apis[i], "--raft", addrs[4*i+1], "--gossip", c.gossips[i], "--grpc", c.grpcs[i],
			"--replicas", strings.Join(c.apis, ","), "--gossip-profile", "lan")
		if err != nil {
			c.close()
			return nil, err
		}
		c.processes = append(c.processes, p)
	}
	if c.ask, err = c.dial(c.apis...); err == nil {
		err = c.await(ctx, c.findLeader)
	}
	if err != nil {
		c.close()
		return nil, err
	}
	return c, nil
}

func (c *rotaCluster) close() {
	for _, one := range c.clients {
		_ = one.Close()
	}
	for _, g := range c.nodes {
		_ = g.Close()
	}
	c.kill()
}

func (c *rotaCluster) dial(servers ...string) (*client.Client, error) {
	one, err := client.Dial(servers, client.Options{By: "bench"})
	if err != nil {
		return nil, err
	}
	c.clients = append(c.clients, one)
	return one, nil
}

// findLeader notes the leader, once every replica can be reached.
func (c *rotaCluster) findLeader(ctx context.Context) error {
	s, err := c.ask.Status(ctx)
	if err != nil {
		return err
	}
	if s.ClusterID == "" || s.Leader == "" || len(s.Replicas) != len(c.apis) {
		return fmt.Errorf("cluster %q, leader %q, %d replicas", s.ClusterID, s.Leader, len(s.Replicas))
	}
	for _, r := range s.Replicas {
		if r.State != "leader" && r.State != "follower" {
			return fmt.Errorf("replica %s is %s", r.Name, r.State)
		}
		if r.Name == s.Leader {
			c.leader = r.API
		}
	}
	return nil
}

func (c *rotaCluster) followers() []string {
	return slices.DeleteFunc(slices.Clone(c.apis), func(a string) bool { return a == c.leader })
}

// from is the list of a client that begins at the i-th replica.
func (c *rotaCluster) from(i int) []string {
	i %= len(c.apis)
	return slices.Concat(c.apis[i:], c.apis[:i])
}

// oneShared is one client, as a program has it, which first asks a follower:
// that is what most programs get.
func (c *rotaCluster) oneShared() ([]*client.Client, error) {
	list := append(c.followers(), c.leader)
	one, err := c.dial(list...)
	return []*client.Client{one}, err
}

// onEach is one client for every replica, which asks that one first.
func (c *rotaCluster) onEach() (all []*client.Client, err error) {
	for i := range c.apis {
		one, err := c.dial(c.from(i)...)
		if err != nil {
			return nil, err
		}
		all = append(all, one)
	}
	return all, nil
}

// only is n clients of the servers alone, dealt among them.
func (c *rotaCluster) only(servers []string, n int) (all []*client.Client, err error) {
	for i := range n {
		one, err := c.dial(servers[i%len(servers)])
		if err != nil {
			return nil, err
		}
		all = append(all, one)
	}
	return all, nil
}

// live adds n nodes that gossip, and waits until they are eligible.
func (c *rotaCluster) live(ctx context.Context, b *bench, n int) error {
	s, err := c.ask.Status(ctx)
	if err != nil {
		return err
	}
	addrs, err := b.addrs.free(n)
	if err != nil {
		return err
	}
	for i := range n {
		name := registry.NodeName(memberName(i))
		if _, err := c.ask.AddNode(ctx, name, pool, ""); err != nil {
			return err
		}
		g, err := gossip.Start(gossip.Config{
			Name: string(name), Boot: string(newBoot()), Label: string(s.ClusterID), Role: gossip.Node,
			Bind: addrs[i], Profile: gossip.LAN, Seeds: func() []string { return c.gossips },
		})
		if err != nil {
			return err
		}
		c.nodes = append(c.nodes, g)
	}
	return c.await(ctx, func(ctx context.Context) error { return c.eligible(ctx, n) })
}

// eligible is nil when the pool has n eligible nodes on every replica.
func (c *rotaCluster) eligible(ctx context.Context, n int) error {
	return c.eachReplica(func(one *client.Client) error {
		info, err := one.Pool(pool).Info(ctx, false)
		if err == nil && info.EligibleCount != n {
			err = fmt.Errorf("pool %s has %d eligible nodes on %s, want %d", pool, info.EligibleCount, info.ServedBy, n)
		}
		return err
	})
}

// caughtUp is nil when every replica knows what the cluster has decided.
func (c *rotaCluster) caughtUp(ctx context.Context) error {
	return c.eachReplica(func(one *client.Client) error {
		_, err := one.Settings(ctx)
		return err
	})
}

// eachReplica asks one after the other.
func (c *rotaCluster) eachReplica(ask func(*client.Client) error) error {
	for _, api := range c.apis {
		one, err := client.Dial([]string{api}, client.Options{By: "bench"})
		if err != nil {
			return err
		}
		err = ask(one)
		_ = one.Close()
		if err != nil {
			return err
		}
	}
	return nil
}

func memberName(i int) string { return "worker-" + strconv.Itoa(i+1) }

func newBoot() registry.BootID {
	b := make([]byte, registry.BootIDLen/2)
	_, _ = rand.Read(b) // It never fails.
	return registry.BootID(hex.EncodeToString(b))
}

// steadily runs what measures and fails when the cluster changed meanwhile: a
// number across an election or the death of a node is one of something else.
func (c *rotaCluster) steadily(ctx context.Context, members int, measure func() (result, error)) (result, error) {
	before := c.leader
	if err := c.eligible(ctx, members); err != nil {
		return result{}, fmt.Errorf("before: %w", err)
	}
	r, err := measure()
	if err != nil {
		return result{}, err
	}
	after, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if err := errors.Join(c.eligible(after, members), c.findLeader(after)); err != nil {
		return result{}, fmt.Errorf("after: %w", err)
	}
	if c.leader != before {
		return result{}, fmt.Errorf("the leader changed from %s to %s", before, c.leader)
	}
	return r, nil
}
