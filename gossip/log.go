package gossip

import (
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode"

	"github.com/hashicorp/go-hclog"
)

const (
	// repeatPause is how long a kind of line that was shown as a warning stays
	// at Debug.
	repeatPause = time.Minute
	// kindsMax bounds how many kinds of lines are told apart.
	kindsMax = 64
	// udpLostMin is how often in a minute UDP must fail where TCP works before
	// it is taken for more than a busy machine.
	udpLostMin = 10
)

// expectedErrors are errors to memberlist, and to us the ordinary signs that a
// member died, or that somebody hung up: the reconciler reports deaths.
var expectedErrors = [...]string{
	"Failed fallback TCP ping", "Failed to send", "Failed to forward ack", "Push/Pull with",
	"failed to receive", "Failed to receive", "Failed to read remote state", "Failed to push local state",
}

// actionable are the warnings of memberlist that an operator can act on, with
// how many in a minute it takes.
var actionable = [...]struct {
	part string
	min  int
}{
	{"Binding to public address without encryption", 1},
	{"handler queue full", 1},
	{"over TCP but UDP probes failed", udpLostMin},
}

// lineLog turns memberlist's lines into events. Everything is there at Debug
// and Trace; only what an operator would act on is a warning, and each kind at
// most once in repeatPause, because strangers can cause lines at will.
type lineLog struct {
	log   hclog.Logger
	quiet atomic.Bool // after Close memberlist complains of closed sockets

	mu struct {
		sync.Mutex
		kinds map[string]*kindCount
	}
}

type kindCount struct {
	since time.Time
	n     int
}

func newLineLog(log hclog.Logger) *lineLog {
	w := &lineLog{log: log}
	w.mu.kinds = map[string]*kindCount{}
	return w
}

// Write implements io.Writer for a log.Logger without prefix: p is one line.
func (w *lineLog) Write(p []byte) (int, error) {
	if w.quiet.Load() {
		return len(p), nil
	}
	level, text := splitLine(string(p))
	if kind, threshold := judge(level, text); threshold > 0 && w.reached(kind, threshold) {
		w.log.Warn("memberlist reports a fault", "text", text)
		return len(p), nil
	}
	if level == "DEBUG" {
		w.log.Trace("memberlist", "text", text)
	} else {
		w.log.Debug("memberlist", "text", text)
	}
	return len(p), nil
}

// splitLine takes "[LEVEL] memberlist: text" apart. The text may quote
// strangers: it is made one line.
func splitLine(line string) (level, text string) {
	text = strings.Map(printable, strings.TrimSpace(line))
	if rest, ok := strings.CutPrefix(text, "["); ok {
		if l, t, ok := strings.Cut(rest, "] "); ok {
			level, text = l, t
		}
	}
	return level, strings.TrimPrefix(text, "memberlist: ")
}

func printable(r rune) rune {
	if unicode.IsPrint(r) {
		return r
	}
	return '?'
}

// judge gives the kind of a line, and how many of it make a warning; 0 is
// never.
func judge(level, text string) (kind string, threshold int) {
	switch level {
	case "WARN":
		for _, a := range actionable {
			if strings.Contains(text, a.part) {
				return a.part, a.min
			}
		}
	case "ERR", "ERROR":
		for _, e := range expectedErrors {
			if strings.HasPrefix(text, e) {
				return e, 0
			}
		}
		return kindOf(text), 1
	}
	return "", 0
}

// kindOf is the constant beginning of a line: what comes before its first
// value.
func kindOf(text string) string {
	if i := strings.IndexAny(text, "\"'(:0123456789#"); i >= 0 {
		return text[:i]
	}
	return text
}

// reached counts the line, and reports whether it is the one to show.
func (w *lineLog) reached(kind string, threshold int) bool {
	now := time.Now()
	w.mu.Lock()
	defer w.mu.Unlock()
	c := w.mu.kinds[kind]
	if c == nil && len(w.mu.kinds) >= kindsMax {
		return false
	}
	if c == nil || now.Sub(c.since) >= repeatPause {
		c = &kindCount{since: now}
		w.mu.kinds[kind] = c
	}
	c.n++
	return c.n == threshold
}
