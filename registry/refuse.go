package registry

// Refuses says with which error Apply would refuse the command now, or nil. It
// changes nothing, so that what the state cannot accept need not enter the log;
// Apply decides all the same. Of a RoundRobin it is the first turn's error if
// every turn is refused: one that is not takes its turn beside others.
func (s *State) Refuses(cmd Command) error {
	if err := Check(cmd); err != nil {
		return err
	}
	switch c := cmd.(type) {
	case TermStart, RebalancePools, ReportLiveness, OpenSession: // Nothing refuses these.
		return nil
	case RoundRobin:
		return s.refusesTurns(c)
	case SetCursor:
		return s.mayNotSet(c)
	case DeleteCursor:
		return s.mayNotDelete(c)
	}
	d := draft{View: s.View, was: &s.View, at: Stamp{Clock: s.clock}}
	_, err := d.apply(cmd)
	return err
}

func (s *State) refusesTurns(c RoundRobin) error {
	var first error
	for _, t := range c.Turns {
		err := s.refusesTurn(t)
		if err == nil {
			return nil
		}
		if first == nil {
			first = err
		}
	}
	return first
}

// refusesTurn knows an unknown pool. A log's turn has its fallback, a session's
// may have been answered before, when there was one, and whether there is room
// for one more cursor is for Apply to say.
func (s *State) refusesTurn(t Turn) error {
	if t.LogID != "" || t.Request != (RequestID{}) {
		return nil
	}
	_, err := s.pool(t.Pool)
	return err
}
