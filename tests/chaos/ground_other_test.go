//go:build !linux

package chaos_test

import (
	"errors"
	"testing"
)

// newGround gives loopback: other systems have no network namespaces.
func newGround(t testing.TB) (ground, string) { return loopback{t}, "network namespaces need Linux" }

var errLinux = errors.New("only Linux can")

func slowLink(*place) (func(), error) { return nil, errLinux }

func starve(int) error { return errLinux }

func remount(string, bool) error { return errLinux }
