package chaos_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestTheTableIsTrue claims that the README has a row for each fault from F1 to F44,
// and names every fault of TestChaos in each row that the fault says it is for, and
// no fault and no test that there is not.
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
	for number, row := range rows {
		for _, missing := range absent(t, row) {
			t.Errorf("the row of %s names %s, which there is not", number, missing)
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

// TestTheTableWouldNotLie claims that a row with a test that there is not is found.
func TestTheTableWouldNotLie(t *testing.T) {
	const row = "TestChaos, TestNoSuchTest; `tests/sim` TestABridge, TestChaos; `gossip` TestALongPartitionHeals; as `tests/nowhere` TestABridge"
	if got, want := absent(t, row), []string{". TestNoSuchTest", "tests/sim TestChaos", "tests/nowhere TestABridge"}; !slices.Equal(got, want) {
		t.Errorf("missing are %q, want %q", got, want)
	}
}

// absent gives the tests that a row names and that are not in the package which it
// names before them, or in this one where it names none.
func absent(t *testing.T, row string) (list []string) {
	t.Helper()
	for part := range strings.SplitSeq(row, ";") {
		pkg, dir := ".", "."
		if quoted := regexp.MustCompile("`([a-z/0-9]+)`").FindStringSubmatch(part); quoted != nil {
			pkg, dir = quoted[1], filepath.Join("..", "..", quoted[1])
		}
		files, err := filepath.Glob(filepath.Join(dir, "*_test.go"))
		if err != nil {
			t.Fatal(err)
		}
		var source strings.Builder
		for _, path := range files {
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			source.WriteString("\n" + string(text))
		}
		for _, name := range regexp.MustCompile(`\bTest\w+`).FindAllString(part, -1) {
			if !strings.Contains(source.String(), "\nfunc "+name+"(") {
				list = append(list, pkg+" "+name)
			}
		}
	}
	return list
}
