package stand

import (
	"fmt"
	"net"
	"os"
)

// The ports that are taken: below the range from which the kernel gives ports to
// outgoing connections, so that none of those takes one away before it is bound.
const (
	portFirst = 11_000
	portLast  = 31_000
)

// Ports gives loopback addresses. The zero value is ready; it is not for several
// goroutines.
type Ports struct{ next int }

// Free gives n addresses, host:port, free for TCP and UDP and not given before.
func (p *Ports) Free(n int) ([]string, error) {
	var out []string
	for range portLast - portFirst {
		p.next++
		addr := fmt.Sprintf("127.0.0.1:%d", portFirst+(os.Getpid()*97+p.next)%(portLast-portFirst))
		if free(addr) {
			if out = append(out, addr); len(out) == n {
				return out, nil
			}
		}
	}
	return nil, fmt.Errorf("there are no %d free ports between %d and %d", n, portFirst, portLast)
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
