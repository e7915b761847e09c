package stand

import (
	"context"
	"errors"
	"net"
	"os/exec"
)

// ErrNoRedis is StartRedis's when there is no redis-server.
var ErrNoRedis = errors.New("redis-server is not installed: apt-get install redis-server")

// Redis is one server, unreplicated, that syncs before it answers.
type Redis struct {
	group
	Addr string
}

// StartRedis starts one and waits until it takes connections.
func (s *Stand) StartRedis(ctx context.Context) (*Redis, error) {
	bin, err := exec.LookPath("redis-server")
	if err != nil {
		return nil, ErrNoRedis
	}
	addrs, err := s.ports.Free(1)
	if err != nil {
		return nil, err
	}
	r := &Redis{Addr: addrs[0]}
	if r.group, err = newGroup(s.Dir, "redis"); err != nil {
		return nil, err
	}
	host, port, _ := net.SplitHostPort(r.Addr) // Free gives nothing else
	err = r.start("redis", bin, "--bind", host, "--port", port, "--dir", r.dir,
		"--appendonly", "yes", "--appendfsync", "always", "--save", "")
	if err == nil {
		err = r.await(ctx, func(ctx context.Context) error { return dialable(ctx, r.Addr) })
	}
	if err != nil {
		return nil, errors.Join(err, r.Stop())
	}
	return r, nil
}

func dialable(ctx context.Context, addr string) error {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
	if err != nil {
		return err
	}
	return conn.Close()
}
