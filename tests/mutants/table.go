package main

import (
	"fmt"
	"io"
	"time"
)

// table prints a row when it is known: a run takes minutes.
type table struct{ to io.Writer }

const columns = "%-26s %-10s %8s %8s  %s\n"

func newTable(to io.Writer) table {
	fmt.Fprintf(to, columns, "mutant", "", "test", "go test", "by")
	return table{to}
}

func (t table) row(m mutant, found verdicts) {
	name := m.name
	for _, v := range found {
		what, after := "ESCAPED", "-"
		if v.caught {
			what, after = "caught", v.after.Round(10*time.Millisecond).String()
		}
		fmt.Fprintf(t.to, columns, name, what, after, v.whole.Round(100*time.Millisecond), v.test+" of "+v.pkg)
		name = ""
	}
	fmt.Fprintf(t.to, "    %s\n", m.says)
}
