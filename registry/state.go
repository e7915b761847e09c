package registry

import "github.com/rota-registry/rota/registry/hrw"

// State is the registry.
type State struct{}

// NewState returns the state before the first command: default settings and
// the three default pools.
func NewState() *State { panic("not yet") }

// Apply changes the state by one committed command. A command that is refused
// changes nothing but the log clock.
func (s *State) Apply(at Stamp, cmd Command) (Result, error) { panic("not yet") }

// Check refuses what no state could accept (and what this state's bounds
// refuse), before it is proposed.
func Check(cmd Command) error { panic("not yet") }

func (s *State) ClusterID() ClusterID                                           { panic("not yet") }
func (s *State) Clock() Millis                                                  { panic("not yet") }
func (s *State) Replicas() []Replica                                            { panic("not yet") } // sorted by name
func (s *State) Settings() Settings                                             { panic("not yet") }
func (s *State) Pool(name PoolName) (PoolInfo, error)                           { panic("not yet") }
func (s *State) Pools() []PoolInfo                                              { panic("not yet") } // sorted by name
func (s *State) Cursors(p PoolName) ([]Cursor, error)                           { panic("not yet") } // sorted by key
func (s *State) Node(name NodeName) (NodeInfo, error)                           { panic("not yet") }
func (s *State) Nodes() []NodeInfo                                              { panic("not yet") } // sorted by name
func (s *State) HRW(p PoolName, k hrw.Key) (Choice, error)                      { panic("not yet") }
func (s *State) Rank(p PoolName, k hrw.Key, limit int) ([]Ranked, Epoch, error) { panic("not yet") } // eligible ones, best first
func (s *State) Explain(p PoolName, k hrw.Key) ([]Ranked, Epoch, error)         { panic("not yet") } // every member, best first
func (s *State) PlanRebalance() []Move                                          { panic("not yet") }
func (s *State) Warnings() []string                                             { panic("not yet") }

// Snapshot is the whole state as plain data, every slice sorted: what fsm
// writes and reads.
type Snapshot struct{}

func (s *State) Snapshot() Snapshot         { panic("not yet") }
func Restore(snap Snapshot) (*State, error) { panic("not yet") }
