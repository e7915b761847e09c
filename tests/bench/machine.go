package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"time"

	"github.com/rota-registry/rota/tests/bench/load"
)

// machine says what is measured on: the processor, the kernel, Go, and how long
// the disk of a folder takes to sync a page, which is most of what a commit
// costs.
func machine(dir string) (string, error) {
	sync, err := syncTime(dir)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%d × %s, Linux %s, %s, fsync of 4 KiB p50 %v, %s",
		runtime.NumCPU(), processor(), kernel(), runtime.Version(), sync.Round(10*time.Microsecond), time.Now().Format(time.DateOnly)), nil
}

var modelName = regexp.MustCompile(`(?m)^model name\s*:\s*(.+)$`)

func processor() string {
	text, err := os.ReadFile("/proc/cpuinfo")
	if m := modelName.FindSubmatch(text); err == nil && m != nil {
		return string(m[1])
	}
	return runtime.GOARCH
}

func kernel() string {
	text, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		return "(unknown)"
	}
	return strings.TrimSpace(string(text))
}

// syncTime appends pages to a file, as logs do, and gives the median.
func syncTime(dir string) (time.Duration, error) {
	file, err := os.Create(filepath.Join(dir, "sync"))
	if err != nil {
		return 0, err
	}
	defer file.Close()
	page := make([]byte, 4096)
	var took []time.Duration
	for range 200 {
		began := time.Now()
		if _, err := file.Write(page); err != nil {
			return 0, err
		}
		if err := file.Sync(); err != nil {
			return 0, err
		}
		took = append(took, time.Since(began))
	}
	return load.Median(took), nil
}
