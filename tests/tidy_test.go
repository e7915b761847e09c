package tests_test

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// source is one Go file of ours, of any module and for any platform.
type source struct {
	path string // from the top of the repository, with slashes
	text []byte
	file *ast.File
	fset *token.FileSet
}

func (s source) dir() string     { return path.Dir(s.path) }
func (s source) isTest() bool    { return strings.HasSuffix(s.path, "_test.go") }
func (s source) generated() bool { return ast.IsGenerated(s.file) }

func (s source) lineOf(pos token.Pos) int { return s.fset.Position(pos).Line }

func parse(fset *token.FileSet, name string, text []byte) (source, error) {
	f, err := parser.ParseFile(fset, name, text, parser.ParseComments|parser.SkipObjectResolution)
	return source{path: name, text: text, file: f, fset: fset}, err
}

// top is the repository's top folder, as seen from this one.
const top = ".."

// files gives the paths of what is in the repository, tracked or about to be.
func files(t *testing.T) []string {
	t.Helper()
	var paths []string
	err := filepath.WalkDir(top, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel := filepath.ToSlash(strings.TrimPrefix(p, top+string(filepath.Separator)))
		if d.IsDir() && slices.Contains([]string{".git", "bin", "data"}, rel) {
			return filepath.SkipDir
		}
		if d.Type().IsRegular() && rel != "rota" { // what go build leaves, and .gitignore has
			paths = append(paths, rel)
		}
		return nil
	})
	if err != nil || len(paths) < 50 {
		t.Fatalf("only %d files found: %v", len(paths), err)
	}
	return paths
}

func sources(t *testing.T) []source {
	t.Helper()
	var all []source
	fset := token.NewFileSet()
	for _, p := range files(t) {
		if !strings.HasSuffix(p, ".go") || strings.Contains(p, "/testdata/") {
			continue
		}
		text, err := os.ReadFile(filepath.Join(top, filepath.FromSlash(p)))
		if err != nil {
			t.Fatal(err)
		}
		s, err := parse(fset, p, text)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, s)
	}
	return all
}

// TestTidy holds the rules of the repository that no linter knows.
func TestTidy(t *testing.T) {
	all := sources(t)
	for name, check := range checks() {
		t.Run(name, func(t *testing.T) {
			for _, s := range all {
				for _, fault := range check(s) {
					t.Errorf("%s: %s", s.path, fault)
				}
			}
		})
	}
	t.Run("comments", func(t *testing.T) { report(t, checkPackageComments(all)) })
	t.Run("table", func(t *testing.T) { report(t, checkTable(all)) })
	t.Run("bubbles", func(t *testing.T) { report(t, checkBubbles(all)) })
	t.Run("corpora", func(t *testing.T) { checkCorpora(t, all) })
	t.Run("deps", checkDeps)
	t.Run("paths", checkPaths)
}

func report(t *testing.T, faults []string) {
	for _, fault := range faults {
		t.Error(fault)
	}
}

// checks are those that look at one file alone.
func checks() map[string]func(source) []string {
	return map[string]func(source) []string{
		"imports": checkImports, "lines": checkLines, "leftovers": checkLeftovers, "waits": checkWaits, "init": checkInit,
	}
}

// checkImports holds the import table.
func checkImports(s source) (faults []string) {
	may, ok := layers()[s.dir()]
	if !ok {
		return []string{"package " + s.dir() + " is not in the import table: say in tests/table_test.go what it may import"}
	}
	for _, spec := range s.file.Imports {
		imp, _ := strconv.Unquote(spec.Path.Value)
		if why := may.refuses(s, imp); why != "" {
			faults = append(faults, fmt.Sprintf("imports %s: %s", imp, why))
		}
	}
	return faults
}

// refuses says why a file must not import a package; empty if it may.
func (may layer) refuses(s source, imp string) string {
	first, _, _ := strings.Cut(imp, "/")
	if own, ok := strings.CutPrefix(imp, module+"/"); ok {
		if !s.isTest() && !slices.Contains(may.own, own) {
			return "the import table does not let " + s.dir() + " import " + own
		}
		return ""
	}
	if strings.Contains(first, ".") {
		if under(imp, may.modules) || s.isTest() && under(imp, testModules()) {
			return ""
		}
		return "the import table gives " + s.dir() + " no such module"
	}
	if !s.isTest() && under(imp, may.never) && !under(imp, may.except) {
		return s.dir() + " is a function of the log: no clock, no chance, no machine"
	}
	return ""
}

// under reports whether a path is one of the prefixes, or below one.
func under(p string, prefixes []string) bool {
	return slices.ContainsFunc(prefixes, func(prefix string) bool { return p == prefix || strings.HasPrefix(p, prefix+"/") })
}

// checkTable wants no line in the table for a package that is gone.
func checkTable(all []source) (faults []string) {
	for dir := range layers() {
		if !slices.ContainsFunc(all, func(s source) bool { return s.dir() == dir }) {
			faults = append(faults, "the import table has "+dir+", which does not exist")
		}
	}
	return faults
}

// checkPackageComments wants one in every package, no more and no fewer.
func checkPackageComments(all []source) (faults []string) {
	with := make(map[string][]string)
	for _, s := range all {
		if s.isTest() {
			continue
		}
		with[s.dir()] = append(with[s.dir()], "")
		if s.file.Doc != nil && !s.generated() {
			with[s.dir()] = append(with[s.dir()], s.path)
		}
		if s.generated() {
			with[s.dir()] = []string{s.path} // Their comment would be written over.
		}
	}
	for dir, found := range with {
		found = slices.DeleteFunc(found, func(p string) bool { return p == "" })
		if len(found) != 1 {
			faults = append(faults, fmt.Sprintf("package %s: want one package comment, have them in %q", dir, found))
		}
	}
	return faults
}

func checkLines(s source) (faults []string) {
	limit := fileLinesMax
	if s.isTest() {
		limit = testLinesMax
	}
	if s.generated() {
		return nil
	}
	if n := bytes.Count(s.text, []byte("\n")); n > limit {
		faults = append(faults, fmt.Sprintf("%d lines, at most %d are allowed: split it by subject", n, limit))
	}
	for _, d := range s.file.Decls {
		fn, ok := d.(*ast.FuncDecl)
		if !ok || s.isTest() {
			continue
		}
		if n := s.lineOf(fn.End()) - s.lineOf(fn.Pos()) + 1; n > funcLinesMax {
			faults = append(faults, fmt.Sprintf("%s has %d lines, at most %d are allowed: split it", fn.Name.Name, n, funcLinesMax))
		}
	}
	return faults
}

// checkLeftovers finds what should not have been committed. The words are put
// together here so that this file has none of them.
func checkLeftovers(s source) (faults []string) {
	if s.generated() {
		return nil
	}
	for _, word := range []string{"TO" + "DO", "FIX" + "ME", "XX" + "X", "HA" + "CK", "DO NOT " + "MERGE", "t.Sk" + "ip(", "t.Sk" + "ipf(", "t.Sk" + "ipNow(", "/wo" + "rk/", "../sha" + "red"} {
		for i, line := range bytes.Split(s.text, []byte("\n")) {
			if bytes.Contains(line, []byte(word)) {
				faults = append(faults, fmt.Sprintf("line %d: leftover %s", i+1, word))
			}
		}
	}
	return faults
}

// checkWaits allows time.Sleep in virtual time, and as the pause of a loop that
// polls a condition until a deadline. Nothing waits by sleeping alone.
func checkWaits(s source) (faults []string) {
	virtual := bytes.Contains(s.text, []byte(`"testing/synctest"`)) || bytes.Contains(s.text, []byte("bubble("))
	if s.isTest() && virtual || s.dir() == "tests/sim" { // all of which runs in bubbles
		return nil
	}
	polls := s.polls()
	ast.Inspect(s.file, func(n ast.Node) bool {
		if sel, ok := n.(*ast.SelectorExpr); ok && isName(sel.X, "time") && sel.Sel.Name == "Sleep" && !polls[n] {
			faults = append(faults, fmt.Sprintf("line %d: time.Sleep outside virtual time: poll a condition with a deadline", s.lineOf(n.Pos())))
		}
		return true
	})
	return faults
}

// checkBubbles wants one processor under the race detector for each bubble of virtual
// time (golang/go#78156): the file sees to it, or race_test.go for its package.
func checkBubbles(all []source) (faults []string) {
	whole := make(map[string]bool)
	for _, s := range all {
		if path.Base(s.path) == "race_test.go" && bytes.Contains(s.text, []byte("runtime.GOMAXPROCS(1)")) {
			whole[s.dir()] = true
		}
	}
	for _, s := range all {
		bubbles, alone := bytes.Count(s.text, []byte("synctest.Test"+"(")), bytes.Count(s.text, []byte("runtime.GOMAXPROCS(1)"))
		if bubbles > alone && !whole[s.dir()] && s.dir() != "tests/bench" { // which is a module that the race detector does not see
			faults = append(faults, fmt.Sprintf("%s: %d bubbles, %d with one processor under the race detector (golang/go#78156): see gossip's bubble, or rpc/client/race_test.go", s.path, bubbles, alone))
		}
	}
	return faults
}

// polls are the nodes within a loop that looks at a deadline.
func (s source) polls() map[ast.Node]bool {
	within := make(map[ast.Node]bool)
	ast.Inspect(s.file, func(n ast.Node) bool {
		loop, ok := n.(*ast.ForStmt)
		if !ok {
			return true
		}
		from, to := s.fset.Position(loop.Pos()).Offset, s.fset.Position(loop.End()).Offset
		if bytes.Contains(bytes.ToLower(s.text[from:to]), []byte("deadline")) {
			ast.Inspect(loop, func(n ast.Node) bool {
				within[n] = true
				return true
			})
		}
		return true
	})
	return within
}

func isName(e ast.Expr, name string) bool {
	id, ok := e.(*ast.Ident)
	return ok && id.Name == name
}

// checkInit allows no init: what runs before main has no owner.
func checkInit(s source) (faults []string) {
	for _, d := range s.file.Decls {
		if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil && fn.Name.Name == "init" && !s.generated() {
			faults = append(faults, fmt.Sprintf("line %d: init: call it from main, or from who needs it", s.lineOf(fn.Pos())))
		}
	}
	return faults
}

// checkCorpora wants a corpus behind every fuzz target, which `go test` runs
// through it, and a target before every corpus.
func checkCorpora(t *testing.T, all []source) {
	const below = "testdata/fuzz/"
	targets := make(map[string]bool)
	for _, s := range all {
		for _, d := range s.file.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && s.isTest() && fn.Recv == nil && strings.HasPrefix(fn.Name.Name, "Fuzz") {
				targets[path.Join(s.dir(), below+fn.Name.Name)] = false
			}
		}
	}
	if len(targets) == 0 {
		t.Error("no fuzz targets were found")
	}
	for _, p := range files(t) {
		if !strings.Contains(p, below) {
			continue
		}
		if _, ok := targets[path.Dir(p)]; !ok {
			t.Errorf("%s belongs to no fuzz target", p)
		}
		targets[path.Dir(p)] = true
	}
	for dir, has := range targets {
		if !has {
			t.Errorf("%s is empty: commit a corpus for the target", dir)
		}
	}
}

// checkDeps holds sealedOff against all that a package takes in.
func checkDeps(t *testing.T) {
	for name, never := range sealedOff() {
		cmd := exec.CommandContext(t.Context(), "go", "list", "-deps", "./"+name)
		cmd.Dir, cmd.Stderr = top, os.Stderr
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("go list -deps ./%s: %v", name, err)
		}
		for dep := range strings.Lines(string(out)) {
			if dep = strings.TrimSpace(dep); under(dep, never) {
				t.Errorf("%s depends on %s, by whatever way", name, dep)
			}
		}
	}
}

// checkPaths: at the top there is what the client fixed, and dotfiles.
func checkPaths(t *testing.T) {
	allowed := []string{"go.mod", "go.sum", "cmd", "fsm", "gossip", "registry", "rpc", "tests", "Makefile", "README.md"}
	for _, p := range files(t) {
		first, _, _ := strings.Cut(p, "/")
		if !strings.HasPrefix(first, ".") && !slices.Contains(allowed, first) {
			t.Errorf("%s: the top folder holds %q and dotfiles only", p, allowed)
		}
	}
}
