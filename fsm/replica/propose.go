package replica

import (
	"context"
	"errors"
	"time"

	"github.com/hashicorp/raft"
	"github.com/rota-registry/rota/fsm"
	"github.com/rota-registry/rota/registry"
)

// retryEvery is how often a request that waits for a leader looks for one.
const retryEvery = 20 * time.Millisecond

// Propose commits a command, here or through the leader, and gives what it
// answered and where it stands in the log. An error's code says what is known:
// Unavailable, Deadline and Overloaded, that nothing was done; OutcomeUnknown,
// that it may have been; every other one is the registry's own refusal.
func (r *Replica) Propose(ctx context.Context, cmd registry.Command) (registry.Result, registry.Position, error) {
	if at, err := r.refused(ctx, cmd); err != nil {
		return registry.Result{}, at, err
	}
	out, err := r.propose(ctx, cmd)
	if err != nil {
		return registry.Result{}, registry.Position{}, err
	}
	if out.Err != nil {
		return out.Result, out.At, out.Err
	}
	return out.Result, out.At, nil
}

// refused is an error when the state as it now is refuses the command, so that
// bad input does not enter the log. This replica's state may trail: what it
// refuses is only refused if a linearizable read says so, too.
func (r *Replica) refused(ctx context.Context, cmd registry.Command) (at registry.Position, err error) {
	if err := registry.Check(cmd); err != nil {
		return at, err
	}
	if r.machine.Refuses(cmd) == nil {
		return at, nil
	}
	_, info, err := r.Read(ctx, registry.ReadOptions{})
	if err != nil {
		return at, err
	}
	return info.Position, r.machine.Refuses(cmd)
}

// propose sends round-robin turns in a batch with those of others, and any
// other command by itself.
func (r *Replica) propose(ctx context.Context, cmd registry.Command) (out fsm.Outcome, err error) {
	if rr, ok := cmd.(registry.RoundRobin); ok {
		if err := r.inTime(ctx); err != nil {
			return out, err
		}
		return r.writes.join(ctx, rr.Turns)
	}
	err = r.untilLeader(ctx, func(ctx context.Context) (err error) {
		out, err = r.proposeOnce(ctx, cmd)
		return err
	})
	return out, err
}

// untilLeader tries again while nothing was done for want of a leader, until
// the deadline.
func (r *Replica) untilLeader(ctx context.Context, try func(context.Context) error) error {
	if err := r.inTime(ctx); err != nil {
		return err
	}
	for {
		err := try(ctx)
		if !errors.Is(err, registry.ErrUnavailable) {
			return err
		}
		if pause(ctx, retryEvery) != nil || r.life.ctx.Err() != nil {
			return err
		}
	}
}

// inTime refuses who is late already.
func (r *Replica) inTime(ctx context.Context) error {
	if ctx.Err() == nil {
		return nil
	}
	return registry.Errorf(registry.Deadline, "replica %s: the deadline had passed before the request was looked at: ask again with a longer one", r.opts.Name)
}

func (r *Replica) proposeOnce(ctx context.Context, cmd registry.Command) (fsm.Outcome, error) {
	if r.leading() != 0 {
		return r.commit(ctx, cmd)
	}
	_, api := r.leader()
	if api == "" || api == r.opts.API {
		return fsm.Outcome{}, r.noLeader()
	}
	b, err := fsm.EncodeCommand(cmd)
	if err != nil {
		return fsm.Outcome{}, err
	}
	answer, _, err := r.opts.Caller.Forward(ctx, api, b)
	if err != nil {
		return fsm.Outcome{}, err
	}
	out, err := fsm.DecodeOutcome(answer)
	if err != nil {
		return out, registry.Errorf(registry.OutcomeUnknown, "the leader's answer cannot be read: %v", err)
	}
	return out, nil
}

// Forward commits a follower's command; only the leader does, and does not
// send it on.
func (r *Replica) Forward(ctx context.Context, command []byte) ([]byte, registry.Position, error) {
	cmd, err := fsm.DecodeCommand(command)
	if err != nil {
		return nil, registry.Position{}, registry.Errorf(registry.Invalid, "forwarded command: %v", err)
	}
	if err := registry.Check(cmd); err != nil {
		return nil, registry.Position{}, err
	}
	if r.leading() == 0 {
		return nil, registry.Position{}, r.noLeader()
	}
	out, err := r.commit(ctx, cmd)
	if err != nil {
		return nil, registry.Position{}, err
	}
	return fsm.EncodeOutcome(out), out.At, nil
}

// commit puts a command into this leader's log, round-robin turns together with
// those of other replicas.
func (r *Replica) commit(ctx context.Context, cmd registry.Command) (fsm.Outcome, error) {
	if rr, ok := cmd.(registry.RoundRobin); ok {
		return r.gate.join(ctx, rr.Turns)
	}
	return r.enter(ctx, cmd)
}

// enter makes a command an entry of this leader's log.
func (r *Replica) enter(ctx context.Context, cmd registry.Command) (fsm.Outcome, error) {
	out, err := r.apply(ctx, r.raft.Load(), cmd, r.lead.clock())
	if err == nil && mayMoveNodes(cmd) {
		r.lead.poke() // a change of the layout is something to reconcile
	}
	return out, err
}

// mayMoveNodes is false of what is too frequent to look at the layout for.
func mayMoveNodes(cmd registry.Command) bool {
	switch cmd.(type) {
	case registry.RoundRobin, registry.OpenSession:
		return false
	}
	return true
}

// apply proposes an entry to Raft and waits for what it came to. What Raft
// says is translated by what it means for the caller: failed, or unknown.
func (r *Replica) apply(ctx context.Context, rf *raft.Raft, cmd registry.Command, clock registry.Millis) (fsm.Outcome, error) {
	entry := fsm.Entry{Clock: clock, Wall: registry.Millis(wallNow().UnixMilli()), Command: cmd}
	b, err := fsm.EncodeEntry(entry)
	if err != nil {
		return fsm.Outcome{}, err
	}
	began := time.Now()
	future := rf.Apply(b, timeLeft(ctx))
	switch err := await(ctx, future); {
	case err == nil:
		r.noteConfirmed(began)
		return *future.Response().(*fsm.Outcome), nil
	case errors.Is(err, raft.ErrNotLeader), errors.Is(err, raft.ErrLeadershipTransferInProgress), errors.Is(err, raft.ErrEnqueueTimeout):
		return fsm.Outcome{}, r.noLeader()
	default:
		return fsm.Outcome{}, registry.Errorf(registry.OutcomeUnknown, "replica %s: the outcome is unknown (%v): it may or may not have been done; look before doing it again", r.opts.Name, err)
	}
}

func timeLeft(ctx context.Context) time.Duration {
	end, ok := ctx.Deadline()
	if !ok {
		return time.Duration(registry.DeadlineDefault) * time.Millisecond
	}
	return max(time.Until(end), time.Millisecond)
}

// noLeader says why there is nobody to ask; nothing was done.
func (r *Replica) noLeader() error {
	r.mu.Lock()
	waiting := r.mu.waiting
	r.mu.Unlock()
	switch name, api := r.leader(); {
	case waiting != "":
		return registry.Errorf(registry.Unavailable, "replica %s is not in a cluster yet: it waits for %s", r.opts.Name, waiting)
	case name == "":
		return registry.Errorf(registry.Unavailable, "replica %s knows no leader: a majority of the replicas must be up and reach each other; see rota status", r.opts.Name)
	case name == r.opts.Name:
		return registry.Errorf(registry.Unavailable, "replica %s is elected and not ready, or stopping: ask again", r.opts.Name)
	default:
		return registry.Errorf(registry.Unavailable, "replica %s: the leader %s at %q does not lead any more: ask again", r.opts.Name, name, api)
	}
}
