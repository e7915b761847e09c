package replica_test

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"github.com/rota-registry/rota/registry"
)

// syncedRole makes this test's own program the replica that is watched.
const syncedRole = "ROTA_TEST_SYNCED"

const (
	// syncedWrites is how many writes are made, one after the other.
	syncedWrites = 8
	// syncedWithin is when the watched process is killed.
	syncedWithin = time.Minute
)

// The watched process writes to markFile as a write of the registry begins and when
// it has been acknowledged: so both are calls among its others, in their order.
const (
	markFile     = 3
	beginMark    = 1 // bytes
	answeredMark = 2
)

// TestAcknowledgedWritesAreSynced claims that what a replica acknowledges would
// survive a loss of power: when it does, all that it wrote to its store has been
// synced, and that is something. It looks at each system call of a cluster of one.
func TestAcknowledgedWritesAreSynced(t *testing.T) {
	if os.Getenv(syncedRole) != "" {
		writeMarked(t)
		return
	}
	said := filepath.Join(t.TempDir(), "said")
	s := &syncWatch{threads: map[int]*systemCall{}}
	if code := s.run(t, said); code != 0 {
		text, _ := os.ReadFile(said)
		t.Fatalf("the replica ended with %d and said:\n%s", code, text)
	}
	for _, f := range s.faults {
		t.Error(f)
	}
	if s.answered != syncedWrites {
		t.Errorf("%d writes were acknowledged, want %d", s.answered, syncedWrites)
	}
}

// writeMarked is the watched process.
func writeMarked(t *testing.T) {
	marks := os.NewFile(markFile, "marks")
	defer marks.Close()
	mark := func(bytes int) {
		if _, err := marks.Write(make([]byte, bytes)); err != nil {
			t.Fatal(err)
		}
	}
	c := newCluster(t)
	r := c.startAll(1)[0]
	for i := range syncedWrites {
		mark(beginMark)
		c.put(r, registry.PoolName(fmt.Sprintf("p%d", i)))
		mark(answeredMark)
	}
}

// syncWatch follows what a process writes to its store.
type syncWatch struct {
	threads map[int]*systemCall // by thread, the call that it is in
	// written counts the writes to the store, synced those that a sync has
	// covered which began after them.
	written, synced int
	before          int // written, when the write of the registry began
	answered        int
	faults          []string
}

// systemCall is one call to the kernel, as PTRACE_GET_SYSCALL_INFO tells of it:
// struct ptrace_syscall_info of linux/ptrace.h, the same on every architecture.
type systemCall struct {
	op uint8 // callBegins or callEnds
	_  [3]uint8
	_  uint32
	_  [2]uint64
	// number is what the call returns when it ends.
	number uint64
	args   [6]uint64
	_      uint64

	covers int // written, as a sync began
}

const (
	callBegins         = 1
	callEnds           = 2
	callInfo           = unsafe.Offsetof(systemCall{}.covers)
	requestCallInfo    = 0x420e   // PTRACE_GET_SYSCALL_INFO
	endsWithUs         = 0x100000 // PTRACE_O_EXITKILL
	callStop           = syscall.SIGTRAP | 0x80
	callsAndNewThreads = syscall.PTRACE_O_TRACESYSGOOD | syscall.PTRACE_O_TRACECLONE
)

// run starts the process, looks at all its calls until it ends, and gives its code.
func (s *syncWatch) run(t *testing.T, said string) (code int) {
	runtime.LockOSThread() // which the kernel takes for the one that watches
	defer runtime.UnlockOSThread()
	output, err := os.Create(said)
	if err != nil {
		t.Fatal(err)
	}
	defer output.Close()
	marks, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer marks.Close()
	pid, err := syscall.ForkExec(os.Args[0], []string{os.Args[0], "-test.run=^" + t.Name() + "$"}, &syscall.ProcAttr{
		Env:   append(os.Environ(), syncedRole+"=1"),
		Files: []uintptr{marks.Fd(), output.Fd(), output.Fd(), marks.Fd()},
		Sys:   &syscall.SysProcAttr{Ptrace: true, Pdeathsig: syscall.SIGKILL},
	})
	if err != nil {
		t.Fatalf("this machine lets nobody watch a process: %v", err)
	}
	late := time.AfterFunc(syncedWithin, func() { _ = syscall.Kill(pid, syscall.SIGKILL) })
	defer late.Stop()
	var status syscall.WaitStatus
	if _, err := syscall.Wait4(pid, &status, syscall.WALL, nil); err != nil {
		t.Fatal(err)
	}
	if err := syscall.PtraceSetOptions(pid, callsAndNewThreads|endsWithUs); err != nil {
		t.Fatal(err)
	}
	for tid := pid; ; {
		// It fails for a thread that has ended meanwhile, and so is not waited for.
		_ = syscall.PtraceSyscall(tid, s.stopped(t, tid, status))
		for {
			tid, err = syscall.Wait4(-1, &status, syscall.WALL|syscall.WNOTHREAD, nil)
			if err == nil || err != syscall.EINTR { //nolint:errorlint // It is the number itself.
				break
			}
		}
		if err != nil {
			t.Fatal(err)
		}
		if tid == pid && (status.Exited() || status.Signaled()) {
			return int(status)
		}
	}
}

// stopped looks at why a thread has stopped, and gives the signal that it is to get.
func (s *syncWatch) stopped(t *testing.T, tid int, status syscall.WaitStatus) (signal int) {
	switch status.StopSignal() {
	case callStop:
		s.call(t, tid)
	case syscall.SIGTRAP, syscall.SIGSTOP: // a thread begins
	case -1: // a thread has ended
		delete(s.threads, tid)
	default:
		return int(status.StopSignal())
	}
	return 0
}

// call looks at a call that begins, or ends.
func (s *syncWatch) call(t *testing.T, tid int) {
	now := &systemCall{covers: s.written}
	if _, _, errno := syscall.RawSyscall6(syscall.SYS_PTRACE, requestCallInfo, uintptr(tid), callInfo, uintptr(unsafe.Pointer(now)), 0, 0); errno != 0 {
		if errno != syscall.ESRCH {
			t.Fatalf("this test needs Linux 5.3: %v", errno)
		}
		return
	}
	began := s.threads[tid]
	s.threads[tid] = now
	switch {
	case now.op == callBegins && now.number == syscall.SYS_WRITE && now.args[0] == markFile:
		s.mark(int(now.args[2]))
	case now.op == callBegins && (now.number == syscall.SYS_PWRITE64 || now.number == syscall.SYS_PWRITEV) && toStore(tid, now):
		s.written++
	case now.op == callEnds && now.number == 0 && began != nil && (began.number == syscall.SYS_FDATASYNC || began.number == syscall.SYS_FSYNC) && toStore(tid, began):
		s.synced = max(s.synced, began.covers)
	}
}

// toStore reports whether a call is about the store's file.
func toStore(tid int, c *systemCall) bool {
	path, err := os.Readlink(fmt.Sprintf("/proc/%d/fd/%d", tid, c.args[0]))
	return err == nil && filepath.Base(path) == "raft.db"
}

// mark looks at the store when a write of the registry begins, and when it has been
// acknowledged.
func (s *syncWatch) mark(bytes int) {
	if bytes == beginMark {
		s.before = s.written
		return
	}
	s.answered++
	if s.written == s.before || s.synced < s.written {
		s.faults = append(s.faults, fmt.Sprintf("write %d was acknowledged: the store has been written %d times since it began, and the last %d of these were not synced",
			s.answered, s.written-s.before, s.written-max(s.synced, s.before)))
	}
}
