//go:build !rotatest

package replica

import "time"

// A release takes no faults from outside; see faults_on.go for the builds that do.

func injectFaults(*Options) error { return nil }

// wallNow is the time that people are shown.
func wallNow() time.Time { return time.Now() }
