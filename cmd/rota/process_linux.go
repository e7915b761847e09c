package main

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// childAttributes put a child into a process group of its own, so that Ctrl-C
// reaches the parent alone, which then stops its children in order. The kernel
// kills the child when the parent is gone, however it went: a child that is
// stopped (SIGSTOP) could not read its pipe's end.
func childAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

// portOwner names the process that has a port of this machine, as far as we
// may see it.
func portOwner(network string, number int) string {
	for _, family := range []string{"", "6"} {
		inode := socketInode("/proc/net/"+network+family, network, number)
		if inode == "" {
			continue
		}
		if pid := inodeOwner(inode); pid != "" {
			return fmt.Sprintf("process %s (%s)", pid, commandOf(pid))
		}
	}
	return "another process"
}

// socketInode finds a bound socket in one of the kernel's tables; the columns
// are described in proc_net_tcp.txt of the kernel's documentation.
func socketInode(table, network string, number int) string {
	f, err := os.Open(table)
	if err != nil {
		return ""
	}
	defer f.Close()
	const listening = "0A"
	suffix := fmt.Sprintf(":%04X", number)
	for lines := bufio.NewScanner(f); lines.Scan(); {
		columns := strings.Fields(lines.Text())
		if len(columns) < 10 || !strings.HasSuffix(columns[1], suffix) {
			continue
		}
		if network == "udp" || columns[3] == listening {
			return columns[9]
		}
	}
	return ""
}

// inodeOwner finds the process that has the socket open.
func inodeOwner(inode string) string {
	paths, err := filepath.Glob("/proc/[0-9]*/fd/*")
	if err != nil {
		return ""
	}
	want := "socket:[" + inode + "]"
	for _, path := range paths {
		if target, err := os.Readlink(path); err == nil && target == want {
			return strings.Split(path, "/")[2]
		}
	}
	return ""
}

func commandOf(pid string) string {
	text, err := os.ReadFile("/proc/" + pid + "/cmdline")
	if err != nil || len(text) == 0 {
		return "unknown"
	}
	const most = 80
	command := strings.TrimSpace(strings.ReplaceAll(string(text), "\x00", " "))
	if len(command) > most {
		command = command[:most] + "…"
	}
	return strconv.Quote(command)
}
