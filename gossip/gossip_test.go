package gossip_test

import (
	"context"
	"fmt"
	"os"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/memberlist"

	"github.com/rota-registry/rota/gossip"
)

func TestEveryMemberSeesAllOthersWithTheirRolesAndAddresses(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n := newNetwork()
		all := startAll(t, n, 3, nil)
		c := config(n, 4, 3)
		c.Name, c.Role, c.API = "a-node", gossip.Node, ""
		all = append(all, start(t, c))
		within(t, 5*time.Second, func() bool { return seeAll(all, 4) }, "the node is seen by all")
		want := []gossip.Member{
			{Name: "a-node", Boot: bootOf(4), Role: gossip.Node, Addr: addrOf(4)},
			{Name: "r1", Boot: bootOf(1), Role: gossip.Replica, API: "10.0.0.1:7700", Addr: addrOf(1)},
			{Name: "r2", Boot: bootOf(2), Role: gossip.Replica, API: "10.0.0.2:7700", Addr: addrOf(2)},
			{Name: "r3", Boot: bootOf(3), Role: gossip.Replica, API: "10.0.0.3:7700", Addr: addrOf(3)},
		}
		for _, g := range all {
			if got := g.Members(); !reflect.DeepEqual(got, want) {
				t.Errorf("%s sees %v, want %v", g.Addr(), got, want)
			}
		}
	})
}

// Seeds that do not answer yet are tried again soon, not after the slow pause.
func TestTheFirstJoinIsRetriedQuickly(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n := newNetwork()
		early := config(n, 2, 1)
		g := start(t, early)
		time.Sleep(time.Minute)
		late := config(n, 1, 1)
		start(t, late)
		within(t, 2*time.Second, func() bool { return len(g.Members()) == 2 }, "the seed is met")
	})
}

func TestADeathIsSeenWithinSuspicionAndNoOneElseIsLost(t *testing.T) {
	for _, profile := range []gossip.Profile{gossip.LAN, gossip.Local} {
		for _, members := range []int{2, 3, 5, 10} {
			t.Run(fmt.Sprint(profile, members), func(t *testing.T) {
				bubble(t, func(t *testing.T) { aDeathIsSeen(t, profile, members) })
			})
		}
	}
}

func aDeathIsSeen(t *testing.T, profile gossip.Profile, members int) {
	all := startAll(t, newNetwork(), members, func(c *gossip.Config) { c.Profile = profile })
	time.Sleep(time.Minute)
	victim := all[members-1]
	if err := victim.Close(); err != nil {
		t.Fatal(err)
	}
	all = all[:members-1]
	took := within(t, profile.Suspicion(members), func() bool { return seeAll(all, members-1) }, "the death")
	t.Logf("seen by all after %v, bound %v", took, profile.Suspicion(members))
	if id := fmt.Sprintf("r%d#%s", members, bootOf(members)); sees(all[0], id) {
		t.Errorf("%s is dead and in view", id)
	}
	time.Sleep(time.Minute)
	if !seeAll(all, members-1) {
		t.Error("somebody alive was lost as well")
	}
}

func TestSuspicionKeepsThePromisesOfTheProfiles(t *testing.T) {
	for n := 3; n <= 10; n++ {
		if got := gossip.LAN.Suspicion(n); got > 8*time.Second {
			t.Errorf("LAN, %d members: %v, want at most 8s", n, got)
		}
		if got := gossip.Local.Suspicion(n); got > 4*time.Second {
			t.Errorf("Local, %d members: %v, want at most 4s", n, got)
		}
	}
	for _, p := range []gossip.Profile{gossip.LAN, gossip.Local} {
		for n := range 5000 {
			if p.Suspicion(n) > p.Suspicion(n+1) {
				t.Fatalf("%s: Suspicion(%d) = %v is more than that of one more", p, n, p.Suspicion(n))
			}
		}
	}
}

// half puts hosts 1 and 2 on one side, all others on the other.
func half(addr string) int {
	if addr == addrOf(1) || addr == addrOf(2) {
		return 1
	}
	return 2
}

// splitForLong cuts four members in half for longer than anybody remembers
// the dead, heals, and returns them.
func splitForLong(t *testing.T, rejoin time.Duration) []*gossip.Gossip {
	n := newNetwork()
	all := startAll(t, n, 4, func(c *gossip.Config) { c.Rejoin = rejoin })
	n.partition(half)
	within(t, gossip.LAN.Suspicion(4)+5*time.Second, func() bool { return seeAll(all, 2) }, "the halves lose each other")
	time.Sleep(2 * time.Minute)
	n.partition(nil)
	return all
}

func TestALongPartitionHeals(t *testing.T) {
	bubble(t, func(t *testing.T) {
		all := splitForLong(t, 0)
		took := within(t, 20*time.Second, func() bool { return seeAll(all, 4) }, "gossip is whole again")
		t.Logf("whole after %v", took)
	})
}

// Fact: memberlist alone does not look for whom it has forgotten. If this test
// fails, the rejoin loop has lost its reason.
func TestALongPartitionDoesNotHealWithoutTheRejoinLoop(t *testing.T) {
	bubble(t, func(t *testing.T) {
		all := splitForLong(t, 1000*time.Hour)
		time.Sleep(10 * time.Minute)
		if !seeAll(all, 2) {
			t.Error("gossip became whole by itself")
		}
		if err := all[0].Join(t.Context()); err != nil {
			t.Fatal(err)
		}
		within(t, 20*time.Second, func() bool { return seeAll(all, 4) }, "one Join makes gossip whole")
	})
}

// A process that is killed and comes back on a new address need not wait until
// its former life is forgotten; meanwhile both lives are in view.
func TestAQuickRestartUnderTheSameNameIsInViewAtOnce(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n := newNetwork()
		all := startAll(t, n, 3, nil)
		if err := all[2].Close(); err != nil {
			t.Fatal(err)
		}
		again := config(n, 9, 3)
		again.Name = "r3"
		newborn := start(t, again)
		took := within(t, 2*time.Second, func() bool { return sees(all[0], "r3#"+bootOf(9)) && sees(all[1], "r3#"+bootOf(9)) }, "the new life is in view")
		t.Logf("after %v", took)
		if want := []string{"r1#" + bootOf(1), "r2#" + bootOf(2), "r3#" + bootOf(3), "r3#" + bootOf(9)}; !slices.Equal(ids(all[0]), want) {
			t.Errorf("in view are %v, want both lives: %v", ids(all[0]), want)
		}
		rest := []*gossip.Gossip{all[0], all[1], newborn}
		within(t, gossip.LAN.Suspicion(4), func() bool { return seeAll(rest, 3) }, "the old life fades")
	})
}

// Fact: with bare names memberlist refuses such a restart as a conflict, and
// Join does not say so. If this test fails, boot ids in names have lost theirs.
func TestBareNamesWouldRefuseAQuickRestart(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n := newNetwork()
		first := newStranger(t, n.host(addrOf(1)), "first", nil, nil)
		old := newStranger(t, n.host(addrOf(2)), "second", nil, nil)
		join(t, old)
		within(t, time.Second, func() bool { return first.NumMembers() == 2 }, "they know each other")
		if err := old.Shutdown(); err != nil {
			t.Fatal(err)
		}
		join(t, newStranger(t, n.host(addrOf(3)), "second", nil, nil))
		time.Sleep(2 * time.Second)
		for _, m := range first.Members() {
			if m.Name == "second" && m.Address() == addrOf(3) {
				t.Error("the new address of second was taken at once")
			}
		}
	})
}

func join(t *testing.T, s *stranger) {
	t.Helper()
	if joined, err := s.Join([]string{addrOf(1)}); joined != 1 {
		t.Fatal(err)
	}
}

func TestARestartOnTheSameAddressIsInViewAtOnce(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n := newNetwork()
		all := startAll(t, n, 3, nil)
		if err := all[2].Close(); err != nil {
			t.Fatal(err)
		}
		again := config(n, 3, 3)
		again.Boot = bootOf(99)
		start(t, again)
		within(t, 2*time.Second, func() bool { return sees(all[0], "r3#"+bootOf(99)) }, "the new life is in view")
		within(t, gossip.LAN.Suspicion(4), func() bool { return !sees(all[0], "r3#"+bootOf(3)) }, "the old life fades")
	})
}

func TestProbeTellsLivesApart(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n := newNetwork()
		g := start(t, config(n, 1, 0))
		start(t, config(n, 2, 0)) // never met: a probe needs no view
		for _, c := range []struct {
			name, boot, addr string
			want             gossip.Reply
		}{
			{"r2", bootOf(2), addrOf(2), gossip.Answered},
			{"r2", bootOf(3), addrOf(2), gossip.Connected}, // another life lives there
			{"r3", bootOf(2), addrOf(2), gossip.Connected},
			{"r2", bootOf(2), addrOf(3), gossip.Silent}, // nobody lives there
		} {
			began := time.Now()
			got, err := g.Probe(t.Context(), c.name, c.boot, c.addr)
			if got != c.want || err != nil {
				t.Errorf("%s#%s at %s: %v, %v, want %v", c.name, c.boot, c.addr, got, err, c.want)
			}
			if took := time.Since(began); (got == gossip.Answered) != (took < 10*time.Millisecond) || took > gossip.ProbeTimeoutDefault {
				t.Errorf("%s#%s at %s: %v after %v", c.name, c.boot, c.addr, got, took)
			}
		}
	})
}

func TestProbeFailsWhenItCannotAsk(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n := newNetwork()
		g := start(t, config(n, 1, 0))
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		for what, probe := range map[string]func() (gossip.Reply, error){
			"bad name":    func() (gossip.Reply, error) { return g.Probe(t.Context(), "a#b", bootOf(1), addrOf(1)) },
			"bad boot":    func() (gossip.Reply, error) { return g.Probe(t.Context(), "r1", "1", addrOf(1)) },
			"bad address": func() (gossip.Reply, error) { return g.Probe(t.Context(), "r1", bootOf(1), "10.0.0.1") },
			"ended":       func() (gossip.Reply, error) { return g.Probe(ended, "r2", bootOf(2), addrOf(2)) },
		} {
			if got, err := probe(); got != gossip.Silent || err == nil {
				t.Errorf("%s: %v, %v, want an error", what, got, err)
			}
		}
		if err := g.Close(); err != nil {
			t.Fatal(err)
		}
		if got, err := g.Probe(t.Context(), "r1", bootOf(1), addrOf(1)); got != gossip.Silent || err == nil {
			t.Errorf("closed: %v, %v, want an error", got, err)
		}
	})
}

// Both end in the same thing, the life is not in view; a goodbye only sooner.
func TestAGoodbyeLooksLikeADeath(t *testing.T) {
	bubble(t, func(t *testing.T) {
		all := startAll(t, newNetwork(), 3, nil)
		for _, c := range all[0].Members() {
			if c.Name == "r3" && !reflect.DeepEqual(c, all[2].Members()[2]) {
				t.Errorf("r3 is %v to others", c)
			}
		}
		if err := all[2].Leave(t.Context()); err != nil {
			t.Fatal(err)
		}
		within(t, time.Second, func() bool { return seeAll(all[:2], 2) }, "the goodbye is heard")
		if err := all[2].Close(); err != nil {
			t.Fatal(err)
		}
		if err := all[1].Close(); err != nil {
			t.Fatal(err)
		}
		within(t, gossip.LAN.Suspicion(3), func() bool { return seeAll(all[:1], 1) }, "the death is seen")
	})
}

func TestChangedIsPokedByEveryChangeAndNeverFull(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n := newNetwork()
		g := start(t, config(n, 1, 1))
		<-g.Changed() // by our own appearance
		for i := 2; i < 8; i++ {
			start(t, config(n, i, 1)) // nobody reads meanwhile
		}
		within(t, 10*time.Second, func() bool { return len(g.Members()) == 7 }, "all have come")
		<-g.Changed()
		select {
		case <-g.Changed():
			t.Error("poked twice for what was seen at once")
		default:
		}
		n.partition(half)
		select {
		case <-g.Changed():
		case <-time.After(time.Minute):
			t.Error("not poked when members were lost")
		}
	})
}

func TestOtherLabelsNeverMeet(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n := newNetwork()
		g := start(t, config(n, 1, 2))
		other := config(n, 2, 2)
		other.Label = strings.Repeat("f", 32)
		h := start(t, other)
		bare := newStranger(t, n.host(addrOf(3)), "r3#"+bootOf(3), nodeMeta, func(c *memberlist.Config) { c.Label = "" })
		if _, err := bare.Join([]string{addrOf(1)}); err == nil {
			t.Error("a stranger without a label was let in")
		}
		for _, g := range []*gossip.Gossip{g, h} {
			if err := g.Join(t.Context()); err == nil {
				t.Errorf("%s joined another cluster", g.Addr())
			}
		}
		time.Sleep(2 * time.Minute)
		if !seeAll([]*gossip.Gossip{g, h}, 1) {
			t.Errorf("they met: %v, %v", ids(g), ids(h))
		}
	})
}

func TestAnIdleClusterSaysNothingAtInfo(t *testing.T) {
	bubble(t, func(t *testing.T) {
		said := new(logs)
		startAll(t, newNetwork(), 5, func(c *gossip.Config) { c.Logger = said.logger(hclog.Info) })
		time.Sleep(5 * time.Minute)
		if lines := said.lines(); lines != nil {
			t.Errorf("said %d lines, the first: %s", len(lines), lines[0])
		}
	})
}

// A death is the reconciler's to report; gossip leaves it at Debug.
func TestADeathSaysNothingAtInfo(t *testing.T) {
	bubble(t, func(t *testing.T) {
		said, debug := new(logs), new(logs)
		all := startAll(t, newNetwork(), 3, func(c *gossip.Config) {
			c.Logger = said.logger(hclog.Info)
			if c.Name == "r2" {
				c.Logger = debug.logger(hclog.Debug)
			}
		})
		_ = all[2].Close()
		within(t, time.Minute, func() bool { return seeAll(all[:2], 2) }, "the death")
		time.Sleep(5 * time.Minute)
		if lines := said.lines(); lines != nil {
			t.Errorf("said %d lines, the first: %s", len(lines), lines[0])
		}
		if !strings.Contains(strings.Join(debug.lines(), "\n"), "Suspect r3#") {
			t.Error("nothing of it at Debug")
		}
	})
}

func TestAfterCloseEverythingSaysSo(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n := newNetwork()
		g := start(t, config(n, 1, 2))
		for range 2 {
			if err := g.Close(); err != nil {
				t.Errorf("Close: %v", err)
			}
		}
		if err := g.Leave(t.Context()); err == nil {
			t.Error("Leave after Close succeeded")
		}
		if err := g.Join(t.Context()); err == nil {
			t.Error("Join after Close succeeded")
		}
	})
}

func TestCloseBreaksWhatHangs(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n := newNetwork()
		n.host(addrOf(2)) // accepts, and never answers
		g := start(t, config(n, 1, 2))
		silent, err := n.host(addrOf(3)).DialTimeout(addrOf(1), time.Second)
		if err != nil {
			t.Fatal(err)
		}
		joined := make(chan error, 1)
		go func() { joined <- g.Join(t.Context()) }()
		time.Sleep(time.Second)
		began := time.Now()
		if err := g.Close(); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took > 100*time.Millisecond {
			t.Errorf("Close took %v", took)
		}
		if err := <-joined; err == nil {
			t.Error("the join that was broken off says that it succeeded")
		}
		_ = silent.Close()
	})
}

func TestJoinEndsWithItsContext(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n := newNetwork()
		n.host(addrOf(2)) // accepts, and never answers
		g := start(t, config(n, 1, 2))
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		began := time.Now()
		if err := g.Join(ctx); err == nil {
			t.Error("joined nobody, and says that it succeeded")
		}
		if took := time.Since(began); took > 150*time.Millisecond {
			t.Errorf("it took %v", took)
		}
	})
}

func TestJoinOfNobodyButItselfSucceeds(t *testing.T) {
	bubble(t, func(t *testing.T) {
		g := start(t, config(newNetwork(), 1, 1))
		if err := g.Join(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// Real sockets, real time: a death, a restart on any port, a probe, and no
// goroutine or descriptor is left.
func TestOnRealSockets(t *testing.T) {
	goroutines, files := runtime.NumGoroutine(), openFiles(t)
	var all []*gossip.Gossip
	for i := range 3 {
		c := gossip.Config{
			Name: fmt.Sprintf("r%d", i+1), Boot: bootOf(i + 1), Label: cluster, Role: gossip.Replica,
			API: "127.0.0.1:7700", Bind: "127.0.0.1:0", Profile: gossip.Local,
		}
		if i > 0 {
			seeds := []string{all[0].Addr()}
			c.Seeds = func() []string { return seeds }
		}
		all = append(all, start(t, c))
	}
	within(t, 10*time.Second, func() bool { return seeAll(all, 3) }, "all see all")
	if got, err := all[0].Probe(t.Context(), "r3", bootOf(3), all[2].Addr()); got != gossip.Answered || err != nil {
		t.Errorf("probe of the living: %v, %v", got, err)
	}
	addr := all[2].Addr()
	_ = all[2].Close()
	const late = 2 * time.Second // the bound is for timers that run in time
	took := within(t, gossip.Local.Suspicion(3)+late, func() bool { return seeAll(all[:2], 2) }, "the death")
	t.Logf("death seen after %v, bound %v", took, gossip.Local.Suspicion(3))
	if got, err := all[0].Probe(t.Context(), "r3", bootOf(3), addr); got != gossip.Silent || err != nil {
		t.Errorf("probe of the dead: %v, %v", got, err)
	}
	if err := all[1].Leave(t.Context()); err != nil {
		t.Error(err)
	}
	within(t, 5*time.Second, func() bool { return len(all[0].Members()) == 1 }, "the goodbye")
	for _, g := range all {
		_ = g.Close()
	}
	within(t, 10*time.Second, func() bool { return runtime.NumGoroutine() <= goroutines }, "no goroutine is left")
	within(t, 10*time.Second, func() bool { return openFiles(t) <= files }, "no descriptor is left")
}

func openFiles(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}
