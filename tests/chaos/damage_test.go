package chaos_test

import (
	"bytes"
	"cmp"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// damaged is a round in which a follower of many turns is stopped, so that its
// files can be changed under it.
func damaged(t *testing.T) (r *round, one *replica) {
	t.Helper()
	g, why := newGround(t)
	if why != "" {
		t.Logf("on loopback: %s", why)
	}
	r = newRound(t, g, t.TempDir(), 1, 3)
	r.wait(8 * time.Second) // two snapshots
	one = r.follower()
	// From here on, and until it is judged, reads may fail.
	r.windows = append(r.windows, &window{fault: fault{name: "damage"}, from: r.load.now(), end: math.MaxInt64})
	r.stop(one)
	return r, one
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

// kept copies a stopped replica's store. Put back by goesOn, the replica goes on
// from it after what was done to it, and the run is judged.
func kept(t *testing.T, r *round, one *replica) (goesOn func(what string)) {
	t.Helper()
	mine := filepath.Join(t.TempDir(), "mine")
	copyTree(t, one.dir, mine)
	return func(what string) {
		t.Helper()
		putBack(t, mine, one.dir)
		one.Start()
		r.recovered(what)
		judged(t, r)
	}
}

// endsSaying starts a replica on a store that was damaged: it must end, and say why
// in this life, whatever earlier ones have said.
func endsSaying(r *round, one *replica, what string) {
	mark := len(one.Log())
	one.Start()
	if code := one.Exit(30 * time.Second); code == 0 || !strings.Contains(after(one, mark), what) {
		r.violate("damage", "%s ended with %d, and does not say %q", one.Name, code, what)
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
	r.wait(5 * time.Second)
	r.kill(one)
	putBack(t, old, one.dir)
	one.Start()
	r.recovered("an old copy of the store")
	r.kill(r.leader())
	r.c.revive()
	r.recovered("kill of the leader behind it")
	judged(t, r)
}

// TestAWipedStoreIsRefused claims that a replica that comes back with an empty
// directory (F7) ends, says why, and harms nobody; its own store put back, it goes
// on.
func TestAWipedStoreIsRefused(t *testing.T) {
	r, one := damaged(t)
	goesOn := kept(t, r, one)
	putBack(t, t.TempDir(), one.dir)
	endsSaying(r, one, "wiped or swapped")
	goesOn("a wiped store")
}

// TestFlippedBits claims that bits which flip in a stopped replica's log (F27) end
// it with a word about the entry, or are of no matter, but never change what it
// applies; with its own store put back it goes on.
func TestFlippedBits(t *testing.T) {
	r, one := damaged(t)
	goesOn := kept(t, r, one)
	path := filepath.Join(one.dir, "raft.db")
	log, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	flipped := 0
	for from := 0; ; flipped++ { // every copy of every key that a turn had
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
	endsSaying(r, one, "CRC32C is")
	goesOn("flipped bits")
}

// TestDamagedSnapshots claims that a replica whose snapshots are all torn, or have
// flipped bits, (F27, F28) gives no wrong answer: it ends and says why. With its
// own store put back it goes on.
func TestDamagedSnapshots(t *testing.T) {
	for name, damage := range map[string]func([]byte) []byte{
		"flipped": func(b []byte) []byte { b[len(b)/2] ^= 1; return b },
		"torn":    func(b []byte) []byte { return b[:len(b)/2] },
		"empty":   func([]byte) []byte { return nil },
	} {
		t.Run(name, func(t *testing.T) {
			r, one := damaged(t)
			goesOn := kept(t, r, one)
			states, err := filepath.Glob(filepath.Join(one.dir, "snapshots", "*", "state.bin"))
			if err != nil || len(states) == 0 {
				t.Fatalf("no snapshot to be damaged: %v", err)
			}
			for _, path := range states {
				state, err := os.ReadFile(path)
				if err == nil {
					err = os.WriteFile(path, damage(state), 0o600)
				}
				if err != nil {
					t.Fatal(err)
				}
			}
			endsSaying(r, one, "cannot go on: raft: failed to load any existing snapshots")
			goesOn("damaged snapshots")
		})
	}
}

// TestTornNewestSnapshot claims that a replica whose newest snapshot alone is torn
// (F28), and whose log does not reach back to the one before it, ends and says why,
// and does not crash. With its own store put back it goes on.
func TestTornNewestSnapshot(t *testing.T) {
	r, one := damaged(t)
	goesOn := kept(t, r, one)
	states, err := filepath.Glob(filepath.Join(one.dir, "snapshots", "*", "state.bin"))
	if err != nil || len(states) < 2 {
		t.Fatalf("%d snapshots: %v", len(states), err)
	}
	newest := slices.MaxFunc(states, func(a, b string) int { return cmp.Compare(snapshotIndex(a), snapshotIndex(b)) })
	if err := os.Truncate(newest, 10); err != nil {
		t.Fatal(err)
	}
	endsSaying(r, one, "does not reach back to the newest snapshot")
	goesOn("a torn snapshot")
}

// snapshotIndex reads the index from a snapshot's directory, TERM-INDEX-TIME; 0
// if there is none.
func snapshotIndex(state string) (index uint64) {
	_, rest, _ := strings.Cut(filepath.Base(filepath.Dir(state)), "-")
	digits, _, _ := strings.Cut(rest, "-")
	index, _ = strconv.ParseUint(digits, 10, 64)
	return index
}
