package main

import (
	"strings"
	"testing"
)

func TestOnlyLoopbackIsListenedOnWithoutInsecure(t *testing.T) {
	cases := map[string]bool{
		"127.0.0.1:7700":            true,
		"127.8.8.8:1":               true,
		"localhost:7700":            true,
		"LOCALHOST:7700":            true,
		"[::1]:7700":                true,
		"[::ffff:127.0.0.1]:7700":   true,
		"0.0.0.0:7700":              false,
		"[::]:7700":                 false,
		":7700":                     false,
		"10.0.0.1:7700":             false,
		"[2001:db8::1]:7700":        false,
		"localhost.example.com:770": false,
		"replica-1:7700":            false,
	}
	for value, want := range cases {
		e := endpoint{flag: "--api", value: value}
		faults := e.faults(false)
		if got := len(faults) == 0; got != want {
			t.Errorf("%s allowed: %v, want %v (%v)", value, got, want, faults)
		}
		if !want && !strings.Contains(faults[0].Error(), "TLS does not exist yet") {
			t.Errorf("%s: the refusal does not say why: %v", value, faults[0])
		}
		if !want && !strings.Contains(faults[0].Error(), "--insecure") {
			t.Errorf("%s: the refusal does not say what to do: %v", value, faults[0])
		}
		if faults := e.faults(true); len(faults) != 0 {
			t.Errorf("%s with --insecure: %v", value, faults)
		}
	}
}

func TestInsecureAllowsAddressesButNoNonsense(t *testing.T) {
	for _, value := range []string{"7700", "host", "127.0.0.1:", "127.0.0.1:65536", "127.0.0.1:-1", "a b:1", "127.0.0.1:http", "[::1:1", "ho/st:1"} {
		if faults := (endpoint{flag: "--api", value: value}).faults(true); len(faults) == 0 {
			t.Errorf("%q is taken for an address", value)
		}
	}
}

func TestAdvertisedAddressesFollowTheSameRule(t *testing.T) {
	cases := map[string]bool{
		"127.0.0.1": true, "::1": true, "[::1]": true, "localhost": true, "127.0.0.1:7702": true,
		"10.0.0.1": false, "example.com": false, "10.0.0.1:7702": false, "2001:db8::1": false,
	}
	for value, want := range cases {
		if faults := (endpoint{flag: "--advertise", value: value, hostOnly: true}).faults(false); (len(faults) == 0) != want {
			t.Errorf("%s: %v, want allowed %v", value, faults, want)
		}
	}
}

func TestServerAndAgentRefuseEveryOpenAddressAtOnce(t *testing.T) {
	got := runLine(t, "server", "--name", "r1", "--data-dir", "/nowhere",
		"--api", "0.0.0.0:7700", "--raft", "10.0.0.1:7701", "--gossip", "[::]:7702", "--advertise", "10.0.0.1")
	if got.code != exitUsage {
		t.Errorf("server ends with %d: %s", got.code, got.err)
	}
	for _, flag := range []string{"--api 0.0.0.0:7700", "--raft 10.0.0.1:7701", "--gossip [::]:7702", "--advertise 10.0.0.1"} {
		if !strings.Contains(got.err, flag+" can be reached from other machines") {
			t.Errorf("server says nothing of %s:\n%s", flag, got.err)
		}
	}
	got = runLine(t, "agent", "--name", "n1", "--type", "worker", "--gossip", "10.0.0.1:7702")
	if got.code != exitUsage || !strings.Contains(got.err, "TLS does not exist yet") {
		t.Errorf("agent ends with %d: %s", got.code, got.err)
	}
}

func TestAWildcardNeedsAnAdvertisedAddress(t *testing.T) {
	wild := []string{"server", "--name", "r1", "--data-dir", "/nowhere", "--api", "0.0.0.0:7700", "--insecure"}
	if _, err := settled(t, wild...); err == nil || !strings.Contains(err.Error(), "--advertise") {
		t.Errorf("nobody could be told where it is: %v", err)
	}
	if _, err := settled(t, append(wild, "--advertise", "10.0.0.1")...); err != nil {
		t.Errorf("with an advertised address: %v", err)
	}
}

func TestTwoListenersDoNotShareAPort(t *testing.T) {
	_, err := settled(t, minimal("--name", "r1", "--raft", "127.0.0.1:7700")...)
	if err == nil || !strings.Contains(err.Error(), "--api and --raft have the same port 7700") {
		t.Errorf("got %v", err)
	}
	if _, err := settled(t, minimal("--name", "r1", "--api", "127.0.0.1:0", "--raft", "127.0.0.1:0", "--gossip", "127.0.0.1:0")...); err != nil {
		t.Errorf("three free ports: %v", err)
	}
}
