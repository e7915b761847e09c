package chaos_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
)

// namespaces is the ground of root: a bridge, and a network namespace for each
// place with a link to it.
type namespaces struct {
	t      testing.TB
	id     string
	bridge string
	net    string // 10.x.y.
	next   int
	places []*place
	losses map[*place][]loss
}

// newGround gives namespaces if this process may make them, and loopback if not,
// and says why.
func newGround(t testing.TB) (ground, string) {
	t.Helper()
	n := &namespaces{t: t, id: fmt.Sprint(os.Getpid()), losses: map[*place][]loss{}}
	n.bridge = "rotab" + n.id
	n.net = fmt.Sprintf("10.%d.%d.", 100+os.Getpid()%100, os.Getpid()/100%250)
	if os.Geteuid() != 0 {
		return loopback{t}, "network namespaces need root"
	}
	if err := ip("link", "add", n.bridge, "type", "bridge"); err != nil {
		return loopback{t}, err.Error()
	}
	t.Cleanup(n.remove)
	for _, args := range [][]string{
		{"addr", "add", n.net + "1/24", "dev", n.bridge},
		{"link", "set", n.bridge, "up"},
	} {
		if err := ip(args...); err != nil {
			return loopback{t}, err.Error()
		}
	}
	return n, ""
}

// ip is the command of that name.
func ip(args ...string) error {
	if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
		return fmt.Errorf("ip %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(string(out)))
	}
	return nil
}

func (n *namespaces) isolated() bool { return true }

// place makes a namespace with an address on the bridge.
func (n *namespaces) place(name string) *place {
	n.t.Helper()
	n.next++
	p := &place{name: name, ip: fmt.Sprint(n.net, n.next+1), netns: "rota-" + n.id + "-" + name, link: fmt.Sprintf("rotav%s-%d", n.id, n.next)}
	p.within = []string{"ip", "netns", "exec", p.netns}
	n.places = append(n.places, p)
	for _, args := range [][]string{
		{"netns", "add", p.netns},
		{"link", "add", p.link, "type", "veth", "peer", "name", "eth0", "netns", p.netns},
		{"link", "set", p.link, "master", n.bridge, "up"},
		{"-n", p.netns, "addr", "add", p.ip + "/24", "dev", "eth0"},
		{"-n", p.netns, "link", "set", "eth0", "up"},
		{"-n", p.netns, "link", "set", "lo", "up"},
	} {
		if err := ip(args...); err != nil {
			n.t.Fatal(err)
		}
	}
	return p.addressed()
}

// remove takes away all that was made; what is not there is no matter.
func (n *namespaces) remove() {
	for _, p := range n.places {
		_ = ip("link", "del", p.link) // at once; with its namespace it goes later
		_ = ip("netns", "del", p.netns)
	}
	if err := ip("link", "del", n.bridge); err != nil {
		n.t.Logf("the bridge is left behind: %v", err)
	}
}

// disk mounts a small disk in memory on a directory.
func (n *namespaces) disk(dir string, bytes int64) bool {
	n.t.Helper()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		n.t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%d", bytes)); err != nil {
		n.t.Logf("no disk of its own for %s: %v", filepath.Base(dir), err)
		return false
	}
	n.t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			n.t.Logf("%s is left mounted: %v", dir, err)
		}
	})
	return true
}

func (n *namespaces) lose(at *place, l ...loss) {
	n.t.Helper()
	n.losses[at] = append(n.losses[at], l...)
	n.write(at)
}

func (n *namespaces) heal() {
	n.t.Helper()
	for at := range n.losses {
		delete(n.losses, at)
		n.write(at)
	}
}

// write puts a place's losses into its kernel table, in the place of what was
// there.
func (n *namespaces) write(at *place) {
	n.t.Helper()
	file, err := os.Open(filepath.Join("/run/netns", at.netns))
	if err != nil {
		n.t.Fatal(err)
	}
	defer file.Close()
	c, err := nftables.New(nftables.WithNetNSFd(int(file.Fd())))
	if err != nil {
		n.t.Fatal(err)
	}
	table, in, out := chains()
	c.AddTable(table)
	c.FlushChain(c.AddChain(in))
	c.FlushChain(c.AddChain(out))
	for _, l := range n.losses[at] {
		if l.answers {
			c.AddRule(&nftables.Rule{Table: table, Chain: out, Exprs: n.answers()})
			continue
		}
		for _, exprs := range n.rules(l) {
			c.AddRule(&nftables.Rule{Table: table, Chain: in, Exprs: exprs})
		}
	}
	if err := c.Flush(); err != nil {
		n.t.Fatalf("losses at %s: %v", at, err)
	}
}

// chains are a place's table, and what it has for packets that come in and go out.
func chains() (table *nftables.Table, in, out *nftables.Chain) {
	table = &nftables.Table{Family: nftables.TableFamilyIPv4, Name: "rota"}
	chain := func(name string, hook *nftables.ChainHook) *nftables.Chain {
		return &nftables.Chain{Name: name, Table: table, Type: nftables.ChainTypeFilter, Hooknum: hook, Priority: nftables.ChainPriorityFilter}
	}
	return table, chain("in", nftables.ChainHookInput), chain("out", nftables.ChainHookOutput)
}

// lost asks the kernel: each rule counts what it takes.
func (n *namespaces) lost() (packets uint64) {
	n.t.Helper()
	for at := range n.losses {
		file, err := os.Open(filepath.Join("/run/netns", at.netns))
		if err != nil {
			n.t.Fatal(err)
		}
		c, err := nftables.New(nftables.WithNetNSFd(int(file.Fd())))
		if err != nil {
			n.t.Fatal(err)
		}
		table, in, out := chains()
		for _, chain := range []*nftables.Chain{in, out} {
			rules, err := c.GetRules(table, chain)
			if err != nil {
				n.t.Fatalf("losses at %s: %v", at, err)
			}
			packets += taken(rules)
		}
		_ = file.Close()
	}
	return packets
}

// taken is what rules have counted.
func taken(rules []*nftables.Rule) (packets uint64) {
	for _, rule := range rules {
		for _, e := range rule.Exprs {
			if counter, ok := e.(*expr.Counter); ok {
				packets += counter.Packets
			}
		}
	}
	return packets
}

// answers gives the rule that loses what a place says to the callers at the bridge.
// A connection opens all the same: a request comes in, and its answer is lost.
func (n *namespaces) answers() []expr.Any {
	const flags, syn = 13, 2 // of TCP's header
	return []expr.Any{
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: 16, Len: 4},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: n.host()},
		&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{syscall.IPPROTO_TCP}},
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: flags, Len: 1},
		&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 1, Mask: []byte{syn}, Xor: []byte{0}},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{0}},
		&expr.Counter{},
		&expr.Verdict{Kind: expr.VerdictDrop},
	}
}

func (n *namespaces) host() []byte { return net.ParseIP(n.net + "1").To4() }

// rules gives the kernel's rules for one loss: one for each end that a port may be
// at.
func (n *namespaces) rules(l loss) (rules [][]expr.Any) {
	var head []expr.Any
	if from := n.source(l); from != nil {
		head = append(head,
			&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: 12, Len: 4},
			&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: from})
	}
	if l.proto != "" {
		number := map[string]byte{"tcp": syscall.IPPROTO_TCP, "udp": syscall.IPPROTO_UDP}[l.proto]
		head = append(head,
			&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1},
			&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{number}})
	}
	var tail []expr.Any
	if l.percent < 100 {
		tail = append(tail,
			&expr.Numgen{Register: 1, Modulus: 100, Type: 1}, // NFT_NG_RANDOM
			&expr.Byteorder{SourceRegister: 1, DestRegister: 1, Op: expr.ByteorderHton, Len: 4, Size: 4},
			&expr.Cmp{Op: expr.CmpOpLt, Register: 1, Data: binary.BigEndian.AppendUint32(nil, uint32(l.percent))})
	}
	tail = append(tail, &expr.Counter{})
	if l.reset {
		tail = append(tail, &expr.Reject{Type: 1}) // NFT_REJECT_TCP_RST
	} else {
		tail = append(tail, &expr.Verdict{Kind: expr.VerdictDrop})
	}
	if l.port == 0 {
		return [][]expr.Any{append(head, tail...)}
	}
	for _, offset := range []uint32{0, 2} { // source and destination
		rule := append([]expr.Any(nil), head...)
		rule = append(rule,
			&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: offset, Len: 2},
			&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: binaryutil.BigEndian.PutUint16(uint16(l.port))})
		rules = append(rules, append(rule, tail...))
	}
	return rules
}

// slowLink bounds the rate at which packets leave for a place and come from it, so
// that they wait, and are lost when half a second's worth does.
func slowLink(p *place) (undo func(), err error) {
	shape := func(within []string, verb, dev string, rest ...string) error {
		line := append(append(append([]string(nil), within...), "tc", "qdisc", verb, "dev", dev, "root"), rest...)
		if out, err := exec.Command(line[0], line[1:]...).CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w: %s", strings.Join(line, " "), err, strings.TrimSpace(string(out)))
		}
		return nil
	}
	rate := []string{"tbf", "rate", "400kbit", "burst", "4kb", "latency", "500ms"}
	err = errors.Join(shape(nil, "add", p.link, rate...), shape(p.within, "add", "eth0", rate...))
	return func() { _ = errors.Join(shape(nil, "del", p.link), shape(p.within, "del", "eth0")) }, err
}

// starve lets a process have no more memory than it has. What is only reserved,
// as Go reserves for the heap, does not count.
func starve(pid int) error {
	const data = 2 // RLIMIT_DATA, which syscall does not name
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return err
	}
	has := uint64(0)
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, "VmData:"); ok {
			_, _ = fmt.Sscan(rest, &has)
		}
	}
	if has == 0 {
		return fmt.Errorf("the kernel does not say what memory process %d has", pid)
	}
	limit := syscall.Rlimit{Cur: has << 10, Max: has << 10}
	_, _, errno := syscall.RawSyscall6(syscall.SYS_PRLIMIT64, uintptr(pid), data, uintptr(unsafe.Pointer(&limit)), 0, 0, 0)
	if errno != 0 {
		return errno
	}
	return nil
}

// remount makes a disk of its own read-only, or not any more. Nothing may have a
// file open on it.
func remount(dir string, readOnly bool) error {
	flags := uintptr(syscall.MS_REMOUNT)
	if readOnly {
		flags |= syscall.MS_RDONLY
	}
	return syscall.Mount("tmpfs", dir, "tmpfs", flags, "")
}

// source is the address that is lost, nil for all.
func (n *namespaces) source(l loss) []byte {
	switch {
	case l.host:
		return n.host()
	case l.from != nil:
		return net.ParseIP(l.from.ip).To4()
	}
	return nil
}
