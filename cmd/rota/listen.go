package main

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// endpoint is an address of a flag that something binds or advertises.
type endpoint struct {
	flag  string // with its dashes
	value string
	// hostOnly allows a host without a port, as advertised addresses are.
	hostOnly bool
}

// faults says whether the endpoint can be an address at all, and whether it
// may be one: as long as there is no TLS, only this machine may reach us,
// unless the operator spells it out.
func (e endpoint) faults(insecure bool) []error {
	host, err := e.host()
	if err != nil {
		return []error{fmt.Errorf("%s: %w", e.flag, err)}
	}
	if insecure || isLoopback(host) {
		return nil
	}
	return []error{fmt.Errorf("%s %s can be reached from other machines, and TLS does not exist yet: use a loopback address, or --insecure to accept that anyone there may read and write", e.flag, e.value)}
}

func (e endpoint) host() (string, error) {
	if e.hostOnly && !hasPort(e.value) {
		return e.value, validateHost(strings.Trim(e.value, "[]"))
	}
	host, _, err := splitHostPort(e.value)
	return host, err
}

// hasPort tells host:port from a bare host, a bare IPv6 address among them.
func hasPort(s string) bool {
	if _, err := netip.ParseAddr(strings.Trim(s, "[]")); err == nil {
		return false
	}
	return strings.Contains(s, ":")
}

// listenFaults are the faults of all endpoints; empty ones are not looked at.
func listenFaults(insecure bool, all ...endpoint) []error {
	var faults []error
	for _, e := range all {
		if e.value != "" {
			faults = append(faults, e.faults(insecure)...)
		}
	}
	return faults
}

// exposed are the endpoints that other machines can reach, for the warning
// that --insecure owes.
func exposed(all ...endpoint) []string {
	var open []string
	for _, e := range all {
		if host, err := e.host(); e.value != "" && err == nil && !isLoopback(host) {
			open = append(open, e.flag+" "+e.value)
		}
	}
	return open
}

// isLoopback is true of what only this machine can reach. An empty host is
// every address, and any name but localhost may point anywhere.
func isLoopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return err == nil && ip.Unmap().IsLoopback()
}

// isWildcard is true of a host that binds every address and names none.
func isWildcard(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "" || (err == nil && ip.IsUnspecified())
}

// splitHostPort gives host and port of host:port; the port is a number.
func splitHostPort(s string) (host string, port int, err error) {
	host, digits, err := net.SplitHostPort(s)
	if err != nil {
		return "", 0, fmt.Errorf("%q is no address: want host:port", s)
	}
	n, err := strconv.ParseUint(digits, 10, 16)
	if err != nil {
		return "", 0, fmt.Errorf("%q: port %q is not a number from 0 to 65535", s, digits)
	}
	if host == "" {
		return "", int(n), nil
	}
	return host, int(n), validateHost(host)
}

// validateHost refuses what is neither an IP address nor a host name.
func validateHost(host string) error {
	if _, err := netip.ParseAddr(host); err == nil {
		return nil
	}
	bad := strings.IndexFunc(host, func(r rune) bool { return !isHostRune(r) })
	if host == "" || len(host) > 253 || bad >= 0 {
		return fmt.Errorf("%q is neither an IP address nor a host name", host)
	}
	return nil
}

func isHostRune(r rune) bool {
	return ('a' <= r && r <= 'z') || ('A' <= r && r <= 'Z') || ('0' <= r && r <= '9') || strings.ContainsRune("-._", r)
}

// dialable says why nobody can connect to an address, or nil.
func dialable(s string) error {
	host, port, err := splitHostPort(s)
	if err != nil {
		return err
	}
	if isWildcard(host) || port == 0 {
		return fmt.Errorf("%q cannot be connected to: give the host and the port of a replica's API", s)
	}
	return nil
}
