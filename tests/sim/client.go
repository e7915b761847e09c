package sim

import (
	"fmt"

	"github.com/rota-registry/rota/rpc/client"
	"github.com/rota-registry/rota/tests/simnet"
)

// Client is a client on a host of its own.
type Client struct {
	*client.Client
	Name string
	host *simnet.Host
}

// addHost makes a host for somebody else.
func (c *Cluster) addHost(name string) *simnet.Host {
	h := c.Net.Host(fmt.Sprintf("10.2.0.%d", 1+len(c.extra)))
	c.extra[name] = h
	return h
}

// NewClient makes a client of some replicas, which are all of them if none is
// named.
func (c *Cluster) NewClient(options client.Options, of ...*Replica) *Client {
	c.t.Helper()
	servers := c.apis()
	if len(of) > 0 {
		servers = nil
		for _, r := range of {
			servers = append(servers, r.api())
		}
	}
	n := len(c.clients) + 1
	cl := &Client{Name: fmt.Sprintf("client-%d", n), host: c.Net.Host(fmt.Sprintf("10.1.%d.%d", n/200, 1+n%200))}
	options.Dial = apiDial(cl.host)
	var err error
	if cl.Client, err = client.Dial(servers, options); err != nil {
		c.t.Fatalf("%s: %v", cl.Name, err)
	}
	c.clients = append(c.clients, cl)
	return cl
}
