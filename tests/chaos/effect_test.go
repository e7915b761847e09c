package chaos_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rota-registry/rota/gossip"
	"github.com/rota-registry/rota/registry"
	"github.com/rota-registry/rota/tests/procs"
)

const (
	// proofMax is how much longer than it was to a fault may last until it has shown
	// that it took effect.
	proofMax = 8 * time.Second
	// killedMax and cutOffMax are how long after the end of an agent's process, which
	// breaks its connection, and after its last packet the registry may call it alive:
	// what is promised, a second and eight, and more for a machine that does other
	// things, too. A leader in its warm-up may take deadMax: that, and what gossip
	// takes.
	killedMax = 2 * time.Second
	cutOffMax = 10 * time.Second
	deadMax   = 24 * time.Second
	// connectionsMax is how many connections a replica without memory must bear.
	connectionsMax = 3000
)

// lose adds to what a place loses for as long as the fault lasts. The kernel counts
// what it loses: a fault of which it lost nothing took no effect.
func (r *round) lose(at *place, l ...loss) {
	r.now.loses = true
	r.c.ground.lose(at, l...)
}

// hide notes that the fault may make the registry believe that a node is dead.
func (r *round) hide(a *agent) { r.now.hidden = append(r.now.hidden, a.Name) }

// vain notes that the fault that is injected now took no effect.
func (r *round) vain(format string, args ...any) {
	r.now.vain = fmt.Sprintf(format, args...)
	r.say("no effect: %s", r.now.vain)
}

// prove adds what must be so before the fault is taken back, or it took no effect.
func (r *round) prove(shown func() error) { r.now.proofs = append(r.now.proofs, shown) }

// proven waits until everything shows that the fault took effect.
func (r *round) proven() {
	if r.now.loses {
		r.prove(func() error {
			if r.c.ground.lost() == 0 {
				return fmt.Errorf("no packet was lost")
			}
			return nil
		})
	}
	for _, shown := range r.now.proofs {
		err := shown()
		for end := time.Now().Add(proofMax); err != nil && time.Now().Before(end); err = shown() {
			r.wait(50 * time.Millisecond)
		}
		if err != nil {
			r.vain("%v", err)
		}
	}
}

// ends notes that the fault may end replicas, and took effect once one of them has
// ended by itself.
func (r *round) ends(who ...*replica) {
	for _, one := range who {
		r.mayEnd(one.Process)
	}
	r.prove(func() error {
		for _, one := range who {
			if !one.Running() {
				return nil
			}
		}
		return fmt.Errorf("%s has not ended of it", who[0].Name)
	})
}

// installed is what a replica says that goes on with a snapshot of another one.
const installed = "Installed remote snapshot"

// killInSnapshot is kill -9 of a replica that writes a snapshot. It takes effect when
// the snapshot is left unfinished. It is looked for without rest, for it is written in
// about a millisecond; there are seconds from one to the next.
func (r *round) killInSnapshot(one *replica) func() {
	unfinished := filepath.Join(one.dir, "snapshots", "*.tmp")
	begun := func() bool {
		found, _ := filepath.Glob(unfinished) // the pattern is good
		return len(found) > 0
	}
	for end := time.Now().Add(8 * time.Second); !begun() && time.Now().Before(end); {
	}
	r.kill(one)
	if r.now.vain == "" && !begun() {
		r.vain("%s was not in the middle of a snapshot when it was killed", one.Name)
	}
	return nil
}

// freezeInSnapshot stops a follower that was away in the middle of the snapshot
// that it needs. Slow links make it take its time.
func (r *round) freezeInSnapshot(one *replica) func() {
	r.kill(one)
	r.wait(5 * time.Second)
	undo, err := slowLink(one.place)
	if err != nil && r.c.ground.isolated() {
		r.say("links cannot be slowed: %v", err)
	}
	mark := len(one.Log())
	r.now.mortal = nil // it was to be away, and not to end again
	one.Start()
	begun := func() bool { return strings.Contains(after(one, mark), "creating new snapshot") }
	for end := time.Now().Add(5 * time.Second); !begun() && time.Now().Before(end); {
		r.wait(time.Millisecond)
	}
	thaw := r.freeze(one)
	if !begun() || strings.Contains(after(one, mark), installed) {
		r.vain("%s was not in a snapshot when it was stopped", one.Name)
	}
	r.now.then = func() {
		if r.now.vain == "" && !strings.Contains(after(one, mark), installed) {
			r.vain("%s did not install the snapshot in which it was stopped", one.Name)
		}
	}
	return func() {
		thaw()
		undo()
	}
}

// after is what a replica's log has behind a mark.
func after(one *replica, mark int) string {
	f, err := os.Open(one.logFile)
	if err != nil {
		return ""
	}
	defer f.Close()
	b, err := io.ReadAll(io.NewSectionReader(f, int64(mark), 1<<30))
	if err != nil {
		return ""
	}
	return string(b)
}

// starve lets a replica have no more memory, and has it need some: callers who
// open connections and do not go on. It must end by itself.
func (r *round) starve(one *replica) func() {
	if err := starve(one.Pid()); err != nil {
		r.vain("%s cannot be starved: %v", one.Name, err)
		return nil
	}
	r.say("%s gets no more memory", one.Name)
	var open []net.Conn
	for end := time.Now().Add(10 * time.Second); one.Running() && len(open) < connectionsMax && time.Now().Before(end); {
		c, err := net.DialTimeout("tcp", one.place.api, 200*time.Millisecond)
		if err != nil {
			r.wait(10 * time.Millisecond)
			continue
		}
		_, _ = io.WriteString(c, "GET /metrics HTTP/1.1\r\n")
		open = append(open, c)
	}
	r.say("%s runs %t, with %d connections", one.Name, one.Running(), len(open))
	for _, c := range open {
		_ = c.Close()
	}
	r.ends(one)
	return func() {
		if one.Running() {
			r.kill(one)
		}
		r.heard[one.Name] = len(one.Log()) // its last words are of memory
	}
}

// killAgent kills a node's process.
func (r *round) killAgent(one *agent) {
	r.dies(one, killedMax, func() {
		r.mayEnd(one.Process)
		r.say("kill -9 of %s", one.Name)
		one.Kill()
	})
}

// cutAgent takes a node off the network, as it is without power.
func (r *round) cutAgent(one *agent) {
	r.dies(one, cutOffMax, func() {
		r.say("%s is cut off", one.Name)
		r.lose(one.place, loss{percent: 100})
		for _, p := range r.c.places() {
			if p != one.place {
				r.lose(p, loss{from: one.place, percent: 100})
			}
		}
	})
}

// dies does something to a node of which it is dead; every other time when all is
// quiet: then it waits until the registry calls the node failed, which it must in
// time.
func (r *round) dies(one *agent, within time.Duration, of func()) {
	watched := r.rand.IntN(2) == 0
	if watched {
		if err := r.quiet(); err != nil {
			r.vain("no death can be timed: %v", err)
			return
		}
	}
	r.hide(one)
	of()
	if !watched {
		return
	}
	began := time.Now()
	for err := r.failed(one); err != nil; err = r.failed(one) {
		if took := time.Since(began); took > deadMax || took > within && r.calm(began) == nil {
			r.violate("death", "%s has been dead for %s, and is not failed: %v", one.Name, took, err)
			return
		}
		r.wait(50 * time.Millisecond)
	}
	r.say("%s is failed %s after its death", one.Name, time.Since(began).Round(time.Millisecond))
}

// quiet waits until a death must be noticed in the time that is promised: everybody
// sees everybody, each agent attends a replica, and the leader's warm-up is over.
func (r *round) quiet() (err error) {
	for end := time.Now().Add(2 * deadMax); time.Now().Before(end); r.wait(200 * time.Millisecond) {
		err = errors.Join(r.c.whole(), r.c.attended(), r.calm(time.Now()))
		if err == nil {
			return nil
		}
	}
	return err
}

// attended is nil when each agent keeps a connection to a replica.
func (c *cluster) attended() error {
	all := 0
	for _, one := range c.replicas {
		n, err := metric(one, "rota_attended_agents")
		if err != nil {
			return err
		}
		all += n
	}
	if all != len(c.agents) {
		return fmt.Errorf("%d agents are attended, and there are %d", all, len(c.agents))
	}
	return nil
}

// calm is nil when the leader's warm-up was over at a time, and it has led ever since.
func (r *round) calm(at time.Time) error {
	one := r.c.leader()
	if one == nil {
		return errors.New("nobody leads")
	}
	since, err := ledSince(one)
	if warm := 2 * gossip.LAN.Suspicion(len(r.c.places())); err == nil && at.Sub(since) < warm {
		err = fmt.Errorf("%s leads for less than %s", one.Name, warm)
	}
	return err
}

// ledSince is when a replica last began to lead, by its log.
func ledSince(one *replica) (time.Time, error) {
	log := one.Log()
	log = log[:max(0, strings.LastIndex(log, ": this replica leads: "))]
	at, _, _ := strings.Cut(log[strings.LastIndexByte(log, '\n')+1:], " ")
	return time.Parse(time.RFC3339Nano, at)
}

// failed is nil when the registry calls a node failed. It forgets none by itself.
func (r *round) failed(one *agent) error {
	ctx, cancel := context.WithTimeout(r.t.Context(), attemptTimeout)
	defer cancel()
	list, err := r.c.replicas[0].client.Nodes(ctx)
	if err != nil {
		return err
	}
	return failedIn(list.Nodes, registry.NodeName(one.Name))
}

func failedIn(nodes []registry.NodeInfo, name registry.NodeName) error {
	for _, n := range nodes {
		if n.Name == name {
			if n.State == registry.Failed {
				return nil
			}
			return fmt.Errorf("it is %s", n.State)
		}
	}
	return errors.New("the registry does not know it")
}

// TestADeathIsFailedByName claims that a node is failed which the registry calls so,
// and none that lives, or that the registry does not know.
func TestADeathIsFailedByName(t *testing.T) {
	nodes := []registry.NodeInfo{
		{Node: registry.Node{Name: "w1", State: registry.Failed}}, {Node: registry.Node{Name: "w2", State: registry.Alive}},
	}
	for name, want := range map[registry.NodeName]string{"w1": "<nil>", "w2": "it is alive", "w3": "the registry does not know it"} {
		if got := fmt.Sprint(failedIn(nodes, name)); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
}

// short is nil when a replica is not ready, and says that it is for want of room.
func short(one *replica) error {
	status, body, err := procs.Get("http://" + one.place.api + "/readyz")
	if err != nil {
		return err
	}
	if status != http.StatusServiceUnavailable || !strings.Contains(body, "its disk is nearly full") {
		return fmt.Errorf("%s runs and is not short of room: %d %s", one.Name, status, body)
	}
	return nil
}

// split divides replicas and agents into two sides, which lose each other's gossip
// alone. Before it heals, one of the witnesses must have lost somebody of its view.
func (r *round) split(side []*place, witnesses ...*replica) {
	var rest []*place
	for _, p := range r.c.places() {
		if !slices.Contains(side, p) {
			rest = append(rest, p)
		}
	}
	r.say("gossip is split: %v and the others", side)
	for _, a := range side {
		for _, b := range rest {
			r.lose(a, loss{from: b, port: gossipPort, percent: 100})
			r.lose(b, loss{from: a, port: gossipPort, percent: 100})
		}
	}
	r.prove(func() error {
		for _, one := range witnesses {
			if n, err := members(one); err == nil && n < len(r.c.replicas) {
				r.say("%s sees %d of %d replicas by gossip", one.Name, n, len(r.c.replicas))
				return nil
			}
		}
		return fmt.Errorf("nobody was lost of the view of %s", witnesses[0].Name)
	})
}

// members is how many replicas one of them sees by gossip, itself included.
func members(one *replica) (int, error) { return metric(one, "rota_gossip_members") }

// metric asks a replica for one of its metrics.
func metric(one *replica, name string) (int, error) {
	status, body, err := procs.Get("http://" + one.place.api + "/metrics")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(body) {
		if rest, ok := strings.CutPrefix(line, name+" "); ok {
			return strconv.Atoi(strings.TrimSpace(rest))
		}
	}
	return 0, fmt.Errorf("%s does not show %s: %d", one.Name, name, status)
}
