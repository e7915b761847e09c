package fsm_test

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/rota-registry/rota/fsm"
	"github.com/rota-registry/rota/registry"
)

// TestWordsOfABatchAreThereOnce: the largest batch of one session and one
// cursor takes its turns' memory and next to no other.
func TestWordsOfABatchAreThereOnce(t *testing.T) {
	turns := make([]registry.Turn, registry.BatchTurnsMax)
	for i := range turns {
		turns[i] = registry.Turn{Pool: "worker", Key: "k", Count: 1, Request: registry.RequestID{Session: sessionID("7"), Serial: uint64(i)}}
	}
	b, err := fsm.EncodeCommand(registry.RoundRobin{Turns: turns})
	if err != nil {
		t.Fatal(err)
	}
	n := testing.AllocsPerRun(10, func() {
		if _, err := fsm.DecodeCommand(b); err != nil {
			t.Fatal(err)
		}
	})
	if n > 20 {
		t.Errorf("decoding %d turns allocates %v times", len(turns), n)
	}
}

// TestMoreWordsThanAreKept: where words do not all find a place, and where their
// bytes are much alike, each is still itself.
func TestMoreWordsThanAreKept(t *testing.T) {
	var turns registry.RoundRobin
	var liveness registry.ReportLiveness
	for i := range registry.BatchTurnsMax {
		turns.Turns = append(turns.Turns, registry.Turn{Pool: registry.PoolName(fmt.Sprint(i)), Key: fmt.Sprintf("%09d-and-the-rest", i), Count: 1})
	}
	for i := range registry.LivenessMax {
		liveness.Changes = append(liveness.Changes, registry.Liveness{Name: registry.NodeName(fmt.Sprint(i)), Reason: fmt.Sprintf("%*d", i%20, i)})
	}
	for _, cmd := range []registry.Command{turns, liveness} {
		b, err := fsm.EncodeCommand(cmd)
		if err != nil {
			t.Fatal(err)
		}
		got, err := fsm.DecodeCommand(b)
		if diff := cmp.Diff(cmd, got); err != nil || diff != "" {
			t.Errorf("%v (-want +got):\n%s", err, diff)
		}
	}
}

// TestOneTurnIsSmall: an entry of a single turn, which is what a cluster commits
// that has little to do, is written into memory of the right size at once.
func TestOneTurnIsSmall(t *testing.T) {
	cmd := registry.RoundRobin{Turns: []registry.Turn{{Pool: "worker", Key: "k", Count: 1, Request: registry.RequestID{Session: sessionID("7"), Serial: 1}}}}
	n := testing.AllocsPerRun(10, func() {
		if _, err := fsm.EncodeCommand(cmd); err != nil {
			t.Fatal(err)
		}
	})
	if n > 5 {
		t.Errorf("encoding one turn allocates %v times", n)
	}
}
