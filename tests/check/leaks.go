package check

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
)

// Usage is what a process holds.
type Usage struct {
	// Goroutines are 0 for a process that cannot be asked.
	Goroutines  int
	Descriptors int
	Threads     int
	// Resident is the memory in RAM, bytes.
	Resident int64
}

// Process asks the kernel what another process holds.
func Process(pid int) (u Usage, err error) {
	dir := filepath.Join("/proc", strconv.Itoa(pid))
	fds, err := os.ReadDir(filepath.Join(dir, "fd"))
	if err != nil {
		return u, err
	}
	u.Descriptors = len(fds)
	status, err := os.ReadFile(filepath.Join(dir, "status"))
	if err != nil {
		return u, err
	}
	u.Threads, u.Resident = int(statusField(status, "Threads:")), statusField(status, "VmRSS:")<<10
	return u, nil
}

func statusField(status []byte, name string) int64 {
	for line := range bytes.Lines(status) {
		if rest, ok := bytes.CutPrefix(line, []byte(name)); ok {
			if words := bytes.Fields(rest); len(words) > 0 {
				n, _ := strconv.ParseInt(string(words[0]), 10, 64)
				return n
			}
		}
	}
	return 0
}

// Self is what this process holds. Its memory is the heap that is in use after a
// collection.
func Self() Usage {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return Usage{Goroutines: runtime.NumGoroutine(), Resident: int64(m.HeapAlloc)}
}

// Grown says what a process holds more than it did at first, and than it may.
func Grown(of string, first, now, may Usage) []Violation {
	var out faults
	grown := func(what string, first, now, may int64) {
		if now-first > may {
			out.add("leak", "%s held %d %s at first and %d now, and may hold %d more", of, first, what, now, may)
		}
	}
	grown("goroutines", int64(first.Goroutines), int64(now.Goroutines), int64(may.Goroutines))
	grown("descriptors", int64(first.Descriptors), int64(now.Descriptors), int64(may.Descriptors))
	grown("threads", int64(first.Threads), int64(now.Threads), int64(may.Threads))
	grown("bytes of memory", first.Resident, now.Resident, may.Resident)
	return out.list
}

// String gives the usage in a few words.
func (u Usage) String() string {
	return fmt.Sprintf("%d goroutines, %d descriptors, %d threads, %d MiB", u.Goroutines, u.Descriptors, u.Threads, u.Resident>>20)
}
