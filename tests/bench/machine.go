package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"
)

// machine says on what the numbers were measured, when, and by which command.
func machine(ctx context.Context, dir string) (string, error) {
	sync, err := syncTime(dir)
	if err != nil {
		return "", fmt.Errorf("measuring the disk: %w", err)
	}
	kind := filesystem(dir)
	if kind == "tmpfs" {
		kind = "tmpfs, WHICH IS NO DISK: choose another place with -dir"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s, by `make bench ARGS='%s'`\n\n", time.Now().Format("2006-01-02 15:04"), strings.Join(os.Args[1:], " "))
	fmt.Fprintf(&b, "- machine: %s, %d cores, %s %s, %s; all processes and callers share it\n",
		cpu(ctx), runtime.NumCPU(), runtime.GOOS, said(ctx, "uname", "-r"), runtime.Version())
	fmt.Fprintf(&b, "- disk: write and fsync of 4 KiB takes %s (p50), %s\n\n", latency(sync), kind)
	return b.String(), nil
}

func cpu(ctx context.Context) string {
	text, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return said(ctx, "sysctl", "-n", "machdep.cpu.brand_string")
	}
	for line := range strings.Lines(string(text)) {
		if name, value, _ := strings.Cut(line, ":"); strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return runtime.GOARCH
}

// said is what a command prints, or that it is unknown.
func said(ctx context.Context, name string, args ...string) string {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, name, args...).Output()
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(out))
}

// syncTime is how long the median of small synchronous appends takes: what a
// log pays for each batch.
func syncTime(dir string) (time.Duration, error) {
	f, err := os.CreateTemp(dir, "sync-")
	if err != nil {
		return 0, err
	}
	defer os.Remove(f.Name())
	defer f.Close()
	var took []time.Duration
	block := make([]byte, 4096)
	for range 300 {
		begun := time.Now()
		if _, err := f.Write(block); err != nil {
			return 0, err
		}
		if err := f.Sync(); err != nil {
			return 0, err
		}
		took = append(took, time.Since(begun))
	}
	slices.Sort(took)
	return quantile(took, 0.5), nil
}

// filesystem is the type of what a directory is on, where the system says so.
func filesystem(dir string) string {
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return "filesystem unknown"
	}
	if real, err := filepath.EvalSymlinks(dir); err == nil {
		dir = real
	}
	return mountOf(string(mounts), dir)
}

// mountOf finds the innermost mount above a directory, the last of those at
// the same place.
func mountOf(mounts, dir string) (kind string) {
	longest := -1
	for line := range strings.Lines(mounts) {
		fields := strings.Fields(line)
		if len(fields) < 3 {
			continue
		}
		at := strings.TrimSuffix(fields[1], "/")
		if (dir == at || strings.HasPrefix(dir, at+"/")) && len(at) >= longest {
			longest, kind = len(at), fields[2]
		}
	}
	return kind
}
