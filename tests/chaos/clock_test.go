package chaos_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/rota-registry/rota/fsm"
	"github.com/rota-registry/rota/registry"
	"github.com/rota-registry/rota/tests/check"
)

const (
	// wallOff is what a wall clock must at least be wrong by to show that a fault
	// moved it: an entry is not that old when it is looked at.
	wallOff = 30 * time.Minute
	// overtakenMax bounds how long an entry may wait between its clock and its place
	// in the log, in which others overtake it: a process is stopped for 8 s at most.
	overtakenMax = 10 * time.Second
)

// shiftWall moves a leader's wall clock. It takes effect when the leader has applied
// an entry with a wrong time.
func (r *round) shiftWall(one *replica, ahead time.Duration) {
	before, err := one.log()
	if err != nil {
		r.t.Fatal(err)
	}
	r.say("the wall clock of %s is ahead by %s", one.Name, ahead)
	one.disturb(r.t, fmt.Sprintf("wall\tahead %s", ahead))
	r.prove(func() error {
		l, err := one.log()
		if err != nil {
			return err
		}
		for _, e := range l.Entries[len(before.Entries):] {
			if decoded, err := fsm.DecodeEntry(e.Data); err == nil && time.Since(time.UnixMilli(int64(decoded.Wall))).Abs() >= wallOff {
				return nil
			}
		}
		return fmt.Errorf("%s has applied no entry whose time is wrong", one.Name)
	})
}

// clocks compares the log clock with what is known of time: it never falls, and it
// runs for no longer than the cluster lives. A term's first entry has the clock that
// its leader has seen, who may have yet to apply what is before it.
func clocks(log check.Log, lived time.Duration) (found []check.Violation) {
	var highest registry.Millis
	for _, e := range log {
		decoded, err := fsm.DecodeEntry(e.Data)
		if err != nil {
			continue // a no-op
		}
		_, first := decoded.Command.(registry.TermStart)
		wrong := ""
		switch at := decoded.Clock; {
		case at > registry.Millis(lived.Milliseconds()):
			wrong = fmt.Sprintf("the cluster has lived for %d ms", lived.Milliseconds())
		case !first && at+registry.Millis(overtakenMax.Milliseconds()) < highest:
			wrong = fmt.Sprintf("before it there was one of %d ms", highest)
		}
		if wrong != "" {
			return []check.Violation{{Check: "clock", Text: fmt.Sprintf("the log clock is %d ms at index %d, and %s", decoded.Clock, e.Index, wrong)}}
		}
		highest = max(highest, decoded.Clock)
	}
	return nil
}

// TestAWrongLogClockIsFound claims that a log whose clock falls, or runs ahead of the
// cluster's life, is a violation, and that one is not in which entries overtake each
// other or a term begins.
func TestAWrongLogClockIsFound(t *testing.T) {
	turn, start := registry.RoundRobin{Turns: []registry.Turn{{Pool: "worker", Key: "k", Count: 1}}}, registry.TermStart{Leader: "r1"}
	for what, c := range map[string]struct {
		entries []fsm.Entry
		want    string
	}{
		"sound":      {[]fsm.Entry{{Command: start}, {Clock: 20_000, Command: turn}, {Clock: 19_999, Command: turn}, {Clock: 5, Command: start}, {Clock: 59_000, Command: turn}}, ""},
		"falls":      {[]fsm.Entry{{Clock: 20_000, Command: turn}, {Clock: 9_999, Command: turn}}, "the log clock is 9999 ms at index 2, and before it there was one of 20000 ms"},
		"runs ahead": {[]fsm.Entry{{Clock: 60_001, Command: turn}}, "the log clock is 60001 ms at index 1, and the cluster has lived for 60000 ms"},
	} {
		log := check.Log{}
		for i, e := range c.entries {
			data, err := fsm.EncodeEntry(e)
			if err != nil {
				t.Fatal(err)
			}
			log = append(log, check.Entry{Position: registry.Position{Index: registry.Index(i + 1), Term: 1}, Data: data})
		}
		found := clocks(log, time.Minute)
		if c.want == "" && len(found) == 0 {
			continue
		}
		if len(found) != 1 || found[0].Text != c.want {
			t.Errorf("%s: found %q, want %q", what, found, c.want)
		}
	}
}
