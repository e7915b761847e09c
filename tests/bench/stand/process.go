// Package stand puts what is measured onto this machine: it builds rota and
// etcd, and starts them and Redis as real processes on loopback, each with its
// data below one folder, so that all write to the same disk.
//
// Who starts a group owns it and stops it; stopping kills its processes by their
// ids and removes their data. A process whose owner is gone without that is
// killed by the kernel where it can (Linux). It measures nothing.
//
// Package procs, which does this for tests, lost: it lives by a testing.TB.
package stand

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// readyWithin is how long a group may take to come up on a busy machine.
const readyWithin = 60 * time.Second

// process is one that runs, with its output in a file.
type process struct {
	name string
	cmd  *exec.Cmd
	log  string
	done chan struct{} // closed when it has ended
}

// start runs a binary with its output in dir.
func start(dir, name, bin string, args ...string) (*process, error) {
	log := filepath.Join(dir, name+".log")
	out, err := os.Create(log)
	if err != nil {
		return nil, err
	}
	defer out.Close()
	cmd := exec.Command(bin, args...)
	cmd.Stdout, cmd.Stderr, cmd.Dir = out, out, dir
	cmd.SysProcAttr = childAttributes()
	p := &process{name: name, cmd: cmd, log: log, done: make(chan struct{})}
	if err := launch(cmd, p.done); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	return p, nil
}

// kill is kill -9; it returns when the process is gone.
func (p *process) kill() {
	_ = p.cmd.Process.Kill() // it may have ended by itself
	<-p.done
}

// ended gives an error once the process has: none of them ends by itself.
func (p *process) ended() error {
	select {
	case <-p.done:
		return fmt.Errorf("%s has ended: %s", p.name, p.tail())
	default:
		return nil
	}
}

func (p *process) tail() string {
	const most = 2000
	text, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	return strings.TrimSpace(string(text[max(0, len(text)-most):]))
}

// group is processes that are started and stopped together.
type group struct {
	dir       string
	processes []*process
}

func newGroup(parent, name string) (group, error) {
	dir, err := os.MkdirTemp(parent, name+"-")
	return group{dir: dir}, err
}

func (g *group) start(name, bin string, args ...string) error {
	p, err := start(g.dir, name, bin, args...)
	if err == nil {
		g.processes = append(g.processes, p)
	}
	return err
}

// Stop ends the processes and removes their data. It may be called again.
func (g *group) Stop() error {
	for _, p := range g.processes {
		_ = p.cmd.Process.Kill() // all at once; kill waits for each
	}
	for _, p := range g.processes {
		p.kill()
	}
	g.processes = nil
	return os.RemoveAll(g.dir)
}

// Check gives an error if one of the processes has ended.
func (g *group) Check() error {
	var errs []error
	for _, p := range g.processes {
		errs = append(errs, p.ended())
	}
	return errors.Join(errs...)
}

// await calls ready until it gives nil, and gives its last error when the time
// is over or a process has ended.
func (g *group) await(ctx context.Context, ready func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, readyWithin)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		err := ready(ctx)
		if err == nil {
			return nil
		}
		if ended := g.Check(); ended != nil {
			return ended
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("not ready: %w (%w)", err, ctx.Err())
		case <-tick.C:
		}
	}
}
