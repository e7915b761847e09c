package gossip

import (
	"errors"
	"fmt"
	"net"
	"strconv"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/memberlist"
)

// Defaults of Config.
const (
	RejoinDefault       = 10 * time.Second
	ProbeTimeoutDefault = 200 * time.Millisecond
)

// Config is what a Gossip is started with.
type Config struct {
	// Name of the node or the replica: 1 to 63 of [A-Za-z0-9][A-Za-z0-9._-]*.
	Name string
	// Boot is drawn at each start of the process: 16 lower-case hex digits.
	Boot string
	// Label is the cluster id. Members with other labels never meet.
	Label string
	// Role is Replica or Node.
	Role Role
	// API is the host:port at which a replica answers; empty for nodes.
	API string
	// Bind is the host:port for TCP and UDP. Port 0 takes one that is free for
	// both; an empty host is 0.0.0.0. Unused, and may be empty, with Transport.
	Bind string
	// Advertise is the host or host:port that others use. Empty, or without a
	// port: what was bound; for 0.0.0.0 the first private address.
	Advertise string
	// Profile sets the timings; empty is LAN.
	Profile Profile
	// Seeds gives the gossip addresses, host:port, of all known replicas; its
	// own among them does no harm. It is called at every round of joins, from
	// one goroutine or from that of a caller of Join, and must not block. Nil
	// is none: others join us.
	Seeds func() []string
	// Rejoin is the shortest pause between two rounds of the loop that joins
	// the seeds not in view; the longest is half as much again. 0 is
	// RejoinDefault.
	Rejoin time.Duration
	// ProbeTimeout is how long Probe waits for an answer; 0 is
	// ProbeTimeoutDefault.
	ProbeTimeout time.Duration
	// Logger gets everything, memberlist's own lines included; nil is nobody.
	// Nothing is said at Info or above while nothing is wrong.
	Logger hclog.Logger
	// Transport replaces the network, in simulations; nil is TCP and UDP on
	// Bind. Start takes it over: Close shuts it down.
	Transport Transport
}

// Transport is memberlist's network, under a name that those who only pass it
// on can use.
type Transport = memberlist.Transport

// withDefaults fills in what zero means.
func (c Config) withDefaults() Config {
	if c.Profile == "" {
		c.Profile = LAN
	}
	if c.Rejoin == 0 {
		c.Rejoin = RejoinDefault
	}
	if c.ProbeTimeout == 0 {
		c.ProbeTimeout = ProbeTimeoutDefault
	}
	if c.Logger == nil {
		c.Logger = hclog.NewNullLogger()
	}
	if c.Seeds == nil {
		c.Seeds = func() []string { return nil }
	}
	return c
}

// Validate says all that is wrong with the configuration, or nil.
func (c Config) Validate() error {
	c = c.withDefaults()
	faults := []error{
		validateName(c.Name), validateBoot(c.Boot), validateLabel(c.Label),
		validateRole(c.Role, c.API), c.Profile.Validate(), c.validateBind(), c.validateAdvertise(),
	}
	if c.Rejoin < 0 {
		faults = append(faults, fmt.Errorf("rejoin interval %v is negative: use 0 for %v", c.Rejoin, RejoinDefault))
	}
	if c.ProbeTimeout < 0 {
		faults = append(faults, fmt.Errorf("probe timeout %v is negative: use 0 for %v", c.ProbeTimeout, ProbeTimeoutDefault))
	}
	if err := errors.Join(faults...); err != nil {
		return fmt.Errorf("gossip configuration: %w", err)
	}
	return nil
}

func validateLabel(label string) error {
	if label == "" || len(label) > LabelMax {
		return fmt.Errorf("label has %d bytes, want 1 to %d: give the cluster id", len(label), LabelMax)
	}
	return nil
}

func validateRole(role Role, api string) error {
	if role != Replica && role != Node {
		return fmt.Errorf("role %q is unknown: use %q or %q", role, Replica, Node)
	}
	return validateAPI(role, api)
}

func (c Config) validateBind() error {
	if c.Transport != nil && c.Bind == "" {
		return nil
	}
	host, _, err := splitBind(c.Bind)
	if err != nil {
		return fmt.Errorf("bind address %w", err)
	}
	if host == "::" && c.Advertise == "" {
		return fmt.Errorf("bind address %q is every address of this host: set the one to advertise", c.Bind)
	}
	if err := validateHost(host); err != nil {
		return fmt.Errorf("bind address %q: %w", clip(c.Bind), err)
	}
	return nil
}

func (c Config) validateAdvertise() error {
	if c.Advertise == "" {
		return nil
	}
	host, _, err := splitAdvertise(c.Advertise, 1)
	if err == nil {
		err = validateHost(host)
	}
	if err != nil {
		return fmt.Errorf("advertised address %w", err)
	}
	return nil
}

// splitBind gives host and port; an empty host becomes 0.0.0.0.
func splitBind(s string) (host string, port int, err error) {
	host, digits, err := net.SplitHostPort(s)
	if err != nil {
		return "", 0, fmt.Errorf("%q: want host:port", clip(s))
	}
	n, err := strconv.ParseUint(digits, 10, 16)
	if err != nil {
		return "", 0, fmt.Errorf("%q: port %q is not a number from 0 to 65535", clip(s), clip(digits))
	}
	if host == "" {
		host = "0.0.0.0"
	}
	return host, int(n), nil
}

// splitAdvertise gives host and port of host or host:port; bound is the port
// when there is none.
func splitAdvertise(s string, bound int) (host string, port int, err error) {
	host, digits, err := net.SplitHostPort(s)
	if err != nil {
		return s, bound, validateHost(s)
	}
	n, err := strconv.ParseUint(digits, 10, 16)
	if err != nil || n == 0 {
		return "", 0, fmt.Errorf("%q: port %q is not a number from 1 to 65535", clip(s), clip(digits))
	}
	return host, int(n), nil
}
