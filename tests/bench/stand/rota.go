package stand

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/rota-registry/rota/gossip"
	"github.com/rota-registry/rota/rpc/client"
)

// Rota is a cluster of replicas with rota's defaults.
type Rota struct {
	group
	// APIs are the replicas' API addresses, host:port, the leader's first.
	APIs []string
	// GRPC are the addresses of gRPC alone, in the same order.
	GRPC []string

	ports *Ports
	nodes []*gossip.Gossip
}

// StartRota starts a cluster of n replicas and waits until all are ready.
func (s *Stand) StartRota(ctx context.Context, n int) (*Rota, error) {
	addrs, err := s.ports.Free(4 * n)
	if err != nil {
		return nil, err
	}
	r := &Rota{APIs: addrs[:n], GRPC: addrs[3*n:], ports: &s.ports}
	if r.group, err = newGroup(s.Dir, "rota"); err != nil {
		return nil, err
	}
	for i, api := range r.APIs {
		name := fmt.Sprintf("r%d", i+1)
		err = errors.Join(err, r.start(name, s.rota(), "server", "--name", name, "--data-dir", filepath.Join(r.dir, name),
			"--api", api, "--raft", addrs[n+2*i], "--gossip", addrs[n+2*i+1], "--grpc", r.GRPC[i], "--replicas", strings.Join(r.APIs, ",")))
	}
	if err == nil {
		err = r.await(ctx, r.ready)
	}
	if err == nil {
		err = r.await(ctx, r.findLeader)
	}
	if err != nil {
		return nil, errors.Join(err, r.Stop())
	}
	return r, nil
}

// ready wants each replica to say that it is.
func (r *Rota) ready(ctx context.Context) error {
	for _, api := range r.APIs {
		ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
		defer cancel()
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+api+"/readyz", nil)
		if err != nil {
			return err
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			return err
		}
		if err := res.Body.Close(); err != nil {
			return err
		}
		if res.StatusCode != http.StatusOK {
			return fmt.Errorf("rota at %s is not ready: %s", api, res.Status)
		}
	}
	return nil
}

// findLeader puts the leader first.
func (r *Rota) findLeader(ctx context.Context) error {
	c, err := client.Dial(r.APIs, client.Options{Timeout: 2 * time.Second})
	if err != nil {
		return err
	}
	defer c.Close()
	status, err := c.Status(ctx)
	if err != nil {
		return err
	}
	for _, replica := range status.Replicas {
		if i := slices.Index(r.APIs, replica.API); replica.Name == status.Leader && i >= 0 {
			r.APIs, r.GRPC = firstOf(r.APIs, i), firstOf(r.GRPC, i)
			return nil
		}
	}
	return fmt.Errorf("rota: nobody leads, or nobody of %q", r.APIs)
}

// firstOf puts the one at an index first.
func firstOf(list []string, i int) []string {
	return append([]string{list[i]}, slices.Delete(slices.Clone(list), i, i+1)...)
}

// Stop ends the nodes, then the replicas, and removes their data.
func (r *Rota) Stop() error {
	var errs []error
	for _, node := range r.nodes {
		errs = append(errs, node.Close())
	}
	r.nodes = nil
	return errors.Join(append(errs, r.group.Stop())...)
}
