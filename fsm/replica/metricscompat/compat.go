// Package metrics stands in for the package compat that go-metrics dropped in
// v0.7.0 and that raft-boltdb/v2 v2.3.1, the newest, still imports. It forwards
// the four functions raft-boltdb calls, so that bolt's metrics reach the same
// sink as raft's and memberlist's. It goes when raft-boltdb catches up.
package metrics

import "github.com/hashicorp/go-metrics"

// The functions of go-metrics that raft-boltdb calls.
var (
	AddSample    = metrics.AddSample
	IncrCounter  = metrics.IncrCounter
	SetGauge     = metrics.SetGauge
	MeasureSince = metrics.MeasureSince
)
