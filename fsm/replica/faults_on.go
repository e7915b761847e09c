//go:build rotatest

package replica

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/hashicorp/raft"
)

// Builds with the tag rotatest, which are made for tests of real processes alone,
// take faults and shorter bounds from outside:
//
//	ROTA_TEST_FAULTS     file with the faults that there are now, a line each
//	ROTA_TEST_JOURNAL    prefix of files to which all that is applied is written
//	ROTA_TEST_SNAPSHOTS  entries from one snapshot to the next; they are then looked
//	                     for every second, and a quarter as many are kept in the log
//
// The lines of a faults file, CALL being a call of the store (StoreLogs, SetUint64,
// the test write) or * for all of them:
//
//	CALL slow DURATION   it takes that much longer
//	CALL fail            it fails with EIO
//	CALL die             the process dies in it, and what it would write is lost
//	CALL tear            power is lost in it: of the pages that it writes some are
//	                     on the disk, others are as they were, and the process dies
//	wall ahead DURATION  the wall clock is ahead by that much, or behind if negative
const (
	faultsVariable    = "ROTA_TEST_FAULTS"
	journalVariable   = "ROTA_TEST_JOURNAL"
	snapshotsVariable = "ROTA_TEST_SNAPSHOTS"
)

// injectFaults gives the options the hooks that the environment asks for, and
// makes snapshots so frequent that a test of minutes sees some.
func injectFaults(o *Options) error {
	if os.Getenv(faultsVariable) != "" {
		o.disk.around = (&faultyStore{file: filepath.Join(o.DataDir, storeFile)}).call
	}
	if n, err := strconv.ParseUint(os.Getenv(snapshotsVariable), 10, 32); err == nil {
		o.Timings.SnapshotEvery, o.Timings.SnapshotLook, o.Timings.Trailing = n, time.Second, n/4
	}
	prefix := os.Getenv(journalVariable)
	if prefix == "" {
		return nil
	}
	f, err := newJournalFile(prefix)
	if err != nil {
		return err
	}
	j := &journal{file: f, halt: o.Halt}
	o.Applying = j.note
	return nil
}

// fault is one line of the faults file.
type fault struct {
	call, what string
	span       time.Duration
}

// faultsNow reads the file; one that is not there has no faults.
func faultsNow() (list []fault) {
	f, err := os.Open(os.Getenv(faultsVariable))
	if err != nil {
		return nil
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		var one fault
		var span string
		call, rest, _ := strings.Cut(lines.Text(), "\t")
		n, _ := fmt.Sscan(rest, &one.what, &span)
		if one.call = call; n == 2 {
			one.span, _ = time.ParseDuration(span)
		}
		list = append(list, one)
	}
	return list
}

// faultyStore makes the calls of a store, and injects what there is.
type faultyStore struct {
	file string
	// alone is held by a call in which power is lost, and shared by all others.
	alone sync.RWMutex
}

func (s *faultyStore) call(call string, do func() error) error {
	for _, f := range faultsNow() {
		if f.call != call && f.call != "*" {
			continue
		}
		switch f.what {
		case "slow":
			<-time.After(f.span)
		case "fail":
			return syscall.EIO
		case "die":
			die()
		case "tear":
			s.tear(do)
		}
	}
	s.alone.RLock()
	defer s.alone.RUnlock()
	return do()
}

func die() {
	_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	select {}
}

// tear loses power in a call: each page that it writes is on the disk or not, as
// it happens. bbolt syncs them before it writes the page that leads to them, of
// which there are two, at the front: those are as they were, unless all pages are
// there.
func (s *faultyStore) tear(do func() error) {
	s.alone.Lock()
	before, err := os.ReadFile(s.file)
	if err == nil {
		err = do()
	}
	if err == nil && rand.IntN(4) > 0 {
		err = s.mix(before)
	}
	if err != nil {
		panic(err)
	}
	die()
}

// mix puts the two front pages back, and about half of the others.
func (s *faultyStore) mix(before []byte) error {
	f, err := os.OpenFile(s.file, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	page := os.Getpagesize()
	for at := 0; at+page <= len(before); at += page {
		if at >= 2*page && rand.IntN(2) == 0 {
			continue
		}
		if _, err := f.WriteAt(before[at:at+page], int64(at)); err != nil {
			return err
		}
	}
	return nil
}

// wallNow is the time that people are shown, as wrong as the test wants it.
func wallNow() time.Time {
	now := time.Now()
	for _, f := range faultsNow() {
		if f.call == "wall" {
			now = now.Add(f.span)
		}
	}
	return now
}

// journal is what the machine applies, written down before: a test compares it
// with what others applied, and what callers were told. It is not the log: that has
// entries which are never applied, and loses its front.
type journal struct {
	file *os.File
	halt func(error)
	buf  []byte
}

// newJournalFile makes the file of one run of the process.
func newJournalFile(prefix string) (f *os.File, err error) {
	for n := range 10_000 {
		f, err = os.OpenFile(fmt.Sprintf("%s.%04d", prefix, n), os.O_WRONLY|os.O_CREATE|os.O_EXCL|os.O_APPEND, 0o600)
		if !os.IsExist(err) {
			return f, err
		}
	}
	return nil, err
}

// note writes entries down, each as its index, term and length, eight bytes each,
// and its data, which is empty for what is no command.
func (j *journal) note(entries []*raft.Log) {
	j.buf = j.buf[:0]
	for _, l := range entries {
		data := l.Data
		if l.Type != raft.LogCommand {
			data = nil
		}
		j.buf = binary.LittleEndian.AppendUint64(j.buf, l.Index)
		j.buf = binary.LittleEndian.AppendUint64(j.buf, l.Term)
		j.buf = binary.LittleEndian.AppendUint64(j.buf, uint64(len(data)))
		j.buf = append(j.buf, data...)
	}
	if _, err := j.file.Write(j.buf); err != nil {
		j.halt(fmt.Errorf("test journal: %w", err))
	}
}
