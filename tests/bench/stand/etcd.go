package stand

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// Etcd is three members with etcd's defaults.
type Etcd struct {
	group
	// Endpoints are the members' client addresses, host:port, the leader's first.
	Endpoints []string
}

// StartEtcd starts three and waits until each answers a linearizable read.
func (s *Stand) StartEtcd(ctx context.Context) (*Etcd, error) {
	const members = 3
	addrs, err := s.ports.Free(2 * members)
	if err != nil {
		return nil, err
	}
	e := &Etcd{Endpoints: addrs[:members]}
	if e.group, err = newGroup(s.Dir, "etcd"); err != nil {
		return nil, err
	}
	var cluster []string
	for i, peer := range addrs[members:] {
		cluster = append(cluster, fmt.Sprintf("e%d=http://%s", i+1, peer))
	}
	for i, peer := range addrs[members:] {
		name := fmt.Sprintf("e%d", i+1)
		err = errors.Join(err, e.start(name, s.etcd(), "--name", name, "--data-dir", filepath.Join(e.dir, name),
			"--listen-client-urls", "http://"+addrs[i], "--advertise-client-urls", "http://"+addrs[i],
			"--listen-peer-urls", "http://"+peer, "--initial-advertise-peer-urls", "http://"+peer,
			"--initial-cluster", strings.Join(cluster, ","), "--initial-cluster-state", "new", "--log-level", "error"))
	}
	if err == nil {
		err = e.await(ctx, e.ready)
	}
	if err != nil {
		return nil, errors.Join(err, e.Stop())
	}
	return e, nil
}

// ready asks each member, and puts the leader first.
func (e *Etcd) ready(ctx context.Context) error {
	leader := -1
	for i, endpoint := range e.Endpoints {
		leads, err := ask(ctx, endpoint)
		if err != nil {
			return fmt.Errorf("etcd at %s: %w", endpoint, err)
		}
		if leads {
			leader = i
		}
	}
	if leader < 0 {
		return errors.New("etcd: no member leads")
	}
	first := e.Endpoints[leader]
	e.Endpoints = append([]string{first}, slices.Delete(slices.Clone(e.Endpoints), leader, leader+1)...)
	return nil
}

// ask makes a linearizable read at one member, and says whether it leads.
func ask(ctx context.Context, endpoint string) (leads bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	client, err := clientv3.New(clientv3.Config{Endpoints: []string{endpoint}, Context: ctx})
	if err != nil {
		return false, err
	}
	defer client.Close()
	if _, err := client.Get(ctx, "ready"); err != nil {
		return false, err
	}
	status, err := client.Status(ctx, endpoint)
	if err != nil {
		return false, err
	}
	return status.Leader == status.Header.GetMemberId(), nil
}
