package main

import (
	"slices"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
)

// An agent makes a new client when it is told of servers that it did not know, and
// then only: the order in which it is told says nothing.
func TestAnAgentStaysWithItsClientUntilThereIsNews(t *testing.T) {
	o := agentOptions{name: "w", nodeType: "worker", servers: []string{"127.0.0.1:1", "127.0.0.1:2"}}
	log := hclog.NewNullLogger()
	g := &agent{options: o, log: log, silence: &silence{log: log}, attends: &attendance{log: log}}
	if err := g.dial(o.servers); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = g.close() }()
	was := g.client
	g.meet([]string{"127.0.0.1:3", "127.0.0.1:4", "127.0.0.1:2"})
	if want := []string{"127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3", "127.0.0.1:4"}; !slices.Equal(g.servers, want) || g.client == was {
		t.Errorf("told of two more, it asks %v", g.servers)
	}
	was = g.client
	for _, told := range [][]string{{"127.0.0.1:4", "127.0.0.1:3"}, {"127.0.0.1:2", "127.0.0.1:1"}, {"127.0.0.1:3"}, nil} {
		if g.meet(told); g.client != was || g.attends.client.Load() != was {
			t.Fatalf("told of %v, which it knew, it made a new client", told)
		}
	}
	g.meet([]string{"127.0.0.1:5", "127.0.0.1:4"})
	if want := []string{"127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:5", "127.0.0.1:4", "127.0.0.1:3"}; !slices.Equal(g.servers, want) || g.client == was {
		t.Errorf("told of one more, it asks %v", g.servers)
	}
}

// However long no replica takes it, an agent tries again to attend one within the
// time in which it looks at its record: that long after an outage its death might
// only be found by gossip.
func TestAnAgentAttendsSoonAfterAnOutage(t *testing.T) {
	wait := attendPauseMin
	for i := range 100 {
		if most := 2 * wait; most > agentLookEvery {
			t.Fatalf("after %d failures it waits for up to %s", i, most)
		}
		if wait = longer(wait); wait <= attendPauseMin {
			t.Fatalf("after %d failures it waits for %s again", i+1, wait)
		}
	}
	if wait > 2*time.Second {
		t.Errorf("it waits for %s", wait)
	}
}
