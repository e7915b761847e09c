package replica_test

import (
	"bytes"
	"io"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/rota-registry/rota/registry"
)

// TestALateSnapshotCostsNothing: a snapshot that a leader sent long ago, and sent
// again since, comes when the follower has more than what is in it: in its log, or in
// a newer snapshot. It is told that it has it, and keeps its log and its state, though
// Raft would go back to the snapshot, drop the log behind it, and panic.
func TestALateSnapshotCostsNothing(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	c.tune = calm
	rs := c.startAll(3)
	list := []string{rs[0].api, rs[1].api, rs[2].api}
	leader, others := c.leader()
	follower := others[0]
	c.put(leader, "before")
	future := leader.Raft().Snapshot()
	if err := future.Error(); err != nil {
		t.Fatal(err)
	}
	meta, from, err := future.Open()
	if err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(from)
	if err != nil {
		t.Fatal(err)
	}
	_ = from.Close()
	c.put(leader, "after")

	sends, err := raft.NewTCPTransport("127.0.0.1:0", nil, 1, 5*time.Second, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = sends.Close() }()
	send := func(term uint64) (resp raft.InstallSnapshotResponse, err error) {
		err = sends.InstallSnapshot(raft.ServerID(follower.name), raft.ServerAddress(follower.Self().Raft), &raft.InstallSnapshotRequest{
			RPCHeader:       raft.RPCHeader{ProtocolVersion: raft.ProtocolVersionMax, ID: []byte(leader.name), Addr: []byte(leader.Self().Raft)},
			SnapshotVersion: meta.Version, Term: term, LastLogIndex: meta.Index, LastLogTerm: meta.Term,
			Configuration: raft.EncodeConfiguration(meta.Configuration), ConfigurationIndex: meta.ConfigurationIndex, Size: int64(len(data)),
		}, &resp, bytes.NewReader(data))
		return resp, err
	}
	keeps := func(when string) {
		t.Helper()
		if got, want := follower.Raft().LastIndex(), leader.Raft().LastIndex(); got != want {
			t.Errorf("%s its log ends at %d, want %d", when, got, want)
		}
		if !c.shows(follower, "after", registry.ReadOptions{Consistency: registry.Local}) {
			t.Errorf("%s it does not show what was acknowledged", when)
		}
	}
	c.eventually(5*time.Second, func() error {
		return atLeast(int(follower.Self().Applied), int(leader.Raft().LastIndex()))
	})
	term := leader.Raft().CurrentTerm()
	if resp, err := send(term); err != nil || !resp.Success || resp.Term != term {
		t.Errorf("in its log already: %+v, %v; want success, or the leader sends it for ever", resp, err)
	}
	keeps("after one whose end was in its log")

	if err := follower.Raft().Snapshot().Error(); err != nil {
		t.Fatal(err)
	}
	if resp, err := send(term); err != nil || !resp.Success {
		t.Errorf("in a newer snapshot: %+v, %v", resp, err)
	}
	keeps("after one older than its own")

	if _, err := send(term + 1); err == nil { // Raft is asked, for its term
		t.Error("in a new term: it was taken in")
	}
	c.eventually(10*time.Second, func() error { return atLeast(int(follower.Raft().CurrentTerm()), int(term+1)) })
	keeps("after one of a new leader's")
	c.kill(follower)
	follower = c.start(follower.name, follower.api, list)
	c.ready(follower)
	if !c.shows(follower, "after", registry.ReadOptions{}) {
		t.Error("started again it does not show what was acknowledged")
	}
}
