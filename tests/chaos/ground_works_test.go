package chaos_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"syscall"
	"testing"
	"time"

	"github.com/rota-registry/rota/tests/procs"
)

// TestGroundLoses claims that a loss is one: the faults of this package would
// else be none. It dials from the bridge into a place, before, during and after.
func TestGroundLoses(t *testing.T) {
	g, why := newGround(t)
	if !g.isolated() {
		t.Logf("nothing to lose on loopback: %s", why)
		return
	}
	p := g.place("p1")
	// Nobody listens there: a refusal is an answer, and a loss is none.
	answers := func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		c, err := new(net.Dialer).DialContext(ctx, "tcp", p.api)
		if err == nil {
			_ = c.Close()
		}
		return err == nil || errors.Is(err, syscall.ECONNREFUSED)
	}
	reached := func(when string) {
		t.Helper()
		procs.Eventually(t, procs.Ready, func() error {
			if !answers() {
				return fmt.Errorf("%s the place cannot be reached from the bridge", when)
			}
			return nil
		})
	}
	reached("at first") // a link takes its time to come up
	for name, l := range map[string]loss{
		"from the bridge": {host: true, percent: 100}, "of TCP": {proto: "tcp", percent: 100},
		"of the API": {port: apiPort, percent: 100}, "of everything": {percent: 100},
		"of answers": {answers: true, percent: 100},
	} {
		g.lose(p, l)
		if answers() {
			t.Errorf("loss %s is none", name)
		}
		if g.lost() == 0 {
			t.Errorf("loss %s counts nothing", name)
		}
		g.heal()
		reached("healed of loss " + name)
		if n := g.lost(); n != 0 {
			t.Errorf("loss %s has healed, and has lost %d packets", name, n)
		}
	}
	g.lose(p, loss{proto: "udp", percent: 100}, loss{port: raftPort, percent: 100}, loss{from: &place{ip: "10.0.0.9"}, percent: 100})
	reached("while others lose")
	if n := g.lost(); n != 0 {
		t.Errorf("%d packets of others were lost here", n)
	}
	g.heal()
	g.lose(p, loss{percent: 30})
	lost := 0
	for range 40 {
		if !answers() {
			lost++
		}
	}
	// One in five tries loses its packet and TCP sends it again only after a second.
	if lost == 0 || lost > 30 {
		t.Errorf("of 40 dials %d were lost at 30 %%", lost)
	}
}
