package main

import (
	"net"
	"slices"
	"strings"
	"testing"
	"time"
)

// suggested is what the shell gets for a command line whose last word is being
// typed, and how it is to use it.
func (f *fixture) suggested(line string) ([]string, string) {
	f.t.Helper()
	args := words(f.t, line)
	if strings.HasSuffix(line, " ") {
		args = append(args, "")
	}
	return suggestedFrom(f.t, append([]string{"--server", f.address}, args...)...)
}

func suggestedFrom(t *testing.T, args ...string) ([]string, string) {
	t.Helper()
	got := typeAt(t, append([]string{"__completeNoDesc"}, args...)...)
	if got.code != exitOK {
		t.Fatalf("completing %q: exit code %d: %s", args, got.code, got.stderr)
	}
	lines := strings.Split(strings.TrimSuffix(got.stdout, "\n"), "\n")
	return lines[:len(lines)-1], lines[len(lines)-1]
}

// Directives of cobra: no files, and no files and no space behind.
const (
	noFiles        = ":4"
	noFilesNoSpace = ":6"
)

func TestCompletionSuggestsLiveNamesAndValues(t *testing.T) {
	f := newFixture(t)
	if got := f.rota("pool", "register", "scan", "--type", "worker"); got.code != exitOK {
		t.Fatal(got.stderr)
	}
	nodes := []string{"logger-1", "logger-2", "manager", "proxy-1", "proxy-2", "worker-1", "worker-2"}
	for _, c := range []struct {
		line      string
		want      []string
		directive string
	}{
		{"hrw ", []string{"logger", "proxy", "scan", "worker"}, noFiles},
		{"hrw s", []string{"scan"}, noFiles},
		{"hrw scan ", nil, noFiles},
		{"rr w", []string{"worker"}, noFiles},
		{"pool show p", []string{"proxy"}, noFiles},
		{"pool rm sc", []string{"scan"}, noFiles},
		{"pool re", []string{"rebalance", "register"}, noFiles},
		{"pool register ", nil, noFiles},
		{"pool register x --type w", []string{"worker"}, noFiles},
		{"pool register x --hash ", []string{"zeek-7.1", "zeek-6.2"}, noFiles},
		{"node show ", nodes, noFiles},
		{"node drain worker-", []string{"worker-1", "worker-2"}, noFiles},
		{"node undrain m", []string{"manager"}, noFiles},
		{"node forget worker-1 ", nil, noFiles},
		{"hrw worker x --type s", []string{"string", "subnet"}, noFiles},
		{"hrw worker x --consistency l", []string{"linearizable", "local"}, noFiles},
		{"pool list -o ", []string{"table", "json"}, noFiles},
		{"settings get topic", []string{"topic_separator"}, noFiles},
		{"settings get assignment ass", nil, noFiles},
		{"settings set ass", []string{"assignment="}, noFilesNoSpace},
		{"settings set assignment=", []string{"assignment=stable", "assignment=zeek"}, noFiles},
		{"settings set manager_is_logger=t", []string{"manager_is_logger=true"}, noFiles},
		{"settings set left_retention=", []string{"left_retention=10m"}, noFiles},
		{"settings set nosuch=", nil, noFiles},
		{"help pool re", []string{"rebalance", "register"}, noFiles},
		{"status ", nil, noFiles},
		{"bench ", []string{"rr", "rr-batch", "hrw", "hrw-batch"}, noFiles},
		{"bench h", []string{"hrw", "hrw-batch"}, noFiles},
		{"bench rr ", nil, noFiles},
		{"bench --pool s", []string{"scan"}, noFiles},
		{"bench --key ", nil, noFiles},
		{"bench hrw --consistency lo", []string{"local"}, noFiles},
	} {
		got, directive := f.suggested(c.line)
		if !slices.Equal(got, c.want) && len(got)+len(c.want) > 0 || directive != c.directive {
			t.Errorf("rota %s<tab>: %q %s, want %q %s", c.line, got, directive, c.want, c.directive)
		}
	}
}

// TestCompletionIsSilentWithoutAnAnswer has a replica that is not there, and one
// that takes the connection and never says a word.
func TestCompletionIsSilentWithoutAnAnswer(t *testing.T) {
	mute, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = mute.Close() })
	for _, server := range []string{"127.0.0.1:1", mute.Addr().String(), "no address"} {
		start := time.Now()
		got, directive := suggestedFrom(t, "--server", server, "hrw", "")
		if len(got) > 0 || directive != noFiles {
			t.Errorf("server %q: %q %s, want nothing", server, got, directive)
		}
		if spent := time.Since(start); spent > 5*completionTimeout {
			t.Errorf("server %q: it took %v, whoever pressed tab waits", server, spent)
		}
	}
}

func TestCompletionScriptsAreMade(t *testing.T) {
	for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
		got := typeAt(t, "completion", shell)
		if got.code != exitOK || !strings.Contains(got.stdout, "__complete") || got.stderr != "" {
			t.Errorf("rota completion %s: exit code %d, %d bytes, stderr %q", shell, got.code, len(got.stdout), got.stderr)
		}
	}
}
