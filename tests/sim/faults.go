package sim

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/rota-registry/rota/tests/simnet"
)

// Kill ends a replica's process as kill -9 does: its connections are reset, and
// it says nothing.
func (c *Cluster) Kill(r *Replica) *Replica {
	c.t.Helper()
	c.Story.note("kill %s", r.Name)
	c.Net.Crash(r.host.IP())
	c.must("kill "+string(r.Name), r.end())
	return r
}

// KillLeader kills who leads, and gives it.
func (c *Cluster) KillLeader() *Replica { return c.Kill(c.Leader()) }

// PowerOff ends a replica's host without a word to anybody.
func (c *Cluster) PowerOff(r *Replica) *Replica {
	c.t.Helper()
	c.Story.note("power off %s", r.Name)
	c.Net.PowerOff(r.host.IP())
	c.must("power off "+string(r.Name), r.end())
	return r
}

// Stop stops a replica in order, as an operator does.
func (c *Cluster) Stop(r *Replica) *Replica {
	c.t.Helper()
	c.Story.note("stop %s", r.Name)
	c.must("stop "+string(r.Name), r.stop())
	return r
}

// Cutting is a cut between hosts in the making: it names those whose links it
// is about. It takes effect with From, or one of its other ends.
type Cutting struct {
	c      *Cluster
	planes simnet.Plane
	names  []string
	oneWay bool
}

// Cut begins a cut of hosts, by their names.
func (c *Cluster) Cut(names ...string) Cutting {
	return Cutting{c: c, planes: simnet.All, names: names}
}

// On is the cut on some planes alone.
func (k Cutting) On(planes simnet.Plane) Cutting {
	k.planes = planes
	return k
}

// OneWay is the cut of what they send; what is sent to them arrives.
func (k Cutting) OneWay() Cutting {
	k.oneWay = true
	return k
}

// From cuts them off from others, and not from each other.
func (k Cutting) From(others ...string) {
	k.change("cut", others, func(l *simnet.Link) { l.Cut = true })
}

// FromAll cuts them off from everyone else there is.
func (k Cutting) FromAll() { k.From(k.c.others(k.names)...) }

// FromReplicas cuts them off from the other replicas.
func (k Cutting) FromReplicas() { k.From(k.c.otherReplicas(k.names)...) }

func (k Cutting) change(what string, others []string, change func(*simnet.Link)) {
	way := ""
	if k.oneWay {
		way = ", one way"
	}
	k.c.Story.note("%s %s from %s on %s%s", what, strings.Join(k.names, " "), strings.Join(others, " "), planes(k.planes), way)
	for _, a := range k.names {
		for _, b := range others {
			if a == b {
				continue
			}
			k.c.Net.Change(k.planes, k.c.ip(a), k.c.ip(b), change)
			if !k.oneWay {
				k.c.Net.Change(k.planes, k.c.ip(b), k.c.ip(a), change)
			}
		}
	}
}

// Uncut ends a cut between them and others; other faults of the links stay.
func (k Cutting) Uncut(others ...string) {
	k.change("uncut", others, func(l *simnet.Link) { l.Cut = false })
}

// Reset breaks the connections off that there are, and lets new ones come.
func (k Cutting) Reset(others ...string) {
	k.c.Story.note("reset %s from %s on %s", strings.Join(k.names, " "), strings.Join(others, " "), planes(k.planes))
	for _, a := range k.names {
		for _, b := range others {
			k.c.Net.Reset(k.planes, k.c.ip(a), k.c.ip(b))
		}
	}
}

// Worsen makes the links between them and others bad in some other way.
func (k Cutting) Worsen(what string, others []string, change func(*simnet.Link)) {
	k.change(what, others, change)
}

// Heal makes all links good again. Who is down stays so.
func (c *Cluster) Heal() {
	c.Story.note("heal")
	c.Net.Heal()
	c.spread()
}

// RestartAll starts the replicas that are down.
func (c *Cluster) RestartAll() {
	c.t.Helper()
	for _, r := range c.replicas {
		if !r.Running() {
			c.Start(r)
		}
	}
}

// Ring leaves each replica the two beside it, in the order of their names, the
// last beside the first. Of three it cuts one link.
func (c *Cluster) Ring() {
	n := len(c.replicas)
	for i := range n {
		for j := i + 1; j < n; j++ {
			if apart := j - i; apart > 1 && (apart < n-1 || n == 3) {
				c.Cut(string(c.replicas[i].Name)).From(string(c.replicas[j].Name))
			}
		}
	}
}

// Beside gives a replica and the two that Ring leaves it.
func (c *Cluster) Beside(one *Replica) Replicas {
	i, n := slices.Index(c.replicas, one), len(c.replicas)
	return Replicas{one, c.replicas[(i+1)%n], c.replicas[(i+n-1)%n]}
}

// Bridge cuts the other replicas in two halves, which meet at one alone.
func (c *Cluster) Bridge(at *Replica) {
	others := c.otherReplicas(names(at))
	c.Cut(others[:len(others)/2]...).From(others[len(others)/2:]...)
}

// Deceive cuts off what a leader sends to replicas when their answers to it are
// far behind: it hears them for a while, and takes itself for the leader when the
// others have another one. Raft keeps two messages on their way to each, so that
// no more than the lease lies between two answers.
func (c *Cluster) Deceive(leader *Replica) {
	others := c.otherReplicas(names(leader))
	far := 8 * c.lease() / 5
	for late := time.Duration(0); late <= far; late += far / 8 {
		for _, o := range others {
			c.Net.Change(simnet.Raft, c.ip(o), leader.host.IP(), func(l *simnet.Link) { l.Delay = late })
		}
		time.Sleep(far / 4)
	}
	c.Cut(string(leader.Name)).On(simnet.Raft).OneWay().From(others...)
}

func (c *Cluster) lease() time.Duration {
	if l := c.options.Timings.Lease; l != 0 {
		return l
	}
	return 250 * time.Millisecond
}

// Pause stops a replica for a while, as SIGSTOP would look to the others.
func (c *Cluster) Pause(r *Replica, d time.Duration) {
	c.Cut(string(r.Name)).FromAll()
	time.Sleep(d)
	c.Cut(string(r.Name)).Uncut(c.others([]string{string(r.Name)})...)
}

func planes(p simnet.Plane) string {
	if p == simnet.All {
		return "all planes"
	}
	var on []string
	for bit, name := range map[simnet.Plane]string{simnet.Raft: "raft", simnet.API: "api", simnet.Packets: "packets", simnet.Streams: "streams"} {
		if p&bit != 0 {
			on = append(on, name)
		}
	}
	slices.Sort(on)
	return strings.Join(on, "+")
}

// hosts gives the IP addresses of all hosts by their names.
func (c *Cluster) hosts() map[string]string {
	all := make(map[string]string)
	for _, r := range c.replicas {
		all[string(r.Name)] = r.host.IP()
	}
	for _, a := range c.agents {
		all[string(a.Name)] = a.host.IP()
	}
	for _, cl := range c.clients {
		all[cl.Name] = cl.host.IP()
	}
	for name, h := range c.extra {
		all[name] = h.IP()
	}
	return all
}

func (c *Cluster) ip(name string) string {
	ip, ok := c.hosts()[name]
	if !ok {
		panic(fmt.Sprintf("there is no host %s", name)) // a mistake in a scenario
	}
	return ip
}

// others gives the hosts that are not among names, sorted.
func (c *Cluster) others(names []string) (others []string) {
	for name := range c.hosts() {
		if !slices.Contains(names, name) {
			others = append(others, name)
		}
	}
	slices.Sort(others)
	return others
}

// Hosts gives the names of all hosts.
func (c *Cluster) Hosts() []string { return c.others(nil) }

// OthersThan gives the names of all hosts but that of a replica.
func (c *Cluster) OthersThan(r *Replica) []string { return c.others(names(r)) }

// OtherReplicas gives the names of the replicas but one.
func (c *Cluster) OtherReplicas(than *Replica) []string { return c.otherReplicas(names(than)) }

func (c *Cluster) otherReplicas(names []string) (others []string) {
	for _, r := range c.replicas {
		if !slices.Contains(names, string(r.Name)) {
			others = append(others, string(r.Name))
		}
	}
	return others
}

// names gives those of replicas.
func names(replicas ...*Replica) (list []string) {
	for _, r := range replicas {
		list = append(list, string(r.Name))
	}
	return list
}
