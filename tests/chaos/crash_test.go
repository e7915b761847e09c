package chaos_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/rota-registry/rota/registry"
	rotav1 "github.com/rota-registry/rota/rpc/gen/rota/v1"
	"github.com/rota-registry/rota/rpc/gen/rota/v1/rotav1connect"
	"github.com/rota-registry/rota/rpc/wire"
	"github.com/rota-registry/rota/tests/check"
	"github.com/rota-registry/rota/tests/procs"
)

// outcry is what a process says of a bug alone.
func outcry(line string) bool {
	return slices.ContainsFunc([]string{"panic:", "fatal error:", "handler panicked"}, func(s string) bool { return strings.Contains(line, s) })
}

// processes are all those of the cluster.
func (c *cluster) processes() (list []*procs.Process) {
	for _, r := range c.replicas {
		list = append(list, r.Process)
	}
	for _, a := range c.agents {
		list = append(list, a.Process)
	}
	return list
}

// mayEnd notes that the fault may end a process. That any other ends is a bug.
func (r *round) mayEnd(p *procs.Process) { r.now.mortal = append(r.now.mortal, p) }

// mortal reports whether the fault may have ended a process.
func (r *round) mortal(p *procs.Process) bool { return slices.Contains(r.now.mortal, p) }

// crashes looks for processes that have ended and were not to, and for what any of
// them has said of a bug. What has ended is then to be revived.
func (r *round) crashes() {
	for _, p := range r.c.processes() {
		if !p.Running() && !r.mortal(p) {
			r.crashed(p)
		}
	}
	r.outcries()
}

// crashed notes that a process has ended by itself.
func (r *round) crashed(p *procs.Process) {
	r.violate("crash", "%s has ended with %d, and nothing was done to it; its last words: %s", p.Name, p.Exit(time.Second), lastLine(p.Log()))
}

// outcries looks at what the processes have said since it last did.
func (r *round) outcries() {
	for _, p := range r.c.processes() {
		said := p.Log()[r.heard[p.Name]:]
		said = said[:strings.LastIndexByte(said, '\n')+1] // the line that is being written is for later
		r.heard[p.Name] += len(said)
		for line := range strings.Lines(said) {
			if outcry(line) {
				r.violate("crash", "%s says: %s", p.Name, strings.TrimSpace(line))
			}
		}
	}
}

func lastLine(log string) string {
	log = strings.TrimSpace(log)
	return log[strings.LastIndexByte(log, '\n')+1:]
}

// TestACrashIsFound claims that a process that ends is a violation unless the fault
// may end it, and that its last words are one in any case; each once.
func TestACrashIsFound(t *testing.T) {
	p := procs.NewProcess(t, t.TempDir(), "r1", "-c", "echo all is well >&2; echo panic: at once >&2; exit 3")
	p.Binary = "/bin/sh"
	p.Start()
	p.Exit(10 * time.Second)
	for what, c := range map[string]struct {
		mortal []*procs.Process
		want   []check.Violation
	}{
		"of no fault": {nil, []check.Violation{
			{Check: "crash", Text: "r1 has ended with 3, and nothing was done to it; its last words: panic: at once"},
			{Check: "crash", Text: "r1 says: panic: at once"},
		}},
		"of the fault": {[]*procs.Process{p}, []check.Violation{{Check: "crash", Text: "r1 says: panic: at once"}}},
	} {
		r := &round{t: t, c: &cluster{replicas: []*replica{{Process: p}}}, now: &window{mortal: c.mortal}, heard: map[string]int{}}
		r.crashes()
		r.outcries()
		if !slices.Equal(r.mu.violations, c.want) {
			t.Errorf("%s: found %q, want %q", what, r.mu.violations, c.want)
		}
	}
}

// TestABugThatCallersHearIsFound claims that an answer of code Internal, and that a
// session is gone, is a violation, of package client and of plain HTTP, and that an
// error on the way is none.
func TestABugThatCallersHearIsFound(t *testing.T) {
	bug := registry.Errorf(registry.Internal, "a bug")
	for _, c := range []struct {
		err  error
		want int
	}{
		{nil, 0},
		{registry.Errorf(registry.Unavailable, "nobody leads"), 0},
		{connect.NewError(connect.CodeInternal, errors.New("a stream was reset")), 0},
		{fmt.Errorf("local read of r1: %w", bug), 1},
		{overWire(t, bug), 1},
		{overWire(t, registry.Errorf(registry.SessionUnknown, "it is gone")), 1},
	} {
		l := &load{}
		l.told("a turn", c.err)
		if len(l.mu.told) != c.want {
			t.Errorf("%v: %d violations, want %d", c.err, len(l.mu.told), c.want)
		}
	}
}

// overWire gives an error as a caller has it whom a replica has told it.
func overWire(t *testing.T, err error) error {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = connect.NewErrorWriter().Write(w, r, wire.ToError(err))
	}))
	defer s.Close()
	_, err = rotav1connect.NewRegistryServiceClient(s.Client(), s.URL).OpenSession(t.Context(), connect.NewRequest(&rotav1.OpenSessionRequest{}))
	return err
}
