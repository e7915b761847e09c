package sim

import (
	"bufio"
	"encoding/hex"
	"fmt"
	"os"
	"strings"

	"github.com/hashicorp/raft"

	"github.com/rota-registry/rota/fsm"
)

// scriptLineMax is longer than an entry in hex and in words.
const scriptLineMax = 8 << 20

// WriteScript writes what was committed to a file: one command a line, its index,
// its term and its bytes in hex, and what it says behind them, for people.
func (a *Applied) WriteScript(path string) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	w := bufio.NewWriter(f)
	for _, l := range a.Entries() {
		if l.Type != raft.LogCommand {
			continue
		}
		e, err := fsm.DecodeEntry(l.Data)
		said := fmt.Sprintf("%T %+v", e.Command, e.Command)
		if err != nil {
			said = err.Error()
		}
		fmt.Fprintf(w, "%d %d %s # %s\n", l.Index, l.Term, hex.EncodeToString(l.Data), strings.ReplaceAll(said, "\n", " "))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	return f.Close()
}

// ReplayScript puts a script through a machine of package fsm, whose state is
// then exactly the one that the replicas had.
func ReplayScript(path string) (*fsm.Machine, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var halted error
	m := fsm.NewMachine(func(err error) { halted = err })
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, scriptLineMax)
	for lines.Scan() {
		l := &raft.Log{Type: raft.LogCommand}
		var data string
		if _, err := fmt.Sscan(lines.Text(), &l.Index, &l.Term, &data); err != nil {
			return nil, fmt.Errorf("%s: %.40q: want index, term and bytes in hex: %w", path, lines.Text(), err)
		}
		if l.Data, err = hex.DecodeString(data); err == nil {
			_, err = fsm.DecodeEntry(l.Data)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: entry %d: %w", path, l.Index, err)
		}
		m.Apply(l)
	}
	if lines.Err() != nil {
		return nil, fmt.Errorf("%s: %w", path, lines.Err())
	}
	return m, halted
}
