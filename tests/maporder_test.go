package tests_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/importer"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestNoMapOrder forbids the order of a map in the packages that every replica
// must compute alike: range over a map, and maps.Keys and its kin outside
// slices.Sorted. A line that provably does not depend on the order ends with
// "// any order".
func TestNoMapOrder(t *testing.T) {
	for _, name := range orderly() {
		files, exports := compiled(t, name)
		report(t, mapOrder(name, files, exports))
	}
}

// compiled gives a package's files, without tests, and where the compiled form
// of each package below it is.
func compiled(t *testing.T, name string) (all []source, exports map[string]string) {
	cmd := exec.CommandContext(t.Context(), "go", "list", "-json=Dir,ImportPath,GoFiles,Export", "-export", "-deps", "./"+name)
	cmd.Dir, cmd.Stderr = top, os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list -export ./%s: %v", name, err)
	}
	exports = make(map[string]string)
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p struct {
			Dir, ImportPath, Export string
			GoFiles                 []string
		}
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return all, exports
		} else if err != nil {
			t.Fatal(err)
		}
		exports[p.ImportPath] = p.Export
		if p.ImportPath == module+"/"+name {
			all = read(t, name, p.Dir, p.GoFiles)
		}
	}
}

func read(t *testing.T, name, dir string, names []string) (all []source) {
	fset := token.NewFileSet()
	for _, file := range names {
		text, err := os.ReadFile(filepath.Join(dir, file))
		if err != nil {
			t.Fatal(err)
		}
		s, err := parse(fset, name+"/"+file, text)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, s)
	}
	return all
}

// mapOrder looks at the files of one package, which share a file set.
func mapOrder(name string, all []source, exports map[string]string) (faults []string) {
	fset := all[0].fset
	imp := importer.ForCompiler(fset, "gc", func(path string) (io.ReadCloser, error) { return os.Open(exports[path]) })
	info := types.Info{Types: make(map[ast.Expr]types.TypeAndValue)}
	var asts []*ast.File
	for _, s := range all {
		asts = append(asts, s.file)
	}
	conf := types.Config{Importer: imp}
	if _, err := conf.Check(name, fset, asts, &info); err != nil {
		return []string{err.Error()}
	}
	for _, s := range all {
		faults = append(faults, s.mapOrder(info)...)
	}
	return faults
}

func (s source) mapOrder(info types.Info) (faults []string) {
	anyOrder, sorted := s.anyOrder(), make(map[ast.Node]bool)
	fault := func(n ast.Node, what string) {
		if !anyOrder[s.lineOf(n.Pos())] {
			faults = append(faults, fmt.Sprintf("%s:%d: %s: sort it, or end the line with // any order", s.path, s.lineOf(n.Pos()), what))
		}
	}
	ast.Inspect(s.file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.RangeStmt:
			if _, isMap := info.TypeOf(n.X).Underlying().(*types.Map); isMap {
				fault(n, "range over a map")
			}
		case *ast.CallExpr:
			fun := types.ExprString(n.Fun)
			if strings.HasPrefix(fun, "slices.Sorted") {
				sorted[n.Args[0]] = true
			}
			if slices.Contains([]string{"maps.Keys", "maps.Values", "maps.All"}, fun) && !sorted[n] {
				fault(n, fun+" outside slices.Sorted")
			}
		}
		return true
	})
	return faults
}

// anyOrder are the lines that say so.
func (s source) anyOrder() map[int]bool {
	lines := make(map[int]bool)
	for _, g := range s.file.Comments {
		if strings.Contains(g.Text(), "any order") {
			lines[s.lineOf(g.Pos())] = true
		}
	}
	return lines
}
