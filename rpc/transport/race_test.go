//go:build race

package transport_test

import (
	"runtime"
	"testing"
)

// TestMain gives the bubbles one processor under the race detector: golang/go#78156.
func TestMain(m *testing.M) {
	runtime.GOMAXPROCS(1)
	m.Run()
}
