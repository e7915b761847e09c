package main

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
)

const (
	// warnEvery is how often a child's warning of one kind is repeated.
	warnEvery = time.Minute
	// warnKindsMax bounds how many kinds are remembered.
	warnKindsMax = 1000
)

// voice is what rota dev says on stderr, and what its children warn of. Lines
// of several goroutines do not mix.
type voice struct {
	mu struct {
		sync.Mutex
		out       io.Writer
		listening bool
		told      map[string]time.Time // by child and kind of warning
		dead      map[string]childSpec // replicas whose loss was told already
	}
}

func newVoice(out io.Writer) *voice {
	v := &voice{}
	v.mu.out, v.mu.told, v.mu.dead = out, map[string]time.Time{}, map[string]childSpec{}
	return v
}

// lost says of a replica that the others' warnings about it are no news.
func (v *voice) lost(spec childSpec) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.mu.dead[spec.name] = spec
}

// found takes it back; it is false when somebody has done so already.
func (v *voice) found(spec childSpec) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	_, lost := v.mu.dead[spec.name]
	delete(v.mu.dead, spec.name)
	return lost
}

// say writes one line.
func (v *voice) say(format string, args ...any) {
	line := fmt.Sprintf(format, args...) + "\n"
	v.mu.Lock()
	defer v.mu.Unlock()
	_, _ = io.WriteString(v.mu.out, line) //nolint:errcheck // nobody is left to tell
}

// listen lets warnings through: before all are up, and while all are stopped,
// they are of that.
func (v *voice) listen() { v.setListening(true) }

// mute ends it.
func (v *voice) mute() { v.setListening(false) }

func (v *voice) setListening(on bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.mu.listening = on
}

// warn passes a child's warning on, unless it did so a short while ago.
func (v *voice) warn(child, line string) {
	if v.isNews(child, line) {
		v.say("%s: %s", child, withoutTime(line))
	}
}

func (v *voice) isNews(child, line string) bool {
	kind := child + " " + warningKind(line)
	v.mu.Lock()
	defer v.mu.Unlock()
	if !v.mu.listening || time.Since(v.mu.told[kind]) < warnEvery || aboutAny(v.mu.dead, line) {
		return false
	}
	if len(v.mu.told) >= warnKindsMax {
		clear(v.mu.told)
	}
	v.mu.told[kind] = time.Now()
	return true
}

// aboutAny is true of a line that names one of the replicas as the log does: by
// an address or as id=NAME.
func aboutAny(replicas map[string]childSpec, line string) bool {
	for _, s := range replicas {
		for _, mark := range []string{s.api, s.raft, s.gossip, "id=" + s.name} {
			if strings.Contains(line, mark) {
				return true
			}
		}
	}
	return false
}

// withoutTime leaves out the time that a line of the log begins with.
func withoutTime(line string) string {
	if i := strings.Index(line, " ["); i > 0 && strings.HasPrefix(line, "20") {
		return line[i+1:]
	}
	return line
}

// warningKind is the constant part of a line, before its first key=value.
func warningKind(line string) string {
	line = withoutTime(line)
	if i := strings.IndexByte(line, '='); i > 0 {
		return line[:max(strings.LastIndexByte(line[:i], ' '), 0)]
	}
	return line
}
