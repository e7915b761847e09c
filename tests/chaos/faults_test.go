package chaos_test

import (
	"fmt"
	"strings"
	"syscall"
	"time"
)

// fault is one thing that is done to a cluster.
type fault struct {
	name string
	// numbers are those of the README's table.
	numbers string
	weight  int
	// isolated faults need networks, ownDisk faults disks of their own; long ones
	// come in runs that have time for them.
	isolated, ownDisk, long bool
	// hold bounds how long it lasts.
	least, most time.Duration
	// inject does it; what it gives takes it back, and may be nil. Whatever has
	// ended is started afterwards, and every network healed. It says what shows
	// that it took effect (see prove), or that it took none (see vain).
	inject func(*round) (heal func())
}

// faults are all that a round draws from.
func faults() []fault {
	return append(append(processFaults(), networkFaults()...), append(diskFaults(), clockFaults()...)...)
}

func processFaults() []fault {
	return []fault{
		{name: "kill the leader", numbers: "F1", weight: 16, least: 200 * time.Millisecond, most: 3 * time.Second, inject: func(r *round) func() {
			return r.kill(r.leader())
		}},
		{name: "kill a follower", numbers: "F1 F5 F39", weight: 8, least: 5 * time.Second, most: 9 * time.Second, inject: func(r *round) func() {
			return r.kill(r.follower())
		}},
		{name: "kill a majority", numbers: "F1", weight: 1, least: 200 * time.Millisecond, most: 3 * time.Second, inject: func(r *round) func() {
			return r.kill(r.c.replicas[:len(r.c.replicas)/2+1]...)
		}},
		{name: "kill all", numbers: "F1", weight: 1, least: 100 * time.Millisecond, most: time.Second, inject: func(r *round) func() {
			return r.kill(r.c.replicas...)
		}},
		{name: "stop the leader", numbers: "F2", weight: 8, least: 200 * time.Millisecond, most: 5 * time.Second, inject: func(r *round) func() {
			return r.freeze(r.leader())
		}},
		{name: "stop a follower", numbers: "F2", weight: 2, least: time.Second, most: 8 * time.Second, inject: func(r *round) func() {
			return r.freeze(r.follower())
		}},
		{name: "stop a follower while it gets a snapshot", numbers: "F3", weight: 2, least: time.Second, most: 3 * time.Second, inject: func(r *round) func() {
			return r.freezeInSnapshot(r.follower())
		}},
		{name: "kill between snapshot and compaction", numbers: "F5", weight: 2, least: 5 * time.Second, most: 7 * time.Second, inject: func(r *round) func() {
			one := r.c.replicas[r.rand.IntN(len(r.c.replicas))]
			r.say("%s dies when it next deletes entries", one.Name)
			one.disturb(r.t, "DeleteRange\tdie")
			r.ends(one)
			return nil
		}},
		{name: "kill in the middle of a snapshot", numbers: "F5", weight: 2, least: 200 * time.Millisecond, most: 3 * time.Second, inject: func(r *round) func() {
			return r.killInSnapshot(r.either())
		}},
		{name: "no more memory", numbers: "F6", weight: 1, least: 500 * time.Millisecond, most: 2 * time.Second, inject: func(r *round) func() {
			return r.starve(r.leader())
		}},
		{name: "rolling restart", numbers: "F4", weight: 1, inject: func(r *round) func() {
			for _, one := range r.c.replicas {
				r.stop(one)
				one.Start()
				r.recovered("rolling restart of " + one.Name)
			}
			return nil
		}},
		{name: "storm of one request", numbers: "F41", weight: 6, least: 500 * time.Millisecond, most: 2 * time.Second, inject: func(r *round) func() {
			r.storm()
			return r.kill(r.leader())
		}},
		{name: "kill an agent", numbers: "F1", weight: 1, least: time.Second, most: 12 * time.Second, inject: func(r *round) func() {
			r.killAgent(r.c.agents[r.rand.IntN(len(r.c.agents))])
			return nil
		}},
		{name: "another process of a node's name", numbers: "F35", weight: 1, isolated: true, least: time.Second, most: 2 * time.Second, inject: func(r *round) func() {
			return r.twin()
		}},
	}
}

func networkFaults() []fault {
	all := []fault{
		{name: "cut the leader off", numbers: "F9", weight: 8, inject: func(r *round) func() {
			return r.cut(r.leader(), loss{percent: 100}, true)
		}},
		{name: "cut a follower off", numbers: "F10", weight: 2, inject: func(r *round) func() {
			return r.cut(r.follower(), loss{percent: 100}, true)
		}},
		{name: "the leader hears nobody", numbers: "F13", weight: 3, inject: func(r *round) func() {
			return r.cut(r.leader(), loss{percent: 100}, false)
		}},
		{name: "nobody hears the leader", numbers: "F13", weight: 3, inject: func(r *round) func() {
			from := r.leader()
			for _, other := range r.others(from) {
				r.lose(other.place, loss{from: from.place, percent: 100})
			}
			return nil
		}},
		{name: "a bridge between two that do not see each other", numbers: "F12", weight: 2, inject: func(r *round) func() {
			a, b := r.leader(), r.follower()
			r.lose(a.place, loss{from: b.place, percent: 100})
			r.lose(b.place, loss{from: a.place, percent: 100})
			return nil
		}},
		{name: "Raft alone is cut at the leader", numbers: "F9 F18", weight: 2, inject: func(r *round) func() {
			return r.cut(r.leader(), loss{port: raftPort, percent: 100}, true)
		}},
		{name: "Raft's connections are reset", numbers: "F16", weight: 1, inject: func(r *round) func() {
			return r.cut(r.leader(), loss{port: raftPort, proto: "tcp", percent: 100, reset: true}, true)
		}},
		{name: "the API is cut between replicas", numbers: "F9", weight: 1, inject: func(r *round) func() {
			for _, one := range r.c.replicas {
				for _, other := range r.others(one) {
					r.lose(one.place, loss{from: other.place, port: apiPort, percent: 100})
				}
			}
			return nil
		}},
		{name: "gossip is cut at a replica", numbers: "F18", weight: 1, inject: func(r *round) func() {
			one := r.follower()
			r.split([]*place{one.place}, one)
			return nil
		}},
		{name: "UDP is gone", numbers: "F17", weight: 1, inject: func(r *round) func() {
			for _, a := range r.c.agents {
				r.hide(a)
			}
			return r.everywhere(loss{proto: "udp", percent: 100})
		}},
		{name: "half of all packets of a replica are lost", numbers: "F14", weight: 2, inject: func(r *round) func() {
			return r.cut(r.follower(), loss{percent: 50}, false)
		}},
		{name: "one packet in ten is lost everywhere", numbers: "F14", weight: 2, inject: func(r *round) func() { return r.everywhere(loss{percent: 10}) }},
		{name: "callers hear nothing from a replica", numbers: "F21", weight: 1, inject: func(r *round) func() {
			r.lose(r.follower().place, loss{answers: true, percent: 100})
			return nil
		}},
		{name: "slow links at a replica", numbers: "F14", weight: 2, inject: func(r *round) func() {
			return r.slow(r.either())
		}},
		{name: "a ring in which each sees its neighbours alone", numbers: "F11", weight: 3, inject: func(r *round) func() {
			n := len(r.c.replicas)
			for i, one := range r.c.replicas {
				for j, other := range r.c.replicas {
					if far := (j - i + n) % n; far > 1 && far < n-1 {
						r.lose(one.place, loss{from: other.place, percent: 100})
					}
				}
			}
			return nil
		}},
		{name: "an agent is cut off", numbers: "F10", weight: 1, inject: func(r *round) func() {
			r.cutAgent(r.c.agents[r.rand.IntN(len(r.c.agents))])
			return nil
		}},
		{name: "links are clogged one by one", numbers: "F20", weight: 1, inject: func(r *round) func() {
			for _, i := range r.rand.Perm(len(r.c.replicas)) {
				one := r.c.replicas[i]
				r.lose(one.place, loss{from: r.others(one)[0].place, percent: 100})
				r.wait(300 * time.Millisecond)
			}
			return nil
		}},
	}
	for i := range all {
		all[i].isolated, all[i].least, all[i].most = true, 500*time.Millisecond, 8*time.Second
	}
	return append(all, fault{
		name: "gossip is split for longer than it remembers", numbers: "F18", weight: 1, isolated: true, long: true,
		least: 45 * time.Second, most: time.Minute,
		inject: func(r *round) func() {
			one := r.c.agents[r.rand.IntN(len(r.c.agents))]
			r.hide(one)
			r.split([]*place{r.follower().place, one.place}, r.c.replicas...)
			return r.wholeAgain
		},
	})
}

func diskFaults() []fault {
	disturb := func(line string, ends bool) func(*round) func() {
		return func(r *round) func() {
			who := r.either()
			r.say("the disk of %s: %s", who.Name, line)
			who.disturb(r.t, line)
			if ends {
				r.ends(who)
			}
			return nil
		}
	}
	// The watchdog ends a process of which one call takes more than 10 s.
	slow := func(d time.Duration) func(*round) func() {
		return disturb(fmt.Sprintf("StoreLogs\tslow %s", d), d > 10*time.Second)
	}
	return []fault{
		{name: "fsync takes 10 ms", numbers: "F22", weight: 1, least: 2 * time.Second, most: 5 * time.Second, inject: slow(10 * time.Millisecond)},
		{name: "fsync takes 400 ms", numbers: "F22", weight: 1, least: 2 * time.Second, most: 5 * time.Second, inject: slow(400 * time.Millisecond)},
		{name: "fsync takes 3 s", numbers: "F22", weight: 1, least: 4 * time.Second, most: 8 * time.Second, inject: slow(3 * time.Second)},
		{name: "fsync takes 15 s", numbers: "F22", weight: 1, least: 12 * time.Second, most: 13 * time.Second, inject: slow(15 * time.Second)},
		{name: "the disk hangs", numbers: "F23", weight: 1, least: 13 * time.Second, most: 14 * time.Second, inject: slow(time.Minute)},
		{name: "the disk fails", numbers: "F25", weight: 2, least: 500 * time.Millisecond, most: 3 * time.Second, inject: disturb("StoreLogs\tfail", true)},
		{name: "the vote cannot be stored", numbers: "F25", weight: 1, least: time.Second, most: 3 * time.Second, inject: func(r *round) func() {
			one := r.leader()
			for _, other := range r.others(one) {
				other.disturb(r.t, "Set\tfail", "SetUint64\tfail")
			}
			r.ends(r.others(one)...)
			return r.kill(one)
		}},
		{name: "power is lost before a write", numbers: "F26", weight: 1, least: 500 * time.Millisecond, most: 3 * time.Second, inject: disturb("StoreLogs\tdie", true)},
		{name: "power is lost in a write", numbers: "F26", weight: 3, least: 500 * time.Millisecond, most: 3 * time.Second, inject: disturb("StoreLogs\ttear", true)},
		{name: "the disk is full", numbers: "F24", weight: 2, ownDisk: true, least: time.Second, most: 4 * time.Second, inject: func(r *round) func() {
			return r.fill(r.either(), 0)
		}},
		{name: "the disk is nearly full", numbers: "F24", weight: 1, ownDisk: true, least: 2 * time.Second, most: 5 * time.Second, inject: func(r *round) func() {
			return r.nearlyFull(r.leader())
		}},
		{name: "the disk is read-only at the start", numbers: "F29", weight: 1, ownDisk: true, inject: func(r *round) func() {
			return r.readOnly(r.follower())
		}},
		{name: "all disks are full", numbers: "F24", weight: 1, ownDisk: true, least: time.Second, most: 2 * time.Second, inject: func(r *round) func() {
			var undo []func()
			for _, one := range r.c.replicas {
				undo = append(undo, r.fill(one, 0))
			}
			return func() {
				for _, f := range undo {
					f()
				}
			}
		}},
	}
}

func clockFaults() []fault {
	return []fault{
		{name: "a clock is an hour ahead", numbers: "F30", weight: 1, least: time.Second, most: 4 * time.Second, inject: func(r *round) func() {
			r.shiftWall(r.leader(), time.Hour)
			return nil
		}},
		{name: "a clock goes backwards", numbers: "F30", weight: 1, least: time.Second, most: 4 * time.Second, inject: func(r *round) func() {
			r.shiftWall(r.leader(), -3*time.Hour)
			return nil
		}},
		{name: "a leader from the future dies", numbers: "F31", weight: 1, least: 500 * time.Millisecond, most: 2 * time.Second, inject: func(r *round) func() {
			one := r.leader()
			r.shiftWall(one, 24*time.Hour)
			r.wait(time.Second)
			return r.kill(one)
		}},
	}
}

// kill is kill -9 of several at once.
func (r *round) kill(who ...*replica) func() {
	killed := 0
	for _, one := range who {
		r.mayEnd(one.Process)
		if one.Running() {
			r.say("kill -9 of %s", one.Name)
			_ = one.Kill9()
			killed++
		}
	}
	if killed == 0 {
		r.vain("nobody was there to be killed")
	}
	for _, one := range who {
		one.Kill()
	}
	return nil
}

// freeze is SIGSTOP.
func (r *round) freeze(one *replica) func() {
	r.say("SIGSTOP of %s", one.Name)
	one.Signal(syscall.SIGSTOP)
	return func() { one.Signal(syscall.SIGCONT) }
}

// cut makes a replica lose what the others send, and, both ways, the others what
// it sends.
func (r *round) cut(one *replica, l loss, both bool) func() {
	r.say("cut at %s: %+v, both ways %t", one.Name, l, both)
	for _, other := range r.others(one) {
		if !l.host {
			l.from = other.place
		}
		r.lose(one.place, l)
		if both {
			back := l
			back.from = one.place
			r.lose(other.place, back)
		}
	}
	return nil
}

// slow gives a replica's links a rate at which packets wait for up to half a
// second.
func (r *round) slow(one *replica) func() {
	r.say("slow links at %s", one.Name)
	undo, err := slowLink(one.place)
	if err != nil {
		r.vain("links cannot be slowed: %v", err)
	}
	return undo
}

// readOnly stops a replica and starts it on a disk that cannot be written: it must
// say so and end.
func (r *round) readOnly(one *replica) func() {
	r.stop(one)
	if err := remount(one.dir, true); err != nil {
		r.vain("the disk of %s stays writable: %v", one.Name, err)
		return nil
	}
	r.mayEnd(one.Process)
	one.Start()
	for end := time.Now().Add(10 * time.Second); one.Running() && time.Now().Before(end); {
		r.wait(20 * time.Millisecond)
	}
	if one.Running() {
		r.violate("disk", "%s runs on a disk that cannot be written", one.Name)
		one.Kill()
	} else if !strings.Contains(one.Log(), "cannot be written") {
		r.violate("disk", "%s does not say that its disk cannot be written", one.Name)
	}
	return func() {
		if err := remount(one.dir, false); err != nil {
			r.t.Fatal(err)
		}
	}
}

// fill leaves that many bytes of room on a replica's own disk. It takes effect when
// the replica has ended of it, or says that it is short of room.
func (r *round) fill(one *replica, leave uint64) (empty func()) {
	r.say("the disk of %s is filled but for %d bytes", one.Name, leave)
	r.mayEnd(one.Process)
	r.prove(func() error {
		if !one.Running() {
			return nil
		}
		return short(one)
	})
	return one.fill(r.t, leave)
}

// nearlyFull leaves a leader less room than it needs to be ready. As long as it
// runs, it must give leadership away.
func (r *round) nearlyFull(one *replica) (heal func()) {
	empty := r.fill(one, diskBytes/200)
	r.prove(func() error {
		if r.c.leader() == one {
			return fmt.Errorf("%s leads, short of room", one.Name)
		}
		return nil
	})
	return func() {
		if one.Running() && short(one) == nil && r.c.leader() == one {
			r.violate("disk", "%s is short of room, and has not given leadership away in %s", one.Name, r.load.now()-r.now.from)
		}
		empty()
	}
}

// wholeAgain heals the networks, and waits until everybody sees everybody.
func (r *round) wholeAgain() {
	r.c.ground.heal()
	for end := time.Now().Add(wholeMax); ; r.wait(200 * time.Millisecond) {
		err := r.c.whole()
		if err == nil {
			return
		}
		if time.Now().After(end) {
			r.violate("gossip", "the cluster is not whole after %s: %v", wholeMax, err)
			return
		}
	}
}

func (r *round) everywhere(l loss) func() {
	for _, one := range r.c.replicas {
		r.lose(one.place, l)
	}
	for _, one := range r.c.agents {
		r.lose(one.place, l)
	}
	return nil
}
