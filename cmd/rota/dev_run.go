package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/rota-registry/rota/registry"
	"github.com/rota-registry/rota/rpc/client"
)

const (
	devCallTimeout    = 2 * time.Second
	devAttemptTimeout = 700 * time.Millisecond
	devPoll           = 100 * time.Millisecond
	// devReadyTimeout bounds the start of each half, replicas and agents.
	devReadyTimeout = 60 * time.Second
	// devStopTimeout is what children get for an orderly end.
	devStopTimeout = 8 * time.Second
)

// dev is a cluster of child processes. Its maps belong to the goroutine of run.
type dev struct {
	options  devOptions
	app      *app
	exe, dir string
	program  string // what exe is called in a shell
	client   *client.Client
	nodes    []devNode
	specs    []childSpec       // in the order of the table
	children map[string]*child // the last life of each name

	deaths   chan *child
	revivals chan string // names whose time to start again has come
	// over ends what waits for run's goroutine, work is all of it.
	over context.Context
	end  context.CancelFunc
	work sync.WaitGroup

	// leader is the replica that was last seen leading.
	leader atomic.Pointer[registry.ReplicaName]
	voice  *voice
}

func newDev(o devOptions, a *app, exe, dir string, nodes []devNode) (*dev, error) {
	c, err := client.Dial(apiAddresses(o.port), client.Options{
		Timeout: devCallTimeout, AttemptTimeout: devAttemptTimeout, Consistency: registry.Local, By: "rota dev",
	})
	if err != nil {
		return nil, err
	}
	d := &dev{
		options: o, app: a, exe: exe, dir: dir, program: programName(exe, exec.LookPath), client: c, nodes: nodes,
		children: map[string]*child{}, deaths: make(chan *child), revivals: make(chan string), voice: newVoice(a.err),
	}
	d.over, d.end = context.WithCancel(context.Background())
	return d, nil
}

// run starts everything, attends to it until ctx ends, and stops everything.
func (d *dev) run(ctx context.Context) (err error) {
	defer func() { err = errors.Join(err, d.shutDown()) }()
	d.say("starting %d replicas and %d nodes in %s", devReplicas, len(d.nodes), d.dir)
	if err := d.bringUp(ctx); err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	if err := d.introduce(ctx); err != nil {
		return err
	}
	d.voice.listen()
	d.attend(ctx)
	return nil
}

// bringUp starts the replicas, waits until they are ready, and then the
// agents, which so find somebody to join.
func (d *dev) bringUp(ctx context.Context) error {
	var common []string
	if d.app.logLevel != logLevelDefault {
		common = []string{"--log-level", d.app.logLevel}
	}
	if err := d.startAll(planReplicas(d.options.port, d.dir, common)); err != nil {
		return err
	}
	if err := d.await(ctx, "replicas are ready", d.replicasReady); err != nil {
		return err
	}
	if err := d.startAll(planAgents(d.options.port, d.nodes, common)); err != nil {
		return err
	}
	return d.await(ctx, "nodes are alive", d.nodesAlive)
}

func (d *dev) startAll(specs []childSpec) error {
	for _, spec := range specs {
		d.specs = append(d.specs, spec)
		if err := d.start(spec); err != nil {
			return err
		}
	}
	return nil
}

func (d *dev) start(spec childSpec) error {
	c, err := startChild(spec, d.exe, d.logFile(spec), func(line string) { d.voice.warn(spec.name, line) })
	if err != nil {
		return err
	}
	d.children[spec.name] = c
	d.work.Go(func() {
		<-c.done
		select {
		case d.deaths <- c:
		case <-d.over.Done():
		}
	})
	return nil
}

func (d *dev) logFile(spec childSpec) string {
	return filepath.Join(d.dir, "logs", spec.name+".log")
}

// await polls until the condition holds; pending says what is missing, and is
// empty when nothing is. A child that ends meanwhile is an error.
func (d *dev) await(ctx context.Context, what string, pending func(context.Context) string) error {
	ctx, cancel := context.WithTimeout(ctx, devReadyTimeout)
	defer cancel()
	for {
		missing := pending(ctx)
		if missing == "" {
			return nil
		}
		select {
		case c := <-d.deaths:
			return fmt.Errorf("%s %s before the cluster was up; its log ends with:\n  %s\nthe whole log: %s",
				c.spec.name, c.obituary(), strings.Join(c.log.lastLines(), "\n  "), d.logFile(c.spec))
		case <-ctx.Done():
			return fmt.Errorf("waited %v until the %s, in vain: %s; their logs are in %s", devReadyTimeout, what, missing, filepath.Join(d.dir, "logs"))
		case <-time.After(devPoll):
		}
	}
}

func (d *dev) replicasReady(ctx context.Context) string {
	for _, spec := range d.specs {
		if err := answers(ctx, spec.api, "/readyz"); err != nil {
			return fmt.Sprintf("%s: %v", spec.name, err)
		}
	}
	return ""
}

// answers asks a replica's page; an answer that is not OK is an error, too.
func answers(ctx context.Context, api, page string) error {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+api+page, http.NoBody)
	if err != nil {
		return err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("%s says %s", page, res.Status)
	}
	return nil
}

// nodesAlive asks for those that have joined since their process started: a
// kept data directory knows their former lives, too.
func (d *dev) nodesAlive(ctx context.Context) string {
	list, err := d.client.Nodes(ctx)
	if err != nil {
		return err.Error()
	}
	alive := map[string]bool{}
	for _, n := range list.Nodes {
		c := d.children[string(n.Name)]
		alive[string(n.Name)] = c != nil && n.State == registry.Alive && int64(n.SinceWall) >= c.started.UnixMilli()
	}
	for _, n := range d.nodes {
		if !alive[n.name] {
			return n.name + " has not joined"
		}
	}
	return ""
}

// attend waits for deaths and revivals until ctx ends.
func (d *dev) attend(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case c := <-d.deaths:
			d.mourn(c)
		case name := <-d.revivals:
			d.revive(name)
		}
	}
}

// mourn reports a death, and in the background what changes because of it.
func (d *dev) mourn(c *child) {
	if c.spec.isReplica() {
		d.voice.lost(c.spec)
	}
	d.say("%s (process %d) %s", c.spec.name, c.pid, c.obituary())
	if !c.state.Success() && c.state.Exited() {
		d.say("  its log ends with: %s", strings.Join(c.log.lastLines(), "\n    "))
	}
	d.say("  by hand, this starts it again:\n    %s", c.spec.commandLine(d.program))
	after := d.options.restartAfter
	if after > 0 {
		d.say("  it is started again in %v", after)
		d.work.Go(func() { d.reviveLater(c.spec.name, after) })
	}
	if !c.spec.isReplica() {
		d.work.Go(func() { d.nodeDied(d.over, c) })
		return
	}
	d.work.Go(func() { d.replicaDied(d.over, c) })
	d.work.Go(func() { d.replicaReturned(d.over, c.spec) })
}

func (d *dev) reviveLater(name string, after time.Duration) {
	if !sleep(d.over, after) {
		return
	}
	select {
	case d.revivals <- name:
	case <-d.over.Done():
	}
}

func (d *dev) revive(name string) {
	if err := d.start(d.children[name].spec); err != nil {
		d.say("%s is not started again: %v", name, err)
		return
	}
	d.say("%s is started again, as process %d", name, d.children[name].pid)
}

// shutDown stops the agents first, so that their goodbyes are heard, and then
// the replicas. Interrupting again kills them.
func (d *dev) shutDown() error {
	hurry, release := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer release()
	d.voice.mute()
	d.say("stopping")
	d.stopThose(hurry, func(s childSpec) bool { return !s.isReplica() })
	d.stopThose(hurry, childSpec.isReplica)
	d.end()
	d.work.Wait()
	return d.client.Close()
}

func (d *dev) stopThose(hurry context.Context, which func(childSpec) bool) {
	ctx, cancel := context.WithTimeout(hurry, devStopTimeout)
	defer cancel()
	for _, c := range d.children {
		if which(c.spec) && !c.ended() {
			c.stop()
		}
	}
	for _, c := range d.children {
		if which(c.spec) {
			awaitEnd(ctx, c)
		}
	}
}

// awaitEnd waits for a child's end, and brings it about when ctx ends first.
func awaitEnd(ctx context.Context, c *child) {
	select {
	case <-c.done:
		return
	case <-ctx.Done():
	}
	c.kill()
	<-c.done
}

// strangers reports whether replicas run on that somebody has started by hand:
// their data must not be taken from them.
func (d *dev) strangers() bool {
	found := false
	for _, spec := range d.specs {
		if !spec.isReplica() {
			continue
		}
		p, err := reservePort(spec.api)
		if err != nil {
			d.say("%s was not stopped, for it was started by hand: %v", spec.name, err)
			found = true
			continue
		}
		p.release()
	}
	return found
}

func (d *dev) say(format string, args ...any) { d.voice.say(format, args...) }
