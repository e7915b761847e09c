package chaos_test

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestTheTableIsTrue claims that the README has a row for each fault from F1 to F44,
// and names every fault of TestChaos in each row that the fault says it is for, and
// no fault that there is not.
func TestTheTableIsTrue(t *testing.T) {
	text, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := map[string]string{}
	for line := range strings.Lines(string(text)) {
		if cells := strings.Split(line, " | "); strings.HasPrefix(line, "| F") {
			rows[strings.TrimPrefix(cells[0], "| ")] = cells[3]
		}
	}
	for n := range 44 {
		if row := rows[fmt.Sprintf("F%d", n+1)]; row == "" {
			t.Errorf("F%d has no row, or no word of who injects it", n+1)
		}
	}
	var names []string
	for _, f := range faults() {
		names = append(names, f.name)
		for _, number := range strings.Fields(f.numbers) {
			if !strings.Contains(rows[number], `"`+f.name+`"`) {
				t.Errorf("the row of %s does not name %q", number, f.name)
			}
		}
	}
	for number, row := range rows {
		for _, quoted := range regexp.MustCompile(`"([^"]+)"`).FindAllStringSubmatch(row, -1) {
			if !slices.Contains(names, quoted[1]) {
				t.Errorf("the row of %s names %q, which there is not", number, quoted[1])
			}
		}
	}
}
