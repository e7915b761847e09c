package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// mutant is one planted bug.
type mutant struct {
	name  string
	says  string // what is wrong, in one line
	edits []edit
	// tests must each catch it; the first is the fastest.
	tests []claim
}

// edit replaces a text, which the file has exactly once.
type edit struct{ file, old, now string }

// claim is a test that must fail; args are flags of its package's own, with spaces
// between them.
type claim struct{ pkg, test, args string }

// plant writes the mutated files into dir, and an overlay for the go command
// that puts them over those of the repository at top; it gives its path.
func (m *mutant) plant(top, dir string) (overlay string, err error) {
	texts := make(map[string][]byte)
	for _, e := range m.edits {
		text, begun := texts[e.file]
		if !begun {
			if text, err = os.ReadFile(filepath.Join(top, filepath.FromSlash(e.file))); err != nil {
				return "", err
			}
		}
		if texts[e.file], err = e.apply(text); err != nil {
			return "", err
		}
	}
	var replaced struct{ Replace map[string]string }
	replaced.Replace = make(map[string]string)
	for file, text := range texts { // any order
		copied := filepath.Join(dir, strings.ReplaceAll(file, "/", "-"))
		if err := os.WriteFile(copied, text, 0o600); err != nil {
			return "", err
		}
		replaced.Replace[filepath.Join(top, filepath.FromSlash(file))] = copied
	}
	text, err := json.Marshal(replaced)
	if err != nil {
		return "", err
	}
	overlay = filepath.Join(dir, "overlay.json")
	return overlay, os.WriteFile(overlay, text, 0o600)
}

func (e *edit) apply(text []byte) ([]byte, error) {
	if n := bytes.Count(text, []byte(e.old)); n != 1 {
		return nil, fmt.Errorf("the mutant is stale: %s has %d times, and should once:\n%s", e.file, n, e.old)
	}
	return bytes.Replace(text, []byte(e.old), []byte(e.now), 1), nil
}

// packages are those that the edits are in, as the go command wants them.
func (m *mutant) packages() (list []string) {
	for _, e := range m.edits {
		if pkg := "./" + e.file[:strings.LastIndex(e.file, "/")]; !slices.Contains(list, pkg) {
			list = append(list, pkg)
		}
	}
	return list
}
