package gossip

import (
	"fmt"
	"math"
	"time"

	"github.com/hashicorp/memberlist"
)

// Profile is a set of timings for a kind of network.
type Profile string

// The profiles. All members of a cluster use the same one.
const (
	// LAN reports a death within 8 s in a cluster of 3 to 10 members.
	LAN Profile = "lan"
	// Local is for loopback: 2 to 4 s for 3 to 10 members, and a process that
	// gets no processor for a second is still not taken for dead.
	Local Profile = "local"
)

// probeRoundsMax bounds how many probe intervals pass until somebody probes a
// given member. One prober alone may take 2n-2: it goes through its list
// without repeating anyone, shuffles it, and lets a round pass there when it
// meets itself first. That n-1 probers all miss one member for k rounds has a
// probability below e^-k, far below near the end of their lists.
const probeRoundsMax = 6

// Validate says what is wrong with the profile, or nil.
func (p Profile) Validate() error {
	if p != LAN && p != Local {
		return fmt.Errorf("profile %q is unknown: use %q or %q", p, LAN, Local)
	}
	return nil
}

// Suspicion is the longest time between the death of one of n members and its
// report by all others, on machines that run their timers in time. It is the
// sum of: rounds until somebody probes the dead one and that probe's own
// length, the time in which a suspect may object, and the spreading of the
// news.
func (p Profile) Suspicion(n int) time.Duration {
	c := p.config()
	n = max(n, 2)
	rounds := min(2*n-2, probeRoundsMax) + 1
	scale := max(1, math.Log10(float64(n)))
	objection := time.Duration(float64(c.SuspicionMult*c.SuspicionMaxTimeoutMult) * scale * float64(c.ProbeInterval))
	return time.Duration(rounds)*c.ProbeInterval + objection + p.spread(n)
}

// spread is how long a piece of news takes to reach n members.
func (p Profile) spread(n int) time.Duration {
	return time.Duration(math.Ceil(math.Log2(float64(n+1)))) * p.config().GossipInterval
}

// Rumor is how long one of n members may be out of every view though it lives: one
// that was cut off took the others for dead, and tells them so when it is back. They
// believe it of each other until those who are said to be dead hear of it, and object.
func (p Profile) Rumor(n int) time.Duration { return p.spread(max(n, 2)) }

// config gives memberlist's configuration for the profile, timings alone.
//
// ProbeTimeout is less than half of ProbeInterval, so that the indirect
// probers' "I asked and heard nothing" arrives in time, and a member does not
// take another's death for its own bad health. SuspicionMaxTimeoutMult is 1:
// waiting for confirmations makes small clusters slow and the time to a report
// hard to bound. AwarenessMaxMultiplier is memberlist's own, 8: so much slower does
// a member probe whose probes are late, and that ends what too few processors
// begin, when suspicions make work and the work makes suspicions. A death is found
// no later by it where timers run in time; of many at once the last may be. GossipToTheDeadTime is finite: the dead
// are forgotten, and the rejoin loop finds those that come back.
func (p Profile) config() *memberlist.Config {
	c := memberlist.DefaultLANConfig()
	c.SuspicionMaxTimeoutMult = 1
	// A packet is no larger without it, and LZW is a quarter of what 150 members
	// that come in at once take of a processor, besides the garbage that it makes.
	// What is sent by TCP fits a LAN as it is.
	c.EnableCompression = false
	switch p {
	case Local:
		c.ProbeInterval, c.ProbeTimeout, c.SuspicionMult = 200*time.Millisecond, 80*time.Millisecond, 10
		c.GossipInterval, c.PushPullInterval = 100*time.Millisecond, 5*time.Second
		c.GossipToTheDeadTime, c.TCPTimeout = 15*time.Second, 2*time.Second
	default:
		c.ProbeInterval, c.ProbeTimeout, c.SuspicionMult = 500*time.Millisecond, 200*time.Millisecond, 6
		c.GossipInterval, c.PushPullInterval = 200*time.Millisecond, 15*time.Second
		c.GossipToTheDeadTime, c.TCPTimeout = 30*time.Second, 5*time.Second
	}
	return c
}
