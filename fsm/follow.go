package fsm

import (
	"slices"

	"github.com/rota-registry/rota/registry"
)

// Follower keeps for one reader the views that readers of [Machine.View] may
// miss: the one after each entry that changed a pool or a node, also within a
// batch. It keeps a few, and when the reader is too slow it says so instead of
// making the machine wait.
type Follower struct {
	machine *Machine
	woken   chan struct{} // one slot

	// The machine's lock guards these.
	steps []Step
	cost  int // of keeping the steps, see registry.Turnover
	// lost says that there were more: then steps is empty until Take.
	lost bool
}

// Step is the registry as an entry left it.
type Step struct {
	View *registry.View
	At   registry.Position
}

// Trail is what a follower has seen since it last asked.
type Trail struct {
	// Steps are in the order of the log; Now has the pools and nodes of the last.
	Steps []Step
	// Lost says that there are no Steps because there were too many, or because
	// a snapshot took their place: all that is known is Now.
	Lost bool
	Now  Step
}

// Follow makes a follower; what was before it is lost to it. Its owner calls
// Stop.
func (m *Machine) Follow() *Follower {
	f := &Follower{machine: m, woken: make(chan struct{}, 1), lost: true}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.mu.followers = append(slices.Clip(m.mu.followers), f)
	return f
}

// Stop ends the following; Take is not called any more.
func (f *Follower) Stop() {
	f.machine.mu.Lock()
	defer f.machine.mu.Unlock()
	f.machine.mu.followers = slices.DeleteFunc(slices.Clone(f.machine.mu.followers), func(o *Follower) bool { return o == f })
}

// Woken has one slot and fills it when there is something to Take. Entries that
// change no pool and no node do not.
func (f *Follower) Woken() <-chan struct{} { return f.woken }

// Take gives what has come since the last call.
func (f *Follower) Take() Trail {
	f.machine.mu.Lock()
	defer f.machine.mu.Unlock()
	now := f.machine.seen.Load() // the state's own, as nothing is applied now
	t := Trail{Steps: f.steps, Lost: f.lost, Now: Step{View: &now.view, At: now.at}}
	f.steps, f.cost, f.lost = nil, 0, false
	return t
}

// note keeps a view that differs from the one before it. One alone is kept
// whatever it costs.
func (f *Follower) note(s Step, cost int) {
	if f.lost {
		return
	}
	if len(f.steps) >= registry.FollowStepsMax || len(f.steps) > 0 && f.cost+cost > registry.FollowTurnoverMax {
		f.lose()
		return
	}
	f.steps, f.cost = append(f.steps, s), f.cost+cost
}

func (f *Follower) lose() { f.steps, f.cost, f.lost = nil, 0, true }

func (f *Follower) wake() {
	select {
	case f.woken <- struct{}{}:
	default:
	}
}

// noteLocked tells the followers of an entry that was applied to a view, and
// reports whether it was anything to them.
func (m *Machine) noteLocked(before *registry.View) bool {
	cost := registry.Turnover(before, &m.mu.state.View)
	if cost == 0 {
		return false
	}
	after := m.mu.state.View
	for _, f := range m.mu.followers {
		f.note(Step{View: &after, At: m.mu.at}, cost)
	}
	return true
}
