package e2e_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rota-registry/rota/registry"
	"github.com/rota-registry/rota/rpc/client"
	"github.com/rota-registry/rota/tests/procs"
)

// devEnd is how long rota dev may take to end all its processes.
const devEnd = 15 * time.Second

// row is a line of the table that rota dev prints.
type row struct {
	name, role, api, raft, gossip string
	pid                           int
}

// devCluster is a rota dev under test.
type devCluster struct {
	*procs.Process
	t    *testing.T
	base int
	tmp  string // its TMPDIR
	rows []row
}

// newDev makes a rota dev on free ports and starts nothing.
func newDev(t *testing.T, args ...string) *devCluster {
	t.Helper()
	base := procs.FreeBase(t, 0, 1, 2, 10, 11, 12, 20, 21, 22)
	dir := t.TempDir()
	d := &devCluster{t: t, base: base, tmp: filepath.Join(dir, "tmp")}
	if err := os.Mkdir(d.tmp, 0o700); err != nil {
		t.Fatal(err)
	}
	d.Process = procs.NewProcess(t, dir, "dev", append([]string{"dev", "--port", strconv.Itoa(base)}, args...)...)
	d.Env = []string{"TMPDIR=" + d.tmp}
	return d
}

// up starts it and waits for its table and what it suggests to try.
func (d *devCluster) up() *devCluster {
	d.t.Helper()
	was := strings.Count(d.Log(), "\nready; ")
	before := len(d.Stdout())
	d.Start()
	procs.Eventually(d.t, procs.Ready, func() error {
		if !d.Running() {
			d.t.Fatal("rota dev has ended before it was ready")
		}
		if strings.Count(d.Log(), "\nready; ") == was || !strings.Contains(d.Log(), "Ctrl-C stops them all") {
			return fmt.Errorf("rota dev is not ready:\n%s", d.Log())
		}
		return nil
	})
	d.rows = parseTable(d.t, d.Stdout()[before:])
	return d
}

func parseTable(t *testing.T, text string) []row {
	t.Helper()
	lines := strings.Split(strings.TrimSpace(text), "\n")
	if got := strings.Fields(lines[0]); !slices.Equal(got, []string{"NAME", "ROLE", "PID", "API", "RAFT", "GOSSIP"}) {
		t.Fatalf("the table begins with %q", got)
	}
	var rows []row
	for _, line := range lines[1:] {
		f := strings.Fields(line)
		if len(f) != 6 {
			t.Fatalf("the table has a line %q", line)
		}
		pid, err := strconv.Atoi(f[2])
		if err != nil {
			t.Fatal(err)
		}
		rows = append(rows, row{name: f[0], role: f[1], pid: pid, api: f[3], raft: f[4], gossip: f[5]})
	}
	return rows
}

// servers are the replicas' API addresses.
func (d *devCluster) servers() string {
	var list []string
	for i := range 3 {
		list = append(list, d.at(10*i))
	}
	return strings.Join(list, ",")
}

func (d *devCluster) at(offset int) string { return "127.0.0.1:" + strconv.Itoa(d.base+offset) }

func (d *devCluster) row(name string) row {
	d.t.Helper()
	i := slices.IndexFunc(d.rows, func(r row) bool { return r.name == name })
	if i < 0 {
		d.t.Fatalf("the table has no %s", name)
	}
	return d.rows[i]
}

func (d *devCluster) client() *client.Client {
	return procs.Dial(d.t, strings.Split(d.servers(), ",")...)
}

// awaitSaid waits until rota dev has said all of these after a place in its log.
func (d *devCluster) awaitSaid(from int, patterns ...string) string {
	d.t.Helper()
	said := ""
	procs.Eventually(d.t, procs.Ready, func() error {
		said = d.Log()[from:]
		for _, p := range patterns {
			if !regexp.MustCompile(p).MatchString(said) {
				return fmt.Errorf("it does not say %q:\n%s", p, said)
			}
		}
		return nil
	})
	return said
}

// awaitGone waits until no process has any of the ids.
func (d *devCluster) awaitGone(within time.Duration) {
	d.t.Helper()
	procs.Eventually(d.t, within, func() error {
		for _, r := range d.rows {
			if alive(r.pid) {
				return fmt.Errorf("%s, process %d, is still there", r.name, r.pid)
			}
		}
		return nil
	})
}

// alive is not true of a process that has ended and that nobody has waited for:
// an orphan's new parent, in a container, may never do so.
func alive(pid int) bool {
	if syscall.Kill(pid, 0) != nil {
		return false
	}
	state, err := exec.Command("ps", "-o", "stat=", "-p", strconv.Itoa(pid)).Output()
	return err == nil && !strings.HasPrefix(strings.TrimSpace(string(state)), "Z")
}

// interrupt is Ctrl-C; it wants an end with 0 and no process left.
func (d *devCluster) interrupt() {
	d.t.Helper()
	d.Signal(syscall.SIGINT)
	if code := d.Exit(devEnd); code != 0 {
		d.t.Errorf("Ctrl-C ended it with %d", code)
	}
	d.awaitGone(time.Second)
}

// kill9 is what a person does with a line of the table.
func (d *devCluster) kill9(name string) {
	d.t.Helper()
	if err := syscall.Kill(d.row(name).pid, syscall.SIGKILL); err != nil {
		d.t.Fatal(err)
	}
}

// byHand is the command line that starts a child again, as rota dev says it.
func byHand(t *testing.T, said, name string) string {
	t.Helper()
	m := regexp.MustCompile(`(?m)^ +(\S+ (?:server|agent) --name ` + name + ` .*)$`).FindStringSubmatch(said)
	if m == nil {
		t.Fatalf("no command line starts %s again:\n%s", name, said)
	}
	return m[1]
}

// runByHand starts it in a shell; it ends with the test.
func runByHand(t *testing.T, line string) {
	t.Helper()
	cmd := exec.Command("/bin/sh", "-c", "exec "+line)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
}

// TestDev: rota dev is a cluster of real processes, each of which may be
// killed, and what that changes is said; Ctrl-C leaves nothing behind.
func TestDev(t *testing.T) {
	t.Parallel()
	d := newDev(t).up()
	d.wantTable("r1 replica", "r2 replica", "r3 replica", "manager manager", "worker-1 worker", "worker-2 worker",
		"proxy-1 proxy", "proxy-2 proxy", "logger-1 logger", "logger-2 logger")
	for i, name := range []string{"r1", "r2", "r3"} {
		if r := d.row(name); r.api != d.at(10*i) || r.raft != d.at(10*i+1) || r.gossip != d.at(10*i+2) {
			t.Errorf("%s is at %s, %s and %s", name, r.api, r.raft, r.gossip)
		}
	}
	d.wantRealProcesses()
	d.wantSuggestions()
	if left := entries(t, d.tmp); len(left) != 1 {
		t.Errorf("the temporary directory has %v, want one of rota dev", left)
	}
	d.wantNodeReported("proxy-1")
	d.wantLeaderReported()
	d.interrupt()
	if left := entries(t, d.tmp); len(left) > 0 {
		t.Errorf("after the end there is still %v", left)
	}
}

func entries(t *testing.T, dir string) []string {
	t.Helper()
	list, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range list {
		names = append(names, e.Name())
	}
	return names
}

func (d *devCluster) wantTable(want ...string) {
	d.t.Helper()
	var got []string
	for _, r := range d.rows {
		got = append(got, r.name+" "+r.role)
		if !alive(r.pid) {
			d.t.Errorf("%s has no process %d", r.name, r.pid)
		}
		if _, port, err := net.SplitHostPort(r.gossip); err != nil || port == "0" {
			d.t.Errorf("%s gossips at %s", r.name, r.gossip)
		}
	}
	if !slices.Equal(got, want) {
		d.t.Errorf("the table has %q, want %q", got, want)
	}
}

// wantRealProcesses: ps shows what each child is; Ctrl-C, which goes to a
// process group, reaches the parent alone; no child outlives the terminal.
func (d *devCluster) wantRealProcesses() {
	d.t.Helper()
	session := ps(d.t, d.Pid(), "sid")
	for _, r := range d.rows {
		want := fmt.Sprintf("rota agent --name %s --type %s ", r.name, r.role)
		if r.role == "replica" {
			want = fmt.Sprintf("rota server --name %s ", r.name)
		}
		if args := ps(d.t, r.pid, "args"); !strings.HasPrefix(args, want) {
			d.t.Errorf("ps shows %s as %q", r.name, args)
		}
		if group := ps(d.t, r.pid, "pgid"); group != strconv.Itoa(r.pid) {
			d.t.Errorf("%s, process %d, is in group %s", r.name, r.pid, group)
		}
		if sid := ps(d.t, r.pid, "sid"); sid != session {
			d.t.Errorf("%s is in session %s, rota dev in %s", r.name, sid, session)
		}
		if parent := ps(d.t, r.pid, "ppid"); parent != strconv.Itoa(d.Pid()) {
			d.t.Errorf("%s is a child of %s", r.name, parent)
		}
	}
}

func ps(t *testing.T, pid int, column string) string {
	t.Helper()
	out, err := exec.Command("ps", "-ww", "-o", column+"=", "-p", strconv.Itoa(pid)).Output()
	if err != nil {
		t.Errorf("ps of process %d: %v", pid, err)
	}
	return strings.TrimSpace(string(out))
}

// wantSuggestions: what it says to try can be pasted, and succeeds.
func (d *devCluster) wantSuggestions() {
	d.t.Helper()
	lines := regexp.MustCompile(`(?m)^ +(\S*rota (?:status|hrw|rr) .*)$`).FindAllStringSubmatch(d.Log(), -1)
	if len(lines) != 3 {
		d.t.Fatalf("it suggests %d commands, want 3:\n%s", len(lines), d.Log())
	}
	for _, line := range lines {
		ctx, cancel := context.WithTimeout(context.Background(), procs.Ready)
		out, err := exec.CommandContext(ctx, "/bin/sh", "-c", line[1]).CombinedOutput()
		cancel()
		if err != nil || len(out) == 0 {
			d.t.Errorf("%s: %v\n%s", line[1], err, out)
		}
	}
}

// wantNodeReported: the death of a node is told with its consequences and with
// what undoes it, which then does.
func (d *devCluster) wantNodeReported(name string) {
	d.t.Helper()
	from := len(d.Log())
	d.kill9(name)
	pid := d.row(name).pid
	said := d.awaitSaid(from, fmt.Sprintf(`%s \(process %d\) was killed by SIGKILL`, name, pid),
		"pools that lose it: proxy", name+` is failed now; pool proxy has 1 of 2 eligible`)
	runByHand(d.t, byHand(d.t, said, name))
	c := d.client()
	await(d.t, back, func(ctx context.Context) (client.NodeState, error) {
		n, err := c.Node(ctx, registry.NodeName(name))
		if err == nil && n.State != registry.Alive {
			err = fmt.Errorf("%s is %s", name, n.State)
		}
		return n, err
	})
}

// wantLeaderReported: so is the death of the leader, which stays dead until
// somebody starts it.
func (d *devCluster) wantLeaderReported() {
	d.t.Helper()
	leader := d.leader()
	from := len(d.Log())
	d.kill9(leader)
	said := d.awaitSaid(from, leader+` \(process \d+\) was killed by SIGKILL`, "it was the leader", `r\d leads now, in term \d+`)
	stays := time.Now().Add(4 * time.Second)
	for tick := time.NewTicker(100 * time.Millisecond); time.Now().Before(stays); <-tick.C {
		if c, err := net.Dial("tcp", d.row(leader).api); err == nil {
			c.Close()
			d.t.Fatalf("%s is back, though nobody said to start it again", leader)
		}
	}
	if strings.Contains(d.Log()[from:], "is started again") {
		d.t.Errorf("it says that it starts it again:\n%s", d.Log()[from:])
	}
	byHand(d.t, said, leader)
}

func (d *devCluster) leader() string {
	d.t.Helper()
	c := d.client()
	s := await(d.t, back, func(ctx context.Context) (client.Status, error) {
		s, err := c.Status(ctx)
		if err == nil && s.Leader == "" {
			err = fmt.Errorf("nobody leads")
		}
		return s, err
	})
	return string(s.Leader)
}

// TestDevStartsAgain: with --restart-after what was killed comes back, and
// kill -9 of rota dev itself leaves no child behind.
func TestDevStartsAgain(t *testing.T) {
	t.Parallel()
	d := newDev(t, "--restart-after", "2s", "--agents", "worker=3,proxy=1").up()
	d.wantTable("r1 replica", "r2 replica", "r3 replica", "worker-1 worker", "worker-2 worker", "worker-3 worker", "proxy-1 proxy")
	leader, from := d.leader(), len(d.Log())
	d.kill9(leader)
	d.kill9("worker-3")
	said := d.awaitSaid(from, leader+` is started again, as process \d+`, `worker-3 is started again, as process \d+`, leader+" is ready again")
	for i, r := range d.rows {
		again := regexp.MustCompile(r.name + ` is started again, as process (\d+)`).FindStringSubmatch(said)
		if again != nil {
			d.rows[i].pid, _ = strconv.Atoi(again[1])
		}
	}
	c := d.client()
	await(t, back, func(ctx context.Context) (client.PoolState, error) {
		p, err := c.Pool("worker").Info(ctx, false)
		if err == nil && p.EligibleCount != 3 {
			err = fmt.Errorf("%d workers are eligible", p.EligibleCount)
		}
		return p, err
	})
	d.wantRealProcesses()
	// Even one that is stopped, and could notice nothing by itself.
	if err := syscall.Kill(d.row("worker-1").pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	d.Kill()
	d.awaitGone(5 * time.Second)
}

// TestDevKeepsItsData: with --data-dir a second start goes on where the first
// one ended.
func TestDevKeepsItsData(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "kept")
	d := newDev(t, "--data-dir", dir, "--agents", "worker=1").up()
	if _, err := d.client().RegisterPool(within(t, back), registry.Spec{Name: "kept", NodeType: registry.Worker}, client.RegisterOptions{}); err != nil {
		t.Fatal(err)
	}
	d.interrupt()
	for _, name := range []string{"r1", "r2", "r3", "logs"} {
		if !slices.Contains(entries(t, dir), name) {
			t.Errorf("%s has %v, and not %s", dir, entries(t, dir), name)
		}
	}
	if left := entries(t, d.tmp); len(left) > 0 {
		t.Errorf("with --data-dir it made %v", left)
	}
	d.up()
	p, err := d.client().Pool("kept").Info(within(t, back), false)
	if err != nil || p.EligibleCount != 1 {
		t.Errorf("the pool of the first start has %d eligible nodes: %v", p.EligibleCount, err)
	}
	d.interrupt()
}

// TestDevLeavesWhatOthersStarted: a replica that somebody has started by hand
// is seen to be back; it is not stopped, and its data not removed.
func TestDevLeavesWhatOthersStarted(t *testing.T) {
	t.Parallel()
	d := newDev(t, "--agents", "worker=1").up()
	from := len(d.Log())
	d.kill9("r2")
	runByHand(t, byHand(t, d.awaitSaid(from, "it was|no majority"), "r2"))
	d.awaitSaid(from, `r2 is ready again, r\d leads`)
	// It counts among those that are left, though it is nobody's child.
	from = len(d.Log())
	d.kill9("r3")
	if said := d.awaitSaid(from, "it was the leader|it was a follower"); strings.Contains(said, "no majority") {
		t.Errorf("with r1 and r2 up it says:\n%s", said)
	}
	d.interrupt()
	d.awaitSaid(from, "r2 was not stopped, for it was started by hand", "is kept in "+d.tmp)
	if status, body, err := procs.Get("http://" + d.row("r2").api + "/healthz"); err != nil || status != 200 {
		t.Errorf("r2 says %d %s: %v", status, body, err)
	}
	kept := entries(t, d.tmp)
	if len(kept) != 1 || !slices.Contains(entries(t, filepath.Join(d.tmp, kept[0])), "r2") {
		t.Errorf("what is left is %v", kept)
	}
}

// TestDevRefuses: what cannot work is said before anything is started.
func TestDevRefuses(t *testing.T) {
	t.Parallel()
	for _, offset := range []int{0, 11, 22} {
		d := newDev(t)
		l, err := net.Listen("tcp", d.at(offset))
		if err != nil {
			t.Fatal(err)
		}
		d.Start()
		if code := d.Exit(devEnd); code != 1 || !strings.Contains(d.Log(), d.at(offset)) {
			t.Errorf("with port %s taken it ends with %d: %s", d.at(offset), code, d.Log())
		}
		l.Close()
		if left := entries(t, d.tmp); len(left) > 0 || strings.Contains(d.Log(), "starting") {
			t.Errorf("with a port taken it made %v and said %s", left, d.Log())
		}
	}
	for _, agents := range []string{"worker", "worker=x", "worker=-1", "worker=101", "Worker=1", "worker=1,worker=2"} {
		d := newDev(t, "--agents", agents)
		d.Start()
		if code := d.Exit(devEnd); code != 2 || !strings.Contains(d.Log(), "--agents") {
			t.Errorf("--agents %s ends with %d: %s", agents, code, d.Log())
		}
		if left := entries(t, d.tmp); len(left) > 0 {
			t.Errorf("--agents %s made %v", agents, left)
		}
	}
}
