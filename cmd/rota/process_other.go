//go:build !linux

package main

import "syscall"

// childAttributes put a child into a process group of its own, so that Ctrl-C
// reaches the parent alone. That the parent is gone, the child learns from its
// standard input.
func childAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true}
}

// portOwner names the process that has a port; only Linux tells.
func portOwner(string, int) string { return "another process" }
