package e2e_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rota-registry/rota/registry"
	"github.com/rota-registry/rota/tests/procs"
)

const jsonType = "application/json"

// post asks as curl does, and gives the answer's body whole.
func post(t *testing.T, api, method, contentType, body string) (status int, answer string) {
	t.Helper()
	req, err := http.NewRequestWithContext(within(t, back), http.MethodPost, "http://"+api+"/rota.v1."+method, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", contentType)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(b)
}

// TestServer is what a running cluster says to people and programs. Its parts
// share one cluster and come in order: the last one takes its majority away.
func TestServer(t *testing.T) {
	t.Parallel()
	c := workers(t)
	t.Run("pages", func(t *testing.T) { pages(t, c) })
	t.Run("json", func(t *testing.T) { plainJSON(t, c) })
	t.Run("bodies", func(t *testing.T) { bodies(t, c) })
	t.Run("environment", func(t *testing.T) { environment(t, c) })
	t.Run("exit codes", func(t *testing.T) { exitCodes(t, c) })
	t.Run("no majority", func(t *testing.T) { noMajority(t, c) })
}

func pages(t *testing.T, c *procs.Cluster) {
	for _, r := range c.Replicas {
		for path, want := range map[string]string{"/healthz": "ok", "/readyz": "ready", "/": "/rota.v1.RegistryService/"} {
			if status, body, err := procs.Get("http://" + r.API + path); err != nil || status != 200 || !strings.Contains(body, want) {
				t.Errorf("%s%s: %d %q, %v; want %q", r.Name, path, status, body, err, want)
			}
		}
		status, page, err := procs.Get("http://" + r.API + "/metrics")
		if err != nil || status != 200 {
			t.Errorf("%s/metrics: %d, %v", r.Name, status, err)
		}
		for _, want := range []string{"\nraft_", "\nraft_boltdb_", "\nmemberlist_", "\nrota_", "\ngo_goroutines ", "\nprocess_"} {
			if !strings.Contains(page, want) {
				t.Errorf("%s/metrics has no line that begins with %q", r.Name, want[1:])
			}
		}
	}
}

// plainJSON: the API can be used with curl alone, at any replica.
func plainJSON(t *testing.T, c *procs.Cluster) {
	topics := map[string]bool{}
	for _, r := range c.Replicas {
		status, body := post(t, r.API, "RegistryService/HrwTopic", jsonType, `{"pool":"worker","key":{"string":"foobar"}}`)
		var a struct{ Topic, Node, EmptyReason, Epoch, Index, Term, ServedBy string }
		if err := json.Unmarshal([]byte(body), &a); err != nil || status != 200 {
			t.Fatalf("%d %s: %v", status, body, err)
		}
		if a.Topic != "zeek/cluster/node/"+a.Node+"/" || a.ServedBy != r.Name || a.Epoch == "" || a.Index == "" || a.Term == "" || a.EmptyReason != "" {
			t.Errorf("%s answers %s", r.Name, body)
		}
		topics[a.Topic] = true
	}
	if len(topics) != 1 {
		t.Errorf("three replicas gave %v", topics)
	}
	status, body := post(t, c.Replicas[0].API, "RegistryService/HrwTopic", jsonType, `{"pool":"logger","key":{"addr":"10.0.0.1"}}`)
	if status != 200 || !strings.Contains(body, `"topic":""`) || !strings.Contains(body, `"emptyReason":"no_members"`) {
		t.Errorf("nothing eligible: %d %s", status, body)
	}
	status, body = post(t, c.Replicas[1].API, "RegistryService/HrwTopic", jsonType, `{"pool":"worker","key":{"string":"foobar"},"consistency":"local"}`)
	if status != 200 || !strings.Contains(body, `"ageMs":`) {
		t.Errorf("a local read: %d %s", status, body)
	}
}

// bodies: what is not understood, or too large, is refused by name.
func bodies(t *testing.T, c *procs.Cluster) {
	api := c.Replicas[0].API
	for _, contentType := range []string{jsonType, jsonType + "; charset=utf-8"} {
		status, body := post(t, api, "RegistryService/HrwTopic", contentType, `{"pool":"worker","kye":{"string":"foobar"}}`)
		if status != 400 || !strings.Contains(body, "kye") {
			t.Errorf("an unknown field as %s: %d %s", contentType, status, body)
		}
	}
	whole := func(size int) string {
		const head, tail = `{"pool":"worker","key":{"string":"k"}`, `}`
		return head + strings.Repeat(" ", size-len(head)-len(tail)) + tail
	}
	if status, body := post(t, api, "RegistryService/HrwTopic", jsonType, whole(registry.BodyMax)); status != 200 {
		t.Errorf("a body at the limit: %d %s", status, body)
	}
	status, body := post(t, api, "RegistryService/HrwTopic", jsonType, whole(registry.BodyMax+1))
	if status == 200 || !strings.Contains(body, fmt.Sprintf("at most %d", registry.BodyMax)) || !strings.Contains(body, `"code":"limit"`) {
		t.Errorf("a body past the limit: %d %s", status, body)
	}
}

// environment: a flag goes before the environment, and that before the file.
func environment(t *testing.T, c *procs.Cluster) {
	file := filepath.Join(t.TempDir(), "rota.yaml")
	text := fmt.Sprintf("server: [%s]\noutput: json\n", strings.Join(c.APIs(), ", "))
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	isJSON := func(env []string, args ...string) bool {
		t.Helper()
		out, said, code := procs.RunWith(t, env, append([]string{"pool", "list", "--config", file}, args...)...)
		if code != 0 {
			t.Fatalf("%v %v ends with %d: %s", env, args, code, said)
		}
		return json.Valid([]byte(out))
	}
	if !isJSON(nil) {
		t.Error("the file's output is not taken")
	}
	if isJSON([]string{"ROTA_OUTPUT=table"}) {
		t.Error("the file goes before the environment")
	}
	if !isJSON([]string{"ROTA_OUTPUT=table"}, "-o", "json") {
		t.Error("the environment goes before the flag")
	}
	servers := strings.Join(c.APIs(), ",")
	_, said, code := procs.RunWith(t, []string{"ROTA_TIMEOUT=soon"}, "status", "--server", servers)
	if code != 2 || !strings.Contains(said, "ROTA_TIMEOUT") {
		t.Errorf("a bad variable ends with %d: %s", code, said)
	}
	if _, said, code = procs.RunWith(t, []string{"ROTA_TIMEOUT=soon"}, "status", "--server", servers, "--timeout", "5s"); code != 0 {
		t.Errorf("a bad variable behind a good flag ends with %d: %s", code, said)
	}
}

// exitCodes: scripts can tell by the code what happened.
func exitCodes(t *testing.T, c *procs.Cluster) {
	servers := "--server=" + strings.Join(c.APIs(), ",")
	nobody := "--server=" + procs.FreeAddrs(t, 1)[0]
	cases := []struct {
		code  int
		args  string
		texts string // words that stderr must have
	}{
		{0, "status " + servers, ""},
		{0, "hrw worker foobar " + servers, ""},
		{0, "rr worker -n 3 " + servers, ""},
		{0, "log-topic Conn::LOG conn " + servers, ""},
		{1, "pool register worker --type proxy " + servers, "worker replace"},
		{2, "hrw worker", "KEY"},
		{2, "hrw worker foobar --frequency 3", "--frequency"},
		{2, "hrv worker foobar", "hrv"},
		{2, "hrw worker forty-two --type count " + servers, "count forty-two"},
		{2, "status --output xml", "--output xml"},
		{2, "status --timeout 31s", "--timeout 31s"},
		{2, "pool rm worker " + servers, "worker default"},
		{3, "hrw nowhere foobar " + servers, "nowhere"},
		{3, "rr nowhere " + servers, "nowhere"},
		{3, "pool show nowhere " + servers, "nowhere"},
		{3, "pool rm nowhere " + servers, "nowhere"},
		{3, "node show nobody " + servers, "nobody"},
		{3, "node drain nobody " + servers, "nobody"},
		{3, "node forget nobody " + servers, "nobody"},
		{4, "status --timeout 2s " + nobody, nobody[len("--server="):]},
		{4, "hrw worker foobar --timeout 2s " + nobody, nobody[len("--server="):]},
		{4, "rr worker --timeout 2s " + nobody, nobody[len("--server="):]},
		{6, "hrw logger foobar " + servers, "logger"},
		{6, "rr logger " + servers, "logger"},
	}
	for _, tt := range cases {
		wantExit(t, tt.code, tt.args, tt.texts)
	}
	// A replica that is stopped takes connections and answers nothing.
	mute := c.Replicas[2]
	mute.Signal(syscall.SIGSTOP)
	wantExit(t, 5, "hrw worker foobar --timeout 1s --server "+mute.API, "")
	wantExit(t, 5, "rr worker --timeout 1s --server "+mute.API, "session") // none was opened: no turn was taken
	wantExit(t, 7, "pool rebalance --timeout 1s --server "+mute.API, "")
	mute.Signal(syscall.SIGCONT)
	c.AwaitReady(procs.Ready)
}

func wantExit(t *testing.T, want int, args, texts string) {
	t.Helper()
	out, said, code := procs.Run(t, strings.Fields(args)...)
	if code != want {
		t.Errorf("rota %s ends with %d, want %d: %s", args, code, want, said)
	}
	if failed := code != 0; failed && (strings.TrimSpace(out) != "" || !strings.HasPrefix(said, "rota: ")) {
		t.Errorf("rota %s says %q, and prints %q", args, said, out)
	}
	for _, text := range strings.Fields(texts) {
		if !strings.Contains(said, text) {
			t.Errorf("rota %s does not say %q: %s", args, text, said)
		}
	}
}

// noMajority: one replica of three answers status and local reads, and says of
// the rest that nothing was done.
func noMajority(t *testing.T, c *procs.Cluster) {
	for _, r := range c.Replicas[1:] {
		r.Kill()
	}
	alone := c.Replicas[0].API
	procs.Eventually(t, back, func() error {
		out, said, code := procs.Run(t, "status", "--server", alone)
		if code != 4 || !strings.Contains(out, "r1") {
			return fmt.Errorf("status without a leader ends with %d: %s%s", code, out, said)
		}
		return nil
	})
	wantExit(t, 0, "hrw worker foobar --consistency local --server "+alone, "")
	wantExit(t, 4, "hrw worker foobar --timeout 2s --server "+alone, "leader")
	for _, r := range c.Replicas[1:] {
		r.Start()
	}
	c.AwaitReady(procs.Ready)
	wantExit(t, 0, "hrw worker foobar --server "+alone, "")
}

// lone gives the arguments of a cluster of one, on free ports.
func lone(t *testing.T) (args []string, addrs []string) {
	t.Helper()
	addrs = procs.FreeAddrs(t, 3)
	return []string{
		"server", "--name", "r1", "--data-dir", filepath.Join(t.TempDir(), "data"),
		"--api", addrs[0], "--raft", addrs[1], "--gossip", addrs[2], "--gossip-profile", "local",
	}, addrs
}

// TestServerPortTaken: each port that somebody has is named with its owner, and
// nothing is written.
func TestServerPortTaken(t *testing.T) {
	t.Parallel()
	for i, network := range []string{"tcp", "tcp", "tcp", "udp"} {
		args, addrs := lone(t)
		addr := addrs[min(i, 2)]
		occupy(t, network, addr)
		_, said, code := procs.Run(t, args...)
		if code != 1 || !strings.Contains(said, network+" port "+addr) || !strings.Contains(said, fmt.Sprintf("process %d", os.Getpid())) {
			t.Errorf("with %s %s taken it ends with %d: %s", network, addr, code, said)
		}
		flag := []string{"--api", "--raft", "--gossip"}[min(i, 2)]
		if !strings.Contains(said, flag) {
			t.Errorf("with %s %s taken it does not name %s: %s", network, addr, flag, said)
		}
		if _, err := os.Stat(args[4]); err == nil {
			t.Errorf("with %s %s taken it made %s", network, addr, args[4])
		}
		if flag == "--gossip" {
			wantExit(t, 1, "agent --name worker-1 --type worker --gossip "+addr, "--gossip "+addr)
		}
	}
}

func occupy(t *testing.T, network, addr string) {
	t.Helper()
	var c io.Closer
	var err error
	if network == "udp" {
		c, err = net.ListenPacket(network, addr)
	} else {
		c, err = net.Listen(network, addr)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
}

// TestServerExposed: what other machines can reach needs --insecure, which
// warns.
func TestServerExposed(t *testing.T) {
	t.Parallel()
	args, addrs := lone(t)
	for i, flag := range []string{"--api", "--raft", "--gossip"} {
		_, port, _ := net.SplitHostPort(addrs[i])
		_, said, code := procs.Run(t, append(args, flag, "0.0.0.0:"+port, "--advertise", "127.0.0.1")...)
		if code != 2 || !strings.Contains(said, flag+" 0.0.0.0:"+port) || !strings.Contains(said, "--insecure") {
			t.Errorf("%s 0.0.0.0 ends with %d: %s", flag, code, said)
		}
		args = append(args, flag, "0.0.0.0:"+port)
	}
	p := procs.NewProcess(t, t.TempDir(), "exposed", append(args, "--advertise", "127.0.0.1", "--insecure")...)
	p.Start()
	awaitReady(t, addrs[0])
	if said := p.Log(); !strings.Contains(said, "[WARN]") || !strings.Contains(said, "insecure") {
		t.Errorf("it does not warn:\n%s", said)
	}
	wantExit(t, 0, "status --server "+addrs[0], "")
	if code := p.Stop(back); code != 0 {
		t.Errorf("SIGTERM ended it with %d", code)
	}
}

func awaitReady(t *testing.T, api string) {
	t.Helper()
	procs.Eventually(t, procs.Ready, func() error {
		status, body, err := procs.Get("http://" + api + "/readyz")
		if err == nil && status != 200 {
			err = fmt.Errorf("readyz says %d %s", status, body)
		}
		return err
	})
}

// TestServerRefuses: what is wrong with the command line or the configuration
// is said at once, by name.
func TestServerRefuses(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file, config := filepath.Join(dir, "file"), filepath.Join(dir, "rota.yaml")
	write := func(path, text string) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(file, "")
	write(config, "name: r1\n\nhartbeat: 1s\n")
	cases := []struct {
		code int
		more []string
		want []string
	}{
		{2, []string{"--name", ""}, []string{"--name", "empty"}},
		{2, []string{"--name", "r 1"}, []string{"--name", `"r 1"`}},
		{2, []string{"--name", strings.Repeat("r", registry.NameMax+1)}, []string{"--name", "64"}},
		{2, []string{"--data-dir", ""}, []string{"--data-dir"}},
		{1, []string{"--data-dir", file}, []string{file}},
		{1, []string{"--data-dir", file + "/below"}, []string{file}},
		{2, []string{"--replicas", "r1,r2"}, []string{"--replicas", `"r1"`, `"r2"`}},
		{2, []string{"--replicas", "127.0.0.1:0"}, []string{"--replicas", "127.0.0.1:0"}},
		{2, []string{"--replicas", "127.0.0.1:70000"}, []string{"--replicas", "70000"}},
		{2, []string{"--replicas", strings.TrimSuffix(strings.Repeat("127.0.0.1:7700,", registry.ReplicasMax+1), ",")}, []string{"--replicas", "16", "15"}},
		{2, []string{"--api", "127.0.0.1"}, []string{"--api", "127.0.0.1", "host:port"}},
		{2, []string{"--heartbeat", "1ms"}, []string{"--heartbeat 1ms"}},
		{2, []string{"--gossip-profile", "wan"}, []string{"--gossip-profile", "wan"}},
		{2, []string{"--log-level", "loud"}, []string{"--log-level", "loud"}},
		{2, []string{"--config", config}, []string{config + ":3", `"hartbeat"`}},
		{2, []string{"--config", config + "x"}, []string{config + "x"}},
		{2, []string{"more"}, []string{`"more"`}},
	}
	for _, tt := range cases {
		args, _ := lone(t)
		_, said, code := procs.Run(t, append(args, tt.more...)...)
		if code != tt.code {
			t.Errorf("%q ends with %d, want %d: %s", tt.more, code, tt.code, said)
		}
		for _, want := range tt.want {
			if !strings.Contains(said, want) {
				t.Errorf("%q does not say %q: %s", tt.more, want, said)
			}
		}
	}
}

// TestDataDirInUse: two processes never write one directory.
func TestDataDirInUse(t *testing.T) {
	t.Parallel()
	args, addrs := lone(t)
	first := procs.NewProcess(t, t.TempDir(), "first", args...)
	first.Start()
	awaitReady(t, addrs[0])
	other, _ := lone(t)
	_, said, code := procs.Run(t, append(other, "--data-dir", args[4])...)
	if code != 1 || !strings.Contains(said, args[4]) {
		t.Errorf("on a directory in use it ends with %d: %s", code, said)
	}
	awaitReady(t, addrs[0])
	if code := first.Stop(back); code != 0 {
		t.Errorf("SIGTERM ended the first with %d", code)
	}
}

// TestAloneAndWaiting: what waits for others says so, and ends with 0 when it
// is told to.
func TestAloneAndWaiting(t *testing.T) {
	t.Parallel()
	c := procs.New(t, 3)
	r := c.Replicas[0]
	r.Start()
	procs.Eventually(t, procs.Ready, func() error {
		status, body, err := procs.Get("http://" + r.API + "/readyz")
		if err != nil || status != 503 || !strings.Contains(body, c.Replicas[1].API) || !strings.Contains(r.Log(), c.Replicas[1].API) {
			return fmt.Errorf("it does not say for whom it waits: %d %s %w", status, body, err)
		}
		return nil
	})
	agent := c.Agent("worker-1", registry.Worker)
	lost := procs.NewProcess(t, c.Dir(), "lost", "agent", "--name", "worker-2", "--type", "worker", "--servers", procs.FreeAddrs(t, 1)[0])
	lost.Start()
	for p, server := range map[*procs.Process]string{agent: c.APIs()[0], lost: lost.Args[6]} {
		procs.Eventually(t, back, func() error {
			if log := p.Log(); !strings.Contains(log, "[WARN]") || !strings.Contains(log, server) {
				return fmt.Errorf("agent %s does not say that %s gives it no answer: %s", p.Name, server, log)
			}
			return nil
		})
	}
	for _, p := range []*procs.Process{r.Process, agent, lost} {
		began := time.Now()
		if code := p.Stop(back); code != 0 {
			t.Errorf("SIGTERM ended %s with %d after %s", p.Name, code, time.Since(began))
		}
	}
	if strings.Contains(r.Log(), "cluster founded") {
		t.Error("one of three has founded a cluster")
	}
}
