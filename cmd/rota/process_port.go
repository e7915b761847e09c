package main

import (
	"fmt"
	"net"
	"strconv"
)

// port is a TCP and UDP port of one address, held so that nobody else takes it.
type port struct {
	bind string // host:port, the port being a real one
	free bool   // any port would do
	tcp  net.Listener
	udp  net.PacketConn
}

// reservePort holds the address; port 0 is one that is free for both TCP and
// UDP.
func reservePort(address string) (*port, error) {
	host, number, err := splitHostPort(address)
	if err != nil {
		return nil, err
	}
	if number != 0 {
		return holdPort(host, number)
	}
	const attempts = 16
	for range attempts {
		var p *port
		if p, err = holdFreePort(host); err == nil {
			return p, nil
		}
	}
	return nil, err
}

func holdFreePort(host string) (*port, error) {
	probe, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", host, err)
	}
	p := &port{free: true, tcp: probe}
	p.bind = net.JoinHostPort(host, strconv.Itoa(probe.Addr().(*net.TCPAddr).Port))
	return p.withUDP()
}

func holdPort(host string, number int) (*port, error) {
	p := &port{bind: net.JoinHostPort(host, strconv.Itoa(number))}
	var err error
	if p.tcp, err = net.Listen("tcp", p.bind); err != nil {
		return nil, taken("tcp", p.bind, err)
	}
	return p.withUDP()
}

func (p *port) withUDP() (*port, error) {
	udp, err := net.ListenPacket("udp", p.bind)
	if err != nil {
		_ = p.tcp.Close()
		return nil, taken("udp", p.bind, err)
	}
	p.udp = udp
	return p, nil
}

// release lets go of it.
func (p *port) release() {
	_ = p.tcp.Close()
	_ = p.udp.Close()
}

// advertised is where others reach it: what the operator says, completed by
// the port that was bound.
func (p *port) advertised(advertise string) string {
	if advertise == "" {
		return p.tcp.Addr().String()
	}
	if hasPort(advertise) {
		return advertise
	}
	_, number, err := net.SplitHostPort(p.bind)
	if err != nil {
		return p.bind
	}
	return joinHost(advertise, number)
}

// joinHost is net.JoinHostPort for a host that may have brackets already.
func joinHost(host, number string) string {
	if len(host) > 1 && host[0] == '[' && host[len(host)-1] == ']' {
		host = host[1 : len(host)-1]
	}
	return net.JoinHostPort(host, number)
}

// portTaken is an address that somebody else has bound.
type portTaken struct {
	network, address string
	owner            string // as far as it can be found out
	err              error
}

func (e *portTaken) Error() string {
	return fmt.Sprintf("%s port %s is taken by %s: stop it, or use another address", e.network, e.address, e.owner)
}

func (e *portTaken) Unwrap() error { return e.err }

// taken explains why an address could not be bound.
func taken(network, address string, err error) error {
	if !inUse(err) {
		return fmt.Errorf("listen on %s (%s): %w", address, network, err)
	}
	t := &portTaken{network: network, address: address, owner: "another process", err: err}
	if _, number, err := splitHostPort(address); err == nil {
		t.owner = portOwner(network, number)
	}
	return t
}
