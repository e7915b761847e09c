package main

import (
	"context"
	"errors"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// leashVariable is set by rota dev for its children: their standard input is
// then a pipe that the parent holds open, and its end is the parent's. It is
// no flag's variable.
const leashVariable = envPrefix + "ENDS_WITH_STDIN"

// interrupted gives a context that ends with SIGTERM or SIGINT, and for a child
// of rota dev when its parent is gone. Call stop when nothing is left to be
// interrupted.
func interrupted(parent context.Context) (ctx context.Context, stop func()) {
	ctx, unsignal := signal.NotifyContext(parent, syscall.SIGTERM, syscall.SIGINT)
	if os.Getenv(leashVariable) == "" {
		return ctx, unsignal
	}
	ctx, cancel := context.WithCancel(ctx)
	unleash := onEOF(cancel)
	return ctx, func() {
		unleash()
		cancel()
		unsignal()
	}
}

// onEOF calls gone when standard input ends. The returned function ends the
// watch and waits for it.
func onEOF(gone func()) (stop func()) {
	// Only a descriptor that does not block can be closed under a read.
	if err := syscall.SetNonblock(syscall.Stdin, true); err != nil {
		gone()
		return func() {}
	}
	in := os.NewFile(uintptr(syscall.Stdin), "stdin")
	done := make(chan struct{})
	go func() {
		defer close(done)
		if _, err := io.Copy(io.Discard, in); !errors.Is(err, os.ErrClosed) {
			gone()
		}
	}()
	return func() {
		_ = in.Close()
		<-done
	}
}

// sleep waits, and reports false when ctx ended first.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// inUse is true of an address that somebody else has bound.
func inUse(err error) bool { return errors.Is(err, syscall.EADDRINUSE) }
