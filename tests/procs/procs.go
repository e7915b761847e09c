// Package procs runs rota as its users do: the built binary, in real processes
// on loopback, with signals for faults. The conformance and e2e tests share it.
//
// A Cluster owns every process that it started and ends it, by its process id,
// when the test ends. What a test waits for, it waits for with a deadline.
package procs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rota-registry/rota/rpc/client"
)

// Ready is how long a cluster may take to come up on a busy machine.
const Ready = 30 * time.Second

// Binary builds rota, once for all tests of a process, and gives its path.
func Binary(t testing.TB) string {
	t.Helper()
	path, err := build()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// FaultyBinary is a Binary that takes faults from outside, and is good for
// nothing else: see package fsm/replica.
func FaultyBinary(t testing.TB) string {
	t.Helper()
	path, err := buildFaulty()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

var (
	build       = sync.OnceValues(func() (string, error) { return buildAs("rota") })
	buildFaulty = sync.OnceValues(func() (string, error) { return buildAs("rota-faulty", "-tags", "rotatest") })
)

func buildAs(name string, flags ...string) (string, error) {
	_, here, _, _ := runtime.Caller(0)
	root := filepath.Join(filepath.Dir(here), "..", "..")
	path := filepath.Join(root, "bin", name)
	// Test processes that build at the same time must not see half a binary.
	mine := fmt.Sprintf("%s.%d", path, os.Getpid())
	cmd := exec.Command("go", append(append([]string{"build", "-o", mine}, flags...), "./cmd/rota")...)
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building rota: %w\n%s", err, out)
	}
	return path, os.Rename(mine, path)
}

// Process is one run of the binary, and what starts it again.
type Process struct {
	Name string
	Args []string
	// Env is added to the test's own environment, KEY=VALUE each.
	Env []string
	// Binary is what is run, and Within a command that runs it, in a namespace
	// say: it must become the binary and not start it.
	Binary string
	Within []string

	t    testing.TB
	log  string
	cmd  *exec.Cmd
	done chan struct{} // closed when the process has ended
	err  error         // of Wait, once done is closed
}

// NewProcess makes a process and does not start it. Its output goes to files
// in dir, which are shown when the test fails.
func NewProcess(t testing.TB, dir, name string, args ...string) *Process {
	t.Helper()
	p := &Process{Name: name, Args: args, t: t, Binary: Binary(t), log: filepath.Join(dir, name+".log")}
	t.Cleanup(func() {
		p.Kill()
		if t.Failed() {
			t.Logf("--- %s: rota %s\n%s", p.Name, strings.Join(p.Args, " "), p.tail())
		}
	})
	return p
}

// Start runs the process; it must not be running.
func (p *Process) Start() {
	p.t.Helper()
	f, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		p.t.Fatal(err)
	}
	defer f.Close()
	out, err := os.OpenFile(p.log+".stdout", os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		p.t.Fatal(err)
	}
	defer out.Close()
	line := slices.Concat(p.Within, []string{p.Binary}, p.Args)
	p.cmd = exec.Command(line[0], line[1:]...)
	p.cmd.Stdout, p.cmd.Stderr = out, f
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	p.cmd.Env = append(append(os.Environ(), "ROTA_SERVER="), p.Env...)
	if err := p.cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	p.done = make(chan struct{})
	go func(cmd *exec.Cmd, done chan struct{}) {
		p.err = cmd.Wait()
		close(done)
	}(p.cmd, p.done)
}

// Running reports whether the process has been started and has not ended.
func (p *Process) Running() bool {
	if p.done == nil {
		return false
	}
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

// Pid is the process id of the last start.
func (p *Process) Pid() int { return p.cmd.Process.Pid }

// Signal sends a signal to the process.
func (p *Process) Signal(s syscall.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Fatalf("%s: %v: %v", p.Name, s, err)
	}
}

// Kill is kill -9; it returns when the process is gone.
func (p *Process) Kill() {
	if !p.Running() {
		return
	}
	_ = p.cmd.Process.Kill()
	<-p.done
}

// Stop is SIGTERM; it gives the exit code, and fails the test when the process
// is not gone within the time.
func (p *Process) Stop(within time.Duration) int {
	p.t.Helper()
	p.Signal(syscall.SIGTERM)
	return p.Exit(within)
}

// Exit waits for the process to end by itself and gives its exit code.
func (p *Process) Exit(within time.Duration) int {
	p.t.Helper()
	select {
	case <-p.done:
	case <-time.After(within):
		p.t.Fatalf("%s has not ended within %s", p.Name, within)
	}
	if exit, ok := errors.AsType[*exec.ExitError](p.err); ok {
		return exit.ExitCode()
	}
	if p.err != nil {
		p.t.Fatalf("%s: %v", p.Name, p.err)
	}
	return 0
}

// Log gives all that the process has written to stderr, over all its runs.
func (p *Process) Log() string { return read(p.log) }

// Stdout gives all that the process has written to stdout, over all its runs.
func (p *Process) Stdout() string { return read(p.log + ".stdout") }

// read gives a file's text, of one that is not there yet none.
func read(path string) string {
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return ""
	}
	if err != nil {
		return err.Error()
	}
	return string(b)
}

func (p *Process) tail() string {
	const most = 6000
	s := p.Stdout() + p.Log()
	return s[max(0, len(s)-most):]
}

// Run runs a command to its end and gives what it printed and its exit code.
func Run(t testing.TB, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	return RunWith(t, nil, args...)
}

// RunWith is Run with more in the environment, KEY=VALUE each.
func RunWith(t testing.TB, env []string, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	var out, talk strings.Builder
	cmd := exec.CommandContext(ctx, Binary(t), args...)
	cmd.Stdout, cmd.Stderr = &out, &talk
	cmd.Env = append(os.Environ(), env...)
	err := cmd.Run()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return out.String(), talk.String(), exit.ExitCode()
	}
	if err != nil {
		t.Fatalf("rota %s: %v", strings.Join(args, " "), err)
	}
	return out.String(), talk.String(), 0
}

// Eventually calls check until it gives nil, or fails the test with its last
// error when the time is over.
func Eventually(t testing.TB, within time.Duration, check func() error) {
	t.Helper()
	end := time.Now().Add(within)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := check()
		if err == nil {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("not within %s: %v", within, err)
		}
		<-tick.C
	}
}

// Get asks a replica over plain HTTP; the body is at most 1 MiB.
func Get(url string) (status int, body string, err error) {
	c := http.Client{Timeout: 5 * time.Second}
	res, err := c.Get(url)
	if err != nil {
		return 0, "", err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	return res.StatusCode, string(b), err
}

// Dial gives a client of the API addresses, closed when the test ends.
func Dial(t testing.TB, servers ...string) *client.Client {
	t.Helper()
	c, err := client.Dial(servers, client.Options{By: "test"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// Kill9 sends SIGKILL and does not wait: several processes die at once.
func (p *Process) Kill9() error { return p.cmd.Process.Kill() }
