package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// childTailLines is how much of a child's log is remembered for its obituary.
const childTailLines = 5

// child is one life of a process that rota dev has started.
type child struct {
	spec    childSpec
	pid     int
	started time.Time
	process *os.Process
	leash   io.Closer // the child's standard input, held open for its life
	log     *childLog
	// done is closed when the process has ended and its log is whole; state is
	// set before.
	done  chan struct{}
	state *os.ProcessState
}

// startChild starts a process whose log is appended to the file, and whose
// warnings go to warn, which must not block for long.
func startChild(spec childSpec, exe, logFile string, warn func(line string)) (*child, error) {
	log, err := openChildLog(logFile, warn)
	if err != nil {
		return nil, err
	}
	cmd := &exec.Cmd{
		Path: exe, Args: append([]string{"rota"}, spec.args...), Env: childEnvironment(os.Environ()),
		Stdout: log, Stderr: log, SysProcAttr: childAttributes(), WaitDelay: time.Second,
	}
	leash, err := cmd.StdinPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start %s: %w", spec.name, err), log.Close())
	}
	c := &child{
		spec: spec, pid: cmd.Process.Pid, started: time.Now(), process: cmd.Process,
		leash: leash, log: log, done: make(chan struct{}),
	}
	go c.reap(cmd)
	return c, nil
}

// reap ends when the process has.
func (c *child) reap(cmd *exec.Cmd) {
	defer close(c.done)
	_ = cmd.Wait() // what it says is in the state
	c.state = cmd.ProcessState
	_ = c.log.Close()
}

// childEnvironment takes out what configures this process: children get all of
// their configuration as flags, so that their command line is the whole of it.
func childEnvironment(environ []string) []string {
	kept := slices.DeleteFunc(slices.Clone(environ), func(pair string) bool {
		return strings.HasPrefix(pair, envPrefix)
	})
	return append(kept, leashVariable+"=1")
}

// ended reports whether the process has ended.
func (c *child) ended() bool {
	select {
	case <-c.done:
		return true
	default:
		return false
	}
}

// stop asks the process to end; one that is stopped (SIGSTOP) is woken for it.
func (c *child) stop() {
	_ = c.process.Signal(syscall.SIGTERM)
	_ = c.process.Signal(syscall.SIGCONT)
}

// kill ends it without asking.
func (c *child) kill() { _ = c.process.Kill() }

// obituary says how it ended; only once it has.
func (c *child) obituary() string {
	status, ok := c.state.Sys().(syscall.WaitStatus)
	if ok && status.Signaled() {
		return "was killed by " + signalName(status.Signal())
	}
	if c.state.Success() {
		return "was stopped, and has ended as it should"
	}
	return fmt.Sprintf("ended with exit code %d", c.state.ExitCode())
}

// signalName gives the names that people type; the rest by its number.
func signalName(s syscall.Signal) string {
	names := map[syscall.Signal]string{
		syscall.SIGKILL: "SIGKILL", syscall.SIGTERM: "SIGTERM", syscall.SIGINT: "SIGINT", syscall.SIGSEGV: "SIGSEGV",
		syscall.SIGABRT: "SIGABRT", syscall.SIGQUIT: "SIGQUIT", syscall.SIGHUP: "SIGHUP", syscall.SIGBUS: "SIGBUS",
	}
	if name, ok := names[s]; ok {
		return name
	}
	return fmt.Sprintf("signal %d (%s)", int(s), s)
}

// childLog writes a child's output to its file, a line at a time, and picks out
// what its parent should tell.
type childLog struct {
	warn func(line string)
	file *os.File

	mu struct {
		sync.Mutex
		partial []byte
		tail    []string
	}
}

func openChildLog(path string, warn func(string)) (*childLog, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	file, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	return &childLog{warn: warn, file: file}, nil
}

// lineMax bounds a line that is looked at; a longer one is cut into several.
const lineMax = 16 << 10

// Write implements io.Writer. It never fails: a full disk must not end the
// child, too.
func (l *childLog) Write(p []byte) (int, error) {
	lines := l.split(p)
	_, _ = l.file.Write(p)
	for _, line := range lines {
		if isWarning(line) {
			l.warn(line)
		}
	}
	return len(p), nil
}

// split gives the lines that are whole now, and remembers the last ones.
func (l *childLog) split(p []byte) []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.mu.partial = append(l.mu.partial, p...)
	var lines []string
	for {
		i := bytes.IndexByte(l.mu.partial, '\n')
		if i < 0 && len(l.mu.partial) < lineMax {
			break
		}
		if i < 0 {
			i = len(l.mu.partial) - 1
		}
		lines = append(lines, string(bytes.TrimRight(l.mu.partial[:i+1], "\r\n")))
		l.mu.partial = l.mu.partial[i+1:]
	}
	l.mu.tail = append(l.mu.tail, lines...)
	l.mu.tail = l.mu.tail[max(0, len(l.mu.tail)-childTailLines):]
	return lines
}

// lastLines are the end of the log.
func (l *childLog) lastLines() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.mu.tail)
}

// Close implements io.Closer.
func (l *childLog) Close() error { return l.file.Close() }

// isWarning is true of what hclog writes at Warn and above, of what rota says
// when it ends with an error, and of a crash.
func isWarning(line string) bool {
	return strings.Contains(line, " [WARN] ") || strings.Contains(line, " [ERROR]") ||
		strings.HasPrefix(line, "rota: ") || strings.HasPrefix(line, "panic: ") || strings.HasPrefix(line, "fatal error: ")
}
