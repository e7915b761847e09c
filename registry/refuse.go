package registry

// Refuses says with which error Apply would refuse the command now, or nil. It
// changes nothing, so that what the state cannot accept need not enter the log;
// Apply decides all the same. Of a RoundRobin it is the first turn's error if
// every turn is refused: one that is not takes its turn beside others.
func (s *State) Refuses(cmd Command) error {
	switch c := cmd.(type) {
	case SetCursor:
		return firstError(Check(cmd), s.mayNotSet(c))
	case DeleteCursor:
		return firstError(Check(cmd), s.mayNotDelete(c))
	}
	return s.View.Refuses(cmd)
}

// Refuses is the State's, of commands to which cursors do not matter; of others
// it refuses only what is malformed.
func (v *View) Refuses(cmd Command) error {
	if err := Check(cmd); err != nil {
		return err
	}
	switch c := cmd.(type) {
	case TermStart, RebalancePools, ReportLiveness, OpenSession, SetCursor, DeleteCursor, ForgetCursors: // Nothing refuses these here.
		return nil
	case RoundRobin:
		return v.refusesTurns(c)
	}
	d := draft{View: *v, was: v, at: Stamp{Clock: v.clock}}
	_, err := d.apply(cmd)
	return err
}

func (v *View) refusesTurns(c RoundRobin) error {
	var first error
	for _, t := range c.Turns {
		err := v.refusesTurn(t)
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
func (v *View) refusesTurn(t Turn) error {
	if t.LogID != "" || t.Request != (RequestID{}) {
		return nil
	}
	_, err := v.pool(t.Pool)
	return err
}
