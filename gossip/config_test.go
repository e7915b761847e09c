package gossip_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/rota-registry/rota/gossip"
)

func goodConfig() gossip.Config {
	return gossip.Config{
		Name: "r1", Boot: bootOf(1), Label: cluster, Role: gossip.Replica,
		API: "127.0.0.1:7700", Bind: "127.0.0.1:0",
	}
}

func TestGoodConfigurationsAreAccepted(t *testing.T) {
	for what, change := range map[string]func(*gossip.Config){
		"defaults":               func(*gossip.Config) {},
		"node":                   func(c *gossip.Config) { c.Role, c.API = gossip.Node, "" },
		"longest name":           func(c *gossip.Config) { c.Name = strings.Repeat("n", gossip.NameMax) },
		"longest label":          func(c *gossip.Config) { c.Label = strings.Repeat("l", gossip.LabelMax) },
		"IPv6":                   func(c *gossip.Config) { c.API, c.Bind, c.Advertise = "[::1]:7700", "[::1]:0", "::1" },
		"host names":             func(c *gossip.Config) { c.API, c.Bind, c.Advertise = "a.example:1", "localhost:0", "b.example:2" },
		"every address":          func(c *gossip.Config) { c.Bind = ":7702" },
		"every address of IPv6":  func(c *gossip.Config) { c.Bind, c.Advertise = "[::]:7702", "::1" },
		"transport without bind": func(c *gossip.Config) { c.Bind, c.Transport = "", newNetwork().host(addrOf(1)) },
	} {
		c := goodConfig()
		change(&c)
		if err := c.Validate(); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestBadConfigurationsAreRefusedBySubject(t *testing.T) {
	for want, change := range map[string]func(*gossip.Config){
		"name":                 func(c *gossip.Config) { c.Name = "" },
		`name "a b"`:           func(c *gossip.Config) { c.Name = "a b" },
		"has 64 bytes":         func(c *gossip.Config) { c.Name = strings.Repeat("n", gossip.NameMax+1) },
		"boot id":              func(c *gossip.Config) { c.Boot = "1" },
		"label has 0 bytes":    func(c *gossip.Config) { c.Label = "" },
		"label has 256 bytes":  func(c *gossip.Config) { c.Label = strings.Repeat("l", gossip.LabelMax+1) },
		"role":                 func(c *gossip.Config) { c.Role = "manager" },
		"API address":          func(c *gossip.Config) { c.API = "" },
		"a node has none":      func(c *gossip.Config) { c.Role = gossip.Node },
		"API address \"aaaa":   func(c *gossip.Config) { c.API = strings.Repeat("a", gossip.APIMax) + ":1" },
		"bind address":         func(c *gossip.Config) { c.Bind = "127.0.0.1" },
		"bind address \"::1":   func(c *gossip.Config) { c.Bind = "::1" },
		"65536":                func(c *gossip.Config) { c.Bind = "127.0.0.1:65536" },
		"the one to advertise": func(c *gossip.Config) { c.Bind = "[::]:7702" },
		"advertised address":   func(c *gossip.Config) { c.Advertise = "a b" },
		"from 1 to 65535":      func(c *gossip.Config) { c.Advertise = "10.0.0.1:0" },
		"profile":              func(c *gossip.Config) { c.Profile = "wan" },
		"rejoin":               func(c *gossip.Config) { c.Rejoin = -time.Second },
		"probe timeout":        func(c *gossip.Config) { c.ProbeTimeout = -time.Second },
	} {
		c := goodConfig()
		change(&c)
		if err := c.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want an error with %q, got: %v", want, err)
		}
		if g, err := gossip.Start(c); err == nil {
			_ = g.Close()
			t.Errorf("started with a bad %s", want)
		}
	}
}

func TestValidateReportsEveryFault(t *testing.T) {
	err := gossip.Config{Name: "!", Boot: "!", Role: "!", Bind: "!", Advertise: "!", Profile: "!"}.Validate()
	for _, subject := range []string{"name", "boot id", "label", "role", "bind", "advertised", "profile"} {
		if err == nil || !strings.Contains(err.Error(), subject) {
			t.Errorf("nothing about %s in: %v", subject, err)
		}
	}
}

func TestAdvertiseIsWhatOthersUse(t *testing.T) {
	c := goodConfig()
	g := start(t, c)
	host, port, _ := strings.Cut(g.Addr(), ":")
	if host != "127.0.0.1" || port == "0" {
		t.Errorf("advertises %s, want what was bound", g.Addr())
	}
	c.Bind = g.Addr()
	if other, err := gossip.Start(c); err == nil || !strings.Contains(err.Error(), c.Bind) {
		_ = other.Close()
		t.Errorf("two on %s: %v, want an error that names it", c.Bind, err)
	}
	c.Bind, c.Advertise = "127.0.0.1:0", "127.0.0.9"
	if g := start(t, c); !strings.HasPrefix(g.Addr(), "127.0.0.9:") || strings.HasSuffix(g.Addr(), ":0") {
		t.Errorf("advertises %s, want 127.0.0.9 and the bound port", g.Addr())
	}
	c.Advertise = "127.0.0.9:9"
	if g := start(t, c); g.Addr() != "127.0.0.9:9" {
		t.Errorf("advertises %s, want %s", g.Addr(), c.Advertise)
	}
	c.Bind, c.Advertise = "localhost:0", ""
	if g := start(t, c); !strings.HasPrefix(g.Addr(), "127.0.0.1:") && !strings.HasPrefix(g.Addr(), "[::1]:") {
		t.Errorf("advertises %s, want a loopback address", g.Addr())
	}
	c.Advertise = "224.0.0.1"
	if g, err := gossip.Start(c); err == nil || !strings.Contains(err.Error(), "224.0.0.1") {
		_ = g.Close()
		t.Errorf("advertises a multicast address: %v", err)
	}
}

func ExampleMember_ID() {
	fmt.Println(gossip.Member{Name: "worker-1", Boot: "00112233aabbccdd"}.ID())
	// Output: worker-1#00112233aabbccdd
}
