// Package e2e holds the tests of the binary: real processes, real signals, real
// sockets. What they start they end; what they wait for has a deadline.
package e2e
