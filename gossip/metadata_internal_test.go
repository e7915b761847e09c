package gossip

import (
	"bytes"
	"net"
	"strings"
	"testing"

	"github.com/hashicorp/memberlist"
)

func TestMetadataIsLimited(t *testing.T) {
	host := strings.Repeat("a", APIMax-len(":77")-6) + ".local"
	atLimit := encodeMeta(Replica, host+":77")
	if len(atLimit) != metaHeaderLen+APIMax {
		t.Fatalf("the longest metadata has %d bytes", len(atLimit))
	}
	if len(atLimit) > memberlist.MetaMaxSize || len(atLimit) > MetaMax {
		t.Errorf("%d bytes are more than anybody carries", len(atLimit))
	}
	if role, api, err := decodeMeta(atLimit); err != nil || role != Replica || api != host+":77" {
		t.Errorf("at the limit: %v %q %v", role, api, err)
	}
	for _, n := range []int{MetaMax, MetaMax + 1} {
		if _, _, err := decodeMeta(append([]byte{metaVersion, metaNode, 0}, make([]byte, n-metaHeaderLen)...)); err == nil {
			t.Errorf("%d bytes were accepted", n)
		}
	}
}

func TestAddressesThatAreNoHostsAreRefused(t *testing.T) {
	n := memberlist.Node{Name: "w#0123456789abcdef", Meta: encodeMeta(Node, ""), Addr: net.IP{10, 0, 0, 1}, Port: 7702}
	if _, err := memberOf(&n); err != nil {
		t.Fatal(err)
	}
	for _, ip := range []net.IP{nil, {1, 2, 3}, net.IPv4zero, net.IPv6zero, net.IPv4(224, 0, 0, 1), make([]byte, 17)} {
		bad := n
		bad.Addr = ip
		if m, err := memberOf(&bad); err == nil {
			t.Errorf("%v was accepted as %s", ip, m.Addr)
		}
	}
	n.Port = 0
	if m, err := memberOf(&n); err == nil {
		t.Errorf("port 0 was accepted as %s", m.Addr)
	}
}

func TestTheViewIsLimited(t *testing.T) {
	v := newView(nil)
	n := memberlist.Node{Meta: encodeMeta(Node, ""), Addr: net.IP{10, 0, 0, 1}, Port: 7702, PMin: 1, PMax: 5, PCur: 2}
	for i := range LivesMax {
		n.Name = lifeID("w", bootNumber(i))
		if err := v.NotifyAlive(&n); err != nil {
			t.Fatalf("life %d: %v", i+1, err)
		}
		v.NotifyJoin(&n)
	}
	if err := v.NotifyAlive(&n); err != nil {
		t.Errorf("news of a life in view was refused: %v", err)
	}
	gone := n
	n.Name = lifeID("w", bootNumber(LivesMax))
	if err := v.NotifyAlive(&n); err == nil {
		t.Errorf("life %d was let in", LivesMax+1)
	}
	v.NotifyLeave(&gone)
	if err := v.NotifyAlive(&n); err != nil {
		t.Errorf("there is room again: %v", err)
	}
}

// Where a life was is remembered when it goes out of view, of LivesMax lives; and it
// is where it is when it comes back.
func TestWhereTheLostWereIsRemembered(t *testing.T) {
	v := newView(nil)
	n := memberlist.Node{Meta: encodeMeta(Node, ""), Addr: net.IP{10, 0, 0, 1}, Port: 7702, PMin: 1, PMax: 5, PCur: 2}
	for i := range LivesMax + 1 {
		n.Name = lifeID("w", bootNumber(i))
		v.NotifyJoin(&n)
		v.NotifyLeave(&n)
		v.NotifyLeave(&n)
		if at := v.lastAddr(n.Name); at != "10.0.0.1:7702" {
			t.Fatalf("lost life %d was at %q", i+1, at)
		}
	}
	if len(v.mu.lost) != LivesMax || len(v.members()) != 0 {
		t.Errorf("%d lost lives are remembered, %d are in view", len(v.mu.lost), len(v.members()))
	}
	n.Port = 7703
	v.NotifyJoin(&n)
	if at := v.lastAddr(n.Name); at != "10.0.0.1:7703" || len(v.mu.lost) != LivesMax-1 {
		t.Errorf("back in view it is at %q, and %d are lost", at, len(v.mu.lost))
	}
	if at := v.lastAddr(lifeID("stranger", bootNumber(0))); at != "" {
		t.Errorf("a stranger is at %q", at)
	}
}

func bootNumber(i int) string {
	digits := []byte("0000000000000000")
	for at := len(digits) - 1; i > 0; at-- {
		digits[at] = "0123456789abcdef"[i%16]
		i /= 16
	}
	return string(digits)
}

func TestLinesGoWhereTheyBelong(t *testing.T) {
	for line, want := range map[string]int{
		"[DEBUG] memberlist: Stream connection from=pipe":                                             0,
		"[INFO] memberlist: Suspect w#1 has failed, no acks received":                                 0,
		"[WARN] memberlist: Refuting a suspect message (from: r1#1)":                                  0,
		"[WARN] memberlist: Binding to public address without encryption!":                            1,
		"[WARN] memberlist: Was able to connect to w over TCP but UDP probes failed, network may be…": udpLostMin,
		"[ERR] memberlist: Failed fallback TCP ping: timeout 1s: EOF":                                 0,
		"[ERR] memberlist: Push/Pull with r1 failed: EOF":                                             0,
		"[ERR] memberlist: discarding packet with unacceptable label \"x\": from=10.0.0.1:1":          1,
		"Err: Could not set the deadline: EOF":                                                        0,
		"":                                                                                            0,
	} {
		level, text := splitLine(line + "\n")
		if _, got := judge(level, text); got != want {
			t.Errorf("%q: threshold %d, want %d", line, got, want)
		}
	}
}

func TestLinesStayOneLine(t *testing.T) {
	if _, text := splitLine("[WARN] memberlist: Got ping for '\n[ERROR] x\x1b'\n"); strings.ContainsAny(text, "\n\x1b") {
		t.Errorf("%q", text)
	}
}

func TestKindsAreBounded(t *testing.T) {
	w := newLineLog(nil)
	for i := range kindsMax {
		if !w.reached(strings.Repeat("k", i+1), 1) {
			t.Fatalf("kind %d is not shown", i+1)
		}
	}
	if w.reached("one more", 1) {
		t.Error("one more kind is shown")
	}
	if w.reached("k", 1) {
		t.Error("a kind is shown twice within a minute")
	}
}

// FuzzMetadata feeds what a stranger may write into a record. What is let in
// has one spelling, and is within every limit.
func FuzzMetadata(f *testing.F) {
	f.Add("w#0123456789abcdef", encodeMeta(Node, ""), []byte{10, 0, 0, 1}, uint16(7702))
	f.Add("r1#0123456789abcdef", encodeMeta(Replica, "[fe80::1%eth0]:7700"), []byte(net.IPv6loopback), uint16(1))
	f.Fuzz(func(t *testing.T, name string, meta, ip []byte, port uint16) {
		n := &memberlist.Node{Name: name, Meta: meta, Addr: ip, Port: port, PMin: 1, PMax: 5, PCur: 2}
		v := newView(nil)
		err := v.NotifyAlive(n)
		v.NotifyJoin(n)
		all := v.members()
		if (err == nil) != (len(all) == 1) {
			t.Fatalf("let in: %v, shown: %v", err, all)
		}
		if err != nil {
			return
		}
		m := all[0]
		if m.ID() != name || !bytes.Equal(encodeMeta(m.Role, m.API), meta) {
			t.Errorf("%q %q was read as %v", name, meta, m)
		}
		c := Config{Name: m.Name, Boot: m.Boot, Label: "l", Role: m.Role, API: m.API, Bind: m.Addr}
		if err := c.Validate(); err != nil {
			t.Errorf("%q %q was let in as %v: %v", name, meta, m, err)
		}
	})
}
