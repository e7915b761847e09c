package chaos_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"
	"github.com/rota-registry/rota/registry"
	"github.com/rota-registry/rota/rpc/client"
	"github.com/rota-registry/rota/tests/check"
	"github.com/rota-registry/rota/tests/procs"
	"go.etcd.io/bbolt"
)

const (
	// diskBytes is the disk of a replica that has one of its own.
	diskBytes = 192 << 20
	// snapshotEvery makes a replica that was away for seconds need a snapshot.
	snapshotEvery = 400
)

// cluster is the processes of one round.
type cluster struct {
	t        testing.TB
	dir      string
	ground   ground
	replicas []*replica
	agents   []*agent
}

// replica is one replica's process, and what can be done to it.
type replica struct {
	*procs.Process
	place   *place
	dir     string // its data
	faults  string // the file with its disk's faults
	journal string // prefix of the files with what it applied
	logFile string // what it says
	ownDisk bool
	client  *client.Client // asks it alone
}

// agent is one node's process.
type agent struct {
	*procs.Process
	place *place
}

// newCluster starts replicas and workers, and waits until all are there.
func newCluster(t testing.TB, g ground, dir string, replicas, workers int) *cluster {
	t.Helper()
	c := &cluster{t: t, dir: dir, ground: g}
	for i := range replicas {
		name := fmt.Sprintf("r%d", i+1)
		r := &replica{
			Process: procs.NewProcess(t, dir, name), place: g.place(name), dir: filepath.Join(dir, name, "data"),
			faults: filepath.Join(dir, name+".faults"), journal: filepath.Join(dir, name+".journal"),
			logFile: filepath.Join(dir, name+".log"),
		}
		r.ownDisk = g.disk(r.dir, diskBytes)
		r.Binary, r.Within = procs.FaultyBinary(t), r.place.within
		r.Env = []string{
			"ROTA_TEST_FAULTS=" + r.faults, "ROTA_TEST_JOURNAL=" + r.journal,
			fmt.Sprintf("ROTA_TEST_SNAPSHOTS=%d", snapshotEvery),
		}
		c.replicas = append(c.replicas, r)
	}
	for _, r := range c.replicas {
		r.Args = []string{
			"server", "--name", r.Name, "--data-dir", r.dir, "--api", r.place.api, "--raft", r.place.raft, "--gossip", r.place.gossp,
			"--replicas", strings.Join(c.apis(), ","), "--insecure",
		}
		r.client = procs.Dial(t, r.place.api)
		r.Start()
	}
	procs.Eventually(t, procs.Ready, c.ready)
	for i := range workers {
		name := fmt.Sprintf("w%d", i+1)
		a := &agent{Process: procs.NewProcess(t, dir, name), place: g.place(name)}
		a.Binary, a.Within = procs.FaultyBinary(t), a.place.within
		a.Args = []string{"agent", "--name", name, "--type", "worker", "--servers", strings.Join(c.apis(), ","), "--gossip", a.place.gossp, "--insecure"}
		a.Start()
		c.agents = append(c.agents, a)
	}
	procs.Eventually(t, procs.Ready, c.whole)
	return c
}

func (c *cluster) apis() (list []string) {
	for _, r := range c.replicas {
		list = append(list, r.place.api)
	}
	return list
}

// places are where all the processes run.
func (c *cluster) places() (list []*place) {
	for _, r := range c.replicas {
		list = append(list, r.place)
	}
	for _, a := range c.agents {
		list = append(list, a.place)
	}
	return list
}

// ready is nil when every replica says that it is.
func (c *cluster) ready() error {
	for _, r := range c.replicas {
		if status, body, err := procs.Get("http://" + r.place.api + "/readyz"); err != nil || status != 200 {
			return fmt.Errorf("%s is not ready: %d %s %w", r.Name, status, body, err)
		}
	}
	return nil
}

// whole is nil when every replica shows every worker alive, and has every replica
// in its view of gossip.
func (c *cluster) whole() error {
	for _, r := range c.replicas {
		ctx, cancel := context.WithTimeout(c.t.Context(), 2*time.Second)
		list, err := r.client.Nodes(ctx, client.Local())
		cancel()
		if err != nil {
			return fmt.Errorf("%s: %w", r.Name, err)
		}
		alive := map[registry.NodeName]bool{}
		for _, n := range list.Nodes {
			alive[n.Name] = n.State == registry.Alive
		}
		for _, a := range c.agents {
			if !alive[registry.NodeName(a.Name)] {
				return fmt.Errorf("%s does not show %s alive", r.Name, a.Name)
			}
		}
		n, err := members(r)
		if err != nil {
			return err
		}
		if n < len(c.replicas) {
			return fmt.Errorf("%s sees %d of %d replicas by gossip", r.Name, n, len(c.replicas))
		}
	}
	return nil
}

// leader gives who leads, by the word of any replica that agrees with itself, and
// nil when nobody does.
func (c *cluster) leader() *replica {
	for _, r := range c.replicas {
		if !r.Running() {
			continue
		}
		ctx, cancel := context.WithTimeout(c.t.Context(), time.Second)
		s, err := r.client.Status(ctx)
		cancel()
		if err != nil {
			continue
		}
		for _, other := range c.replicas {
			if other.Name == string(s.Leader) && other.Running() {
				return other
			}
		}
	}
	return nil
}

// revive starts what does not run, after a fault that ended it.
func (c *cluster) revive() {
	for _, r := range c.replicas {
		_ = os.Remove(r.faults)
		if !r.Running() {
			r.Start()
		}
	}
	for _, a := range c.agents {
		if !a.Running() {
			a.Start()
		}
	}
}

// disturb makes a disk or a clock go wrong, for as long as it is not healed. The
// file takes the place of another at once.
func (r *replica) disturb(t testing.TB, lines ...string) {
	t.Helper()
	next := r.faults + ".next"
	err := os.WriteFile(next, []byte(strings.Join(lines, "\n")+"\n"), 0o600)
	if err == nil {
		err = os.Rename(next, r.faults)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// fill leaves that much room on a replica's own disk; empty takes it back.
func (r *replica) fill(t testing.TB, leave uint64) (empty func()) {
	t.Helper()
	path := filepath.Join(r.dir, "filler")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	block := make([]byte, 64<<10)
	for {
		var s syscall.Statfs_t
		if err := syscall.Statfs(r.dir, &s); err != nil {
			t.Fatal(err)
		}
		room := s.Bavail * uint64(s.Bsize)
		if room <= leave {
			break
		}
		if _, err := f.Write(block[:min(uint64(len(block)), room-leave)]); err != nil {
			break // somebody else took the room
		}
	}
	return func() { _ = os.Remove(path) }
}

// errTorn is the end of a journal whose writer was killed in the middle.
var errTorn = errors.New("torn")

// log gives what a replica applied over all its lives.
func (r *replica) log() (check.ReplicaLog, error) {
	l := check.ReplicaLog{Name: registry.ReplicaName(r.Name)}
	for n := 0; ; n++ {
		data, err := os.ReadFile(fmt.Sprintf("%s.%04d", r.journal, n))
		if errors.Is(err, os.ErrNotExist) {
			return l, nil
		}
		if err != nil {
			return l, err
		}
		for len(data) > 0 {
			e, size, err := journalEntry(data)
			if err != nil {
				break
			}
			l.Entries, l.Applied, data = append(l.Entries, e), max(l.Applied, e.Index), data[size:]
		}
	}
}

// stored gives what a stopped replica has in its log on the disk, as far as it is
// known to have applied it.
func (r *replica) stored(applied registry.Index) (check.ReplicaLog, error) {
	l := check.ReplicaLog{Name: registry.ReplicaName(r.Name + "'s disk"), Applied: applied}
	store, err := raftboltdb.New(raftboltdb.Options{
		Path: filepath.Join(r.dir, "raft.db"), MsgpackUseNewTimeFormat: true,
		BoltOptions: &bbolt.Options{ReadOnly: true, Timeout: time.Second},
	})
	if err != nil {
		return l, err
	}
	defer store.Close()
	first, err := store.FirstIndex()
	if err != nil {
		return l, err
	}
	last, err := store.LastIndex()
	if err != nil {
		return l, err
	}
	for i := max(first, 1); i <= last; i++ {
		var e raft.Log
		err := store.GetLog(i, &e)
		if errors.Is(err, raft.ErrLogNotFound) {
			continue // a snapshot from another replica leaves a hole below its index
		}
		if err != nil {
			return l, fmt.Errorf("%s: index %d: %w", l.Name, i, err)
		}
		if e.Type != raft.LogCommand {
			e.Data = nil
		}
		l.Entries = append(l.Entries, check.Entry{
			Position: registry.Position{Index: registry.Index(e.Index), Term: registry.Term(e.Term)}, Data: e.Data,
		})
	}
	return l, nil
}

// journalEntry reads one entry: index, term and length, and the command.
func journalEntry(b []byte) (e check.Entry, size int, err error) {
	const head = 24
	if len(b) < head {
		return e, 0, errTorn
	}
	length := binary.LittleEndian.Uint64(b[16:])
	if uint64(len(b)-head) < length {
		return e, 0, errTorn
	}
	e.Index, e.Term = registry.Index(binary.LittleEndian.Uint64(b)), registry.Term(binary.LittleEndian.Uint64(b[8:]))
	e.Data = b[head : head+length]
	return e, head + int(length), nil
}

// noOps gives the entries that nobody applies, one for each term that begins: the
// journals lack them. A gap anywhere else stays one.
func noOps(logs []check.ReplicaLog) check.ReplicaLog {
	terms, last := map[registry.Index]registry.Term{}, registry.Index(0)
	for _, l := range logs {
		for _, e := range l.Entries {
			terms[e.Index], last = e.Term, max(last, e.Index)
		}
	}
	none := check.ReplicaLog{Name: "no-ops"}
	for i, before := registry.Index(1), registry.Term(0); i <= last; i++ {
		if term, ok := terms[i]; ok {
			before = term
			continue
		}
		if end := nextTerm(terms, i, last); end > before {
			none.Entries = append(none.Entries, check.Entry{Position: registry.Position{Index: i, Term: end}})
			none.Applied = i
		}
	}
	return none
}

// nextTerm is the term of the first entry behind an index that was applied.
func nextTerm(terms map[registry.Index]registry.Term, i, last registry.Index) registry.Term {
	for ; i <= last; i++ {
		if term, ok := terms[i]; ok {
			return term
		}
	}
	return 0
}
