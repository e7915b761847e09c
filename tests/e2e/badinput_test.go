package e2e_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rota-registry/rota/registry"
	"github.com/rota-registry/rota/tests/procs"
)

// bad is a request that is refused. Its args are one command line of rota, or
// its method and body a call over HTTP; said is what the refusal must name.
type bad struct {
	args         []string
	method, body string
	code         int    // the exit code; 0 is 2
	detail       string // the API's code; empty is "invalid", and undecoded has none
	said         []string
}

// undecoded is of what was refused before the API saw it.
const undecoded = "-"

func cli(said string, args ...string) bad { return bad{args: args, said: strings.Split(said, "|")} }

func call(said, method, body string) bad {
	return bad{method: method, body: body, said: strings.Split(said, "|")}
}

func long(n int) string { return strings.Repeat("a", n) }

// TestBadInput: nonsense is refused with words that name it, costs no log
// entry, and harms no replica; what is at its limit is taken.
func TestBadInput(t *testing.T) {
	t.Parallel()
	c := workers(t)
	quietFor(t, c, 3*time.Second, procs.Ready) // the joins and the first reconciliation are over
	before := appliedEverywhere(t, c)
	for i, b := range slices.Concat(badNames(), badKeys(), badNumbers()) {
		b.check(t, c.Replicas[i%3].API)
	}
	for i, b := range slices.Concat(badCalls(), badBodies()) {
		b.check(t, c.Replicas[i%3].API)
	}
	if after := appliedEverywhere(t, c); after != before {
		t.Errorf("refused requests moved the log from %d to %d", before, after)
	}
	c.AwaitReady(procs.Ready)
	for _, r := range c.Replicas {
		if log := r.Log(); strings.Contains(log, "panic") || strings.Contains(log, "[ERROR]") {
			t.Errorf("%s was hurt: %s", r.Name, log)
		}
	}
	atTheLimit(t, c)
}

func (b bad) check(t *testing.T, api string) {
	t.Helper()
	if b.args != nil {
		b.checkCLI(t, api)
		return
	}
	status, body := post(t, api, b.method, jsonType, b.body)
	var fault struct {
		Code, Message string
		Details       []struct{ Debug struct{ Code string } }
	}
	if err := json.Unmarshal([]byte(body), &fault); err != nil || status < 400 || status > 499 {
		t.Errorf("%s %.200s: %d %s", b.method, b.body, status, body)
		return
	}
	want, got := b.detail, undecoded
	if want == "" {
		want = "invalid"
	}
	if len(fault.Details) == 1 {
		got = fault.Details[0].Debug.Code
	}
	if got != want || (want == undecoded && fault.Code != "invalid_argument") {
		t.Errorf("%s %.200s has the code %s, want %s: %s", b.method, b.body, got, want, body)
	}
	b.wantSaid(t, b.method+" "+b.body, fault.Message)
}

func (b bad) checkCLI(t *testing.T, api string) {
	t.Helper()
	// Flags go first: what is asked may end with -- and a key.
	out, said, code := procs.Run(t, append([]string{"--server", api}, b.args...)...)
	want := b.code
	if want == 0 {
		want = 2
	}
	if code != want || out != "" || !strings.HasPrefix(said, "rota: ") {
		t.Errorf("rota %.200q ends with %d, want %d: %s%s", b.args, code, want, out, said)
	}
	b.wantSaid(t, fmt.Sprintf("rota %q", b.args), said)
}

func (b bad) wantSaid(t *testing.T, asked, said string) {
	t.Helper()
	for _, want := range b.said {
		if !strings.Contains(strings.ToLower(said), strings.ToLower(want)) {
			t.Errorf("%.200s does not say %q: %s", asked, want, said)
		}
	}
	if len(said) > 1500 {
		t.Errorf("%.200s is refused with %d bytes: %.300s…", asked, len(said), said)
	}
}

func badNames() []bad {
	past := long(registry.NameMax + 1)
	var out []bad
	for name, said := range map[string]string{
		"a b": `"a b"`, ".a": `".a"`, "a/b": `"a/b"`, "ä": "position 1", "a\n": "position 2", past: "64 characters|at most 63",
	} {
		out = append(out,
			cli("pool name|"+said, "pool", "register", name, "--type", "worker"),
			cli("pool name|"+said, "pool", "show", name),
			cli("pool name|"+said, "pool", "rm", name),
			cli("pool name|"+said, "hrw", name, "k"),
			cli("pool name|"+said, "rr", name),
			cli("node name|"+said, "node", "add", name, "--type", "worker"),
			cli("node name|"+said, "node", "drain", name),
			cli("node name|"+said, "node", "forget", name),
		)
	}
	for typ, said := range map[string]string{
		"Worker": `"Worker"`, "a b": `"a b"`, "_x": `"_x"`, long(registry.TypeMax + 1): "33 characters|at most 32",
	} {
		out = append(out,
			cli("node type|"+said, "pool", "register", "p", "--type", typ),
			cli("node type|"+said, "node", "add", "n", "--type", typ))
	}
	return append(out,
		cli("pool|UTF-8", "pool", "register", "a\xff", "--type", "worker"),
		cli("node|UTF-8", "node", "drain", "a\xff"),
		cli("pool|name|topic", "pool", "register", "--type", "worker"),
		cli("manager|cannot be pooled", "pool", "register", "p", "--type", "manager"),
		cli("control|cannot be pooled", "pool", "register", "p", "--type", "control"),
		cli("topic|control character", "pool", "register", "p", "--type", "worker", "--topic", "a\tb"),
		cli("topic|256 bytes|255", "pool", "register", "p", "--type", "worker", "--topic", long(registry.TopicMax+1)),
		cli("address|256 bytes|255", "node", "add", "n", "--type", "worker", "--address", long(registry.AddressMax+1)),
		cli("reason|256 bytes|255", "node", "drain", "worker-1", "--reason", long(registry.ReasonMax+1)),
		cli(`hash "md5"|zeek-7.1`, "pool", "register", "p", "--type", "worker", "--hash", "md5"),
	)
}

func badKeys() []bad {
	var out []bad
	for typ, values := range map[string][]string{
		"zzz":    {"x"},
		"count":  {"", "-1", "1.5", "18446744073709551616", "0x10", "one"},
		"int":    {"", "9223372036854775808", "-9223372036854775809", "1.5"},
		"bool":   {"", "maybe", "2"},
		"double": {"", "nan", "inf", "-Inf", "1e999", "1,5"},
		"time":   {"", "NaN", "+inf", "yesterday"},
		// An interval has days as an int64.
		"interval": {"", "nan", "1e+300", "1 day"},
		"port":     {"", "80", "65536/tcp", "-1/tcp", "80/xyz", "/tcp", "80/"},
		"addr":     {"", "10.0.0.256", "10.0.0.1/24", "fe80::1%eth0", "10.0.0", "example.com"},
		"subnet":   {"", "10.0.0.0", "10.0.0.0/33", "::/129", "10.0.0.0/-1", "/24"},
		"enum":     {"", "Conn::LOG"},
		"bytes":    {"0", "0g", "abc"},
		"digest":   {"", "-1", "4294967296"},
	} {
		for _, value := range values {
			out = append(out, cli(fmt.Sprintf("%s|%s", typ, value), "hrw", "worker", "--type", typ, "--", value))
		}
	}
	past := cli("key|4097 bytes|4096", "hrw", "worker", long(registry.KeyMax+1))
	past.code = 1
	return append(out, past,
		cli("256 bytes|255", "rr", "worker", long(registry.RRKeyMax+1)),
		cli("UTF-8", "rr", "worker", "\xff"),
		cli("256 bytes|255", "log-topic", long(registry.LogIDMax+1), "conn"),
		cli("256 bytes|255", "log-topic", "Conn::LOG", long(registry.LogIDMax+1)),
	)
}

func badNumbers() []bad {
	var out []bad
	for _, n := range []string{"-1", "1.5", "many", "4294967296", fmt.Sprint(registry.MaxNodesMax + 1)} {
		out = append(out, cli("max|nodes|"+n, "pool", "register", "p", "--type", "worker", "--max-nodes="+n))
	}
	for _, n := range []string{"0", "-1", fmt.Sprint(registry.RankMax + 1), "x"} {
		out = append(out, cli(n, "hrw", "worker", "k", "-k", n))
	}
	for _, n := range []string{"0", "-1", fmt.Sprint(registry.BatchAnswersMax + 1), "x"} {
		out = append(out, cli(n, "rr", "worker", "-n", n))
	}
	for _, s := range []string{
		"nowhere=", "assignment=fair", "manager_is_logger=yes", "topic_separator=-", "failed_retention=0s", "left_retention=-1m",
		"failed_retention=soon", "node_topic_prefix=", "enable_round_robin_logging=1", "node_types=Worker",
	} {
		name, value, _ := strings.Cut(s, "=")
		out = append(out, cli(name+"|"+strings.TrimPrefix(value, "-"), "settings", "set", s))
	}
	return append(out,
		cli("max|exclusive", "pool", "register", "p", "--type", "worker", "--exclusive"),
		cli("node_types|worker|twice", "settings", "set", "node_types=worker worker"),
		cli("assignment|no value", "settings", "set", "assignment"),
		cli("assignment|twice", "settings", "set", "assignment=stable", "assignment=zeek"),
		cli("--timeout 31s", "status", "--timeout", "31s"),
		cli("--timeout", "status", "--timeout", "-1s"),
		cli("--timeout", "status", "--timeout", "0s"),
		cli("--timeout|5", "status", "--timeout", "5"),
		cli("--consistency|weak", "hrw", "worker", "k", "--consistency", "weak"),
		cli("--at-least-index", "hrw", "worker", "k", "--consistency", "at-least"),
		cli("--at-least-index|-1", "hrw", "worker", "k", "--at-least-index=-1"),
	)
}

// badCalls are calls that can be read and mean nothing.
func badCalls() []bad {
	past := long(registry.NameMax + 1)
	keys := strings.TrimSuffix(strings.Repeat(`{"digest":1},`, registry.BatchKeysMax+1), ",")
	out := []bad{
		call("pool name|empty", "RegistryService/HrwTopic", `{"key":{"string":"k"}}`),
		call("key", "RegistryService/HrwTopic", `{"pool":"worker"}`),
		call("key", "RegistryService/HrwTopic", `{"pool":"worker","key":{}}`),
		call("double|NaN", "RegistryService/HrwTopic", `{"pool":"worker","key":{"double":"NaN"}}`),
		call("interval", "RegistryService/HrwTopic", `{"pool":"worker","key":{"interval":1e300}}`),
		call("addr|10.0.0.256", "RegistryService/HrwTopic", `{"pool":"worker","key":{"addr":"10.0.0.256"}}`),
		call("port|80", "RegistryService/HrwTopic", `{"pool":"worker","key":{"port":"80"}}`),
		call("subnet|10.0.0.0", "RegistryService/HrwTopic", `{"pool":"worker","key":{"subnet":"10.0.0.0"}}`),
		call("enum|X", "RegistryService/HrwTopic", `{"pool":"worker","key":{"enum":"X"}}`),
		call("consistency|weak|local", "RegistryService/HrwTopic", `{"pool":"worker","key":{"digest":1},"consistency":"weak"}`),
		call("pool name|64 characters", "RegistryService/GetPool", `{"name":"`+past+`"}`),
		call("pool name|a b", "RegistryService/UnregisterPool", `{"name":"a b"}`),
		call("worker|default", "RegistryService/UnregisterPool", `{"name":"worker"}`),
		call("name|topic", "RegistryService/RegisterPool", `{"spec":{"nodeType":"worker"}}`),
		call("spec", "RegistryService/RegisterPool", `{}`),
		call("p|node type", "RegistryService/RegisterPool", `{"spec":{"name":"p"}}`),
		call("p|max_nodes|1000001", "RegistryService/RegisterPool", `{"spec":{"name":"p","nodeType":"worker","maxNodes":1000001}}`),
		call("hash|sha1", "RegistryService/RegisterPool", `{"spec":{"name":"p","nodeType":"worker","hash":"sha1"}}`),
		call("round-robin key|256 bytes", "RegistryService/RrTopic", `{"pool":"worker","key":"`+long(registry.RRKeyMax+1)+`"}`),
		call("log id|256 bytes", "RegistryService/RrLogTopic", `{"logId":"`+long(registry.LogIDMax+1)+`","path":"conn"}`),
		call("assignment|fair", "RegistryService/SetSettings", `{"settings":{"assignment":"fair"}}`),
		call("failed_retention", "RegistryService/SetSettings", `{"settings":{"failedRetentionMs":"-1"}}`),
		call("node name|empty", "NodeService/JoinNode", `{"type":"worker","address":"127.0.0.1:1","bootId":"0123456789abcdef"}`),
		call("n|address", "NodeService/JoinNode", `{"name":"n","type":"worker","bootId":"0123456789abcdef"}`),
		call("boot id|xyz", "NodeService/JoinNode", `{"name":"n","type":"worker","address":"127.0.0.1:1","bootId":"xyz"}`),
		call("node type|empty", "NodeService/AddNode", `{"name":"n"}`),
		call("reason|256 bytes", "NodeService/DrainNode", `{"name":"worker-1","reason":"`+long(registry.ReasonMax+1)+`"}`),
		call("cursor|worker|1000000", "RegistryService/SetCursor", `{"pool":"worker","next":1000000}`),
	}
	for _, past := range []bad{
		call("key|4097 bytes|4096", "RegistryService/HrwTopic", `{"pool":"worker","key":{"string":"`+long(registry.KeyMax+1)+`"}}`),
		call("4097|4096", "RegistryService/HrwTopics", `{"pool":"worker","keys":[`+keys+`]}`),
		call("16385|16384", "RegistryService/RrTopics", `{"pool":"worker","count":16385}`),
		call("65|64", "RegistryService/RankNodes", `{"pool":"worker","key":{"digest":1},"limit":65}`),
	} {
		past.detail = "limit"
		out = append(out, past)
	}
	return out
}

// badBodies cannot be read.
func badBodies() []bad {
	const hrw = "RegistryService/HrwTopic"
	out := []bad{
		call("empty", hrw, ""),
		call("HrwTopicRequest", hrw, "{"),
		call("HrwTopicRequest", hrw, "[]"),
		call("HrwTopicRequest", hrw, "null null"),
		call("HrwTopicRequest", hrw, `{"pool":7}`),
		call("HrwTopicRequest|pol", hrw, `{"pol":"worker"}`),
		call("HrwTopicRequest|pool", hrw, `{"pool":"worker","pool":"proxy"}`),
		call("HrwTopicRequest|strin", hrw, `{"pool":"worker","key":{"strin":"k"}}`),
		call("HrwTopicRequest", hrw, `{"pool":"worker","key":{"string":"k","count":1}}`),
		call("HrwTopicRequest|18446744073709551616", hrw, `{"pool":"worker","key":{"count":18446744073709551616}}`),
		call("HrwTopicRequest", hrw, `{"pool":"worker","key":{"count":-1}}`),
		call("HrwTopicRequest", hrw, `{"pool":"worker","key":{"digest":4294967296}}`),
		call("HrwTopicRequest", hrw, `{"pool":"worker","key":{"bytes":"***"}}`),
		call("HrwTopicRequest", hrw, "{\"pool\":\"\xff\"}"),
		call("HrwTopicRequest", hrw, `{"pool":`+strings.Repeat("[", 20_000)),
		call("RegisterPoolRequest|max", "RegistryService/RegisterPool", `{"spec":{"name":"p","maxNodes":-1}}`),
	}
	for i := range out {
		out[i].detail = undecoded
	}
	return out
}

// atTheLimit: one less than what is refused is taken.
func atTheLimit(t *testing.T, c *procs.Cluster) {
	name := long(registry.NameMax)
	for i, args := range [][]string{
		{"pool", "register", name, "--type", long(registry.TypeMax), "--topic", long(registry.TopicMax), "--max-nodes", fmt.Sprint(registry.MaxNodesMax)},
		{"pool", "show", name},
		{"node", "add", name, "--type", long(registry.TypeMax), "--address", long(registry.AddressMax)},
		{"node", "drain", name, "--reason", long(registry.ReasonMax)},
		{"node", "undrain", name},
		{"node", "forget", name},
		{"pool", "rm", name},
		{"hrw", "worker", long(registry.KeyMax)},
		{"hrw", "worker", "k", "-k", fmt.Sprint(registry.RankMax)},
		{"rr", "worker", long(registry.RRKeyMax)},
		{"rr", "worker", "-n", fmt.Sprint(registry.BatchAnswersMax)},
		{"log-topic", long(registry.LogIDMax), long(registry.LogIDMax)},
		{"status", "--timeout", "30s"},
	} {
		if _, said, code := procs.Run(t, append([]string{"--server", c.Replicas[i%3].API}, args...)...); code != 0 {
			t.Errorf("rota %.100q at its limits ends with %d: %s", args, code, said)
		}
	}
}
