package chaos_test

import (
	"fmt"
	"time"

	"github.com/rota-registry/rota/fsm"
)

// wallOff is what a wall clock must at least be wrong by to show that a fault
// moved it: an entry is not that old when it is looked at.
const wallOff = 30 * time.Minute

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
