package sim

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/rota-registry/rota/fsm/replica"
	"github.com/rota-registry/rota/gossip"
	"github.com/rota-registry/rota/registry"
	"github.com/rota-registry/rota/rpc/client"
	"github.com/rota-registry/rota/tests/simnet"
)

// Options are what a Cluster is made of. The zero value is three replicas.
type Options struct {
	Replicas int
	Timings  replica.Timings
	Profile  gossip.Profile
	Seed     uint64
}

// Cluster is a cluster in a bubble. Its methods are called from one goroutine,
// the scenario's, unless they say otherwise.
type Cluster struct {
	t        testing.TB
	options  Options
	Net      *simnet.Network
	Story    *Timeline
	Log      *Applied
	replicas []*Replica
	agents   []*Agent
	clients  []*Client
	operator *Client
	copies   copies
	// distance is added to the delay of Raft's links between replicas.
	distance time.Duration
	extra    map[string]*simnet.Host // hosts of others, by their names
}

// bootTime is when a new cluster must be ready.
const bootTime = 30 * time.Second

// New starts a cluster, and waits until all its replicas are ready. The test's
// end closes it.
func New(t testing.TB, options Options) *Cluster {
	t.Helper()
	if options.Replicas == 0 {
		options.Replicas = 3
	}
	if options.Timings.Commit == 0 {
		options.Timings.Commit = 20 * time.Millisecond // of the 5 it is otherwise: idle replicas cost less
	}
	c := &Cluster{t: t, options: options, Net: simnet.New(options.Seed), Story: newTimeline(), extra: make(map[string]*simnet.Host)}
	c.Log = newApplied(c.Story)
	t.Cleanup(c.close)
	dir := memoryDir(t)
	for i := range options.Replicas {
		name := registry.ReplicaName(fmt.Sprintf("r%d", i+1))
		c.replicas = append(c.replicas, &Replica{
			cluster: c, Name: name, host: c.Net.Host(fmt.Sprintf("10.0.0.%d", i+1)), dir: filepath.Join(dir, string(name)),
		})
	}
	for _, r := range c.replicas {
		c.Start(r)
	}
	c.Eventually(bootTime, "all replicas are ready", c.allReady)
	for _, r := range c.replicas {
		r.probe = c.NewClient(client.Options{}, r)
	}
	c.operator = c.NewClient(client.Options{Timeout: 10 * time.Second})
	return c
}

// memoryDir gives a directory on a file system in memory, or any: what is
// written there need not survive this machine.
func memoryDir(t testing.TB) string {
	t.Helper()
	const shared = "/dev/shm"
	if info, err := os.Stat(shared); err != nil || !info.IsDir() {
		return t.TempDir()
	}
	dir, err := os.MkdirTemp(shared, "rota-sim-*")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// close ends everything and waits for what is left of it.
func (c *Cluster) close() {
	for _, cl := range c.clients {
		_ = cl.Close()
	}
	for _, a := range c.agents {
		if a.running() {
			c.must("close agent "+string(a.Name), a.end())
		}
	}
	for _, r := range c.replicas {
		if r.Running() {
			c.must("close "+string(r.Name), r.end())
		}
	}
	time.Sleep(10 * time.Second) // memberlist's timers run out
	if c.t.Failed() {
		c.report()
	}
}

// report says what happened, and how to look at it again.
func (c *Cluster) report() {
	c.t.Log("\n" + c.Story.String())
	path := filepath.Join(os.TempDir(), fmt.Sprintf("rota-sim-%s-%d.script", strings.Map(fileRune, c.t.Name()), os.Getpid()))
	if err := c.Log.WriteScript(path); err != nil {
		c.t.Logf("the committed commands were not written: %v", err)
		return
	}
	c.t.Logf("the committed commands are in %s; go test ./tests/sim -run TestReplay -script %s replays them", path, path)
}

// fileRune is for names of files.
func fileRune(r rune) rune {
	if strings.ContainsRune("/=", r) {
		return '-'
	}
	return r
}

func (c *Cluster) must(what string, err error) {
	c.t.Helper()
	if err != nil {
		c.t.Errorf("%s, %s: %v", c.Story.now(), what, err)
	}
}

// Replicas gives all replicas, those that are down too.
func (c *Cluster) Replicas() []*Replica { return c.replicas }

// Running gives the replicas that run.
func (c *Cluster) Running() []*Replica {
	return slices.DeleteFunc(slices.Clone(c.replicas), func(r *Replica) bool { return !r.Running() })
}

// Replica gives one by its name.
func (c *Cluster) Replica(name registry.ReplicaName) *Replica {
	c.t.Helper()
	for _, r := range c.replicas {
		if r.Name == name {
			return r
		}
	}
	c.t.Fatalf("there is no replica %s", name)
	return nil
}

// Leader waits until a replica leads that is ready to, and gives it.
func (c *Cluster) Leader() *Replica {
	c.t.Helper()
	var leader *Replica
	c.Eventually(10*time.Second, "somebody leads", func() error {
		if leader = c.leads(); leader == nil {
			return errors.New("nobody does")
		}
		return nil
	})
	return leader
}

// leads gives the replica of the highest term that leads, nil if none does.
func (c *Cluster) leads() (leader *Replica) {
	var term registry.Term
	for _, r := range c.Running() {
		if is := r.Self(); is.Role == "leader" && is.Ready && is.Term > term {
			leader, term = r, is.Term
		}
	}
	return leader
}

// Followers gives the running replicas that do not lead.
func (c *Cluster) Followers() []*Replica {
	leader := c.Leader()
	return slices.DeleteFunc(c.Running(), func(r *Replica) bool { return r == leader })
}

// Eventually waits until a condition holds, and fails the test if it does not
// in time.
func (c *Cluster) Eventually(within time.Duration, what string, holds func() error) {
	c.t.Helper()
	if err := c.await(within, holds); err != nil {
		c.t.Fatalf("%s, not within %s: %s: %v", c.Story.now(), within, what, err)
	}
}

// How often a wait looks: a second's every 20 ms, a minute's every 200 ms. To look
// at the views of a hundred costs more than what they do meanwhile.
const (
	lookEvery  = 20 * time.Millisecond
	looksAWait = 300
)

func (c *Cluster) await(within time.Duration, holds func() error) error {
	for start := time.Now(); ; time.Sleep(max(lookEvery, within/looksAWait)) {
		err := holds()
		if err == nil || time.Since(start) > within {
			return err
		}
	}
}

func (c *Cluster) allReady() error {
	for _, r := range c.Running() {
		if is := r.Self(); !is.Ready {
			return fmt.Errorf("%s is not: %s", r.Name, is.NotReadyReason)
		}
	}
	return nil
}

// apis are the API addresses of all replicas.
func (c *Cluster) apis() (list []string) {
	for _, r := range c.replicas {
		list = append(list, r.api())
	}
	return list
}

// each runs f for some replicas at once, and joins their errors.
func each(replicas []*Replica, f func(*Replica) error) error {
	errs := make([]error, len(replicas))
	var work sync.WaitGroup
	for i, r := range replicas {
		work.Go(func() {
			if err := f(r); err != nil {
				errs[i] = fmt.Errorf("%s: %w", r.Name, err)
			}
		})
	}
	work.Wait()
	return errors.Join(errs...)
}

// logger writes what a host says into the story.
func (c *Cluster) logger(name string) hclog.Logger {
	return hclog.New(&hclog.LoggerOptions{Name: name, Level: hclog.Info, DisableTime: true, Output: c.Story})
}

// AnotherLeads is the condition that another replica than was leads.
func (c *Cluster) AnotherLeads(was *Replica) func() error {
	return func() error {
		if is := c.leads(); is == nil || is == was {
			return fmt.Errorf("%s did, and nobody else does", was.Name)
		}
		return nil
	}
}
