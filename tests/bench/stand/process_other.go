//go:build !linux

package stand

import (
	"os/exec"
	"syscall"
)

// childAttributes put a child into a process group of its own, so that Ctrl-C
// reaches us alone, who then stop it.
func childAttributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

// launch starts cmd, waits for it elsewhere, and then closes done.
func launch(cmd *exec.Cmd, done chan struct{}) error {
	if err := cmd.Start(); err != nil {
		return err
	}
	go func() {
		_ = cmd.Wait() // it is killed; that it ended earlier is told by Check
		close(done)
	}()
	return nil
}
