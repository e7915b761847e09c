package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"github.com/rota-registry/rota/registry"
	"github.com/rota-registry/rota/rpc/client"
	"github.com/rota-registry/rota/tests/procs"
)

// TestALeaderOutOfMemory: the kernel gives the leader no more memory in the middle
// of writes. It ends at once, whatever it was doing; the others go on, and when it
// is started again with memory it has, as they have, all that was acknowledged.
func TestALeaderOutOfMemory(t *testing.T) {
	t.Parallel()
	c := procs.Start(t, 3)
	anyone := c.Client()
	leader := c.Leader(back)
	for i := range 400 {
		name := registry.NodeName(fmt.Sprintf("n-%d", i))
		if _, err := anyone.AddNode(within(t, back), name, registry.Worker, ""); err != nil {
			t.Fatal(err)
		}
	}
	noMoreMemory(t, leader.Pid())
	var kept []registry.PoolName
	for last := time.Now().Add(2 * time.Minute); leader.Running(); {
		name := registry.PoolName(fmt.Sprintf("pool-%d", len(kept)))
		ctx, cancel := context.WithTimeout(t.Context(), back)
		_, err := anyone.RegisterPool(ctx, registry.Spec{Name: name, NodeType: registry.Worker}, client.RegisterOptions{})
		cancel()
		switch {
		case err == nil:
			kept = append(kept, name)
		case !errors.Is(err, registry.ErrOutcomeUnknown) && !errors.Is(err, registry.ErrUnavailable) && !errors.Is(err, registry.ErrDeadline):
			t.Fatalf("%s: %v", name, err)
		}
		if time.Now().After(last) || len(kept) == registry.PoolsMax-3 {
			t.Fatalf("%s lives on after %d pools: it had memory enough, and this shows nothing", leader.Name, len(kept))
		}
	}
	if code := leader.Exit(back); code != 2 || !strings.Contains(leader.Log(), "memory") {
		t.Errorf("%s ended with %d, want 2, and its last words are of memory", leader.Name, code)
	}
	c.Leader(back, leader.Name)
	leader.Start()
	c.AwaitReady(procs.Ready)
	for _, r := range c.Replicas {
		list, err := r.Client.Pools(within(t, back))
		if err != nil {
			t.Fatal(err)
		}
		has := map[registry.PoolName]bool{}
		for _, p := range list.Pools {
			has[p.Spec.Name] = true
		}
		for _, name := range kept {
			if !has[name] {
				t.Errorf("%s lost %s, which was acknowledged", r.Name, name)
			}
		}
	}
}

// noMoreMemory bounds what a process may have to what it has.
func noMoreMemory(t *testing.T, pid int) {
	t.Helper()
	const data = 2 // RLIMIT_DATA, which syscall does not name
	has := 0
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, "VmData:"); ok {
			_, _ = fmt.Sscan(rest, &has)
		}
	}
	limit := syscall.Rlimit{Cur: uint64(has) << 10, Max: uint64(has) << 10}
	if _, _, errno := syscall.RawSyscall6(syscall.SYS_PRLIMIT64, uintptr(pid), data, uintptr(unsafe.Pointer(&limit)), 0, 0, 0); errno != 0 || has == 0 {
		t.Fatalf("bounding the memory of process %d at %d KiB: %v", pid, has, errno)
	}
}
