package server

import (
	"fmt"
	"testing"

	"github.com/rota-registry/rota/registry"
)

func poolOf(members int) *registry.PoolInfo {
	p := &registry.PoolInfo{Spec: registry.Spec{Name: "worker", NodeType: "worker"}, Epoch: 7}
	for i := range members {
		name := registry.NodeName(fmt.Sprintf("worker-%d", i))
		p.Members = append(p.Members, registry.MemberInfo{
			Name: name, Alias: string(name) + ".0", SiteID: uint32(i), Topic: "zeek/cluster/node/" + string(name) + "/",
			Alive: true, Eligible: true, State: registry.Alive,
		})
	}
	return p
}

// Who is told the same pool or change shares its encoding, for a while.
func TestEncodingsAreShared(t *testing.T) {
	e := newEncodings()
	pool, same := poolOf(2), poolOf(2)
	first := e.pool(pool)
	if e.pool(pool) != first || e.pool(same) == first {
		t.Error("encodings are of one pool, and not of one that looks like it")
	}
	bytes, _ := first.json()
	if again, _ := e.pool(pool).json(); &again[0] != &bytes[0] {
		t.Error("it was encoded twice")
	}
	change := &registry.PoolChange{From: 6, Pool: *poolOf(0), Edits: []registry.MemberEdit{{Members: poolOf(3).Members}}}
	if got := e.change(change); got != e.change(change) || got.weight != 4 {
		t.Errorf("a change weighs %d", got.weight)
	}
}

func TestEncodingsAreBounded(t *testing.T) {
	e := newEncodings()
	oldest := poolOf(0)
	first := e.pool(oldest)
	half := poolOf(encodedMembersMax/2 - 1)
	e.pool(half)
	e.pool(poolOf(encodedMembersMax/2 - 2))
	if e.mu.weight != encodedMembersMax || e.pool(oldest) != first {
		t.Fatalf("at the bound, %d: the oldest is forgotten", e.mu.weight)
	}
	e.pool(poolOf(0))
	if e.pool(oldest) == first {
		t.Error("one past the bound the oldest is remembered")
	}
	large := poolOf(2 * encodedMembersMax)
	if first = e.pool(large); e.pool(large) != first || len(e.mu.of) != 1 || len(e.mu.oldest) != 1 {
		t.Errorf("one that is too large is remembered alone, not with %d", len(e.mu.of)-1)
	}
	for range 3 * encodedMembersMax {
		e.pool(poolOf(0))
	}
	if len(e.mu.of) != encodedMembersMax || len(e.mu.oldest) != encodedMembersMax || e.mu.weight != encodedMembersMax {
		t.Errorf("%d are remembered, which weigh %d", len(e.mu.of), e.mu.weight)
	}
}

// BenchmarkFrame: what one more watcher of a pool of 5,000 costs, and the first.
func BenchmarkFrame(b *testing.B) {
	pool := poolOf(5_000)
	for form, codec := range map[string]interface {
		MarshalAppend(dst []byte, message any) ([]byte, error)
	}{"proto": watchProto{}, "json": strictJSON{"json"}} {
		for _, first := range []bool{true, false} {
			b.Run(fmt.Sprintf("%s/first=%t", form, first), func(b *testing.B) {
				w := newWatching(calls{servedBy: "r1"})
				var dst []byte
				for b.Loop() {
					if first {
						w.encodings = newEncodings()
					}
					var err error
					if dst, err = codec.MarshalAppend(dst[:0], w.frame(registry.PoolEvent{Pool: pool})); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(len(dst)), "B/message")
			})
		}
	}
}
