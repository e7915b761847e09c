package e2e_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/rota-registry/rota/tests/procs"
)

// A fenced block of the README, and what the test does with it by its language:
//
//	console  runs each line that begins with "$ "; the lines after it are what
//	         it prints, where … stands for anything, and alone on a line for
//	         any lines. No lines: it only has to succeed.
//	sh       runs each line
//	go       vets, builds and runs it as a program
//	(none)   lines that begin with "rota " have to have flags that exist
type block struct {
	language string
	lines    []string
}

// commandLine is one command of a block.
type commandLine struct {
	text string
	want []string // nil where nothing is said of its output
}

// ours builds, tests or fetches rota, or runs until it is stopped; that it
// exists is all that can be asked of it here.
var ours = regexp.MustCompile(`^make\b|^\.ci/run\b|\brota dev\b|^git clone\b|^cd\b`)

// TestReadme: what the README tells people to type works as it says, against
// the cluster that it tells them to start.
func TestReadme(t *testing.T) {
	t.Parallel()
	root := repository()
	text, err := os.ReadFile(filepath.Join(root, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	blocks := blocksOf(string(text))
	d := newDev(t).up()
	ran := map[string]int{}
	for _, b := range blocks {
		ran[b.language]++
		switch b.language {
		case "go":
			d.wantProgram(root, strings.Join(b.lines, "\n")+"\n")
		case "":
			d.wantFlags(b)
		case "console", "sh":
			for _, c := range b.commands() {
				d.wantCommand(root, c)
			}
		default:
			t.Errorf("the README has a block of the language %q, which nothing tests", b.language)
		}
	}
	if ran["console"] == 0 || ran["sh"] == 0 || ran["go"] == 0 {
		t.Errorf("the README has blocks %v: want console, sh and go", ran)
	}
}

func repository() string {
	_, here, _, _ := runtime.Caller(0)
	return filepath.Join(filepath.Dir(here), "..", "..")
}

func blocksOf(text string) []block {
	var out []block
	var open *block
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n")
		fence, isFence := strings.CutPrefix(line, "```")
		switch {
		case isFence && open == nil:
			open = &block{language: fence}
		case isFence:
			out, open = append(out, *open), nil
		case open != nil:
			open.lines = append(open.lines, line)
		}
	}
	return out
}

// commands are a block's commands, each with the lines after it.
func (b block) commands() []commandLine {
	var out []commandLine
	for _, line := range b.joined() {
		command, typed := strings.CutPrefix(line, "$ ")
		switch {
		case typed, b.language == "sh" && line != "" && !strings.HasPrefix(line, "#"):
			out = append(out, commandLine{text: command})
		case b.language == "console" && len(out) > 0:
			last := &out[len(out)-1]
			last.want = append(last.want, line)
		}
	}
	return out
}

// joined are the lines with those that end in \ made one.
func (b block) joined() []string {
	return strings.Split(strings.ReplaceAll(strings.Join(b.lines, "\n"), "\\\n", ""), "\n")
}

// shows says whether output is what the lines want.
func shows(want []string, output string) bool {
	if want == nil {
		return true
	}
	if output != "" && !strings.HasSuffix(output, "\n") {
		output += "\n"
	}
	var pattern strings.Builder
	for _, line := range want {
		if line == "…" {
			pattern.WriteString(`(?:.*\n)*`)
			continue
		}
		words := strings.Split(line, "…")
		for i := range words {
			words[i] = regexp.QuoteMeta(words[i])
		}
		pattern.WriteString(strings.Join(words, ".*") + `\n`)
	}
	return regexp.MustCompile(`\A` + pattern.String() + `\z`).MatchString(output)
}

// here puts the ports of this cluster in place of the default ones, and there
// takes them back.
func (d *devCluster) here(text string) string {
	return regexp.MustCompile(`127\.0\.0\.1:77(\d\d)`).ReplaceAllStringFunc(text, func(addr string) string {
		offset, _ := strconv.Atoi(addr[len(addr)-2:])
		return d.at(offset)
	})
}

func (d *devCluster) there(text string) string {
	for _, offset := range []int{0, 1, 2, 10, 11, 12, 20, 21, 22} {
		text = strings.ReplaceAll(text, d.at(offset), fmt.Sprintf("127.0.0.1:%d", 7700+offset))
	}
	return text
}

func (d *devCluster) wantCommand(root string, c commandLine) {
	d.t.Helper()
	if ours.MatchString(c.text) {
		wantExists(d.t, root, c.text)
		return
	}
	if regexp.MustCompile(`\b(kill|pkill|killall|pgrep)\b`).MatchString(c.text) {
		d.t.Errorf("%s: the README ends processes by name, which may be somebody else's", c.text)
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), procs.Ready)
	defer cancel()
	cmd := exec.CommandContext(ctx, "/bin/sh", "-c", d.here(c.text))
	cmd.Dir = d.t.TempDir()
	cmd.Env = append(os.Environ(), "PATH="+filepath.Join(root, "bin")+":"+os.Getenv("PATH"), "ROTA_SERVER="+d.at(0))
	out, err := cmd.CombinedOutput()
	if err != nil {
		d.t.Errorf("$ %s: %v\n%s", c.text, err, out)
		return
	}
	if got := d.there(string(out)); !shows(c.want, got) {
		d.t.Errorf("$ %s prints\n%s, and the README says\n%s", c.text, got, strings.Join(c.want, "\n"))
	}
}

// wantExists: the target is in the Makefile, the script can be run, rota dev
// has the flags.
func wantExists(t *testing.T, root, command string) {
	t.Helper()
	words := strings.Fields(command)
	switch {
	case words[0] == "make":
		makefile, err := os.ReadFile(filepath.Join(root, "Makefile"))
		targets := slices.DeleteFunc(slices.Clone(words[1:]), func(w string) bool { return strings.Contains(w, "=") })
		for _, target := range targets {
			if !regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(target) + `:`).Match(makefile) {
				t.Errorf("$ %s: there is no target %s (%v)", command, target, err)
			}
		}
	case words[0] == ".ci/run":
		if info, err := os.Stat(filepath.Join(root, ".ci", "run")); err != nil || info.Mode()&0o111 == 0 {
			t.Errorf("$ %s: it cannot be run (%v)", command, err)
		}
	case strings.Contains(command, "rota dev"):
		wantExit(t, 0, command[strings.Index(command, "rota dev")+len("rota "):]+" --help", "")
	}
}

// wantFlags: what is to be typed on other machines can be parsed. Help is
// given once all flags before it are understood.
func (d *devCluster) wantFlags(b block) {
	d.t.Helper()
	for _, line := range b.joined() {
		if args, ok := strings.CutPrefix(line, "rota "); ok {
			wantExit(d.t, 0, args+" --help", "")
		}
	}
}

// wantProgram vets, builds and runs a program as if it stood in this module,
// where no file of it is written.
func (d *devCluster) wantProgram(root, source string) {
	d.t.Helper()
	dir := d.t.TempDir()
	file, program := filepath.Join(dir, "main.go"), filepath.Join(dir, "program")
	if err := os.WriteFile(file, []byte(d.here(source)), 0o600); err != nil {
		d.t.Fatal(err)
	}
	for _, args := range [][]string{{"go", "vet", file}, {"go", "build", "-o", program, file}, {program}} {
		ctx, cancel := context.WithTimeout(context.Background(), 3*procs.Ready)
		cmd := exec.CommandContext(ctx, args[0], args[1:]...)
		cmd.Dir = root
		out, err := cmd.CombinedOutput()
		cancel()
		if err != nil {
			d.t.Errorf("the README's program: %s: %v\n%s", strings.Join(args[:min(2, len(args))], " "), err, out)
			return
		}
		if args[0] == program && !strings.Contains(string(out), "zeek/cluster/node/") {
			d.t.Errorf("the README's program prints %q", out)
		}
	}
}

// TestReadmeIsRead: the reader finds every command with its output, and knows
// other output when it sees it.
func TestReadmeIsRead(t *testing.T) {
	t.Parallel()
	blocks := blocksOf("a\n```console\n$ one \\\n  more\nx …y\n…\n$ two\n```\nb\n```sh\n# why\nthree\n$ four\n```\n```\nrota x\n```\n")
	var got []string
	for _, b := range blocks {
		for _, c := range b.commands() {
			got = append(got, fmt.Sprintf("%s|%s|%q", b.language, c.text, c.want))
		}
	}
	want := []string{`console|one   more|["x …y" "…"]`, `console|two|[]`, `sh|three|[]`, `sh|four|[]`}
	if !slices.Equal(got, want) || len(blocks) != 3 {
		t.Errorf("%d blocks with %q, want %q", len(blocks), got, want)
	}
	for _, tt := range []struct {
		want   string
		output string
		shows  bool
	}{
		{"a\nb", "a\nb\n", true},
		{"a\nb", "a\nb", true},
		{"a\nb", "a\nb\nc\n", false},
		{"a\nb", "a\n", false},
		{"a.c", "abc\n", false},
		{"a …", "a b c\n", true},
		{"a …", "a b\nc\n", false},
		{"a\n…", "a\n", true},
		{"a\n…\nd", "a\nb\nc\nd\n", true},
		{"a\n…\nd", "a\nb\nc\n", false},
		{"…", "", true},
		{`{"a":1,…"b":2}`, "{\"a\":1, \"b\":2}", true},
	} {
		if got := shows(strings.Split(tt.want, "\n"), tt.output); got != tt.shows {
			t.Errorf("%q shows %q: %v, want %v", tt.want, tt.output, got, tt.shows)
		}
	}
}
