package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/rota-registry/rota/registry"
	"github.com/rota-registry/rota/rpc/client"
	rotav1 "github.com/rota-registry/rota/rpc/gen/rota/v1"
	"github.com/rota-registry/rota/tests/procs"
)

// command is a command line that runs beside the test.
type command struct {
	t      *testing.T
	cancel context.CancelFunc
	done   chan struct{}
	code   exitCode
	out    transcript // of stdout and stderr
}

// transcript is written and read at once.
type transcript struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (t *transcript) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.text.Write(p)
}

func (t *transcript) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.text.String()
}

// begin runs a command line until it ends, or the test does.
func begin(t *testing.T, args ...string) *command {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	c := &command{t: t, cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(c.done)
		c.code = run(ctx, args, streams{in: strings.NewReader(""), out: &c.out, err: &c.out})
	}()
	t.Cleanup(func() {
		cancel()
		<-c.done
		if t.Failed() {
			t.Logf("rota %s said:\n%s", args[0], c.out.String())
		}
	})
	return c
}

// stop interrupts it, as SIGTERM does, and gives what it said.
func (c *command) stop() (exitCode, string) {
	c.cancel()
	return c.end()
}

// end waits for it.
func (c *command) end() (exitCode, string) {
	c.t.Helper()
	select {
	case <-c.done:
		return c.code, c.out.String()
	case <-time.After(20 * time.Second):
		c.t.Fatal("it does not end")
		return 0, ""
	}
}

// eventually polls until the claim holds.
func eventually(t *testing.T, claim string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !holds(); {
		if time.Now().After(deadline) {
			t.Fatalf("after 20 s it is not so that %s", claim)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// serverArgs are those of a cluster of one, on ports that nobody dials from.
func serverArgs(t *testing.T) (api string, args []string) {
	t.Helper()
	addresses := procs.FreeAddrs(t, 3)
	args = []string{
		"server", "--name", "r1", "--data-dir", filepath.Join(t.TempDir(), "data"),
		"--api", addresses[0], "--raft", addresses[1], "--gossip", addresses[2], "--gossip-profile", "local",
	}
	return addresses[0], args
}

// startServer runs a cluster of one, and returns when it is ready.
func startServer(t *testing.T) (c *command, api string, args []string) {
	t.Helper()
	api, args = serverArgs(t)
	c = begin(t, args...)
	eventually(t, "the server is ready", func() bool { return answers(t.Context(), api, "/readyz") == nil })
	return c, api, args
}

func TestAServerAnswersUntilItIsInterruptedAndEndsWith0(t *testing.T) {
	c, api, args := startServer(t)
	for path, want := range map[string]string{
		"/healthz": "ok", "/readyz": "ready", "/metrics": "rota_replica_is_leader 1",
	} {
		if got := get(t, api, path); !strings.Contains(got, want) {
			t.Errorf("%s says %q, want %q in it", path, got, want)
		}
	}
	cl, err := client.Dial([]string{api}, client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	if _, err := cl.Pool("nothing").Info(t.Context(), false); registry.CodeOf(err) != registry.NotFound {
		t.Fatalf("an unknown pool: %v", err)
	}
	page := get(t, api, "/metrics")
	for _, want := range []string{`rota_api_request_seconds_count{code="not_found",procedure="rota.v1.RegistryService/GetPool"} 1`, "raft_apply", "raft_boltdb_storeLogs", "memberlist_", "go_goroutines", "process_cpu_seconds_total"} {
		if !strings.Contains(page, want) {
			t.Errorf("/metrics has no %s", want)
		}
	}
	code, said := c.stop()
	if code != exitOK {
		t.Errorf("interrupted, it ends with %d: %s", code, said)
	}
	if _, err := net.Dial("tcp", api); err == nil {
		t.Error("the port is still open")
	}
	again := begin(t, args...)
	eventually(t, "the same replica is back", func() bool { return answers(t.Context(), api, "/readyz") == nil })
	if code, said := again.stop(); code != exitOK {
		t.Errorf("the second time, it ends with %d: %s", code, said)
	}
}

// The address of gRPC has the API's methods, and ends with it.
func TestAServerHasAPortForGRPC(t *testing.T) {
	api, args := serverArgs(t)
	address := procs.FreeAddrs(t, 1)[0]
	c := begin(t, append(args, "--grpc", address)...)
	eventually(t, "the server is ready", func() bool { return answers(t.Context(), api, "/readyz") == nil })
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	pools := new(rotav1.ListPoolsResponse)
	if err := conn.Invoke(t.Context(), "/rota.v1.RegistryService/ListPools", &rotav1.ListPoolsRequest{}, pools); err != nil || len(pools.GetPools()) != 3 {
		t.Errorf("%d pools, %v", len(pools.GetPools()), err)
	}
	got := runLine(t, "server", "--name", "r2", "--data-dir", t.TempDir(), "--api", "127.0.0.1:0", "--raft", "127.0.0.1:0", "--gossip", "127.0.0.1:0", "--grpc", address)
	if got.code != exitFailed || !strings.Contains(got.err, "--grpc") || !strings.Contains(got.err, address+" is taken by process") {
		t.Errorf("on the same port for gRPC it ends with %d: %s", got.code, got.err)
	}
	if code, said := c.stop(); code != exitOK {
		t.Errorf("interrupted, it ends with %d: %s", code, said)
	}
	if _, err := net.Dial("tcp", address); err == nil {
		t.Error("the port for gRPC is still open")
	}
}

func TestAServerSaysWhatIsTaken(t *testing.T) {
	_, api, args := startServer(t)
	got := runLine(t, args...)
	if got.code != exitFailed || strings.Count(got.err, "is taken by process") != 3 {
		t.Errorf("on the same ports it ends with %d: %s", got.code, got.err)
	}
	got = runLine(t, "server", "--name", "r2", "--data-dir", t.TempDir(), "--api", api, "--raft", "127.0.0.1:0", "--gossip", "127.0.0.1:0")
	if got.code != exitFailed || !strings.Contains(got.err, "tcp port "+api+" is taken by process") {
		t.Errorf("on the same API port it ends with %d: %s", got.code, got.err)
	}
	data := args[4]
	got = runLine(t, "server", "--name", "r1", "--data-dir", data, "--api", "127.0.0.1:0", "--raft", "127.0.0.1:0", "--gossip", "127.0.0.1:0")
	if got.code != exitFailed || !strings.Contains(got.err, data) {
		t.Errorf("on the same directory it ends with %d: %s", got.code, got.err)
	}
}

func TestAnAgentKeepsItsNodeAndSaysGoodbye(t *testing.T) {
	_, api, _ := startServer(t)
	args := []string{"agent", "--name", "worker-1", "--type", "worker", "--servers", api, "--gossip-profile", "local"}
	agent := begin(t, args...)
	c, err := client.Dial([]string{api}, client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	node := func() client.NodeState {
		n, err := c.Node(t.Context(), "worker-1")
		if err != nil {
			return client.NodeState{}
		}
		return n
	}
	eventually(t, "the node is alive", func() bool { return node().State == registry.Alive })
	first := node()

	second := begin(t, args...)
	code, said := second.end()
	if code != exitFailed || !strings.Contains(said, first.Address) || strings.Count(said, "127.0.0.1:") < 2 {
		t.Errorf("a second agent of that name ends with %d: %s", code, said)
	}

	if _, err := c.ForgetNode(t.Context(), "worker-1", "to see it come back"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the forgotten node has joined again", func() bool { return node().State == registry.Alive })
	if again := node(); again.Boot != first.Boot || again.Address != first.Address {
		t.Errorf("it came back as %s at %s, was %s at %s", again.Boot, again.Address, first.Boot, first.Address)
	}

	code, said = agent.stop()
	if n := node(); code != exitOK || n.State != registry.Left {
		t.Errorf("interrupted, it ends with %d, and the node is %s: %s", code, n.State, said)
	}
	if !strings.Contains(said, "was forgotten") {
		t.Errorf("it does not say that it was forgotten: %s", said)
	}
}

func TestAnAgentThatIsReplacedEndsWith1AndSaysByWhom(t *testing.T) {
	f := newFixture(t)
	agent := begin(t, "agent", "--name", "worker-9", "--type", "worker", "--servers", f.address)
	var boot registry.BootID
	eventually(t, "the node has joined", func() bool {
		view, _, err := f.replica.Read(t.Context(), registry.ReadOptions{})
		if err != nil {
			return false
		}
		n, _ := view.Node("worker-9")
		boot = n.Boot
		return boot != ""
	})
	f.replica.must(t, registry.JoinNode{
		Name: "worker-9", Type: registry.Worker, Address: "127.0.0.1:4711", Boot: newBootID(), Replaces: boot, By: "test",
	})
	if code, said := agent.end(); code != exitFailed || !strings.Contains(said, "127.0.0.1:4711") {
		t.Errorf("it ends with %d: %s", code, said)
	}
}

func TestAnAgentWithoutAServerWaitsAndSaysSo(t *testing.T) {
	nobody := procs.FreeAddrs(t, 1)[0]
	agent := begin(t, "agent", "--name", "worker-1", "--type", "worker", "--servers", nobody, "--gossip-profile", "local")
	eventually(t, "it says that nobody answers", func() bool { return strings.Contains(agent.out.String(), "[WARN]") })
	code, said := agent.stop()
	if code != exitOK || strings.Count(said, "[WARN]") != 1 || !strings.Contains(said, nobody) {
		t.Errorf("it ends with %d: %s", code, said)
	}
}

func get(t *testing.T, api, path string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+api+path, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

// TestAHaltEndsAStopThatHangs: a disk that hangs holds up what closes it, and
// the process must end all the same.
func TestAHaltEndsAStopThatHangs(t *testing.T) {
	p := &serverProcess{log: hclog.NewNullLogger(), halted: make(chan error, 1)}
	p.options.name = "r1"
	hangs := make(chan struct{})
	defer close(hangs)
	broken := errors.New("the disk hangs")
	go p.halt(broken)
	err := p.unlessHalted(func() error { <-hangs; return nil })
	if !errors.Is(err, broken) || !strings.Contains(err.Error(), "r1") {
		t.Errorf("it ended with %v", err)
	}
	p.halted = make(chan error, 1)
	if err := p.unlessHalted(func() error { return broken }); err != broken { //nolint:errorlint // as it is
		t.Errorf("without a halt: %v", err)
	}
}
