//go:build !linux

package chaos_test

import "testing"

// newGround gives loopback: other systems have no network namespaces.
func newGround(t testing.TB) (ground, string) { return loopback{t}, "network namespaces need Linux" }
