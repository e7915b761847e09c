package client

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"runtime"
	"testing"

	"connectrpc.com/connect"

	"github.com/rota-registry/rota/registry"
	"github.com/rota-registry/rota/registry/hrw"
	rotav1 "github.com/rota-registry/rota/rpc/gen/rota/v1"
	"github.com/rota-registry/rota/rpc/gen/rota/v1/rotav1connect"
)

// instant is a replica that answers at once.
type instant struct {
	rotav1connect.UnimplementedRegistryServiceHandler
	chosen []*rotav1.Chosen
	lap    []uint32
}

func newInstant() *instant {
	a := &instant{}
	for i := range 8 {
		name := fmt.Sprintf("worker-%d", i)
		a.chosen = append(a.chosen, &rotav1.Chosen{Node: name, Topic: "zeek/cluster/node/" + name + "/"})
		a.lap = append(a.lap, uint32(i))
	}
	return a
}

func (a *instant) OpenSession(context.Context, *connect.Request[rotav1.OpenSessionRequest]) (*connect.Response[rotav1.OpenSessionResponse], error) {
	return connect.NewResponse(&rotav1.OpenSessionResponse{Session: "0123456789abcdef0123456789abcdef"}), nil
}

func (a *instant) RrBatch(_ context.Context, req *connect.Request[rotav1.RrBatchRequest]) (*connect.Response[rotav1.RrBatchResponse], error) {
	turns := make([]rotav1.RrBatchResponse_Turn, len(req.Msg.GetTurns()))
	res := &rotav1.RrBatchResponse{Chosen: a.chosen, Index: 7, Term: 1, ServedBy: "r1", Turns: make([]*rotav1.RrBatchResponse_Turn, len(turns))}
	for i, t := range req.Msg.GetTurns() {
		res.Turns[i] = &turns[i]
		turns[i].Count, turns[i].Lap, turns[i].Index, turns[i].Term = t.GetCount(), a.lap[:min(int(t.GetCount()), len(a.lap))], 7, 1
	}
	return connect.NewResponse(res), nil
}

func (a *instant) HrwTopic(context.Context, *connect.Request[rotav1.HrwTopicRequest]) (*connect.Response[rotav1.HrwTopicResponse], error) {
	return connect.NewResponse(&rotav1.HrwTopicResponse{Topic: a.chosen[0].GetTopic(), Node: a.chosen[0].GetNode(), Epoch: 3, Index: 7, Term: 1, ServedBy: "r1"}), nil
}

func (a *instant) HrwTopics(_ context.Context, req *connect.Request[rotav1.HrwTopicsRequest]) (*connect.Response[rotav1.HrwTopicsResponse], error) {
	res := &rotav1.HrwTopicsResponse{Chosen: a.chosen, Picks: make([]uint32, len(req.Msg.GetStrings())), Epoch: 3, Index: 7, Term: 1, ServedBy: "r1"}
	for i := range res.GetPicks() {
		res.Picks[i] = uint32(i % len(a.chosen))
	}
	return connect.NewResponse(res), nil
}

// near is an instant replica without a network before it.
type near struct {
	rotav1connect.RegistryServiceClient // nil
	instant                             *instant
}

func (n near) OpenSession(ctx context.Context, req *connect.Request[rotav1.OpenSessionRequest]) (*connect.Response[rotav1.OpenSessionResponse], error) {
	return n.instant.OpenSession(ctx, req)
}

func (n near) RrBatch(ctx context.Context, req *connect.Request[rotav1.RrBatchRequest]) (*connect.Response[rotav1.RrBatchResponse], error) {
	return n.instant.RrBatch(ctx, req)
}

func (n near) HrwTopic(ctx context.Context, req *connect.Request[rotav1.HrwTopicRequest]) (*connect.Response[rotav1.HrwTopicResponse], error) {
	return n.instant.HrwTopic(ctx, req)
}

func (n near) HrwTopics(ctx context.Context, req *connect.Request[rotav1.HrwTopicsRequest]) (*connect.Response[rotav1.HrwTopicsResponse], error) {
	return n.instant.HrwTopics(ctx, req)
}

// reachable gives a Client of an instant replica, near or behind a network.
func reachable(b *testing.B, network bool) *Client {
	a := newInstant()
	if !network {
		c, err := Dial([]string{"a:1"}, Options{})
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { _ = c.Close() })
		c.servers[0].registry = near{instant: a}
		return c
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle(rotav1connect.NewRegistryServiceHandler(a, connect.WithCompressMinBytes(4<<10)))
	server := &http.Server{Handler: mux, Protocols: new(http.Protocols)}
	server.Protocols.SetUnencryptedHTTP2(true)
	go func() { _ = server.Serve(listener) }()
	b.Cleanup(func() { _ = server.Close() })
	c, err := Dial([]string{listener.Addr().String()}, Options{})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = c.Close() })
	return c
}

// together runs a call by so many goroutines at once.
func together(b *testing.B, call func(*Client, int) error) {
	for _, network := range []bool{false, true} {
		for _, goroutines := range []int{1, 64, 1024} {
			b.Run(fmt.Sprintf("network=%v/goroutines=%d", network, goroutines), func(b *testing.B) {
				c := reachable(b, network)
				b.SetParallelism(max(1, goroutines/runtime.GOMAXPROCS(0)))
				b.ReportAllocs()
				if goroutines == 1 {
					for i := range b.N {
						if err := call(c, i); err != nil {
							b.Fatal(err)
						}
					}
					return
				}
				b.RunParallel(func(pb *testing.PB) {
					for i := 0; pb.Next(); i++ {
						if err := call(c, i); err != nil {
							b.Error(err)
							return
						}
					}
				})
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "calls/s")
			})
		}
	}
}

func BenchmarkRROneCursor(b *testing.B) {
	together(b, func(c *Client, _ int) error {
		_, err := c.Pool("worker").RR(context.Background(), "")
		return err
	})
}

func BenchmarkRRManyCursors(b *testing.B) {
	keys := make([]string, 1024)
	for i := range keys {
		keys[i] = fmt.Sprintf("key-%d", i)
	}
	together(b, func(c *Client, i int) error {
		_, err := c.Pool("worker").RR(context.Background(), keys[i%len(keys)])
		return err
	})
}

func BenchmarkHRW(b *testing.B) {
	together(b, func(c *Client, i int) error {
		_, err := c.Pool("worker").HRW(context.Background(), hrw.Count(uint64(i)))
		return err
	})
}

func BenchmarkHRWs(b *testing.B) {
	keys := make([]hrw.Key, registry.BatchKeysMax)
	for i := range keys {
		keys[i] = hrw.Count(uint64(i))
	}
	for _, network := range []bool{false, true} {
		b.Run(fmt.Sprintf("network=%v", network), func(b *testing.B) {
			c := reachable(b, network)
			b.ReportAllocs()
			for range b.N {
				if _, err := c.Pool("worker").HRWs(context.Background(), keys); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N*len(keys))/b.Elapsed().Seconds(), "keys/s")
		})
	}
}
