package replica_test

import (
	"fmt"
	"log"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/memberlist"
	"github.com/rota-registry/rota/gossip"
	"github.com/rota-registry/rota/registry"
)

// deaf is gossip over sockets on a host that UDP neither reaches nor leaves: of
// the two only TCP is there.
type deaf struct {
	*memberlist.NetTransport
	packets chan *memberlist.Packet // nothing ever comes
	stop    chan struct{}
	drain   sync.WaitGroup
}

func newDeaf(t *testing.T) *deaf {
	t.Helper()
	inner, err := memberlist.NewNetTransport(&memberlist.NetTransportConfig{
		BindAddrs: []string{"127.0.0.1"}, Logger: log.New(hclog.NewNullLogger().StandardWriter(&hclog.StandardLoggerOptions{}), "", 0),
	})
	if err != nil {
		t.Fatal(err)
	}
	d := &deaf{NetTransport: inner, packets: make(chan *memberlist.Packet), stop: make(chan struct{})}
	d.drain.Go(func() {
		for {
			select {
			case <-inner.PacketCh():
			case <-d.stop:
				return
			}
		}
	})
	return d
}

func (d *deaf) FinalAdvertiseAddr(string, int) (net.IP, int, error) {
	return net.IPv4(127, 0, 0, 1), d.GetAutoBindPort(), nil
}
func (d *deaf) PacketCh() <-chan *memberlist.Packet { return d.packets }

func (d *deaf) WriteTo([]byte, string) (time.Time, error) { return time.Now(), nil }

func (d *deaf) WriteToAddress([]byte, memberlist.Address) (time.Time, error) { return time.Now(), nil }

func (d *deaf) Shutdown() error {
	err := d.NetTransport.Shutdown()
	close(d.stop)
	d.drain.Wait()
	return err
}

// TestWithoutUDPAProbeProvesNothing: a node whose UDP is lost and whose TCP is there
// is in every view, since gossip goes on over TCP. Probes over UDP are silent, and no
// replica takes that for its death, which a broken connection would make of it. When
// it dies all do, at once: then nothing takes the connection.
func TestWithoutUDPAProbeProvesNothing(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	rs := c.startAll(3)
	w := c.newLifeAs("w", bootA, func(cfg *gossip.Config) { cfg.Transport = newDeaf(t) })
	if _, _, err := rs[0].Join(within(t, 5*time.Second), w.join); err != nil {
		t.Fatal(err)
	}
	c.sees(w, true)
	for _, r := range rs {
		c.says(r, w, registry.Unsure)
	}
	w.die(t)
	for _, r := range rs {
		c.says(r, w, registry.Misses)
	}
}

// says waits until a replica, whose gossip shows a life all the while, says this
// when it has called it. A busy machine loses who has no UDP for a while: then
// nothing is shown.
func (c *cluster) says(r *running, w *life, want registry.Sight) {
	c.t.Helper()
	c.eventually(20*time.Second, func() error {
		before := shownAt(r, w.join.Name, w.join.Boot)
		began := time.Now()
		got := r.SeesNodes(within(c.t, time.Second), []registry.Life{lifeOf(w)}, true)[0]
		took := time.Since(began)
		if !before || !shownAt(r, w.join.Name, w.join.Boot) {
			return fmt.Errorf("the gossip of %s does not show it: this shows nothing", r.name)
		}
		if got != want {
			c.t.Fatalf("%s says %d, want %d", r.name, got, want)
		}
		c.t.Logf("%s says %d after %s", r.name, got, took)
		return nil
	})
}
