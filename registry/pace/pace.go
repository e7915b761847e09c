// Package pace says when calls that go together go: round robins that share a
// log entry in fsm/combine, calls that share a request in rpc/client.
//
// A trip costs nearly the same whether one call is in it or a thousand, so that
// what counts is how many share it. Two rules bring them together, and neither
// makes a lone caller wait:
//
//   - A trip has the way for itself, as long as it is quick: the next one goes
//     when it is over, with all who came meanwhile. One that takes longer, mostly
//     [Slow], does not hold up the others, up to Max at a time.
//   - Who was just answered is likely to ask again, but not at the same instant.
//     So the next trip waits for as many as were here when the last one ended,
//     for a small part of the time that it took.
//
// A [Pace] is a function of its events, which are told the time; it has no clock.
// Times are since any one moment.
//
// What lost: as many trips at a time as keep the disk and the wire busy. Of 64
// callers each trip then had 27, where one at a time had 44, and one that waits
// for who comes back nearly all; and what a trip costs, three replicas pay.
package pace

import "time"

const (
	// Slow is longer than a commit takes on disks of today and in one place.
	Slow = 20 * time.Millisecond
	// A trip waits for who comes back for a part of what the last one took, and
	// no longer than comebackMax.
	comebackPart = 6
	comebackMax  = time.Millisecond
)

// Pace says when the next trip goes. Max must be set.
type Pace struct {
	Max  int           // trips at a time
	Slow time.Duration // how long one of them keeps the others back

	trips    int
	departed time.Duration // the last one
	left     bool          // some for whom it had no room
	until    time.Duration // when to wait for nobody any longer
	expected int           // whom to wait for until then
	alarm    time.Duration // the last one that Next gave
}

// Trips is how many are under way.
func (p *Pace) Trips() int { return p.trips }

// Next says whether a trip begins now, when so many wait. If not, at is when to
// ask again at the latest, unless that has been said already: 0.
func (p *Pace) Next(now time.Duration, waiting int) (goes bool, at time.Duration) {
	switch {
	case waiting == 0 || p.trips >= p.Max:
		return false, 0
	case p.trips > 0 && !p.left && now < p.departed+p.Slow:
		at = p.departed + p.Slow
	case p.trips == 0 && waiting < p.expected && now < p.until:
		at = p.until
	default:
		return true, 0
	}
	if now < p.alarm && p.alarm <= at {
		return false, 0
	}
	p.alarm = at
	return false, at
}

// Begin counts a trip that begins.
func (p *Pace) Begin(now time.Duration) {
	p.trips++
	p.departed, p.left = now, false
}

// Depart is told that the trip which began last goes, without so many, for whom
// it had no room. The time that a trip takes counts from here.
func (p *Pace) Depart(now time.Duration, left int) {
	p.departed, p.left = now, left > 0
}

// Arrive is told that a trip which departed then has answered so many, while so
// many others wait for the next one.
func (p *Pace) Arrive(now, departed time.Duration, answered, waiting int) {
	p.expected = answered + waiting
	p.until = now + min((now-departed)/comebackPart, comebackMax)
}

// End counts a trip that has ended.
func (p *Pace) End() { p.trips-- }
