package gossip_test

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rota-registry/rota/gossip"
)

// prober is the environment's name for the address that a process of this test
// probes, instead of testing.
const prober = "ROTA_TEST_PROBES"

// A process that gets no processor while it probes a life says nothing of it: two
// such replicas on one machine would agree that it is dead. The prober stops itself
// as soon as it has begun to ask, for twice as long as a probe takes, and the one
// that is asked lives.
func TestAStalledProberDeclaresNobodySilent(t *testing.T) {
	const stalls, stall = 12, 400 * time.Millisecond
	if addr := os.Getenv(prober); addr != "" {
		probeAndStop(t, addr, stalls)
		return
	}
	living := start(t, gossip.Config{Name: "r1", Boot: bootOf(1), Label: cluster, Role: gossip.Replica, API: "127.0.0.1:7700", Bind: "127.0.0.1:0"})
	says, err := os.Create(t.TempDir() + "/says")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = says.Close() }()
	child := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
	child.Env, child.Stdout, child.Stderr = append(os.Environ(), prober+"="+living.Addr()), says, says
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	var state syscall.WaitStatus
	for {
		if _, err := syscall.Wait4(child.Process.Pid, &state, syscall.WUNTRACED, nil); err != nil {
			t.Fatal(err)
		}
		if !state.Stopped() {
			break
		}
		<-time.After(stall)
		if err := syscall.Kill(child.Process.Pid, syscall.SIGCONT); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(says.Name())
	if err != nil {
		t.Fatal(err)
	}
	if silent, all := strings.Count(string(text), "says silent"), strings.Count(string(text), "says "); state.ExitStatus() != 0 || silent > 0 || all != stalls {
		t.Errorf("exit code %d; of %d probes %d said that nobody answered:\n%s", state.ExitStatus(), all, silent, text)
	}
}

func probeAndStop(t *testing.T, addr string, times int) {
	g := start(t, gossip.Config{Name: "r2", Boot: bootOf(2), Label: cluster, Role: gossip.Replica, API: "127.0.0.1:7701", Bind: "127.0.0.1:0"})
	for range times {
		said := make(chan string)
		go func() {
			reply, err := g.Probe(t.Context(), "r1", bootOf(1), addr)
			switch {
			case err != nil:
				said <- "nothing: " + err.Error()
			case reply == gossip.Silent:
				said <- "silent"
			default:
				said <- "that it is there"
			}
		}()
		if err := syscall.Kill(os.Getpid(), syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		fmt.Println("says", <-said)
	}
}
