package main

import (
	"bytes"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/rota-registry/rota/registry"
)

func TestAReservedPortIsHeldForTCPAndUDPUntilReleased(t *testing.T) {
	p, err := reservePort("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := portFree("tcp", p.bind); err == nil {
		t.Error("TCP is free while it is held")
	}
	if err := portFree("udp", p.bind); err == nil {
		t.Error("UDP is free while it is held")
	}
	if got := p.advertised(""); got != p.bind {
		t.Errorf("advertised %s, bound %s", got, p.bind)
	}
	_, number, _ := net.SplitHostPort(p.bind)
	for advertise, want := range map[string]string{
		"10.0.0.1": "10.0.0.1:" + number, "10.0.0.1:9": "10.0.0.1:9", "::1": "[::1]:" + number, "[::1]": "[::1]:" + number,
	} {
		if got := p.advertised(advertise); got != want {
			t.Errorf("--advertise %s gives %s, want %s", advertise, got, want)
		}
	}
	p.release()
	if err := portFree("tcp", p.bind); err != nil {
		t.Errorf("TCP after the release: %v", err)
	}
	if err := portFree("udp", p.bind); err != nil {
		t.Errorf("UDP after the release: %v", err)
	}
}

func TestAChildsWarningsArePickedOutOfItsLog(t *testing.T) {
	path := filepath.Join(t.TempDir(), "logs", "r1.log")
	var warned []string
	l, err := openChildLog(path, func(line string) { warned = append(warned, line) })
	if err != nil {
		t.Fatal(err)
	}
	var text bytes.Buffer
	log := hclog.New(&hclog.LoggerOptions{Name: "rota", Output: &text})
	log.Info("fine", "word", "[WARN]")
	log.Warn("odd")
	log.Error("bad")
	text.WriteString("rota: it is over\npanic: a bug\ngoroutine 1\n")
	for _, piece := range slices.Collect(slices.Chunk(text.Bytes(), 7)) {
		if n, err := l.Write(piece); n != len(piece) || err != nil {
			t.Fatalf("wrote %d of %d: %v", n, len(piece), err)
		}
	}
	if len(warned) != 4 || !strings.Contains(warned[0], "odd") || !strings.Contains(warned[1], "bad") || warned[2] != "rota: it is over" || warned[3] != "panic: a bug" {
		t.Errorf("picked out %q", warned)
	}
	if tail := l.lastLines(); len(tail) != childTailLines || tail[childTailLines-1] != "goroutine 1" {
		t.Errorf("the end is %q", tail)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, text.Bytes()) {
		t.Errorf("the file has %q, %v; want %q", got, err, text.Bytes())
	}
}

func TestALineWithoutEndIsCut(t *testing.T) {
	l, err := openChildLog(filepath.Join(t.TempDir(), "log"), func(string) {})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for range 5 {
		if _, err := l.Write(bytes.Repeat([]byte("x"), lineMax)); err != nil {
			t.Fatal(err)
		}
	}
	if len(l.mu.partial) >= lineMax {
		t.Errorf("%d bytes are kept of a line without end", len(l.mu.partial))
	}
}

func TestAWarningIsToldOnceAMinuteAndOnlyWhileListening(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1)) // golang/go#78156, of which gossip's bubble tells
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		v := newVoice(&out)
		warn := func(peer string) {
			v.warn("r2", "2026-01-02T03:04:05.678Z [WARN]  raft: cannot reach peer: peer="+peer)
		}
		warn("r1")
		v.listen()
		warn("r1")
		warn("r3")
		time.Sleep(warnEvery)
		warn("r1")
		v.lost(childSpec{name: "r1", api: "127.0.0.1:9100", raft: "127.0.0.1:9101", gossip: "127.0.0.1:9102"})
		v.lost(childSpec{name: "proxy-1"})
		time.Sleep(warnEvery)
		warn("127.0.0.1:9101")
		v.warn("r3", "[WARN]  raft: failed to contact: server-id=r1")
		v.found(childSpec{name: "r1"})
		v.mute()
		time.Sleep(warnEvery)
		warn("r1")
		line := "r2: [WARN]  raft: cannot reach peer: peer=r1\n"
		if got := out.String(); got != line+line {
			t.Errorf("told %q, want two lines", got)
		}
	})
}

func TestSilenceIsReportedAtOnceAndEveryFiveSeconds(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1)) // golang/go#78156, of which gossip's bubble tells
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		s := &silence{log: hclog.New(&hclog.LoggerOptions{Output: &out})}
		s.end()
		for range 120 { // 12 s: at 0, 5 and 10
			s.note([]string{"127.0.0.1:7700"}, registry.ErrUnavailable)
			time.Sleep(100 * time.Millisecond)
		}
		s.end()
		s.end()
		if got := strings.Count(out.String(), "[WARN]"); got != 3 {
			t.Errorf("%d warnings, want 3:\n%s", got, out.String())
		}
		if got := strings.Count(out.String(), "[INFO]"); got != 1 {
			t.Errorf("%d lines that it is over, want 1:\n%s", got, out.String())
		}
	})
}

func TestBootIDsAreValidAndDiffer(t *testing.T) {
	a, b := newBootID(), newBootID()
	if a == b || a.Validate() != nil || b.Validate() != nil {
		t.Errorf("drawn: %q and %q", a, b)
	}
}
