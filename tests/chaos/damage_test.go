package chaos_test

import (
	"bytes"
	"cmp"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rota-registry/rota/tests/procs"
)

// damaged is a round in which a follower of many turns and two snapshots is stopped,
// so that its files can be changed under it.
func damaged(t *testing.T) (r *round, one *replica) {
	t.Helper()
	g, why := newGround(t)
	if why != "" {
		t.Logf("on loopback: %s", why)
	}
	r = newRound(t, g, t.TempDir(), 1, 3)
	procs.Eventually(t, procs.Ready, func() error {
		for _, one := range r.c.replicas {
			if n := len(one.snapshots(t)); n < snapshotsKept {
				return fmt.Errorf("%s has taken %d snapshots", one.Name, n)
			}
		}
		return nil
	})
	one = r.follower()
	// From here on, and until it is judged, reads may fail.
	r.windows = append(r.windows, &window{fault: fault{name: "damage"}, from: r.load.now(), end: math.MaxInt64})
	r.stop(one)
	return r, one
}

// snapshotsKept is how many snapshots a replica keeps.
const snapshotsKept = 2

// snapshots gives the states of those that a replica has, the oldest first.
func (r *replica) snapshots(t *testing.T) (states []string) {
	t.Helper()
	all, err := filepath.Glob(filepath.Join(r.dir, "snapshots", "*", "state.bin"))
	if err != nil {
		t.Fatal(err)
	}
	all = slices.DeleteFunc(all, func(state string) bool { return strings.Contains(state, ".tmp/") })
	slices.SortFunc(all, func(a, b string) int { return cmp.Compare(snapshotIndex(a), snapshotIndex(b)) })
	return all
}

// judged ends the round and shows what was found.
func judged(t *testing.T, r *round) {
	t.Helper()
	r.windows[0].end = r.load.now()
	r.finish()
	for _, v := range r.mu.violations {
		t.Error(v)
	}
	if t.Failed() {
		t.Logf("timeline:\n%s", &r.mu.timeline)
	}
}

// copyTree gives a copy of a directory.
func copyTree(t *testing.T, from, to string) {
	t.Helper()
	if err := os.RemoveAll(to); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
}

// putBack fills a directory, which may be a disk of its own, from a copy.
func putBack(t *testing.T, from, to string) {
	t.Helper()
	all, err := os.ReadDir(to)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range all {
		if err := os.RemoveAll(filepath.Join(to, e.Name())); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
}

// endsSaying starts a replica on a store that was damaged: it must end, and say why
// in this life, whatever earlier ones have said.
func endsSaying(t *testing.T, one *replica, what string) {
	t.Helper()
	mark := len(one.Log())
	one.Start()
	if code := one.Exit(30 * time.Second); code == 0 || !strings.Contains(after(one, mark), what) {
		t.Fatalf("%s ended with %d, and does not say %q", one.Name, code, what)
	}
}

// TestAnOldCopyOfTheStoreIsPutBack claims that a follower whose store goes back to
// what it was some hundred turns ago (F8), while the others go on, catches up and
// gives no wrong answer.
func TestAnOldCopyOfTheStoreIsPutBack(t *testing.T) {
	r, one := damaged(t)
	old := filepath.Join(t.TempDir(), "old")
	copyTree(t, one.dir, old)
	one.Start()
	r.recovered("a copy")
	r.wait(5 * time.Second) // some hundred turns
	r.kill(one)
	putBack(t, old, one.dir)
	one.Start()
	r.recovered("an old copy of the store")
	r.kill(r.leader())
	r.c.revive()
	r.recovered("kill of the leader behind it")
	judged(t, r)
}

// TestADamagedStoreEndsItsReplica claims that a replica whose store is empty (F7), or
// whose log or snapshots are damaged (F27, F28), ends and says why, harms nobody and
// changes nothing that it applies; and that with its own store put back it goes on.
func TestADamagedStoreEndsItsReplica(t *testing.T) {
	r, one := damaged(t)
	mine := filepath.Join(t.TempDir(), "mine")
	copyTree(t, one.dir, mine)
	for _, d := range []struct {
		what   string
		damage func(*testing.T, *replica)
		says   string
	}{
		{"wiped", func(t *testing.T, one *replica) { putBack(t, t.TempDir(), one.dir) }, "wiped or swapped"},
		{"flipped bits", flipTurns, "CRC32C is"},
		{"flipped snapshots", damageSnapshots(func(b []byte) []byte { b[len(b)/2] ^= 1; return b }), noSnapshot},
		{"torn snapshots", damageSnapshots(func(b []byte) []byte { return b[:len(b)/2] }), noSnapshot},
		{"empty snapshots", damageSnapshots(func([]byte) []byte { return nil }), noSnapshot},
		{"torn newest snapshot", tearNewest, "does not reach back to the newest snapshot"},
	} {
		if !t.Run(d.what, func(t *testing.T) {
			putBack(t, mine, one.dir)
			d.damage(t, one)
			endsSaying(t, one, d.says)
		}) {
			return // it may run on, with the store that is put back for the next
		}
	}
	putBack(t, mine, one.dir)
	one.Start()
	r.recovered("a damaged store")
	judged(t, r)
}

// noSnapshot is what a replica says whose snapshots are all damaged.
const noSnapshot = "cannot go on: raft: failed to load any existing snapshots"

// flipTurns flips a bit of every copy in the log of every key that a turn had.
func flipTurns(t *testing.T, one *replica) {
	path := filepath.Join(one.dir, "raft.db")
	log, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	flipped := 0
	for from := 0; ; flipped++ {
		at := bytes.Index(log[from:], []byte("named-"))
		if at < 0 {
			break
		}
		log[from+at] ^= 1
		from += at + 1
	}
	if flipped == 0 {
		t.Fatal("the log has no turn to be changed")
	}
	if err := os.WriteFile(path, log, 0o600); err != nil {
		t.Fatal(err)
	}
}

// damageSnapshots changes all states.
func damageSnapshots(change func([]byte) []byte) func(*testing.T, *replica) {
	return func(t *testing.T, one *replica) {
		for _, path := range one.snapshots(t) {
			state, err := os.ReadFile(path)
			if err == nil {
				err = os.WriteFile(path, change(state), 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	}
}

// tearNewest tears the newest snapshot alone; the log does not reach back to the one
// before it.
func tearNewest(t *testing.T, one *replica) {
	states := one.snapshots(t)
	if err := os.Truncate(states[len(states)-1], 10); err != nil {
		t.Fatal(err)
	}
}

// snapshotIndex reads the index from a snapshot's directory, TERM-INDEX-TIME; 0
// if there is none.
func snapshotIndex(state string) (index uint64) {
	_, rest, _ := strings.Cut(filepath.Base(filepath.Dir(state)), "-")
	digits, _, _ := strings.Cut(rest, "-")
	index, _ = strconv.ParseUint(digits, 10, 64)
	return index
}
