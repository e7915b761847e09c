package replica_test

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/rota-registry/rota/fsm/replica"
	"github.com/rota-registry/rota/registry"
	"go.etcd.io/bbolt"
)

// waitsFor waits until a replica says that it waits for something that
// contains text.
func (c *cluster) waitsFor(r *running, text string) {
	c.t.Helper()
	c.eventually(10*time.Second, func() error {
		if why := r.Self().NotReadyReason; !strings.Contains(why, text) {
			return fmt.Errorf("%s waits for %q, want something with %q", r.name, why, text)
		}
		return nil
	})
}

// readIdentity gives the identity file of a replica.
func readIdentity(t *testing.T, dir string) map[string]any {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, "identity.json"))
	if err != nil {
		t.Fatal(err)
	}
	id := map[string]any{}
	if err := json.Unmarshal(b, &id); err != nil {
		t.Fatal(err)
	}
	return id
}

func writeIdentity(t *testing.T, dir string, id map[string]any) {
	t.Helper()
	b, err := json.Marshal(id)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "identity.json"), b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestTheLowestNameFoundsInAnyOrder: whatever the order of the starts, nobody
// founds before all answer, the lowest name founds alone, and all are then in
// one cluster whose roster is the list.
func TestTheLowestNameFoundsInAnyOrder(t *testing.T) {
	t.Parallel()
	for _, order := range [][]int{{2, 1, 0}, {1, 0, 2}} {
		c := newCluster(t)
		list := addresses(t, 3)
		rs := make([]*running, 3)
		for n, i := range order {
			rs[i] = c.start(registry.ReplicaName(fmt.Sprintf("r%d", i+1)), list[i], list)
			if n < 2 { // somebody is missing still
				c.waitsFor(rs[i], list[order[2]])
				if g := rs[i].Self(); !g.Empty || g.Ready || len(g.Roster) > 0 {
					t.Errorf("%s before the last one came: empty %v, ready %v, roster %v", g.Name, g.Empty, g.Ready, g.Roster)
				}
			}
		}
		for i, r := range rs {
			c.ready(r)
			g, first := r.Self(), rs[0].Self()
			if g.ClusterID == "" || g.ClusterID != first.ClusterID || len(g.Roster) != 3 || !g.Voter {
				t.Errorf("%s is in cluster %q with %v, voter %v; r1 in %q", g.Name, g.ClusterID, g.Roster, g.Voter, first.ClusterID)
			}
			if _, founded := readIdentity(t, r.dir)["founding"]; founded != (i == 0) {
				t.Errorf("%s has founded: %v", r.name, founded)
			}
		}
	}
}

// TestWhoWaitsSaysForWhom: one that is listed does not answer, and every 5 s
// the log says so; when it comes, the cluster is founded.
func TestWhoWaitsSaysForWhom(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	list := addresses(t, 2)
	said := &logBuffer{}
	c.tune = func(o *replica.Options) {
		o.Logger = hclog.New(&hclog.LoggerOptions{Level: hclog.Info, Output: said})
	}
	r1 := c.start("r1", list[0], list)
	c.eventually(8*time.Second, func() error {
		if s := said.String(); !strings.Contains(s, "replica waits") || !strings.Contains(s, list[1]+" to answer") {
			return fmt.Errorf("it said %q", s)
		}
		return nil
	})
	r2 := c.start("r2", list[1], list)
	c.ready(r1)
	c.ready(r2)
}

// logBuffer keeps what is logged.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// TestTwoOfOneNameFoundNothing: both halt, and say where both are.
func TestTwoOfOneNameFoundNothing(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	list := addresses(t, 2)
	c.tune = func(o *replica.Options) { o.DataDir += o.API[len(o.API)-5:] }
	for _, r := range []*running{c.start("r1", list[0], list), c.start("r1", list[1], list)} {
		err := c.haltOf(r)
		if !errors.Is(err, registry.ErrConflict) || !strings.Contains(err.Error(), list[0]) || !strings.Contains(err.Error(), list[1]) {
			t.Errorf("r1 at %s halted with %v, want a conflict that names %v", r.api, err, list)
		}
		if g := r.Self(); len(g.Roster) > 0 {
			t.Errorf("r1 at %s knows a roster: %v", r.api, g.Roster)
		}
	}
}

// TestOwnAddressMustBeListed: a replica that is not on its own list would
// found a cluster without itself.
func TestOwnAddressMustBeListed(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	list := addresses(t, 3)
	c.start("r2", list[1], list[1:]) // waits for the third for ever
	err := c.haltOf(c.start("r1", list[0], list[1:2]))
	if !errors.Is(err, registry.ErrInvalid) || !strings.Contains(err.Error(), "--replicas") || !strings.Contains(err.Error(), list[0]) {
		t.Errorf("halted with %v, want invalid, with --replicas and %s", err, list[0])
	}
}

// TestAStrangerWaits: a replica that is not in the configuration is not ready,
// starts no Raft, founds nothing though its name is the lowest, and nobody
// counts it.
func TestAStrangerWaits(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	rs := c.startAll(3)
	api := freePort(t)
	stranger := c.start("r0", api, []string{api, rs[0].api, rs[1].api, rs[2].api})
	c.waitsFor(stranger, "to be added")
	c.put(rs[0], "beside-a-stranger")
	c.holds(time.Second, func() error {
		switch g := stranger.Self(); {
		case g.Ready || g.Role != replica.RoleWaiting || g.Term != 0 || g.Applied != 0:
			return fmt.Errorf("the stranger takes part: %+v", g)
		case stranger.Raft() != nil:
			return errors.New("the stranger has started Raft")
		}
		return nil
	})
	if _, err := stranger.CurrentTerm(t.Context(), "r0"); !errors.Is(err, registry.ErrUnavailable) {
		t.Errorf("the stranger's term: %v, want unavailable", err)
	}
	if _, _, err := stranger.Read(t.Context(), registry.ReadOptions{Consistency: registry.Local}); !errors.Is(err, registry.ErrUnavailable) {
		t.Errorf("a local read of the stranger: %v, want unavailable", err)
	}
	for _, g := range rs[1].Status(within(t, 5*time.Second)).Replicas {
		if g.Name == "r0" || len(g.Roster) != 3 || !g.Voter {
			t.Errorf("status shows %s with roster %v, voter %v", g.Name, g.Roster, g.Voter)
		}
	}
}

// TestAClusterOfOneNeedsNoList and is complete: it writes, reads and comes back.
func TestAClusterOfOneNeedsNoList(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	r := c.start("only", freePort(t), nil)
	c.ready(r)
	c.put(r, "here")
	c.kill(r)
	again := c.start("only", r.api, nil)
	c.ready(again)
	if !c.shows(again, "here", registry.ReadOptions{}) || again.Self().ClusterID != r.Self().ClusterID {
		t.Errorf("after the restart: cluster %s, was %s", again.Self().ClusterID, r.Self().ClusterID)
	}
}

// TestACrashWhileFoundingLeavesOneDecision: the founder wrote down whom it
// founds with and died, before it wrote to the store or in the middle; its
// next start goes on with the same roster, and does not ask again.
func TestACrashWhileFoundingLeavesOneDecision(t *testing.T) {
	t.Parallel()
	for name, crash := range map[string]func(dir string){
		"before the store is written":  func(string) {},
		"between the term and the log": func(dir string) { setTerm(t, dir) },
	} {
		t.Run(name, func(t *testing.T) {
			c := newCluster(t)
			list := addresses(t, 3)
			var roster []registry.Replica
			for i, api := range list {
				r, err := c.open(registry.ReplicaName(fmt.Sprintf("r%d", i+1)), api, list)
				if err != nil {
					t.Fatal(err)
				}
				roster = append(roster, r.Self().Replica)
				c.kill(r)
			}
			dir := filepath.Join(c.dir, "r1")
			id := readIdentity(t, dir)
			id["founding"] = roster
			writeIdentity(t, dir, id)
			crash(dir)

			r1 := c.start("r1", list[0], list)
			c.eventually(5*time.Second, func() error {
				if g := r1.Self(); g.Role == replica.RoleWaiting || len(g.Roster) != 3 || g.Empty {
					return fmt.Errorf("r1 has not gone on: %+v", g)
				}
				return nil
			})
			for _, r := range []*running{c.start("r3", list[2], list), c.start("r2", list[1], list), r1} {
				c.ready(r)
			}
			if got := r1.Self().Roster; len(got) != 3 || got[2].StoreID != roster[2].StoreID {
				t.Errorf("the roster is %v, it was decided to be %v", got, roster)
			}
		})
	}
}

// setTerm leaves in a store what a crash in the middle of a bootstrap leaves.
func setTerm(t *testing.T, dir string) {
	t.Helper()
	editBolt(t, dir, func(tx *bbolt.Tx) error {
		return tx.Bucket([]byte("conf")).Put([]byte("CurrentTerm"), binary.BigEndian.AppendUint64(nil, 1))
	})
}

func editBolt(t *testing.T, dir string, edit func(*bbolt.Tx) error) {
	t.Helper()
	db, err := bbolt.Open(filepath.Join(dir, "raft.db"), 0o600, &bbolt.Options{Timeout: time.Second, NoFreelistSync: true, FreelistType: bbolt.FreelistMapType})
	if err == nil {
		err = errors.Join(db.Update(edit), db.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
}
