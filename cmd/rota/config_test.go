package main

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// settled runs a command line up to the point where the command would begin,
// and gives the command with its flags settled, or the error.
func settled(t *testing.T, args ...string) (*cobra.Command, error) {
	t.Helper()
	root, _ := newTree(streams{in: strings.NewReader(""), out: &bytes.Buffer{}, err: &bytes.Buffer{}})
	root.SetArgs(args)
	var reached *cobra.Command
	for _, cmd := range root.Commands() {
		cmd.RunE = func(cmd *cobra.Command, _ []string) error {
			reached = cmd
			return nil
		}
	}
	_, err := root.ExecuteC()
	return reached, err
}

// value gives a flag as text.
func value(t *testing.T, cmd *cobra.Command, flag string) string {
	t.Helper()
	f := cmd.Flags().Lookup(flag)
	if f == nil {
		t.Fatalf("%s has no flag --%s", cmd.Name(), flag)
	}
	return f.Value.String()
}

func writeConfig(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "rota.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// minimal are the flags without which a server does not start.
func minimal(more ...string) []string {
	return append([]string{"server", "--data-dir", "/nowhere"}, more...)
}

func TestAFlagGoesBeforeTheEnvironmentWhichGoesBeforeTheFile(t *testing.T) {
	config := writeConfig(t, "name: from-file\nheartbeat: 700ms\ngossip-profile: local\nreplicas: [127.0.0.1:1, 127.0.0.1:2]\n")
	t.Setenv("ROTA_NAME", "from-env")
	t.Setenv("ROTA_HEARTBEAT", "800ms")
	cmd, err := settled(t, minimal("--config", config, "--name", "from-flag")...)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"name": "from-flag", "heartbeat": "800ms", "gossip-profile": "local",
		"replicas": "[127.0.0.1:1,127.0.0.1:2]", "raft": "127.0.0.1:7701",
	}
	for flag, want := range want {
		if got := value(t, cmd, flag); got != want {
			t.Errorf("--%s is %s, want %s", flag, got, want)
		}
	}
}

func TestTheConfigurationFileMayBeNamedByTheEnvironment(t *testing.T) {
	t.Setenv("ROTA_CONFIG", writeConfig(t, "name: r7\n"))
	cmd, err := settled(t, minimal()...)
	if err != nil {
		t.Fatal(err)
	}
	if got := value(t, cmd, "name"); got != "r7" {
		t.Errorf("name is %s, want r7", got)
	}
}

func TestAListIsReplacedWholeAndNeverMixed(t *testing.T) {
	config := writeConfig(t, "replicas:\n  - 127.0.0.1:1\n  - 127.0.0.1:2\n")
	t.Setenv("ROTA_REPLICAS", "127.0.0.1:3, 127.0.0.1:4")
	cmd, err := settled(t, minimal("--config", config, "--name", "r1")...)
	if err != nil {
		t.Fatal(err)
	}
	if got := value(t, cmd, "replicas"); got != "[127.0.0.1:3,127.0.0.1:4]" {
		t.Errorf("from file and environment: %s", got)
	}
	cmd, err = settled(t, minimal("--config", config, "--name", "r1", "--replicas", "127.0.0.1:5", "--replicas", "127.0.0.1:6")...)
	if err != nil {
		t.Fatal(err)
	}
	if got := value(t, cmd, "replicas"); got != "[127.0.0.1:5,127.0.0.1:6]" {
		t.Errorf("with flags, too: %s", got)
	}
}

// A list may be one string anywhere.
func TestAListInOneStringIsSplit(t *testing.T) {
	for _, text := range []string{"replicas: 127.0.0.1:1,127.0.0.1:2\n", "replicas: \"127.0.0.1:1, 127.0.0.1:2\"\n", "replicas: ['127.0.0.1:1,127.0.0.1:2']\n"} {
		cmd, err := settled(t, minimal("--name", "r1", "--config", writeConfig(t, text))...)
		if err != nil {
			t.Errorf("%q: %v", text, err)
			continue
		}
		if got, _ := cmd.Flags().GetStringSlice("replicas"); !slices.Equal(got, []string{"127.0.0.1:1", "127.0.0.1:2"}) {
			t.Errorf("%q gives %q", text, got)
		}
	}
}

func TestOneFileMayServeSeveralCommands(t *testing.T) {
	config := writeConfig(t, "# for both\ntype: worker\nheartbeat: 2s\nname: n1\nlog-level: warn\n")
	for _, args := range [][]string{{"server", "--data-dir", "/nowhere"}, {"agent"}} {
		cmd, err := settled(t, append(args, "--config", config)...)
		if err != nil {
			t.Fatalf("%s: %v", args[0], err)
		}
		if name, level := value(t, cmd, "name"), value(t, cmd, "log-level"); name != "n1" || level != "warn" {
			t.Errorf("%s: name %s at level %s, want n1 at warn", args[0], name, level)
		}
	}
}

func TestAnOperatorsCommandTakesSharedFlagsAloneFromTheEnvironment(t *testing.T) {
	t.Setenv("ROTA_TYPE", "nonsense")
	t.Setenv("ROTA_SERVER", "127.0.0.1:7710,127.0.0.1:7720")
	cmd, err := settled(t, "hrw", "worker", "key")
	if err != nil {
		t.Fatal(err)
	}
	if got := value(t, cmd, "server"); got != "[127.0.0.1:7710,127.0.0.1:7720]" {
		t.Errorf("server is %s", got)
	}
	if got := value(t, cmd, "type"); got == "nonsense" {
		t.Error("an agent's ROTA_TYPE became the type of a key")
	}
}

func TestEveryFaultIsReportedAtOnceWithItsPlace(t *testing.T) {
	config := writeConfig(t, "name: r1\nheart_beat: 1s\nfrobnicate: 1\ndrain-timeout: soon\ncommit-timeout:\n  a: 1\nreplicas:\n")
	t.Setenv("ROTA_INSECURE", "perhaps")
	t.Setenv("ROTA_TIMEOUT", "5 minutes")
	_, err := settled(t, "server", "--config", config, "--raft", "nowhere", "-o", "xml", "--log-level", "loud")
	if err == nil {
		t.Fatal("a configuration full of faults was taken")
	}
	if code := exitCodeOf(err); code != exitUsage {
		t.Errorf("exit code %d, want %d", code, exitUsage)
	}
	for _, want := range []string{
		config + `:2: key "heart_beat": is unknown: did you mean "heartbeat"?`,
		config + `:3: key "frobnicate": is unknown`,
		config + `:4: key "drain-timeout": want a duration`,
		config + `:5: key "commit-timeout": is a Mapping`,
		config + `:7: key "replicas": has no value`,
		`ROTA_INSECURE="perhaps": want a bool`,
		`ROTA_TIMEOUT="5 minutes": want a duration`,
		`--raft: "nowhere" is no address`,
		`--output "xml" is unknown`,
		`--log-level "loud" is unknown`,
		`--data-dir is empty`,
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error does not say %q; it is:\n%v", want, err)
		}
	}
}

func TestAConfigurationFileThatIsNoneIsRefused(t *testing.T) {
	cases := map[string]struct{ text, want string }{
		"a list":        {"- name\n- r1\n", `want lines of the form "flag: value"`},
		"a scalar":      {"name\n", `want lines of the form "flag: value"`},
		"broken":        {"name: [r1\n", "is not YAML"},
		"a key twice":   {"name: r1\nname: r2\n", "is not YAML"},
		"two documents": {"name: r1\n---\nname: r2\n", "has 2 documents"},
		"too large":     {"# " + strings.Repeat("x", configFileMax) + "\n", "at most"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			_, err := settled(t, minimal("--name", "r1", "--config", writeConfig(t, c.text))...)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want an error with %q", err, c.want)
			}
		})
	}
	if _, err := settled(t, minimal("--name", "r1", "--config", "/does/not/exist.yaml")...); err == nil || !strings.Contains(err.Error(), "does not exist") {
		t.Errorf("a missing file: %v", err)
	}
}

func TestAnEmptyConfigurationFileIsFine(t *testing.T) {
	for _, text := range []string{"", "# nothing\n", "---\n"} {
		if _, err := settled(t, minimal("--name", "r1", "--config", writeConfig(t, text))...); err != nil {
			t.Errorf("%q: %v", text, err)
		}
	}
}
