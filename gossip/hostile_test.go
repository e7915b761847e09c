package gossip_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/memberlist"

	"github.com/rota-registry/rota/gossip"
)

// nodeMeta is the metadata of a node: version 1, role 2, no API address.
var nodeMeta = []byte{1, 2, 0}

func meta(role byte, api string) []byte {
	return append([]byte{1, role, byte(len(api))}, api...)
}

// badRecords are names and metadata that no member of ours would have.
func badRecords() map[string]struct {
	name string
	meta []byte
} {
	good := "w#" + bootOf(7)
	type record = struct {
		name string
		meta []byte
	}
	return map[string]record{
		"no boot id":               {"w", nodeMeta},
		"empty boot id":            {"w#", nodeMeta},
		"short boot id":            {"w#" + bootOf(7)[1:], nodeMeta},
		"long boot id":             {"w#0" + bootOf(7), nodeMeta},
		"upper-case boot id":       {"w#" + strings.Repeat("F", 16), nodeMeta},
		"two boot ids":             {good + "#" + bootOf(7), nodeMeta},
		"empty name":               {"#" + bootOf(7), nodeMeta},
		"long name":                {strings.Repeat("w", 64) + "#" + bootOf(7), nodeMeta},
		"name with a newline":      {"w\n#" + bootOf(7), nodeMeta},
		"name with a leading dot":  {".w#" + bootOf(7), nodeMeta},
		"name with high bytes":     {"w\xff\xfe#" + bootOf(7), nodeMeta},
		"no metadata":              {good, nil},
		"short metadata":           {good, []byte{1, 2}},
		"metadata of version 0":    {good, []byte{0, 2, 0}},
		"metadata of version 2":    {good, []byte{2, 2, 0}},
		"unknown role":             {good, []byte{1, 3, 0}},
		"length too large":         {good, []byte{1, 1, 9, 'a'}},
		"bytes behind":             {good, append(meta(1, "10.0.0.7:7700"), 0)},
		"replica without an API":   {good, meta(1, "")},
		"node with an API":         {good, meta(2, "10.0.0.7:7700")},
		"API without a port":       {good, meta(1, "10.0.0.7")},
		"API with port 0":          {good, meta(1, "10.0.0.7:0")},
		"API with port 65536":      {good, meta(1, "10.0.0.7:65536")},
		"API with port 07700":      {good, meta(1, "10.0.0.7:07700")},
		"API with a newline":       {good, meta(1, "10.0.0.7\n:7700")},
		"API with a path":          {good, meta(1, "10.0.0.7/x:7700")},
		"API without a host":       {good, meta(1, ":7700")},
		"the most memberlist lets": {good, make([]byte, memberlist.MetaMaxSize)},
	}
}

func TestBadRecordsAreNotShownAndDoNoHarm(t *testing.T) {
	for what, r := range badRecords() {
		t.Run(what, func(t *testing.T) {
			bubble(t, func(t *testing.T) { badRecord(t, r.name, r.meta) })
		})
	}
}

// badRecord lets a stranger in at one member: no one shows it, one warning is
// logged, and whoever joins afterwards is not kept out.
func badRecord(t *testing.T, name string, meta []byte) {
	n, said := newNetwork(), new(logs)
	all := startAll(t, n, 3, func(c *gossip.Config) {
		if c.Name == "r1" {
			c.Logger = said.logger(hclog.Warn)
		}
	})
	bad := newStranger(t, n.host(addrOf(7)), name, meta, nil)
	for range 5 {
		if _, err := bad.Join([]string{addrOf(1), addrOf(2)}); err != nil {
			t.Log(err)
		}
		time.Sleep(10 * time.Second)
		if !seeAll(all, 3) {
			t.Fatalf("in view are %v", ids(all[0]))
		}
	}
	if lines := said.lines(); len(lines) != 1 || !strings.Contains(lines[0], "refused a member") {
		t.Errorf("want one warning, got %q", lines)
	}
	all = append(all, start(t, config(n, 8, 3)))
	within(t, 5*time.Second, func() bool { return seeAll(all, 4) }, "an honest member is let in")
}

// A stranger with good manners is shown: the filter is for form; who may be
// believed is decided by the log.
func TestAWellFormedRecordIsShown(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n := newNetwork()
		g := start(t, config(n, 1, 1))
		join(t, newStranger(t, n.host(addrOf(7)), "w#"+bootOf(7), nodeMeta, nil))
		within(t, time.Second, func() bool { return sees(g, "w#"+bootOf(7)) }, "it is in view")
	})
}

// Taken in, it would keep everyone out: memberlist refuses a join when no
// protocol version suits all members.
func TestAMemberOfAnotherProtocolIsRefused(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n := newNetwork()
		all := startAll(t, n, 2, nil)
		odd := newStranger(t, n.host(addrOf(7)), "w#"+bootOf(7), nodeMeta, func(c *memberlist.Config) {
			c.ProtocolVersion = memberlist.ProtocolVersionMax
		})
		_, _ = odd.Join([]string{addrOf(1)})
		time.Sleep(10 * time.Second)
		all = append(all, start(t, config(n, 3, 2)))
		within(t, 5*time.Second, func() bool { return seeAll(all, 3) }, "an honest member is let in")
	})
}

// A member that turns bad keeps its last good record until it is gone.
func TestAnUpdateToABadRecordIsRefused(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n := newNetwork()
		g := start(t, config(n, 1, 1))
		s := newStranger(t, n.host(addrOf(7)), "w#"+bootOf(7), nodeMeta, nil)
		join(t, s)
		within(t, time.Second, func() bool { return len(g.Members()) == 2 }, "it is in view")
		s.meta = []byte("nonsense")
		if err := s.UpdateNode(time.Second); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		if m := g.Members()[1]; m.Name != "w" || m.Role != gossip.Node {
			t.Errorf("it is shown as %v", m)
		}
	})
}

// What strangers do at the ports themselves ends in a few warnings.
func TestNoiseAtThePortCausesFewWarnings(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n, said := newNetwork(), new(logs)
		c := config(n, 1, 1)
		c.Logger = said.logger(hclog.Warn)
		g := start(t, c)
		noise := n.host(addrOf(7))
		for i := range 1000 {
			_, _ = noise.WriteTo(fmt.Appendf(nil, "%c noise %d", i%256, i), addrOf(1))
			if conn, err := noise.DialTimeout(addrOf(1), time.Second); err == nil {
				_ = conn.SetDeadline(time.Now().Add(time.Second))
				_, _ = fmt.Fprintf(conn, "%c noise %d", i%256, i)
				_ = conn.Close()
			}
			time.Sleep(time.Millisecond)
		}
		if lines := said.lines(); len(lines) == 0 || len(lines) > 10 {
			t.Errorf("%d warnings, want a few: %q", len(lines), lines)
		}
		if len(g.Members()) != 1 {
			t.Errorf("in view are %v", ids(g))
		}
	})
}

// Names by the thousand fill neither the log nor memory.
func TestManyBadNamesCauseFewWarnings(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n, said := newNetwork(), new(logs)
		c := config(n, 1, 1)
		c.Logger = said.logger(hclog.Warn)
		start(t, c)
		for i := range 300 {
			s := newStranger(t, n.host(addrOf(7)), fmt.Sprintf("bad %d", i), nodeMeta, nil)
			join(t, s)
			_ = s.Shutdown()
			synctest.Wait() // memberlist takes 128 at once, and no more
		}
		time.Sleep(time.Second)
		if lines := said.lines(); len(lines) != 128 {
			t.Errorf("%d warnings, want 128", len(lines))
		}
	})
}
