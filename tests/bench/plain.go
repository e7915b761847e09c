package main

import (
	"context"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	rotav1 "github.com/rota-registry/rota/rpc/gen/rota/v1"
	"github.com/rota-registry/rota/tests/bench/load"
)

// plainRR asks rota as a program does that has only the protos: one gRPC call a
// turn over a few connections, nothing combined, no session; at the port of gRPC
// alone, or at that of the API.
func plainRR(callers int, who whom, conns int, own bool, name string) work {
	return work{on: rota, name: name, callers: callers, open: func(_ context.Context, s *site) (load.Op, func(), error) {
		var open []*grpc.ClientConn
		var ops []load.Op
		end := func() {
			for _, conn := range open {
				_ = conn.Close() // it is not used any more
			}
		}
		apis := who.pick(s.rota.APIs)
		if own {
			apis = who.pick(s.rota.GRPC)
		}
		for i := range conns {
			conn, err := grpc.NewClient(apis[i%len(apis)], grpc.WithTransportCredentials(insecure.NewCredentials()))
			if err != nil {
				end()
				return nil, nil, err
			}
			open, ops = append(open, conn), append(ops, invokeRR(conn))
		}
		return spread(ops), end, nil
	}}
}

func invokeRR(conn *grpc.ClientConn) load.Op {
	return func(ctx context.Context, _ int) (int, error) {
		var answer rotav1.RrTopicResponse
		err := conn.Invoke(ctx, "/rota.v1.RegistryService/RrTopic", &rotav1.RrTopicRequest{Pool: string(pool)}, &answer)
		if err == nil && answer.GetTopic() == "" {
			err = errNoTopic
		}
		return 1, err
	}
}
