package replica

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/hashicorp/go-hclog"
	"github.com/rota-registry/rota/registry"
)

// TestABookThatCannotBeWritten is kept in memory, and is no reason to turn another
// replica's greeting away; the next greeting writes it.
func TestABookThatCannotBeWritten(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data")
	r, err := Open(Options{
		Name: "one", DataDir: dir, API: "127.0.0.1:1", RaftBind: "127.0.0.1:0", GossipBind: "127.0.0.1:0",
		Logger: hclog.NewNullLogger(), Caller: noOne{}, Halt: func(err error) { t.Errorf("halted: %v", err) },
	})
	if err != nil {
		t.Fatal(err)
	}
	two := registry.Greeting{Replica: registry.Replica{
		Name: "two", StoreID: registry.StoreID(newID(registry.StoreIDLen / 2)),
		API: "127.0.0.1:2", Raft: "127.0.0.1:3", Gossip: "127.0.0.1:4",
	}}
	greet := func() {
		t.Helper()
		if got, err := r.Hello(t.Context(), two); err != nil || got.Name != "one" {
			t.Errorf("hello: %+v, %v", got, err)
		}
		if met, ok := r.book.lookup("two"); !ok || met != two.Replica {
			t.Errorf("the book has %+v", met)
		}
	}
	if err := os.Rename(dir, dir+".gone"); err != nil {
		t.Fatal(err)
	}
	greet()
	if err := os.Rename(dir+".gone", dir); err != nil {
		t.Fatal(err)
	}
	greet()
	id, err := readIdentity(dir)
	if err != nil || !slices.Contains(id.Book, two.Replica) {
		t.Errorf("the file has %+v, %v", id, err)
	}
	if err := r.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
}
