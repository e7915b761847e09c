package registry_test

import (
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/rota-registry/rota/registry"
)

// cursors is round robin once more: per pool and key an index, and every answer
// by walking on one member at a time.
type cursors map[registry.PoolName]map[string]place

// place is where a rotation stands, and the log clock of its last use.
type place struct {
	at   int
	used registry.Millis
}

// next gives one answer, empty if nobody is eligible.
func (c cursors) next(p registry.PoolInfo, key string, now registry.Millis) string {
	for i := range p.Members {
		at := (c[p.Spec.Name][key].at + i) % len(p.Members)
		if p.Members[at].Eligible {
			c.put(p.Spec.Name, key, place{(at + 1) % len(p.Members), now})
			return p.Members[at].Topic
		}
	}
	return ""
}

// follow moves the cursors from the members before a command to those after.
func (c cursors) follow(before, after map[registry.PoolName]registry.PoolInfo) {
	for pool, keys := range c {
		is, there := after[pool]
		if !there {
			delete(c, pool)
			continue
		}
		was, names := memberNames(before[pool]), memberNames(is)
		for key, old := range keys {
			keys[key] = place{0, old.used}
			for i := range was {
				if now := slices.Index(names, was[(old.at+i)%len(was)]); now >= 0 {
					keys[key] = place{now, old.used}
					break
				}
			}
		}
	}
}

// turn gives the answers that the twin expects.
func (c cursors) turn(w *world, view map[registry.PoolName]registry.PoolInfo, t registry.Turn) []string {
	if t.LogID != "" {
		s := w.state.Settings()
		if answer := ""; s.EnableRoundRobinLogging {
			if answer = c.next(view["logger"], registry.RoundRobinLogKey, w.at.Clock); answer != "" {
				return []string{answer}
			}
		}
		return []string{s.Show(s.LogTopicPrefix + registry.Topic(t.LogID))}
	}
	var answers []string
	for range t.Count {
		if answer := c.next(view[t.Pool], t.Key, w.at.Clock); answer != "" {
			answers = append(answers, answer)
		}
	}
	return answers
}

// known gives the twin's cursors as the state lists them.
func (c cursors) known(pool registry.PoolInfo) []registry.Cursor {
	list := []registry.Cursor{}
	for key, is := range c[pool.Spec.Name] {
		cursor := registry.Cursor{Key: key, Next: is.at}
		if is.at < len(pool.Members) {
			cursor.Node = pool.Members[is.at].Name
		}
		list = append(list, cursor)
	}
	slices.SortFunc(list, func(a, b registry.Cursor) int {
		if a.Key < b.Key {
			return -1
		}
		return 1
	})
	return list
}

// Whatever happens to pools, nodes and cursors, turns are those of the twin; so n
// answers at once are n calls, a dead member costs no turn, and a cursor stays
// on its node.
func TestTurnsAreTheTwins(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t, rapid.SampledFrom([]registry.Assignment{registry.AssignStable, registry.AssignZeek}).Draw(t, "assignment"))
		twin := make(cursors)
		for range rapid.IntRange(1, 50).Draw(t, "commands") {
			before := w.view()
			cmd := w.drawCommand()
			if _, forgets := cmd.(registry.ForgetCursors); forgets {
				w.at.Clock += rapid.SampledFrom([]registry.Millis{0, registry.CursorRetention / 3, registry.CursorRetention}).Draw(t, "passed")
			}
			res, err := w.apply(cmd)
			after := w.view()
			twin.follow(before, after)
			switch c := cmd.(type) {
			case registry.RoundRobin:
				twin.compare(w, after, c, res)
			case registry.SetCursor:
				if err == nil && res.Changed {
					twin.put(c.Pool, c.Key, place{c.Next, w.at.Clock})
				}
			case registry.DeleteCursor:
				if err == nil {
					delete(twin[c.Pool], c.Key)
				}
			case registry.ForgetCursors:
				twin.forget(w.at.Clock)
			}
			for name, pool := range after {
				got, _ := w.state.Cursors(name)
				w.same("cursors of "+string(name), twin.known(pool), got)
			}
		}
	})
}

func (c cursors) put(pool registry.PoolName, key string, is place) {
	if c[pool] == nil {
		c[pool] = make(map[string]place)
	}
	c[pool][key] = is
}

func (c cursors) forget(now registry.Millis) {
	for _, keys := range c {
		maps.DeleteFunc(keys, func(_ string, is place) bool { return now-is.used > registry.CursorRetention })
	}
}

func (c cursors) compare(w *world, view map[registry.PoolName]registry.PoolInfo, cmd registry.RoundRobin, res registry.Result) {
	w.Helper()
	for i, turn := range cmd.Turns {
		got := res.Turns[i]
		if _, there := view[turn.Pool]; !there && turn.LogID == "" {
			if got.Err == nil || got.Err.Code != registry.NotFound {
				w.Fatalf("turn of the unknown pool %s: %v", turn.Pool, got.Err)
			}
			continue
		}
		var topics []string
		for i := range got.Count() {
			topics = append(topics, got.At(i).Topic)
		}
		w.same("answers", c.turn(w, view, turn), topics)
		if empty := len(topics) == 0; turn.LogID == "" && empty != (got.Reason != registry.NotEmpty) {
			w.Fatalf("%d answers with the reason %v", len(topics), got.Reason)
		}
	}
}

// One command with many turns is the same as many commands with one each: one
// that fails does not keep the others from theirs.
func TestTurnsOfABatchAreSingleTurns(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t, registry.AssignStable)
		for range rapid.IntRange(1, 20).Draw(t, "commands") {
			w.apply(w.drawCommand())
		}
		other, err := registry.Restore(w.state.Snapshot())
		if err != nil {
			t.Fatal(err)
		}
		batch := w.drawTurns().(registry.RoundRobin)
		res, err := w.apply(batch)
		if err != nil {
			t.Fatal(err)
		}
		for i, turn := range batch.Turns {
			single, err := other.Apply(w.at, registry.RoundRobin{Turns: []registry.Turn{turn}})
			if err != nil {
				t.Fatal(err)
			}
			w.same("turn", single.Turns[0], res.Turns[i])
		}
		w.same("state", other.Snapshot(), w.state.Snapshot())
	})
}
