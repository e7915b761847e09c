package registry

import "github.com/rota-registry/rota/registry/hrw"

// Spec says what a pool is made of. Zeek calls it Cluster::PoolSpec.
type Spec struct {
	// Name defaults to the last segment of Topic.
	Name PoolName
	// Topic defaults to the pool_topic_prefix setting and the name. It orders
	// the pools for the assignment, bytewise.
	Topic    Topic
	NodeType NodeType
	// MaxNodes bounds the members; nil is all nodes of the type, 0 is none.
	MaxNodes *uint32
	// Exclusive pools share no node with another pool; they need MaxNodes.
	Exclusive bool
	// Hash is how keys and aliases hash; zero is hrw.Zeek71.
	Hash hrw.Hash
}
