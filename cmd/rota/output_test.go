package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"strings"
	"testing"

	"github.com/rota-registry/rota/registry"
	"github.com/rota-registry/rota/rpc/client"
)

// TestTablesAlign counts characters, not bytes.
func TestTablesAlign(t *testing.T) {
	table := newTable("NAME", "REASON", "END")
	table.add("wörker", "", "x")
	table.add("p", "new kernel", "")
	want := "NAME    REASON      END\nwörker  -           x\np       new kernel  -\n"
	if got := table.String(); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

// TestCellsObeyNoTerminal: a reason that some client wrote must not move the
// cursor of whoever reads it.
func TestCellsObeyNoTerminal(t *testing.T) {
	for in, want := range map[string]string{
		"plain text": "plain text", "größe": "größe", "": "-",
		"\x1b[2J": `"\x1b[2J"`, "a\nb": `"a\nb"`, "\u009b31m": `"\u009b31m"`, "\xff": `"\xff"`, "\u202e": `"\u202e"`,
	} {
		if got := cell(in); got != want {
			t.Errorf("cell(%q) = %s, want %s", in, got, want)
		}
	}
}

func TestFewSaysHowManyMore(t *testing.T) {
	names := []registry.NodeName{"a", "b", "c"}
	for most, want := range map[int]string{3: "a, b, c", 2: "a, b and 1 more: see `rota x`", 4: "a, b, c"} {
		if got := few(names, most, "rota x"); got != want {
			t.Errorf("few(%d) = %q, want %q", most, got, want)
		}
	}
}

// TestStatusFitsOneScreen: a thousand pools, all but one whole, leave room for
// the one that is not.
func TestStatusFitsOneScreen(t *testing.T) {
	var s client.Status
	for i := range 1000 {
		s.Pools = append(s.Pools, client.PoolSummary{Name: registry.PoolName(fmt.Sprintf("pool-%03d", i)), EligibleCount: 1, MemberCount: 1, Satisfied: true})
		s.FailedNodes = append(s.FailedNodes, registry.NodeName(fmt.Sprintf("node-%03d", i)))
		s.Warnings = append(s.Warnings, fmt.Sprintf("warning %d", i))
	}
	s.Pools[777].EligibleCount = 0
	s.Pools[888] = client.PoolSummary{Name: "pool-888", EligibleCount: 1, MemberCount: 1, Reason: "wants 2, has 1"}
	text := statusText(s)
	if lines := strings.Count(text, "\n"); lines > 50 {
		t.Errorf("status has %d lines", lines)
	}
	for _, want := range []string{"pool-777  0/1", "pool-888  1/1       unsatisfied: wants 2, has 1", "and 984 more: see `rota pool list`", "and 992 more: see `rota node list`", "and 990 more warnings"} {
		if !strings.Contains(text, want) {
			t.Errorf("status lacks %q:\n%s", want, text)
		}
	}
}

// TestJSONIsTheAPIsOwn asks the API with plain HTTP what each command asks it,
// and wants the same document.
func TestJSONIsTheAPIsOwn(t *testing.T) {
	f := newFixture(t)
	f.rota("pool", "register", "scan", "--type", "worker", "--max-nodes", "1")
	f.rota("rr", "worker", "intel")
	f.rota("node", "drain", "worker-1", "--reason", "new kernel")
	for _, c := range []struct{ line, method, body string }{
		{"pool list", "RegistryService/ListPools", `{}`},
		{"pool list --consistency local", "RegistryService/ListPools", `{"consistency":"local"}`},
		{"pool show worker", "RegistryService/GetPool", `{"name":"worker"}`},
		{"pool show worker --cursors", "RegistryService/GetPool", `{"name":"worker","withCursors":true}`},
		{"pool rebalance --dry-run", "RegistryService/RebalancePools", `{"dryRun":true}`},
		{"pool register scan --type worker --max-nodes 1", "RegistryService/RegisterPool", `{"spec":{"name":"scan","nodeType":"worker","maxNodes":1}}`},
		{"hrw worker foobar", "RegistryService/HrwTopic", `{"pool":"worker","key":{"string":"foobar"}}`},
		{"hrw worker foobar --consistency local", "RegistryService/HrwTopic", `{"pool":"worker","key":{"string":"foobar"},"consistency":"local"}`},
		{"hrw worker 42 --type count -k 3", "RegistryService/RankNodes", `{"pool":"worker","key":{"count":"42"},"limit":3}`},
		{"hrw proxy 10.0.0.1 --type addr --explain", "RegistryService/RankNodes", `{"pool":"proxy","key":{"addr":"10.0.0.1"},"explain":true}`},
		{"node list", "NodeService/ListNodes", `{}`},
		{"node show worker-1", "NodeService/GetNode", `{"name":"worker-1"}`},
		{"settings get", "RegistryService/GetSettings", `{}`},
		{"status", "ClusterService/Status", `{}`},
	} {
		got := f.rota(append(words(t, c.line), "-o", "json")...)
		if got.code != exitOK {
			t.Errorf("rota %s: exit code %d: %s", c.line, got.code, got.stderr)
			continue
		}
		printed, asked := decode(t, got.stdout), decode(t, f.post(c.method, c.body))
		for _, answer := range []map[string]any{printed, asked} {
			delete(answer, "index") // a registration, though it changes nothing, is an entry
		}
		if !reflect.DeepEqual(printed, asked) {
			t.Errorf("rota %s printed\n%v\nand the API says\n%v", c.line, printed, asked)
		}
	}
}

func TestExplainAsksOnce(t *testing.T) {
	f := newFixture(t)
	if got := f.rota("hrw", "worker", "foobar", "--explain"); got.code != exitOK || f.replica.reads != 1 {
		t.Errorf("exit code %d after %d reads: %s", got.code, f.replica.reads, got.stderr)
	}
}

// decode reads one JSON object and nothing behind it.
func decode(t *testing.T, text string) map[string]any {
	t.Helper()
	var object map[string]any
	if err := json.Unmarshal([]byte(text), &object); err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	return object
}

func (f *fixture) post(method, body string) string {
	f.t.Helper()
	request, err := http.NewRequestWithContext(f.t.Context(), http.MethodPost, "http://"+f.address+"/rota.v1."+method, bytes.NewBufferString(body))
	if err != nil {
		f.t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		f.t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	answer, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		f.t.Fatalf("%s: %s %v\n%s", method, response.Status, err, answer)
	}
	return string(answer)
}
