package server

import (
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/rota-registry/rota/registry"
	rotav1 "github.com/rota-registry/rota/rpc/gen/rota/v1"
	"github.com/rota-registry/rota/rpc/gen/rota/v1/rotav1connect"
	"github.com/rota-registry/rota/rpc/wire"
)

// ServeHTTP finds who answers a path: a method of the API, or one of the pages.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if handler, ok := s.procedures[r.URL.Path]; ok {
		s.serveAPI(w, r, handler)
		return
	}
	page := s.page(r.URL.Path)
	switch {
	case page == nil:
		plain(w, http.StatusNotFound, "%s: there is no such path.\n%s", wire.Clip(r.URL.Path), s.whatThereIs(r.URL.Path))
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		w.Header().Set("Allow", "GET, HEAD")
		plain(w, http.StatusMethodNotAllowed, "%s: ask with GET.", r.URL.Path)
	default:
		page(w, r)
	}
}

func (s *Server) page(path string) http.HandlerFunc {
	switch path {
	case "/":
		return func(w http.ResponseWriter, _ *http.Request) {
			plain(w, http.StatusOK, "This is a replica of rota, a registry of pools of cluster nodes.\n%s", s.whatThereIs(path))
		}
	case "/healthz":
		return func(w http.ResponseWriter, _ *http.Request) { plain(w, http.StatusOK, "ok") }
	case "/readyz":
		return s.readyz
	case watchPath:
		return s.watchPage
	case "/metrics":
		if s.metrics != nil {
			return s.metrics.ServeHTTP
		}
	}
	return nil
}

func (s *Server) readyz(w http.ResponseWriter, _ *http.Request) {
	self := s.replica.Self()
	if !self.Ready {
		plain(w, http.StatusServiceUnavailable, "not ready: %s", self.NotReadyReason)
		return
	}
	plain(w, http.StatusOK, "ready")
}

// serveAPI holds the bounds that come before decoding, and tells who uses HTTP
// wrongly how to use it.
func (s *Server) serveAPI(w http.ResponseWriter, r *http.Request, handler http.Handler) {
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		plain(w, http.StatusMethodNotAllowed, "%s: call it with POST, as in\n%s", r.URL.Path, curlLine(r.URL.Path))
		return
	}
	media, streams := r.Header.Get("Content-Type"), isStream(r.URL.Path)
	switch {
	case !knownPayload(media):
		w.Header().Set("Accept-Post", "application/json, application/proto, application/grpc, application/grpc-web")
		plain(w, http.StatusUnsupportedMediaType, "Content-Type %q: not known; send JSON, as in\n%s", wire.Clip(media), curlLine(r.URL.Path))
		return
	case streams && !enveloped(media):
		plain(w, http.StatusUnsupportedMediaType, "Content-Type %q: no type of a stream, which %s answers with%s", wire.Clip(media), r.URL.Path, curlStream(r.URL.Path))
		return
	}
	leave, err := s.enter(r.URL.Path)
	if err != nil {
		s.refuse(w, r, err)
		return
	}
	defer leave()
	most := bodyMax(r.URL.Path)
	if enveloped(media) {
		most += envelopeBytes
	}
	if r.ContentLength > int64(most) {
		s.refuse(w, r, tooLong(r.URL.Path, r.ContentLength))
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, int64(most))
	if streams {
		s.stream(w, r, handler.ServeHTTP)
		return
	}
	handler.ServeHTTP(w, r)
}

// enter takes a slot for a request to a procedure; leave gives it back.
func (s *Server) enter(procedure string) (leave func(), err error) {
	slots, what := s.slotsOf(procedure)
	select {
	case slots <- struct{}{}:
		return func() { <-slots }, nil
	default:
		return nil, registry.Errorf(registry.Overloaded, "this replica has %d %s, which is as many as it takes: wait a little, or ask another one", cap(slots), what)
	}
}

func tooLong(procedure string, bytes int64) error {
	return registry.Errorf(registry.Limit, "the body has %d bytes, %s takes at most %d: send less at once", bytes, procedure, bodyMax(procedure))
}

// refuse answers with an error before any handler, in the caller's protocol.
func (s *Server) refuse(w http.ResponseWriter, r *http.Request, err error) {
	if err := s.errors.Write(w, r, wire.ToError(err)); err != nil {
		s.logger.Debug("refusing a request", "path", r.URL.Path, "error", err)
	}
}

// knownPayload tells what connect's handlers take from what they answer with a
// bare 415. Curl's own default is the usual case.
func knownPayload(contentType string) bool {
	media, params, err := mime.ParseMediaType(contentType)
	if err != nil {
		return false
	}
	charset, hasCharset := params["charset"]
	switch {
	case media == "application/json":
		return len(params) == 0 || len(params) == 1 && hasCharset && strings.EqualFold(charset, "utf-8")
	case media == "application/proto":
		return true
	}
	return enveloped(media)
}

// enveloped reports whether each message has a few bytes before it, which tell
// where it ends.
func enveloped(contentType string) bool {
	return strings.HasPrefix(contentType, "application/grpc") || strings.HasPrefix(contentType, "application/connect+")
}

// whatThereIs lists the methods of the service that path names, or else the
// services, and the pages.
func (s *Server) whatThereIs(path string) string {
	var b strings.Builder
	for _, service := range serviceDescriptors() {
		if strings.HasPrefix(path, "/"+string(service.FullName())+"/") {
			return fmt.Sprintf("Methods of %s:\n  %s", service.FullName(), strings.Join(methodPaths(service), "\n  "))
		}
		fmt.Fprintf(&b, "  /%s/…\n", service.FullName())
	}
	pages := "/healthz /readyz /watch?pool=NAME"
	if s.metrics != nil {
		pages += " /metrics"
	}
	return fmt.Sprintf("Services, by POST over Connect, gRPC, gRPC-Web or JSON:\n%sPages: %s\n%s", b.String(), pages, curlLine("/rota.v1.ClusterService/Status"))
}

// isStream reports whether a procedure answers with a stream.
func isStream(procedure string) bool {
	return procedure == rotav1connect.RegistryServiceWatchProcedure || procedure == rotav1connect.NodeServiceAttendProcedure
}

// curlStream shows how to use a stream that a person can.
func curlStream(path string) string {
	if path == rotav1connect.RegistryServiceWatchProcedure {
		return "; watch with\n" + curlLine(path)
	}
	return ": it is for agents"
}

func curlLine(path string) string {
	if path == rotav1connect.RegistryServiceWatchProcedure {
		return fmt.Sprintf("  curl -N 'http://REPLICA%s?pool=NAME'", watchPath)
	}
	return fmt.Sprintf("  curl -H 'Content-Type: application/json' -d '{}' http://REPLICA%s", path)
}

func plain(w http.ResponseWriter, status int, format string, args ...any) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, fmt.Sprintf(format, args...)+"\n")
}

func serviceDescriptors() []protoreflect.ServiceDescriptor {
	var services []protoreflect.ServiceDescriptor
	for _, file := range []protoreflect.FileDescriptor{
		rotav1.File_rota_v1_registry_proto, rotav1.File_rota_v1_node_proto,
		rotav1.File_rota_v1_cluster_proto, rotav1.File_rota_v1_replica_proto,
	} {
		for i := range file.Services().Len() {
			services = append(services, file.Services().Get(i))
		}
	}
	return services
}

func methodPaths(service protoreflect.ServiceDescriptor) []string {
	paths := make([]string, service.Methods().Len())
	for i := range paths {
		paths[i] = fmt.Sprintf("/%s/%s", service.FullName(), service.Methods().Get(i).Name())
	}
	return paths
}
