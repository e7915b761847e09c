package client

import "github.com/rota-registry/rota/rpc/gen/rota/v1/rotav1connect"

// Registry is the Client's connection to its first server, for tests of what the
// Client itself has no method for.
func (c *Client) Registry() rotav1connect.RegistryServiceClient { return c.servers[0].registry }
