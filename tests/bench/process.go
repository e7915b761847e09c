package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"
)

const (
	// startTimeout is how long a group of processes may take to come up.
	startTimeout = time.Minute
	// stopTimeout is how long a process may take to end by itself.
	stopTimeout = 10 * time.Second
)

// process is a server that this program started and ends, by its process id.
type process struct {
	name, log string
	binary    string
	args      []string
	cmd       *exec.Cmd
	done      chan struct{} // closed when it has ended
}

// start runs a binary with its output in dir. It gets a process group of its
// own, so that Ctrl-C reaches this program alone, which then ends it.
func start(dir, name, binary string, args ...string) (*process, error) {
	p := &process{name: name, log: filepath.Join(dir, name+".log"), binary: binary, args: args}
	return p, p.start()
}

func (p *process) start() error {
	log, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd, done := exec.Command(p.binary, p.args...), make(chan struct{})
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("starting %s: %w", p.name, err)
	}
	p.cmd, p.done = cmd, done
	go func() {
		_ = cmd.Wait()
		close(done)
	}()
	return nil
}

// stop asks the process to end, and waits until it is gone.
func (p *process) stop() {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(stopTimeout):
		p.kill()
	}
}

// restart asks the process to end, and starts it again.
func (p *process) restart() error {
	p.stop()
	return p.start()
}

// kill ends the process and waits until it is gone.
func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	<-p.done
}

func (p *process) running() bool {
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

// fail is the error of a process that did not do what it should, with the end
// of what it had to say.
func (p *process) fail(why error) error {
	const most = 2000
	text, _ := os.ReadFile(p.log)
	return fmt.Errorf("%s: %w\n%s", p.name, why, text[max(0, len(text)-most):])
}

// processes are a group that starts and ends together.
type processes []*process

// kill ends all, in reverse.
func (all processes) kill() {
	for _, p := range slices.Backward(all) {
		p.kill()
	}
}

// await polls until check gives nil. A process that ends meanwhile, or a time
// that is over, is an error.
func (all processes) await(ctx context.Context, check func(context.Context) error) error {
	deadline := time.Now().Add(startTimeout)
	for {
		try, cancel := context.WithTimeout(ctx, 5*time.Second)
		err := check(try)
		cancel()
		if err == nil {
			return nil
		}
		for _, p := range all {
			if !p.running() {
				return p.fail(errors.New("it ended by itself"))
			}
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if time.Now().After(deadline) {
			return all[0].fail(fmt.Errorf("not within %s: %w", startTimeout, err))
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// The ports that servers get: below the range from which the kernel gives ports
// to outgoing connections.
const (
	portFirst = 11_000
	portLast  = 31_000
)

// addrs gives addresses, and none twice before all have been given.
type addrs struct{ next int }

// free gives n loopback addresses, host:port, that are free for TCP and UDP.

func (a *addrs) free(n int) (out []string, err error) {
	for range portLast - portFirst {
		a.next++
		addr := fmt.Sprintf("127.0.0.1:%d", portFirst+(os.Getpid()*97+a.next)%(portLast-portFirst))
		if isFree(addr) {
			if out = append(out, addr); len(out) == n {
				return out, nil
			}
		}
	}
	return nil, fmt.Errorf("no %d free ports between %d and %d", n, portFirst, portLast)
}

func isFree(addr string) bool {
	tcp, err := net.Listen("tcp", addr)
	if err != nil {
		return false
	}
	defer tcp.Close()
	udp, err := net.ListenPacket("udp", addr)
	if err != nil {
		return false
	}
	return udp.Close() == nil
}

// binaries are where the servers are; empty for one that there is not.
type binaries struct{ rota, etcd, redis string }

// build makes rota as it is shipped, and the rivals' servers: etcd from the
// version in go.mod.
func build(ctx context.Context, dir string, rivals bool) (binaries, error) {
	_, file, _, _ := runtime.Caller(0)
	here := filepath.Dir(file)
	b := binaries{rota: filepath.Join(dir, "rota"), etcd: filepath.Join(dir, "etcd")}
	if err := goBuild(ctx, filepath.Join(here, "..", ".."), b.rota, "./cmd/rota"); err != nil {
		return b, err
	}
	if !rivals {
		return b, nil
	}
	if err := goBuild(ctx, here, b.etcd, "go.etcd.io/etcd/server/v3"); err != nil {
		return b, err
	}
	b.redis, _ = exec.LookPath("redis-server")
	return b, nil
}

func goBuild(ctx context.Context, module, binary, pkg string) error {
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", binary, pkg)
	cmd.Dir = module
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("building %s: %w\n%s", pkg, err, strings.TrimSpace(string(out)))
	}
	return nil
}
