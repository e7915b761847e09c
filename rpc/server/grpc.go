package server

import (
	"context"
	"errors"
	"net"
	"strings"
	"time"

	"connectrpc.com/connect"
	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	grpcencoding "google.golang.org/grpc/encoding"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/rota-registry/rota/registry"
	rotav1 "github.com/rota-registry/rota/rpc/gen/rota/v1"
	"github.com/rota-registry/rota/rpc/gen/rota/v1/rotav1connect"
	"github.com/rota-registry/rota/rpc/wire"
)

// ServeGRPC answers gRPC, and nothing else, on a listener of its own, which it
// owns from now on, until Shutdown; then it returns nil. The methods are those
// of the API's port, with the same limits.
func (s *Server) ServeGRPC(listener net.Listener) error { return s.grpc.Serve(listener) }

func (s *Server) newGRPC(c calls, around *callInterceptor) *grpc.Server {
	g := grpc.NewServer(
		grpc.ForceServerCodecV2(frameCodec{grpcencoding.GetCodecV2("proto")}),
		grpc.MaxConcurrentStreams(streamsMax),
		grpc.MaxHeaderListSize(headerBytesMax),
		grpc.MaxRecvMsgSize(registry.BatchBodyMax),
		grpc.ConnectionTimeout(headerTimeout),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: pingAfter, Timeout: pingTimeout, MaxConnectionIdle: idleTimeout}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: pingMin, PermitWithoutStream: true}),
	)
	r, n, cl := registryService{c, s.watching}, nodeService{c}, clusterService{c}
	register(g, rotav1connect.RegistryServiceName, []grpc.StreamDesc{s.watchOverGRPC(around)},
		overGRPC(s, around, rotav1connect.RegistryServiceRegisterPoolProcedure, r.RegisterPool),
		overGRPC(s, around, rotav1connect.RegistryServiceUnregisterPoolProcedure, r.UnregisterPool),
		overGRPC(s, around, rotav1connect.RegistryServiceGetPoolProcedure, r.GetPool),
		overGRPC(s, around, rotav1connect.RegistryServiceListPoolsProcedure, r.ListPools),
		overGRPC(s, around, rotav1connect.RegistryServiceRebalancePoolsProcedure, r.RebalancePools),
		overGRPC(s, around, rotav1connect.RegistryServiceHrwTopicProcedure, r.HrwTopic),
		overGRPC(s, around, rotav1connect.RegistryServiceHrwTopicsProcedure, r.HrwTopics),
		overGRPC(s, around, rotav1connect.RegistryServiceRankNodesProcedure, r.RankNodes),
		overGRPC(s, around, rotav1connect.RegistryServiceRrTopicProcedure, r.RrTopic),
		overGRPC(s, around, rotav1connect.RegistryServiceRrTopicsProcedure, r.RrTopics),
		overGRPC(s, around, rotav1connect.RegistryServiceRrBatchProcedure, r.RrBatch),
		overGRPC(s, around, rotav1connect.RegistryServiceRrLogTopicProcedure, r.RrLogTopic),
		overGRPC(s, around, rotav1connect.RegistryServiceOpenSessionProcedure, r.OpenSession),
		overGRPC(s, around, rotav1connect.RegistryServiceListCursorsProcedure, r.ListCursors),
		overGRPC(s, around, rotav1connect.RegistryServiceSetCursorProcedure, r.SetCursor),
		overGRPC(s, around, rotav1connect.RegistryServiceDeleteCursorProcedure, r.DeleteCursor),
		overGRPC(s, around, rotav1connect.RegistryServiceGetSettingsProcedure, r.GetSettings),
		overGRPC(s, around, rotav1connect.RegistryServiceSetSettingsProcedure, r.SetSettings),
	)
	register(g, rotav1connect.NodeServiceName, []grpc.StreamDesc{s.attendOverGRPC(around, n)},
		overGRPC(s, around, rotav1connect.NodeServiceJoinNodeProcedure, n.JoinNode),
		overGRPC(s, around, rotav1connect.NodeServiceLeaveNodeProcedure, n.LeaveNode),
		overGRPC(s, around, rotav1connect.NodeServiceListNodesProcedure, n.ListNodes),
		overGRPC(s, around, rotav1connect.NodeServiceGetNodeProcedure, n.GetNode),
		overGRPC(s, around, rotav1connect.NodeServiceAddNodeProcedure, n.AddNode),
		overGRPC(s, around, rotav1connect.NodeServiceDrainNodeProcedure, n.DrainNode),
		overGRPC(s, around, rotav1connect.NodeServiceUndrainNodeProcedure, n.UndrainNode),
		overGRPC(s, around, rotav1connect.NodeServiceForgetNodeProcedure, n.ForgetNode),
		overGRPC(s, around, rotav1connect.NodeServiceImportLayoutProcedure, n.ImportLayout),
		overGRPC(s, around, rotav1connect.NodeServiceExportLayoutProcedure, n.ExportLayout),
	)
	register(g, rotav1connect.ClusterServiceName, nil,
		overGRPC(s, around, rotav1connect.ClusterServiceStatusProcedure, cl.Status),
		overGRPC(s, around, rotav1connect.ClusterServiceAddReplicaProcedure, cl.AddReplica),
		overGRPC(s, around, rotav1connect.ClusterServiceRemoveReplicaProcedure, cl.RemoveReplica),
		overGRPC(s, around, rotav1connect.ClusterServiceTransferLeadershipProcedure, cl.TransferLeadership),
		overGRPC(s, around, rotav1connect.ClusterServiceSafeToStopProcedure, cl.SafeToStop),
		overGRPC(s, around, rotav1connect.ClusterServiceSaveSnapshotProcedure, cl.SaveSnapshot),
		overGRPC(s, around, rotav1connect.ClusterServiceRestoreSnapshotProcedure, cl.RestoreSnapshot),
		overGRPC(s, around, rotav1connect.ClusterServiceShowLivenessProcedure, cl.ShowLiveness),
		overGRPC(s, around, rotav1connect.ClusterServiceThawLivenessProcedure, cl.ThawLiveness),
	)
	return g
}

func register(g *grpc.Server, service string, streams []grpc.StreamDesc, methods ...grpc.MethodDesc) {
	g.RegisterService(&grpc.ServiceDesc{ServiceName: service, HandlerType: (*any)(nil), Methods: methods, Streams: streams}, struct{}{})
}

// watchOverGRPC is Watch.
func (s *Server) watchOverGRPC(around *callInterceptor) grpc.StreamDesc {
	return streamOverGRPC(s, around, rotav1connect.RegistryServiceWatchProcedure, func(ctx context.Context, request *rotav1.WatchRequest, send func(any) error) error {
		return s.watching.tell(ctx, request, func(f *frame) error { return send(f) })
	})
}

// attendOverGRPC is Attend.
func (s *Server) attendOverGRPC(around *callInterceptor, n nodeService) grpc.StreamDesc {
	return streamOverGRPC(s, around, rotav1connect.NodeServiceAttendProcedure, func(ctx context.Context, request *rotav1.AttendRequest, send func(any) error) error {
		return n.attend(ctx, request, func(m *rotav1.AttendResponse) error { return send(m) })
	})
}

// streamOverGRPC serves a method that answers with a stream.
func streamOverGRPC[Req any](s *Server, around *callInterceptor, procedure string, serve func(ctx context.Context, request *Req, send func(any) error) error) grpc.StreamDesc {
	answer := func(stream grpc.ServerStream, request *Req) (err error) {
		leave, err := s.enter(procedure)
		if err != nil {
			return err
		}
		defer leave()
		defer around.settle(procedure, time.Now(), &err)
		ctx, done := s.untilStopped(stream.Context())
		defer done()
		return serve(ctx, request, func(m any) error {
			return within(s.pieceTimeout, func() error { return stream.SendMsg(m) })
		})
	}
	name := procedure[strings.LastIndexByte(procedure, '/')+1:]
	return grpc.StreamDesc{StreamName: name, ServerStreams: true, Handler: func(_ any, stream grpc.ServerStream) error {
		request := new(Req)
		if err := s.receive(stream, request); err != nil {
			return err
		}
		if err := answer(stream, request); err != nil {
			return grpcError(err)
		}
		return nil
	}}
}

// receive takes a stream's request, for which there is as much time as at the
// API's port. grpc-go has no deadline for that, and ends it with the handler.
func (s *Server) receive(stream grpc.ServerStream, request any) error {
	received := make(chan error, 1)
	go func() { received <- stream.RecvMsg(request) }()
	late := time.NewTimer(s.http.ReadTimeout)
	defer late.Stop()
	select {
	case err := <-received:
		return err // in gRPC's words, as of other bodies that cannot be read
	case <-s.streams.Done():
		return grpcError(context.Cause(s.streams))
	case <-late.C:
		return grpcError(registry.Errorf(registry.Deadline, "no request came for %v", s.http.ReadTimeout))
	}
}

// within gives up on a message that the peer does not take: grpc-go has no
// deadline for that. The stream ends when its handler returns, and with it what
// was given up.
func within(timeout time.Duration, send func() error) error {
	sent := make(chan error, 1)
	go func() { sent <- send() }()
	late := time.NewTimer(timeout)
	defer late.Stop()
	select {
	case err := <-sent:
		return err
	case <-late.C:
		return registry.Errorf(registry.Deadline, "the watcher took nothing for %v", timeout)
	}
}

// frameCodec is gRPC's own, also of frames.
type frameCodec struct{ grpcencoding.CodecV2 }

func (c frameCodec) Marshal(message any) (mem.BufferSlice, error) {
	f, ok := message.(*frame)
	if !ok {
		return c.CodecV2.Marshal(message)
	}
	data, err := f.appendProto(nil)
	return mem.BufferSlice{mem.SliceBuffer(data)}, err
}

// overGRPC serves a method that is written for connect.
func overGRPC[Req, Res any](s *Server, around *callInterceptor, procedure string, method func(context.Context, *connect.Request[Req]) (*connect.Response[Res], error)) grpc.MethodDesc {
	call := func(ctx context.Context, message *Req) (*connect.Response[Res], error) {
		return method(ctx, requestOf(ctx, message))
	}
	return grpc.MethodDesc{
		MethodName: procedure[strings.LastIndexByte(procedure, '/')+1:],
		Handler: func(_ any, ctx context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
			message := new(Req)
			if err := decode(message); err != nil {
				return nil, err // in gRPC's words, as of other bodies that cannot be read
			}
			response, err := bounds(ctx, s, around, procedure, message, call)
			if err != nil {
				return nil, grpcError(err)
			}
			return response.Msg, nil
		},
	}
}

// bounds holds for a call what serveAPI and the interceptor hold on the API's
// port.
func bounds[Req, Res any](ctx context.Context, s *Server, around *callInterceptor, procedure string, message *Req, call func(context.Context, *Req) (*connect.Response[Res], error)) (response *connect.Response[Res], err error) {
	leave, err := s.enter(procedure)
	if err != nil {
		return nil, err
	}
	defer leave()
	if m, ok := any(message).(proto.Message); ok && bodyMax(procedure) < registry.BatchBodyMax {
		if n := proto.Size(m); n > bodyMax(procedure) {
			return nil, tooLong(procedure, int64(n))
		}
	}
	ctx, cancel := bounded(ctx)
	defer cancel()
	defer around.settle(procedure, time.Now(), &err)
	return call(ctx, message)
}

// requestOf gives a request with the one header that methods read.
func requestOf[Req any](ctx context.Context, message *Req) *connect.Request[Req] {
	request := connect.NewRequest(message)
	if who := metadata.ValueFromIncomingContext(ctx, byHeader); len(who) > 0 {
		request.Header().Set(byHeader, who[0])
	}
	return request
}

// grpcError is an error of the API as gRPC has it, with its details.
func grpcError(err error) error {
	wired, ok := errors.AsType[*connect.Error](err)
	if !ok {
		wired = wire.ToError(err)
	}
	out := &spb.Status{Code: int32(codes.Code(wired.Code())), Message: wired.Message()}
	for _, d := range wired.Details() {
		out.Details = append(out.Details, &anypb.Any{TypeUrl: "type.googleapis.com/" + d.Type(), Value: d.Bytes()})
	}
	return status.FromProto(out).Err()
}
