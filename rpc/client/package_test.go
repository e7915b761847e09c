package client_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rota-registry/rota/registry"
	"github.com/rota-registry/rota/rpc/client"
)

// A program that imports the client gets no server with it.
func TestTheClientDependsOnNoServer(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, "go", "list", "-deps", ".").Output()
	if err != nil {
		t.Fatal(err)
	}
	ours := map[string]bool{
		"registry": true, "registry/hrw": true, "registry/pace": true, "rpc/client": true,
		"rpc/gen/rota/v1": true, "rpc/gen/rota/v1/rotav1connect": true, "rpc/wire": true, "rpc/transport": true,
	}
	found := 0
	for dep := range strings.FieldsSeq(string(out)) {
		path, own := strings.CutPrefix(dep, "github.com/rota-registry/rota/")
		first, _, _ := strings.Cut(dep, "/")
		switch {
		case own && ours[path]:
			found++
		case own, strings.Contains(first, ".") &&
			!strings.HasPrefix(dep, "connectrpc.com/connect") && !strings.HasPrefix(dep, "google.golang.org/protobuf/"):
			t.Errorf("it depends on %s", dep)
		}
	}
	if found != len(ours) {
		t.Errorf("go list found %d of our %d packages: is it the right directory?", found, len(ours))
	}
}

// Over TCP: a port that nobody listens on, a replica, and many callers at once.
func TestOverTCP(t *testing.T) {
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	refused := closed.Addr().String()
	closed.Close()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &replica{name: "a"}
	server := &http.Server{Handler: r.handler(), Protocols: new(http.Protocols)}
	server.Protocols.SetUnencryptedHTTP2(true)
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	c, err := client.Dial([]string{refused, listener.Addr().String()}, client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	var callers sync.WaitGroup
	for range 20 {
		callers.Go(func() {
			for range 20 {
				if _, err := c.Pool("p").RR(t.Context(), ""); err != nil {
					t.Error(err)
				}
			}
		})
	}
	callers.Wait()
	opened := slices.DeleteFunc(r.got(), func(method string) bool { return method != "OpenSession" })
	if r.answers() != 400 || len(opened) != 1 {
		t.Errorf("the replica was asked for %d turns in %d sessions; want 400 in one", r.answers(), len(opened))
	}
	c.Close()
	server.Close()
	if err := <-served; !errors.Is(err, http.ErrServerClosed) {
		t.Error(err)
	}
	dead, err := client.Dial([]string{refused}, client.Options{Timeout: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	defer dead.Close()
	_, err = dead.Pool("p").RR(t.Context(), "")
	wantCode(t, err, registry.Unavailable, refused, "refused")
}
