package hrw_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/rota-registry/rota/registry/hrw"
)

// vectorCase is what this package can check of a case: members are given, and
// so is who is up.
type vectorCase struct {
	Name  string
	Pools []struct{ Name, Hash string }
	// Members are in order, by pool.
	Members map[string][]struct {
		Name, Alias string
		SiteID      uint32 `json:"site_id"`
	}
	Steps []struct {
		Op    string
		Nodes []string
		Pool  string
		Key   json.RawMessage // an object for hrw, a string for rr
		Topic string
	}
}

func readVectors(t *testing.T, file string) []vectorCase {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("..", "..", "tests", "conformance", "testdata", file))
	if err != nil {
		t.Fatal(err)
	}
	var vectors struct{ Cases []vectorCase }
	if err := json.Unmarshal(data, &vectors); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	return vectors.Cases
}

func TestMembersHaveZeeksSiteIDs(t *testing.T) {
	for file, want := range map[string]int{"random.json": 688, "zeek.json": 17} {
		n := 0
		for _, c := range readVectors(t, file) {
			for _, p := range c.Pools {
				n += len(c.Members[p.Name])
				checkMembers(t, c, p.Name, parseHash(t, p.Hash))
			}
		}
		if n != want {
			t.Errorf("%s: %d members were checked, want %d", file, n, want)
		}
	}
}

// checkMembers gives each member the first alias whose id is free, in order.
func checkMembers(t *testing.T, c vectorCase, pool string, h hrw.Hash) {
	t.Helper()
	taken := map[uint32]bool{}
	for _, m := range c.Members[pool] {
		n := uint32(0)
		for taken[hrw.SiteID(h, hrw.Alias(m.Name, n))] {
			n++
		}
		alias := hrw.Alias(m.Name, n)
		id := hrw.SiteID(h, alias)
		taken[id] = true
		if alias != m.Alias || id != m.SiteID {
			t.Errorf("%s, pool %s: %s is %s with id %d, want %s with %d", c.Name, pool, m.Name, alias, id, m.Alias, m.SiteID)
		}
	}
}

func parseHash(t *testing.T, name string) hrw.Hash {
	t.Helper()
	h, err := hrw.ParseHash(name)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func TestKeysGoWhereZeekSendsThem(t *testing.T) {
	for file, want := range map[string]int{"random.json": 1055, "zeek.json": 520} {
		asked, types := 0, map[string]bool{}
		for _, c := range readVectors(t, file) {
			asked += runCase(t, c, types)
		}
		if asked != want {
			t.Errorf("%s: %d keys were asked for, want %d", file, asked, want)
		}
		if file == "random.json" && len(types) != len(hrw.KeyTypes()) {
			t.Errorf("%s has keys of %d types only: %v", file, len(types), types)
		}
	}
}

// runCase follows a case's ups and downs and checks each hrw answer. It counts
// them, and notes the types of their keys.
func runCase(t *testing.T, c vectorCase, types map[string]bool) (asked int) {
	t.Helper()
	hashes := map[string]hrw.Hash{}
	for _, p := range c.Pools {
		hashes[p.Name] = parseHash(t, p.Hash)
	}
	up := map[string]bool{}
	for i, s := range c.Steps {
		switch s.Op {
		case "up", "down":
			for _, node := range s.Nodes {
				up[node] = s.Op == "up"
			}
		case "hrw":
			var key struct{ Type, Value string }
			if err := json.Unmarshal(s.Key, &key); err != nil {
				t.Fatalf("%s, step %d: %v", c.Name, i, err)
			}
			asked++
			types[key.Type] = true
			digest := mustKey(t, key.Type, key.Value).Digest(hashes[s.Pool])
			if got := topicOf(c, s.Pool, up, digest); got != s.Topic {
				t.Errorf("%s, step %d: %s %q of pool %s goes to %q, want %q",
					c.Name, i, key.Type, key.Value, s.Pool, got, s.Topic)
			}
		}
	}
	return asked
}

func topicOf(c vectorCase, pool string, up map[string]bool, digest uint32) string {
	members := c.Members[pool]
	sites, eligible := make([]uint32, len(members)), make([]bool, len(members))
	for i, m := range members {
		sites[i], eligible[i] = m.SiteID, up[m.Name]
	}
	winner := hrw.Pick(sites, eligible, digest)
	if winner < 0 {
		return ""
	}
	return "zeek/cluster/node/" + members[winner].Name + "/"
}
