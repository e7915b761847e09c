package registry

import "slices"

// restoreSessions refuses what no table could hold.
func (s *State) restoreSessions(list []SessionSnapshot) error {
	if len(list) > SessionsMax {
		return Errorf(Limit, "%d sessions, at most %d are allowed", len(list), SessionsMax)
	}
	if err := ascending("session", list, func(snap SessionSnapshot) SessionID { return snap.ID }); err != nil {
		return err
	}
	for i := range list {
		if err := s.restoreSession(&list[i]); err != nil {
			return err
		}
	}
	return nil
}

func (s *State) restoreSession(snap *SessionSnapshot) error {
	if err := snap.ID.Validate(); err != nil {
		return err
	}
	if snap.Used < 0 || snap.Used > s.clock {
		return Errorf(Invalid, "session %s was used at %d, and the log clock is %d", snap.ID, snap.Used, s.clock)
	}
	if snap.FirstUnacked == 0 {
		return Errorf(Invalid, "session %s stands at serial 0: they count from 1", snap.ID)
	}
	if err := ascending("serial", snap.Stored, func(t StoredTurn) uint64 { return t.Serial }); err != nil {
		return Errorf(Invalid, "session %s: %v", snap.ID, err)
	}
	ses := &session{id: snap.ID, used: snap.Used, first: snap.FirstUnacked, stored: slices.Clone(snap.Stored)}
	for i := range snap.Stored {
		turn := &snap.Stored[i]
		if turn.Serial < ses.first || turn.Serial-ses.first >= OutstandingMax {
			return Errorf(Invalid, "session %s stands at serial %d and has the answer to %d", snap.ID, ses.first, turn.Serial)
		}
		if err := turn.Result.validate(); err != nil {
			return Errorf(Invalid, "session %s, serial %d: %v", snap.ID, turn.Serial, err)
		}
		ses.weight += weightOf(turn.Result)
	}
	if s.sessions.weight+ses.weight > StoredMax {
		return Errorf(Limit, "session %s holds %d answers, at most %d are allowed in all", snap.ID, ses.weight, StoredMax)
	}
	s.sessions.add(ses)
	return nil
}

// validate says what no answer to a turn can be like.
func (r *TurnResult) validate() error {
	switch {
	case r.Taken.Index == 0:
		return Errorf(Invalid, "its answer was given nowhere")
	case r.Count() > BatchAnswersMax:
		return Errorf(Invalid, "%d answers, at most %d are allowed", r.Count(), BatchAnswersMax)
	case r.More < 0 || r.More > 0 && len(r.Answers) == 0:
		return Errorf(Invalid, "%d answers repeat %d", r.More, len(r.Answers))
	case r.Reason > NoneAlive:
		return Errorf(Invalid, "its reason %d is unknown", r.Reason)
	case r.Err != nil && len(r.Answers) > 0:
		return Errorf(Invalid, "it was refused, and has %d answers", len(r.Answers))
	case r.Err == nil && len(r.Answers) == 0 && r.Reason == NotEmpty:
		return Errorf(Invalid, "it has neither answers nor a reason")
	}
	return nil
}
