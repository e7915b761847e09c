package fsm_test

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/rota-registry/rota/fsm"
	"github.com/rota-registry/rota/registry"
)

// TestEveryCommand: whatever package registry calls a command is in these
// tests, and has a number in the log.
func TestEveryCommand(t *testing.T) {
	var have []string
	for _, cmd := range commands() {
		have = append(have, strings.TrimPrefix(fmt.Sprintf("%T", cmd), "registry."))
		if _, err := fsm.EncodeCommand(cmd); err != nil {
			t.Errorf("%T: %v", cmd, err)
		}
	}
	want := commandsInSource(t)
	slices.Sort(have)
	if diff := cmp.Diff(want, have); diff != "" {
		t.Errorf("commands in registry's source and in these tests (-source +tests):\n%s", diff)
	}
}

// commandsInSource names the types that have a method command.
func commandsInSource(t *testing.T) []string {
	files, err := filepath.Glob("../registry/*.go")
	if err != nil || len(files) == 0 {
		t.Fatalf("the source of package registry: %q, %v", files, err)
	}
	var names []string
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range f.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv != nil && fn.Name.Name == "command" {
				names = append(names, fn.Recv.List[0].Type.(*ast.Ident).Name)
			}
		}
	}
	slices.Sort(names)
	return names
}

// TestNoNumber: what is not in the closed set is refused before it can enter
// the log.
func TestNoNumber(t *testing.T) {
	type alien struct{ registry.Command }
	for _, cmd := range []registry.Command{nil, alien{}, &registry.TermStart{}} {
		if b, err := fsm.EncodeCommand(cmd); err == nil {
			t.Errorf("%T became %x", cmd, b)
		}
	}
}

// TestEntryRoundTrip: every command, whatever its fields hold, comes back as it
// went in.
func TestEntryRoundTrip(t *testing.T) {
	for _, like := range commands() {
		t.Run(fmt.Sprintf("%T", like), rapid.MakeCheck(func(t *rapid.T) {
			want := fsm.Entry{
				Clock: filled[registry.Millis](random{t}), Wall: filled[registry.Millis](random{t}),
				Command: filledCommand(random{t}, like),
			}
			b, err := fsm.EncodeEntry(want)
			if err != nil {
				t.Fatal(err)
			}
			if err := fsm.CheckEntry(b); err != nil {
				t.Fatalf("CheckEntry: %v", err)
			}
			got, err := fsm.DecodeEntry(b)
			if diff := cmp.Diff(want, got); err != nil || diff != "" {
				t.Fatalf("%v (-want +got):\n%s", err, diff)
			}
			cmd, err := fsm.DecodeCommand(b)
			if diff := cmp.Diff(want.Command, cmd); err != nil || diff != "" {
				t.Fatalf("DecodeCommand: %v (-want +got):\n%s", err, diff)
			}
		}))
	}
}

func TestOutcomeRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := filled[fsm.Outcome](random{t})
		got, err := fsm.DecodeOutcome(fsm.EncodeOutcome(want))
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Fatalf("%v (-want +got):\n%s", err, diff)
		}
	})
}

// TestOutcomeKeepsItsError: a refusal never comes back as a success, not even
// one without words.
func TestOutcomeKeepsItsError(t *testing.T) {
	for _, want := range []*registry.Error{nil, registry.ErrInternal, registry.ErrNotFound, registry.Errorf(registry.Limit, "full")} {
		got, err := fsm.DecodeOutcome(fsm.EncodeOutcome(fsm.Outcome{Err: want}))
		if diff := cmp.Diff(want, got.Err); err != nil || diff != "" {
			t.Errorf("%v (-want +got):\n%s", err, diff)
		}
	}
}

func TestSnapshotRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want, wantAt, wantChain := filled[registry.Snapshot](random{t}), filled[registry.Position](random{t}), filled[fsm.Chain](random{t})
		var b bytes.Buffer
		if err := fsm.WriteSnapshot(&b, want, wantAt, wantChain); err != nil {
			t.Fatal(err)
		}
		got, at, chain, err := fsm.ReadSnapshot(&b)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got) + cmp.Diff(wantAt, at) + cmp.Diff(wantChain, chain); diff != "" {
			t.Fatalf("(-want +got):\n%s", diff)
		}
	})
}

// TestEntryMax: an entry of registry.EntryMax bytes is taken, one byte more is
// refused by its code.
func TestEntryMax(t *testing.T) {
	around, err := fsm.EncodeCommand(registry.TermStart{Leader: registry.ReplicaName(strings.Repeat("x", 200_000))})
	if err != nil {
		t.Fatal(err)
	}
	room := registry.EntryMax - len(around) + 200_000
	b, err := fsm.EncodeCommand(registry.TermStart{Leader: registry.ReplicaName(strings.Repeat("x", room))})
	if err != nil || len(b) != registry.EntryMax {
		t.Errorf("at the bound: %d bytes, %v", len(b), err)
	}
	b, err = fsm.EncodeCommand(registry.TermStart{Leader: registry.ReplicaName(strings.Repeat("x", room+1))})
	if registry.CodeOf(err) != registry.Limit {
		t.Errorf("one past the bound: %d bytes, %v; want an error of code limit", len(b), err)
	}
}

// goldens are what the bytes in testdata/format.txt were made of. A type that
// has gained fields has several lines: one without them, and for each time that
// it gained some one with them, with one more + behind its name.
func goldens(t *testing.T) map[string][]byte {
	was := goldensOf(t, first)
	is := maps.Clone(was)
	for times, filler := range []func() *steady{second, third, func() *steady { return &steady{} }} {
		now := goldensOf(t, filler)
		for name, b := range now {
			if !bytes.Equal(was[name], b) {
				is[name+strings.Repeat("+", times+1)] = b
			}
		}
		was = now
	}
	forgets := filledCommand(first(), registry.ReportLiveness{}).(registry.ReportLiveness)
	forgets.Changes[0].State = registry.Forgotten
	b, err := fsm.EncodeEntry(fsm.Entry{Clock: 1000, Wall: 2000, Command: forgets})
	if err != nil {
		t.Fatal(err)
	}
	is["ReportLiveness-forgotten"] = b
	return is
}

func goldensOf(t *testing.T, filler func() *steady) map[string][]byte {
	is := make(map[string][]byte)
	for _, like := range commands() {
		b, err := fsm.EncodeEntry(fsm.Entry{Clock: 1000, Wall: 2000, Command: filledCommand(filler(), like)})
		if err != nil {
			t.Fatal(err)
		}
		is[strings.TrimPrefix(fmt.Sprintf("%T", like), "registry.")] = b
	}
	is["outcome"] = fsm.EncodeOutcome(filled[fsm.Outcome](filler()))
	var b bytes.Buffer
	if err := fsm.WriteSnapshot(&b, filled[registry.Snapshot](filler()), filled[registry.Position](filler()), filled[fsm.Chain](filler())); err != nil {
		t.Fatal(err)
	}
	is["snapshot"] = b.Bytes()
	return is
}

// TestFormatIsStable: what this release writes is what it wrote when the log's
// first entry was committed. The file is append only: a format that changes is
// a new command number, or a new version, with a line of its own.
func TestFormatIsStable(t *testing.T) {
	is := goldens(t)
	text, err := os.ReadFile("testdata/format.txt")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		name, want, _ := strings.Cut(strings.TrimSpace(line), " ")
		if got := hex.EncodeToString(is[name]); got != want {
			t.Errorf("the format of %s has changed:\n was %s\n is  %s", name, want, got)
		}
		delete(is, name)
	}
	for name, b := range is {
		t.Errorf("testdata/format.txt lacks this line:\n%s %x", name, b)
	}
}

// TestOldFormatsAreRead: an entry, an outcome and a snapshot of before there
// were sessions mean what they meant.
func TestOldFormatsAreRead(t *testing.T) {
	text, err := os.ReadFile("testdata/format.txt")
	if err != nil {
		t.Fatal(err)
	}
	was := make(map[string][]byte)
	for line := range strings.Lines(string(text)) {
		name, digits, _ := strings.Cut(strings.TrimSpace(line), " ")
		if was[name], err = hex.DecodeString(digits); err != nil {
			t.Fatal(err)
		}
	}
	cmd, err := fsm.DecodeCommand(was["RoundRobin"])
	if diff := cmp.Diff(filledCommand(first(), registry.RoundRobin{}), cmd); err != nil || diff != "" {
		t.Errorf("RoundRobin: %v (-was +is):\n%s", err, diff)
	}
	out, err := fsm.DecodeOutcome(was["outcome"])
	if diff := cmp.Diff(filled[fsm.Outcome](first()), out); err != nil || diff != "" {
		t.Errorf("outcome: %v (-was +is):\n%s", err, diff)
	}
	snap, _, _, err := fsm.ReadSnapshot(bytes.NewReader(was["snapshot"]))
	if diff := cmp.Diff(filled[registry.Snapshot](first()), snap); err != nil || diff != "" {
		t.Errorf("snapshot: %v (-was +is):\n%s", err, diff)
	}
}
