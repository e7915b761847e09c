package fsm_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/rota-registry/rota/fsm"
	"github.com/rota-registry/rota/registry"
)

// TestAReportThatForgetsHasANumberOfItsOwn, so that a release that knows no such thing
// ends, and does not refuse what others apply. Reports that do not have the old one.
func TestAReportThatForgetsHasANumberOfItsOwn(t *testing.T) {
	failed := registry.Liveness{Name: "w-1", Boot: boot("1"), State: registry.Failed, Since: 7}
	gone := registry.Liveness{Name: "w-2", Boot: boot("2"), State: registry.Forgotten, Since: 8}
	for want, changes := range map[byte][]registry.Liveness{16: {failed}, 19: {failed, gone}} {
		report := registry.ReportLiveness{Changes: changes, By: "r1"}
		b, err := fsm.EncodeCommand(report)
		if err != nil || b[1] != want {
			t.Fatalf("%v has number %d (%v), want %d", changes, b[1], err, want)
		}
		got, err := fsm.DecodeCommand(b)
		if diff := cmp.Diff(registry.Command(report), got); err != nil || diff != "" {
			t.Errorf("%v (-want +got):\n%s", err, diff)
		}
	}
}

// TestARestoredMachineForgetsTheSameCursors, to the byte.
func TestARestoredMachineForgetsTheSameCursors(t *testing.T) {
	m := told(t)
	other := restored(t, bytesOf(t, m))
	late := fsm.Entry{Clock: registry.Millis(m.At().Index)*10 + registry.CursorRetention, Command: registry.ForgetCursors{By: "r1"}}
	e := entry(t, uint64(m.At().Index)+1, late)
	for _, m := range []*fsm.Machine{m, other} {
		if o := m.Apply(e).(*fsm.Outcome); o.Err != nil || !o.Result.Changed {
			t.Errorf("forgetting cursors: %+v", o)
		}
	}
	same(t, "after cursors were forgotten", bytesOf(t, m), bytesOf(t, other))
}
