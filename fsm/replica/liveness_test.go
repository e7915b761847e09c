package replica_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rota-registry/rota/gossip"
	"github.com/rota-registry/rota/registry"
)

// warmedUp waits until somebody leads who may declare nodes failed.
func (c *cluster) warmedUp() (leader *running, others []*running) {
	c.t.Helper()
	c.eventually(30*time.Second, func() error {
		leader, others = c.leader()
		if !leader.WarmedUp() {
			return errors.New("the leader still warms up")
		}
		return nil
	})
	return leader, others
}

func lifeOf(l *life) registry.Life { return registry.Life{Name: l.join.Name, Boot: l.join.Boot} }

// TestABrokenConnectionFindsTheDead within a second, at whichever replica the
// agent was, while gossip still shows them, which does not bring them back; and
// it does nothing to the living, however many connections break.
func TestABrokenConnectionFindsTheDead(t *testing.T) {
	t.Parallel()
	again(t, func(t *testing.T, c *cluster) error {
		rs := c.startAll(3)
		dead := []*life{c.joined(rs[0], "d1", bootA), c.joined(rs[1], "d2", bootB)}
		alive := c.joined(rs[2], "w", bootC)
		for _, l := range append(slices.Clone(dead), alive) {
			c.sees(l, true)
		}
		leader, others := c.warmedUp()
		was := c.nodeAt(leader, "w")
		for range 3 {
			for _, r := range rs {
				r.ConnectionBroke(lifeOf(alive))
				r.ConnectionBroke(registry.Life{Name: "stranger", Boot: bootA})
				r.ConnectionBroke(registry.Life{Name: "w", Boot: bootA}) // a life that it never had
			}
			c.holds(300*time.Millisecond, c.untouched(leader, was))
		}
		for i, at := range []*running{leader, others[0]} {
			l := dead[i]
			l.die(t)
			began := time.Now()
			at.ConnectionBroke(lifeOf(l))
			n := c.becomes(others[1], l.join.Name, registry.Failed, 5*time.Second)
			took := time.Since(began)
			t.Logf("%s was found dead after %s", l.join.Name, took)
			if !shownAt(leader, l.join.Name, l.join.Boot) {
				return fmt.Errorf("%w; failed after %s, %q", errLost, took, n.Reason)
			}
			if n.Reason != "connection broken and no answer to probes" || took > time.Second {
				t.Errorf("%s failed after %s, %q", l.join.Name, took, n.Reason)
			}
			c.holds(gossip.Local.Suspicion(6), c.untouched(leader, n))
		}
		if err := c.untouched(leader, was)(); err != nil {
			t.Error(err)
		}
		return nil
	})
}

// TestAReplicaThatSeesIsBelieved: as long as another replica says that it sees a
// node, it is not declared failed, whatever the leader's own gossip shows.
func TestAReplicaThatSeesIsBelieved(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	rs := c.startAll(3)
	w := c.joined(rs[0], "w", bootA)
	c.sees(w, true)
	leader, _ := c.warmedUp()
	was := c.nodeAt(leader, "w")
	say := registry.Sees
	c.set(func() { c.say = &say })
	w.die(t)
	leader.ConnectionBroke(lifeOf(w))
	c.eventually(20*time.Second, func() error {
		if shownAt(leader, "w", bootA) {
			return errors.New("the leader's gossip shows it still")
		}
		return c.untouched(leader, was)()
	})
	c.holds(2*time.Second, c.untouched(leader, was))
	c.set(func() { c.say = nil })
	c.becomes(leader, "w", registry.Failed, 5*time.Second)
}

// fourWorkers have joined, and every replica sees them.
func (c *cluster) fourWorkers(rs []*running) (all []*life) {
	c.t.Helper()
	for i := range 4 {
		all = append(all, c.joined(rs[i%3], nodeName(i), bootID(i)))
	}
	for _, l := range all {
		c.sees(l, true)
	}
	return all
}

// TestAFreeze: all four nodes of a type are lost within a moment, and the others
// cannot say that they see none either. The third one and the fourth are not
// declared failed; every replica says so, and who is told to thaw brings it to the
// leader.
func TestAFreeze(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	rs := c.startAll(3)
	all := c.fourWorkers(rs)
	leader, others := c.warmedUp()
	say := registry.Unsure
	c.set(func() { c.say = &say })
	for _, l := range all {
		l.die(t)
		others[0].ConnectionBroke(lifeOf(l))
	}
	frozen := func(r *running) error {
		report, err := r.Liveness(within(t, 5*time.Second), false, "")
		if err != nil || len(report.Frozen) != 1 || report.Leader != leader.name {
			return fmt.Errorf("%s reports %+v, %w", r.name, report, err)
		}
		if f := report.Frozen[0]; f.Type != "worker" || len(f.Lost) == 0 || f.Of < len(f.Lost) {
			return fmt.Errorf("%s reports %+v", r.name, f)
		}
		return nil
	}
	c.eventually(20*time.Second, func() error { return frozen(others[0]) })
	stays := func() error {
		var faults []error
		for _, r := range rs {
			warnings := r.Status(within(t, 5*time.Second)).Warnings
			warned := slices.ContainsFunc(warnings, func(w string) bool { return strings.Contains(w, "rota liveness thaw worker") })
			if !warned {
				faults = append(faults, fmt.Errorf("%s warns of nothing: %q", r.name, warnings))
			}
			faults = append(faults, frozen(r))
		}
		if n := c.failedAt(leader); n > 2 {
			faults = append(faults, fmt.Errorf("%d have failed", n))
		}
		return errors.Join(faults...)
	}
	c.eventually(5*time.Second, stays)
	c.holds(3*time.Second, stays)
	if report, err := others[1].Liveness(within(t, 5*time.Second), true, "proxy"); err != nil || len(report.Frozen) != 1 {
		t.Errorf("thawing what is not frozen: %+v, %v", report, err)
	}
	if err := stays(); err != nil {
		t.Error(err)
	}
	if _, err := others[1].Liveness(within(t, 5*time.Second), true, "worker"); err != nil {
		t.Error(err)
	}
	for _, l := range all {
		c.becomes(others[0], l.join.Name, registry.Failed, 5*time.Second)
	}
	c.eventually(5*time.Second, func() error {
		if w := others[0].Status(within(t, 5*time.Second)).Warnings; len(w) > 0 {
			return fmt.Errorf("it is over, and there are warnings: %q", w)
		}
		return nil
	})
}

// failedAt counts the nodes that are failed at a replica.
func (c *cluster) failedAt(r *running) (failed int) {
	c.t.Helper()
	view, _, err := r.Read(within(c.t, 10*time.Second), registry.ReadOptions{})
	if err != nil {
		c.t.Fatal(err)
	}
	for _, n := range view.Layout() {
		if n.State == registry.Failed {
			failed++
		}
	}
	return failed
}

// TestManyDeathsAtOnce: of four workers four die, which freezes them; but the
// replicas have probed them in vain, and so they fail all the same, by themselves.
func TestManyDeathsAtOnce(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	rs := c.startAll(3)
	all := c.fourWorkers(rs)
	leader, _ := c.warmedUp()
	for _, l := range all {
		l.die(t)
	}
	for _, l := range all {
		leader.ConnectionBroke(lifeOf(l))
	}
	began := time.Now()
	for _, l := range all {
		c.becomes(leader, l.join.Name, registry.Failed, deathMax(7)+2*time.Second)
	}
	t.Logf("all were found dead after %s", time.Since(began))
}

// TestAFreezeOfTheUnreachable: the records of all nodes of two types have addresses
// that cannot be asked. The freeze of the workers, where a look-up fails, ends because
// they are called where gossip had them; that of the proxies, which gossip never
// showed, because there is no such host (of a name so long that no DNS need be asked).
func TestAFreezeOfTheUnreachable(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	rs := c.startAll(3)
	var workers []*life
	var all []registry.NodeName
	for i := range 4 {
		boot := bootID(i)
		w := c.newLife(nodeName(i), boot)
		p := registry.JoinNode{Name: registry.NodeName(fmt.Sprintf("p%d", i)), Type: registry.Proxy, Address: strings.Repeat("x", 64) + ".test:7702", Boot: boot}
		w.join.Address = "no!name:7702"
		for _, join := range []registry.JoinNode{w.join, p} {
			if _, _, err := rs[i%3].Join(within(t, 5*time.Second), join); err != nil {
				t.Fatal(err)
			}
			all = append(all, join.Name)
		}
		workers = append(workers, w)
	}
	for _, l := range workers {
		c.sees(l, true)
	}
	leader, _ := c.warmedUp()
	for _, l := range workers {
		l.die(t)
	}
	frozen := map[registry.NodeType]bool{}
	c.eventually(40*time.Second, func() error {
		report, err := leader.Liveness(within(t, 5*time.Second), false, "")
		for _, f := range report.Frozen {
			frozen[f.Type] = true
		}
		for _, name := range all {
			if n := c.nodeAt(leader, name); n.State != registry.Failed {
				err = errors.Join(err, fmt.Errorf("%s is %s", name, n.State))
			}
		}
		return err
	})
	if !frozen[registry.Worker] || !frozen[registry.Proxy] {
		t.Errorf("frozen were %v: this shows nothing of the others", frozen)
	}
}

// TestAYoungViewMissesNobody: a replica that has just started has an empty view, and
// does not know of whom it does not show; once its gossip has run for as long as it
// takes to find a death, it does.
func TestAYoungViewMissesNobody(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	rs := c.startAll(3)
	old := rs[2]
	list := []string{rs[0].api, rs[1].api, rs[2].api}
	c.kill(old)
	says := func(r *running) registry.Sight {
		return r.SeesNodes(within(t, time.Second), []registry.Life{{Name: "stranger", Boot: bootA}}, false)[0]
	}
	began := time.Now()
	young := c.start(old.name, old.api, list)
	c.ready(young)
	said := says(young)
	if age := time.Since(began); said != registry.Unsure && age < gossip.Local.Suspicion(2) {
		t.Errorf("%s after its start it says %d", age, said)
	}
	c.eventually(10*time.Second, func() error {
		if said := says(young); said != registry.Misses {
			return fmt.Errorf("it says %d of whom nobody shows", said)
		}
		return nil
	})
}
