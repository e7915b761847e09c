package stand

import (
	"os/exec"
	"runtime"
	"syscall"
)

// childAttributes put a child into a process group of its own, so that Ctrl-C
// reaches us alone, who then stop it. If we end without that, the kernel does.
func childAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

// launch starts cmd, waits for it elsewhere, and then closes done. For the
// kernel a child's parent is the thread that started it, and Go ends threads:
// so one thread starts it and stays until the child has ended.
func launch(cmd *exec.Cmd, done chan struct{}) error {
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait() // it is killed; that it ended earlier is told by Check
			close(done)
		}
	}()
	return <-started
}
