package chaos_test

import (
	"fmt"
	"net"
	"strconv"
	"testing"

	"github.com/rota-registry/rota/tests/procs"
)

// The ports of a replica that has an address of its own.
const (
	apiPort    = 7700
	raftPort   = 7701
	gossipPort = 7702
)

// place is where one process runs.
type place struct {
	name             string
	ip               string
	within           []string // what brings a process there
	api, raft, gossp string
	netns            string // empty on loopback
	link             string // the bridge's end of its link
}

// loss is what a place does with packets that come in, or go out as answers.
type loss struct {
	from    *place // nil: from anybody
	host    bool   // from the callers of the API, who are at the bridge
	answers bool   // what it says to those callers, but for the opening of connections
	proto   string // tcp or udp; empty: both
	port    int    // at either end; 0: any
	percent int    // of them
	reset   bool   // TCP is refused and not lost
}

// ground is where the processes of a round are.
type ground interface {
	place(name string) *place
	// isolated reports whether places have networks of their own, so that
	// lose works.
	isolated() bool
	// lose adds to what a place loses; heal ends it at all places.
	lose(at *place, l ...loss)
	heal()
	// lost is how many packets the losses of now have taken.
	lost() uint64
	// disk gives a directory on a disk of its own, of that many bytes, if it can.
	disk(dir string, bytes int64) bool
}

// loopback is the ground of those who are not root.
type loopback struct{ t testing.TB }

func (l loopback) isolated() bool          { return false }
func (l loopback) lose(*place, ...loss)    {}
func (l loopback) heal()                   {}
func (l loopback) lost() uint64            { return 0 }
func (l loopback) disk(string, int64) bool { return false }

func (l loopback) place(name string) *place {
	addrs := procs.FreeAddrs(l.t, 3)
	return &place{name: name, ip: "127.0.0.1", api: addrs[0], raft: addrs[1], gossp: addrs[2]}
}

// addressed gives a place its ports.
func (p *place) addressed() *place {
	at := func(port int) string { return net.JoinHostPort(p.ip, strconv.Itoa(port)) }
	p.api, p.raft, p.gossp = at(apiPort), at(raftPort), at(gossipPort)
	return p
}

func (p *place) String() string { return fmt.Sprintf("%s at %s", p.name, p.ip) }
