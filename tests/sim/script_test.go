package sim_test

import (
	"flag"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rota-registry/rota/fsm"
	"github.com/rota-registry/rota/registry"
	"github.com/rota-registry/rota/tests/sim"
)

var script = flag.String("script", "", "what a run that failed has written, to be replayed")

// TestReplay replays the script of a run that failed, or of one made for it. Each
// replica's state is exactly the one that its commands lead to.
func TestReplay(t *testing.T) {
	if *script != "" {
		m, err := sim.ReplayScript(*script)
		if err != nil {
			t.Fatal(err)
		}
		view, at := m.View()
		t.Logf("at index %d of term %d: nodes %+v, pools %+v", at.Index, at.Term, view.Nodes(), view.Pools())
		return
	}
	path := filepath.Join(t.TempDir(), "run.script")
	scenario(t, sim.Options{}, func(t *testing.T, c *sim.Cluster) {
		c.StartAgents(3)
		w := c.Work(mix(), 1)
		time.Sleep(time.Second)
		c.Start(c.KillLeader())
		c.Recovers()
		w.Stop()
		time.Sleep(5 * time.Second) // the last entry is everywhere
		if err := c.Log.WriteScript(path); err != nil {
			t.Fatal(err)
		}
		m, err := sim.ReplayScript(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range c.Replicas() {
			if diff := cmp.Diff(shownIn(t, m), shownBy(t, r)); diff != "" {
				t.Errorf("%s is not what the script makes (-script +replica):\n%s", r.Name, diff)
			}
		}
	})
}

// shown is all of a state that its users can see.
type shown struct {
	At       registry.Position
	Pools    []registry.PoolInfo
	Nodes    []registry.NodeInfo
	Replicas []registry.Replica
	Settings registry.Settings
	Cursors  map[registry.PoolName][]registry.Cursor
}

func show(view *registry.View, at registry.Position, cursors func(registry.PoolName) []registry.Cursor) shown {
	s := shown{
		At: at, Pools: view.Pools(), Nodes: view.Nodes(), Replicas: view.Replicas(), Settings: view.Settings(),
		Cursors: make(map[registry.PoolName][]registry.Cursor),
	}
	for _, p := range s.Pools {
		s.Cursors[p.Spec.Name] = cursors(p.Spec.Name)
	}
	return s
}

func shownBy(t *testing.T, r *sim.Replica) shown {
	local := registry.ReadOptions{Consistency: registry.Local}
	view, info, err := r.Serves().Read(t.Context(), local)
	if err != nil {
		t.Fatal(err)
	}
	return show(view, info.Position, func(p registry.PoolName) []registry.Cursor {
		list, _, _, err := r.Serves().Cursors(t.Context(), local, p)
		if err != nil {
			t.Fatal(err)
		}
		return list
	})
}

func shownIn(t *testing.T, m *fsm.Machine) shown {
	view, at := m.View()
	return show(view, at, func(p registry.PoolName) (list []registry.Cursor) {
		m.State(func(s *registry.State) {
			var err error
			if list, err = s.Cursors(p); err != nil {
				t.Fatal(err)
			}
		})
		return list
	})
}
