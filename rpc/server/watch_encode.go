package server

import (
	"fmt"
	"sync"

	"google.golang.org/protobuf/proto"

	"github.com/rota-registry/rota/registry"
	rotav1 "github.com/rota-registry/rota/rpc/gen/rota/v1"
	"github.com/rota-registry/rota/rpc/wire"
)

// frame is a WatchResponse of which the large part, the pool or the change, is
// encoded once for all who are told it, and the rest for each.
type frame struct {
	kind  string // pool, change or alive
	epoch registry.Epoch
	body  *encoding // nil for alive
	rest  *rotav1.WatchResponse
}

// encoding is the large part in each form, made when it is first asked for.
type encoding struct {
	weight      int
	proto, json func() ([]byte, error)
}

// appendProto relies on it that a message is its fields, one after the other.
func (f *frame) appendProto(dst []byte) ([]byte, error) {
	if f.body != nil {
		body, err := f.body.proto()
		if err != nil {
			return nil, err
		}
		dst = append(dst, body...)
	}
	return proto.MarshalOptions{}.MarshalAppend(dst, f.rest)
}

func (f *frame) appendJSON(dst []byte) ([]byte, error) {
	if f.body == nil {
		return appendJSON(dst, f.rest)
	}
	body, err := f.body.json()
	if err != nil {
		return nil, err
	}
	rest, err := appendJSON(nil, f.rest)
	if err != nil {
		return nil, err
	}
	dst = append(append(dst, '{'), body...)
	return append(append(dst, ','), rest[1:]...), nil // the rest is an object and never empty
}

// watchProto is protobuf's binary form, also of frames.
type watchProto struct{}

func (watchProto) Name() string { return "proto" }

func (c watchProto) Marshal(message any) ([]byte, error) { return c.MarshalAppend(nil, message) }

func (watchProto) MarshalAppend(dst []byte, message any) ([]byte, error) {
	switch m := message.(type) {
	case *frame:
		return m.appendProto(dst)
	case proto.Message:
		return proto.MarshalOptions{}.MarshalAppend(dst, m)
	}
	return nil, fmt.Errorf("%T is no protobuf message", message)
}

func (watchProto) Unmarshal(data []byte, message any) error {
	m, ok := message.(proto.Message)
	if !ok {
		return fmt.Errorf("%T is no protobuf message", message)
	}
	return proto.Unmarshal(data, m)
}

// encodings remembers the last ones: those who watch one pool are told the same
// at about the same time. What it weighs, in members, is bounded.
type encodings struct {
	mu struct {
		sync.Mutex
		// of are by what they encode, a *registry.PoolInfo or *registry.PoolChange:
		// nobody changes those, and those who are told the same are told the same one.
		of     map[any]*encoding
		oldest []any
		weight int
	}
}

func newEncodings() *encodings {
	e := &encodings{}
	e.mu.of = make(map[any]*encoding)
	return e
}

func (e *encodings) pool(p *registry.PoolInfo) *encoding {
	return e.get(p, len(p.Members), func() *rotav1.WatchResponse { return &rotav1.WatchResponse{Pool: wire.ToPool(*p)} })
}

func (e *encodings) change(c *registry.PoolChange) *encoding {
	members := 0
	for _, edit := range c.Edits {
		members += len(edit.Members)
	}
	return e.get(c, members, func() *rotav1.WatchResponse { return &rotav1.WatchResponse{Change: wire.ToPoolChange(*c)} })
}

func (e *encodings) get(key any, members int, message func() *rotav1.WatchResponse) *encoding {
	e.mu.Lock()
	defer e.mu.Unlock()
	if known := e.mu.of[key]; known != nil {
		return known
	}
	made := &encoding{weight: members + 1}
	made.proto = sync.OnceValues(func() ([]byte, error) { return proto.Marshal(message()) })
	made.json = sync.OnceValues(func() ([]byte, error) { return bodyJSON(message()) })
	e.mu.of[key] = made
	e.mu.oldest = append(e.mu.oldest, key)
	for e.mu.weight += made.weight; e.mu.weight > encodedMembersMax && len(e.mu.oldest) > 1; {
		e.mu.weight -= e.mu.of[e.mu.oldest[0]].weight
		delete(e.mu.of, e.mu.oldest[0])
		e.mu.oldest[0] = nil
		e.mu.oldest = e.mu.oldest[1:]
	}
	return made
}

// bodyJSON gives the pool or the change as a field of an object without the
// object.
func bodyJSON(m *rotav1.WatchResponse) ([]byte, error) {
	if m.GetPool() != nil {
		return appendJSON([]byte(`"pool":`), m.GetPool())
	}
	return appendJSON([]byte(`"change":`), m.GetChange())
}
