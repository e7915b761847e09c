package client

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"time"

	"github.com/rota-registry/rota/registry"
)

// Defaults of Options.
const (
	timeoutDefault        = 5 * time.Second
	attemptTimeoutDefault = 1500 * time.Millisecond
	timeoutMax            = time.Duration(registry.DeadlineMax) * time.Millisecond
)

// dialTimeoutMax leaves a replica that does not even refuse; what could not be
// connected is certain not to have been done.
const dialTimeoutMax = time.Second

// Dialer makes a connection, as net.Dialer.DialContext does. It returns soon
// after its context has ended.
type Dialer func(ctx context.Context, network, address string) (net.Conn, error)

// Options say how a Client calls. The zero value is good.
type Options struct {
	// Timeout bounds each call, all its attempts together and its wait for
	// others; a context with an earlier deadline bounds it further. 0 is 5 s, at
	// most 30 s are allowed.
	Timeout time.Duration
	// AttemptTimeout is how long one replica is waited for, connecting
	// included, before the next one is asked: a replica that hangs accepts
	// connections and never answers. It holds where a call can be repeated;
	// any other write waits for its replica until the call's deadline. 0 is
	// 1.5 s, or Timeout if that is less.
	AttemptTimeout time.Duration
	// WithoutSessions makes round robins without one: they cost no session, and
	// a batch of them whose outcome is unknown is not sent again.
	WithoutSessions bool
	// By says who is asking, for the records that people read. It is printable
	// ASCII of at most 255 bytes; empty says nothing.
	By string
	// Consistency is that of reads that do not ask for another. Linearizable
	// is the default. With AtLeast, a read sees at least every answer that
	// this Client has given before.
	Consistency registry.Consistency
	// Dial makes a connection to a replica; nil is TCP.
	Dial Dialer
}

// withDefaults fills in what zero stands for.
func (o Options) withDefaults() Options {
	if o.Timeout == 0 {
		o.Timeout = timeoutDefault
	}
	if o.AttemptTimeout == 0 {
		o.AttemptTimeout = min(attemptTimeoutDefault, o.Timeout)
	}
	return o
}

// Validate says everything that is wrong with the options, or nil; the code is
// invalid.
func (o Options) Validate() error {
	filled := o.withDefaults()
	var faults []error
	if filled.Timeout < 0 || filled.Timeout > timeoutMax {
		faults = append(faults, fmt.Errorf("timeout is %v: give more than 0, at most %v", o.Timeout, timeoutMax))
	}
	if filled.AttemptTimeout <= 0 || filled.AttemptTimeout > filled.Timeout && filled.Timeout > 0 {
		faults = append(faults, fmt.Errorf("attempt timeout is %v: give more than 0, at most the timeout of %v",
			o.AttemptTimeout, filled.Timeout))
	}
	if len(o.By) > registry.ReasonMax || !printableASCII(o.By) {
		faults = append(faults, fmt.Errorf("by is %.80q: give at most %d bytes of printable ASCII",
			o.By, registry.ReasonMax))
	}
	if o.Consistency > registry.Local {
		faults = append(faults, fmt.Errorf("consistency is %d: give registry.Linearizable, AtLeast or Local",
			o.Consistency))
	}
	return invalid("client options", faults)
}

// validateServers says everything that is wrong with a list of servers.
func validateServers(servers []string) error {
	var faults []error
	if len(servers) == 0 || len(servers) > registry.ReplicasMax {
		faults = append(faults, fmt.Errorf("there are %d: give the host:port of 1 to %d replicas",
			len(servers), registry.ReplicasMax))
	}
	seen := make(map[string]bool)
	for _, s := range servers {
		if err := validateAddress(s); err != nil {
			faults = append(faults, err)
		} else if seen[s] {
			faults = append(faults, fmt.Errorf("%q is listed twice: list each replica once", s))
		}
		seen[s] = true
	}
	return invalid("servers", faults)
}

func validateAddress(address string) error {
	host, port, err := net.SplitHostPort(address)
	if err != nil || host == "" || len(address) > registry.AddressMax || !printableASCII(address) {
		return fmt.Errorf("%.80q: write host:port, like 127.0.0.1:7700", address)
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return fmt.Errorf("%.80q: the port is a number from 1 to 65535", address)
	}
	return nil
}

// invalid makes one error of all faults, nil of none.
func invalid(subject string, faults []error) error {
	if len(faults) == 0 {
		return nil
	}
	return registry.Errorf(registry.Invalid, "%s: %v", subject, errors.Join(faults...))
}

func printableASCII(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

// ReadOption changes how fresh one read must be; later ones win.
type ReadOption func(*registry.ReadOptions)

// Linearizable asks for a read that sees every write that was acknowledged
// before it.
func Linearizable() ReadOption {
	return func(o *registry.ReadOptions) { o.Consistency = registry.Linearizable }
}

// AtLeast asks for a read of the state at index i or later; i is the Index of
// an earlier answer. 0 stands for the latest answer that this Client has given.
func AtLeast(i registry.Index) ReadOption {
	return func(o *registry.ReadOptions) { o.Consistency, o.AtLeastIndex = registry.AtLeast, i }
}

// Local asks for what the asked replica has now; the answer's Age says how old
// that may be. It is answered without a quorum. After AtLeast, its index
// remains as a lower bound.
func Local() ReadOption {
	return func(o *registry.ReadOptions) { o.Consistency = registry.Local }
}
