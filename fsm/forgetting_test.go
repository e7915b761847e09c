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
