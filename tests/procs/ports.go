package procs

import (
	"fmt"
	"net"
	"os"
	"slices"
	"sync/atomic"
	"testing"
)

// The ports that tests take: below the range from which the kernel gives ports
// to outgoing connections, so that none of those takes one away between two
// runs of a process.
const (
	portFirst = 11_000
	portLast  = 31_000
)

var portNext atomic.Int64

// FreeAddrs gives n loopback addresses, host:port, free for TCP and UDP. Test
// processes that run side by side begin to look in different places.
func FreeAddrs(t testing.TB, n int) []string {
	t.Helper()
	var out []string
	for range portLast - portFirst {
		port := portFirst + (int64(os.Getpid())*97+portNext.Add(1))%(portLast-portFirst)
		addr := fmt.Sprintf("127.0.0.1:%d", port)
		if free(addr) {
			if out = append(out, addr); len(out) == n {
				return out
			}
		}
	}
	t.Fatalf("no %d free ports between %d and %d", n, portFirst, portLast)
	return nil
}

func free(addr string) bool {
	tcp, err := net.Listen("tcp", addr)
	if err != nil {
		return false
	}
	defer tcp.Close()
	udp, err := net.ListenPacket("udp", addr)
	if err != nil {
		return false
	}
	return udp.Close() == nil
}

// FreeBase gives a port such that all offsets above it are free on loopback,
// for TCP and UDP.
func FreeBase(t testing.TB, offsets ...int) int {
	t.Helper()
	top := slices.Max(offsets)
	for range (portLast - portFirst) / (top + 1) {
		last := int(portNext.Add(int64(top + 1))) // the ports from last-top to last are ours
		base := portFirst + (os.Getpid()*97+last-top)%(portLast-portFirst)
		taken := func(offset int) bool { return !free(fmt.Sprintf("127.0.0.1:%d", base+offset)) }
		if !slices.ContainsFunc(offsets, taken) {
			return base
		}
	}
	t.Fatalf("no free base between %d and %d for ports %v above it", portFirst, portLast, offsets)
	return 0
}
