// Package conformance holds Zeek's answers as data and reads them. Its tests
// put them to the registry directly and to a running cluster; testdata/zeek.json
// is what Zeek's own tests record, testdata/random.json are generated layouts
// in the same format.
package conformance

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"

	"github.com/rota-registry/rota/registry"
	"github.com/rota-registry/rota/registry/hrw"
)

// Case is one layout with its pools, and either what Zeek answers to a
// sequence of steps or the error with which it refuses to start.
type Case struct {
	Name            string
	ManagerIsLogger bool `json:"manager_is_logger"`
	// Nodes are all known before any pool is registered, and none is alive.
	Nodes []Node
	// Pools are all pools, the default ones included.
	Pools []Pool
	// Error is Zeek's, or empty.
	Error string
	// Members are those of each pool, in order.
	Members map[registry.PoolName][]Member
	Steps   []Step
}

// Node is one node of the layout.
type Node struct {
	Name registry.NodeName
	Type registry.NodeType
}

// Pool is one pool's spec.
type Pool struct {
	Name      registry.PoolName
	Topic     registry.Topic
	NodeType  registry.NodeType `json:"node_type"`
	MaxNodes  *uint32           `json:"max_nodes"`
	Exclusive bool
	Hash      string // empty for zeek-7.1
}

// Member is one member that a pool must have.
type Member struct {
	Name   registry.NodeName
	Alias  string
	SiteID uint32 `json:"site_id"`
}

// Step is an event or a question. Op is up or down with Nodes, hrw with Pool,
// Key and Topic, rr with Pool, RRKey and Topic, or rr_log with ID, Path and
// Topic; an empty Topic is an empty answer.
type Step struct {
	Op    string
	Nodes []registry.NodeName
	Pool  registry.PoolName
	Key   Key
	Topic string
	ID    string
	Path  string
}

// Key is the key of an hrw, with its Type, or of an rr, as a plain string
// whose Type is empty.
type Key struct {
	Type  string
	Value string
}

// UnmarshalJSON takes both forms.
func (k *Key) UnmarshalJSON(b []byte) error {
	if bytes.HasPrefix(b, []byte(`"`)) {
		return json.Unmarshal(b, &k.Value)
	}
	type plain Key
	return decode(b, (*plain)(k))
}

// HRW gives the key as the registry hashes it.
func (k Key) HRW() (hrw.Key, error) { return hrw.ParseKey(k.Type, k.Value) }

// Spec gives the pool's spec.
func (p Pool) Spec() (registry.Spec, error) {
	spec := registry.Spec{
		Name: p.Name, Topic: p.Topic, NodeType: p.NodeType, MaxNodes: p.MaxNodes, Exclusive: p.Exclusive,
	}
	if p.Hash == "" {
		return spec, nil
	}
	var err error
	spec.Hash, err = hrw.ParseHash(p.Hash)
	return spec, err
}

// Load reads the cases of one file. What it does not know is an error: a field
// that is passed over would be a question that is not asked.
func Load(path string) ([]Case, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("conformance cases: %w", err)
	}
	var file struct{ Cases []Case }
	if err := decode(b, &file); err != nil {
		return nil, fmt.Errorf("conformance cases of %s: %w", path, err)
	}
	return file.Cases, nil
}

func decode(b []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	return d.Decode(into)
}
