package server

import (
	"context"
	"errors"
	"math"
	"net"
	"net/http"
	"strings"
	"time"

	"connectrpc.com/connect"
	"github.com/hashicorp/go-hclog"
	"google.golang.org/grpc"

	"github.com/rota-registry/rota/registry"
	"github.com/rota-registry/rota/rpc/gen/rota/v1/rotav1connect"
)

// Options are what a Server needs.
type Options struct {
	// Replica is whom the API speaks for. Required.
	Replica Replica
	// Name is that replica's name: every answer's served_by. Required.
	Name registry.ReplicaName
	// Logger gets handlers' panics and internal errors. Nil is none.
	Logger hclog.Logger
	// Metrics answers /metrics. Nil: the path does not exist.
	Metrics http.Handler
	// Observe is told of every request that reached a handler: its procedure,
	// "/rota.v1.RegistryService/HrwTopic", the name of its error's code or ok,
	// and how long it took. It must not block. Nil is nobody.
	Observe func(procedure, code string, took time.Duration)
	// InFlightMax bounds the API requests under way; more are answered
	// overloaded at once. 0 is 8,192.
	InFlightMax int
}

func (o *Options) validate() error {
	var errs []error
	if o.Replica == nil {
		errs = append(errs, errors.New("server: Options.Replica is missing"))
	}
	if err := o.Name.Validate(); err != nil {
		errs = append(errs, err)
	}
	if o.InFlightMax < 0 {
		errs = append(errs, errors.New("server: Options.InFlightMax is negative"))
	}
	return errors.Join(errs...)
}

// Server is the API of one replica. Its owner calls Serve, at most once, and
// Shutdown.
type Server struct {
	replica Replica
	calls   calls
	logger  hclog.Logger
	metrics http.Handler
	observe func(procedure, code string, took time.Duration)
	// procedures are the handlers by path, "/rota.v1.RegistryService/HrwTopic".
	procedures map[string]http.Handler
	errors     *connect.ErrorWriter
	// slots has room for as many requests as may be in flight; between has as
	// many for those between replicas, so that users who wait cannot keep a
	// leader from being confirmed.
	slots, between chan struct{}
	// watches and attended have room for as many streams of either kind as may be,
	// which take none from the others, whose requests end.
	watches  chan struct{}
	attended chan struct{}
	watching *watching
	http     *http.Server
	grpc     *grpc.Server // on a listener of its own
	// cut ends the context of every request, endStreams that of every stream.
	cut          context.CancelFunc
	streams      context.Context //nolint:containedctx // the server's own lifetime, which no stream's outlives
	endStreams   context.CancelCauseFunc
	pieceTimeout time.Duration
}

// New makes a server that does not listen yet.
func New(options Options) (*Server, error) {
	if err := options.validate(); err != nil {
		return nil, err
	}
	if options.Logger == nil {
		options.Logger = hclog.NewNullLogger()
	}
	if options.Observe == nil {
		options.Observe = func(string, string, time.Duration) {}
	}
	if options.InFlightMax == 0 {
		options.InFlightMax = inFlightMax
	}
	s := &Server{
		replica: options.Replica, calls: calls{options.Replica, string(options.Name)}, observe: options.Observe, logger: options.Logger, metrics: options.Metrics,
		errors: connect.NewErrorWriter(), slots: make(chan struct{}, options.InFlightMax), between: make(chan struct{}, options.InFlightMax),
		watches: make(chan struct{}, registry.WatchersMax), attended: make(chan struct{}, registry.AttendedMax), pieceTimeout: pieceTimeout,
	}
	s.streams, s.endStreams = context.WithCancelCause(context.Background())
	s.watching = newWatching(s.calls)
	around := &callInterceptor{logger: options.Logger, observe: options.Observe}
	s.procedures = services(s.calls, s.watching, around)
	s.grpc = s.newGRPC(s.calls, around)
	base, cut := context.WithCancel(context.Background())
	s.cut = cut
	s.http = s.newHTTP(base)
	return s, nil
}

func (s *Server) newHTTP(base context.Context) *http.Server {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	return &http.Server{
		Handler:           s,
		Protocols:         protocols,
		ReadHeaderTimeout: headerTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    headerBytesMax,
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams: streamsMax,
			SendPingTimeout:      pingAfter,
			PingTimeout:          pingTimeout,
		},
		BaseContext: func(net.Listener) context.Context { return base },
		// What clients do wrong on the way is not for an operator to act on.
		ErrorLog: s.logger.StandardLogger(&hclog.StandardLoggerOptions{ForceLevel: hclog.Debug}),
	}
}

// services builds the handlers of every method. The methods' names come from
// the same descriptors as the handlers.
func services(c calls, w *watching, around *callInterceptor) map[string]http.Handler {
	options := connect.WithHandlerOptions(
		connect.WithCodec(strictJSON{jsonNames()[0]}),
		connect.WithCodec(strictJSON{jsonNames()[1]}),
		connect.WithCompressMinBytes(compressBytesMin),
		connect.WithInterceptors(around),
		connect.WithConditionalHandlerOptions(func(spec connect.Spec) []connect.HandlerOption {
			options := []connect.HandlerOption{connect.WithReadMaxBytes(bodyMax(spec.Procedure))}
			if spec.Procedure == rotav1connect.RegistryServiceWatchProcedure {
				// What is encoded once would be compressed for each watcher.
				options = append(options, connect.WithCodec(watchProto{}), connect.WithCompressMinBytes(math.MaxInt))
			}
			return options
		}),
	)
	byService := make(map[string]http.Handler)
	add := func(prefix string, handler http.Handler) { byService[prefix] = handler }
	add(rotav1connect.NewRegistryServiceHandler(registryService{c, w}, options))
	add(rotav1connect.NewNodeServiceHandler(nodeService{c}, options))
	add(rotav1connect.NewClusterServiceHandler(clusterService{c}, options))
	add(rotav1connect.NewReplicaServiceHandler(replicaService{c}, options))
	procedures := make(map[string]http.Handler)
	for _, service := range serviceDescriptors() {
		for _, path := range methodPaths(service) {
			procedures[path] = byService["/"+string(service.FullName())+"/"]
		}
	}
	return procedures
}

// Serve answers on the listener, which it owns from now on, until Shutdown;
// then it returns nil, while Shutdown may still wait for requests under way.
func (s *Server) Serve(listener net.Listener) error {
	if err := s.http.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// Shutdown takes no more requests, ends all streams, and waits for the requests
// under way until ctx ends; then it cuts them off, closes all connections and
// returns ctx's error: for who was cut off, the outcome is unknown. It may be
// called without Serve, and again.
func (s *Server) Shutdown(ctx context.Context) error {
	s.endStreams(stopping())
	ended := make(chan struct{})
	go func() { // Stop, at the latest, ends it
		s.grpc.GracefulStop()
		close(ended)
	}()
	err := s.http.Shutdown(ctx)
	select {
	case <-ended:
	case <-ctx.Done():
		err = ctx.Err()
	}
	s.cut()
	if err == nil {
		return nil
	}
	_ = s.http.Close()
	s.grpc.Stop()
	s.awaitHandlers()
	<-ended
	return err
}

// awaitHandlers takes every slot, which it can once no handler has one.
func (s *Server) awaitHandlers() {
	grace := time.NewTimer(shutdownGrace)
	defer grace.Stop()
	for _, slots := range []chan struct{}{s.slots, s.between, s.watches, s.attended} {
		for range cap(slots) {
			select {
			case slots <- struct{}{}:
			case <-grace.C:
				s.logger.Warn("requests did not end when they were cut off", "waited", shutdownGrace)
				return
			}
		}
	}
}

// Attended is how many agents keep a connection to this replica.
func (s *Server) Attended() int { return len(s.attended) }

// slotsOf gives where a request to a procedure takes its slot, and what those
// are who have one.
func (s *Server) slotsOf(procedure string) (slots chan struct{}, what string) {
	switch {
	case procedure == rotav1connect.RegistryServiceWatchProcedure:
		return s.watches, "watchers"
	case procedure == rotav1connect.NodeServiceAttendProcedure:
		return s.attended, "agents' connections"
	case strings.HasPrefix(procedure, "/"+rotav1connect.ReplicaServiceName+"/"):
		return s.between, "requests under way"
	}
	return s.slots, "requests under way"
}
