package main

import (
	"fmt"
	"slices"
)

// mutants are the planted bugs. A team made each of them, or nearly did.
func mutants() []mutant {
	return slices.Concat(ofReads(), ofSessions(), ofTheLog(), ofBatches())
}

// simulated has the simulation hunt, and the checks of what its users saw, over so
// many seeds. It looks for nothing in particular: a bug that takes one fault and
// its moment shows in few seeds, and is hunted where it was seen.
func simulated(seed uint64, runs int) claim {
	return claim{pkg: "./tests/sim", test: "TestRandomSimulations", args: fmt.Sprintf("-seed %d -runs %d", seed, runs)}
}

// ofReads are answers older than what was asked for.
func ofReads() []mutant {
	return []mutant{
		{
			name: "verify-leader-reads",
			says: "a read trusts Raft's VerifyLeader, which counts answers to what was sent before it was asked",
			edits: []edit{{
				"fsm/replica/read.go",
				"	answers := make(chan elector, len(others))\n",
				"	if await(ctx, rf.VerifyLeader()) != nil {\n\t\treturn 0, r.noLeader()\n\t}\n\tif index > 0 {\n\t\treturn index, nil\n\t}\n	answers := make(chan elector, len(others))\n",
			}},
			tests: []claim{{pkg: "./fsm/replica", test: "TestAnAnswerFromBeforeConfirmsNothing"}},
		},
		{
			name: "lease-reads",
			says: "a leader that was confirmed within two seconds reads without asking again",
			edits: []edit{{
				"fsm/replica/read.go",
				"	answers := make(chan elector, len(others))\n",
				"	if c := r.confirmed.Load(); c != nil && time.Since(*c) < 2*time.Second {\n		return index, nil\n	}\n	answers := make(chan elector, len(others))\n",
			}},
			tests: []claim{{pkg: "./fsm/replica", test: "TestADeposedLeaderServesNoStaleRead"}},
		},
		{
			name:  "at-least-does-not-wait",
			says:  "a read at an index is answered from what is there",
			edits: []edit{{"fsm/replica/read.go", "	return r.wait(ctx, index)\n", "	if opts.Consistency == registry.AtLeast {\n		return nil\n	}\n	return r.wait(ctx, index)\n"}},
			tests: []claim{{pkg: "./fsm/replica", test: "TestAtLeastWaitsForItsIndex"}, simulated(1, 6)},
		},
	}
}

// ofSessions take a request twice, or forget what it was answered.
func ofSessions() []mutant {
	return []mutant{
		{
			name: "leader-deduplicates",
			says: "known requests are answered by the leader before it proposes, and not in Apply: two copies under way are taken twice",
			edits: []edit{
				{
					"registry/session.go",
					"	if at, known := ses.find(id.Serial); known {\n		return ses.stored[at].Result, true\n	}\n",
					"	_, known := ses.find(id.Serial)\n",
				},
				{
					"registry/session.go",
					"	d.sessions.store(ses, id.Serial, kept)\n",
					"	if !known {\n		d.sessions.store(ses, id.Serial, kept)\n	}\n",
				},
				{
					"registry/session.go",
					"// refuse says why a request that is not stored cannot be taken.\n",
					"// Answered gives what is stored of a request.\nfunc (s *State) Answered(id RequestID) (TurnResult, bool) {\n	ses, _ := s.sessions.of.get(id.Session)\n	if ses == nil {\n		return TurnResult{}, false\n	}\n	at, known := ses.find(id.Serial)\n	if !known {\n		return TurnResult{}, false\n	}\n	return ses.stored[at].Result, true\n}\n\n// refuse says why a request that is not stored cannot be taken.\n",
				},
				{
					"fsm/replica/propose.go",
					"		return r.gate.join(ctx, rr.Turns)\n",
					"		if out, known := r.answered(rr.Turns); known {\n			return out, nil\n		}\n		return r.gate.join(ctx, rr.Turns)\n",
				},
				{
					"fsm/replica/propose.go",
					"// enter makes a command an entry of this leader's log.\n",
					"func (r *Replica) answered(turns []registry.Turn) (out fsm.Outcome, all bool) {\n	out.At = r.machine.At()\n	r.machine.State(func(s *registry.State) {\n		for i := range turns {\n			if turn, known := s.Answered(turns[i].Request); known {\n				out.Result.Turns = append(out.Result.Turns, turn)\n			}\n		}\n	})\n	return out, len(out.Result.Turns) == len(turns)\n}\n\n// enter makes a command an entry of this leader's log.\n",
				},
			},
			tests: []claim{{pkg: "./registry", test: "TestARequestCountsOnceAndIsAnsweredAlike"}, {pkg: "./rpc/client", test: "TestStepsTogether"}, simulated(1, 2)},
		},
		{
			name:  "snapshot-forgets-sessions",
			says:  "the session table is left out of the snapshot: who restores it takes known requests again",
			edits: []edit{{"registry/snapshot.go", "	snap.Sessions = f.sessions.snapshot()\n", ""}},
			tests: []claim{{pkg: "./fsm", test: "TestSnapshotHoldsEverything"}, {pkg: "./rpc/client", test: "TestStepsTogether"}, simulated(40, 8)},
		},
		{
			name:  "restore-renews-cursors",
			says:  "who restores a snapshot takes its cursors for used just now: answers are right, and the state another one",
			edits: []edit{{"registry/restore.go", "used: c.Used", "used: s.clock"}},
			tests: []claim{{pkg: "./fsm", test: "TestSnapshotHoldsEverything"}, simulated(1, 6)},
		},
		{
			name:  "doubt-in-another-session",
			says:  "a client whose session is forgotten asks again in another one, though the first attempt may have run",
			edits: []edit{{"rpc/client/retry.go", "	if s.tally.doubt || s.stopped || ", "	if s.stopped || "}},
			tests: []claim{{pkg: "./rpc/client", test: "TestWhatMayHaveRunIsNeverRepeatedInAnotherSession"}, {pkg: "./rpc/client", test: "TestStepsTogether"}},
		},
		{
			name:  "early-acknowledgement",
			says:  "a client acknowledges what it has sent, and not what it has the answer to",
			edits: []edit{{"rpc/client/session.go", "	return serial, s.mu.first\n", "	return serial, serial\n"}},
			tests: []claim{{pkg: "./rpc/client", test: "TestSerials"}, {pkg: "./rpc/client", test: "TestStepsTogether"}},
		},
	}
}

// ofTheLog are wrong about what the log decides.
func ofTheLog() []mutant {
	return []mutant{
		{
			name: "cursor-before-commit",
			says: "the leader moves its cursor and answers when it proposes, and commits behind that",
			edits: []edit{{
				"fsm/replica/propose.go",
				"	out, err := r.apply(ctx, r.raft.Load(), cmd, r.lead.clock())\n	if err == nil && mayMoveNodes(cmd) {",
				"	if rr, turns := cmd.(registry.RoundRobin); turns {\n		at := r.machine.At()\n		at.Index++\n		var res registry.Result\n		r.machine.State(func(s *registry.State) {\n			res, _ = s.Apply(registry.Stamp{Index: at.Index, Term: at.Term, Clock: r.lead.clock()}, rr)\n		})\n		r.spawn(func() { _, _ = r.apply(r.life.ctx, r.raft.Load(), cmd, r.lead.clock()) })\n		return fsm.Outcome{Result: res, At: at}, nil\n	}\n	out, err := r.apply(ctx, r.raft.Load(), cmd, r.lead.clock())\n	if err == nil && mayMoveNodes(cmd) {",
			}},
			tests: []claim{{pkg: "./fsm/replica", test: "TestAThousandTurnsAreOneRotation"}, simulated(1, 2)},
		},
		{
			name: "clock-in-apply",
			says: "Apply reads the clock for what people are shown: replicas hold different bytes",
			edits: []edit{
				{"fsm/machine.go", "Clock: e.Clock, Wall: e.Wall}", "Clock: e.Clock, Wall: registry.Millis(time.Now().UnixMilli())}"},
				{"fsm/machine.go", "	\"sync/atomic\"\n", "	\"sync/atomic\"\n	\"time\"\n"},
			},
			tests: []claim{{pkg: "./fsm", test: "TestReplayIsSnapshotAndRest"}, {pkg: "./rpc/client", test: "TestStepsTogether"}, simulated(1, 2)},
		},
		{
			name: "log-clock-is-wall",
			says: "the leader stamps entries with its wall clock, which people move: sessions and cursors are forgotten at once",
			edits: []edit{{
				"fsm/replica/leader.go",
				"	return l.mu.base + registry.Millis(time.Since(l.mu.since).Milliseconds())\n",
				"	return registry.Millis(wallNow().UnixMilli())\n",
			}},
			tests: []claim{{pkg: "./fsm/replica", test: "TestTheLogClockRunsOnFromTheTermBefore"}},
		},
		{
			name:  "late-snapshots",
			says:  "a snapshot that comes late is taken in, and the log behind it dropped",
			edits: []edit{{"fsm/replica/installs.go", "	return req.Term == in.term() && in.holds(req.LastLogIndex, req.LastLogTerm)\n", "	return false\n"}, {"fsm/replica/installs.go", "	return errNeedless\n", "	return nil\n"}},
			tests: []claim{{pkg: "./fsm/replica", test: "TestALateSnapshotCostsNothing"}},
		},
		{
			name:  "no-sync",
			says:  "the store does not sync: power that is lost takes acknowledged writes with it",
			edits: []edit{{"fsm/replica/store.go", "		MsgpackUseNewTimeFormat: true,\n", "		MsgpackUseNewTimeFormat: true,\n		NoSync:                  true,\n"}},
			tests: []claim{{pkg: "./fsm/replica", test: "TestAcknowledgedWritesAreSynced"}},
		},
		{
			name:  "stale-liveness",
			says:  "a change of liveness is taken whatever has happened since it was decided",
			edits: []edit{{"registry/node_apply.go", "	if n.Since != l.Since {\n		return false\n	}\n", ""}},
			tests: []claim{{pkg: "./registry", test: "TestStories"}, {pkg: "./rpc/client", test: "TestStepsTogether"}},
		},
	}
}

// ofBatches are wrong about who in a batch hears what.
func ofBatches() []mutant {
	return []mutant{
		{
			name: "answers-shift",
			says: "a caller who gave up is passed over in its batch, and the next one gets its answer",
			edits: []edit{{
				"fsm/combine/combiner.go",
				"		to := from + len(r.turns)\n		if c.held[r.id] != nil {\n			part := out\n",
				"		if c.held[r.id] == nil {\n			continue\n		}\n		to := from + len(r.turns)\n		if c.held[r.id] != nil {\n			part := out\n",
			}},
			tests: []claim{{pkg: "./fsm/combine", test: "TestWhoGaveUpKeepsItsPlace"}, {pkg: "./rpc/client", test: "TestStepsTogether"}},
		},
		{
			name:  "unknown-is-tried-again",
			says:  "a batch whose leader was lost is proposed again, as if it had been refused",
			edits: []edit{{"fsm/combine/combiner.go", "	return errors.Is(err, registry.ErrUnavailable) || ", "	return errors.Is(err, registry.ErrUnavailable) || errors.Is(err, registry.ErrOutcomeUnknown) || "}},
			tests: []claim{{pkg: "./fsm/combine", test: "TestWhateverHappensToTheCombiner"}, {pkg: "./rpc/client", test: "TestStepsTogether"}},
		},
	}
}
