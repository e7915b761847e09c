package replica

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/raft"
	"github.com/rota-registry/rota/registry"
)

const (
	joinEvery    = 200 * time.Millisecond
	joinSayEvery = 5 * time.Second
	helloTimeout = time.Second
)

// join returns when Raft may start: at once for a store that has been in a
// cluster; else when this replica has founded one, or belongs to the one that
// is there. Until then it says every 5 s for whom it waits.
func (r *Replica) join(ctx context.Context) error {
	if roster := r.founding(); len(roster) > 0 && r.store.configured() != nil {
		return r.bootstrap(roster)
	}
	if r.belongs() {
		return nil
	}
	if len(r.opts.Replicas) == 0 {
		return r.found([]registry.Replica{r.self()})
	}
	said := time.Now()
	for {
		step := decideJoin(r.self(), r.opts.Replicas, r.greet(ctx, r.opts.Replicas))
		switch {
		case step.err != nil:
			return step.err
		case step.found != nil && r.store.existing:
			step.wait = "the replica that founded the cluster, for which this one has voted"
		case step.found != nil:
			return r.found(step.found)
		case step.start:
			return nil
		}
		r.setWaiting(step.wait)
		if time.Since(said) >= joinSayEvery {
			said = time.Now()
			r.log.Info("replica waits", "for", step.wait)
		}
		if err := pause(ctx, joinEvery); err != nil {
			return err
		}
	}
}

// joinStep is what a replica with an empty store does next; one of its fields
// is set.
type joinStep struct {
	found []registry.Replica // found a cluster of these
	start bool               // start Raft, and be reached by those who have
	wait  string             // for whom or what
	err   error              // never
}

// answered is who answered at an address of the list, or why nobody did.
type answered struct {
	registry.Greeting
	err error
}

// decideJoin decides from what the listed replicas answered. Two replicas
// never found two clusters: only the lowest name founds, only when everyone on
// the list answers, is empty, and was given the same list, and everyone else
// waits for its roster.
func decideJoin(self registry.Replica, list []string, answers []answered) joinStep {
	for _, a := range answers {
		if a.err == nil && len(a.Roster) > 0 {
			return joinRoster(self, a.Greeting)
		}
	}
	if err := ownAddressMissing(self, list, answers); err != nil {
		return joinStep{err: err}
	}
	var waiting []string
	var roster []registry.Replica
	for i, a := range answers {
		switch {
		case a.err != nil:
			waiting = append(waiting, fmt.Sprintf("%s to answer (%v)", list[i], a.err))
		case !a.Empty && a.StoreID != self.StoreID:
			waiting = append(waiting, fmt.Sprintf("%s, which has a log, to say who its cluster is", a.Name))
		case a.StoreID != self.StoreID && !slices.Equal(a.Listed, slices.Sorted(slices.Values(list))):
			waiting = append(waiting, fmt.Sprintf("%s at %s to be given the same --replicas: it has %s, this one %s",
				a.Name, a.API, strings.Join(a.Listed, ","), strings.Join(list, ",")))
		default:
			roster = append(roster, a.Replica)
		}
	}
	if len(waiting) > 0 {
		return joinStep{wait: strings.Join(waiting, "; ")}
	}
	return joinFound(self, roster)
}

// ownAddressMissing is an error when everyone on the list answers and nobody is
// this replica.
func ownAddressMissing(self registry.Replica, list []string, answers []answered) error {
	for _, a := range answers {
		if a.err != nil || a.StoreID == self.StoreID {
			return nil
		}
	}
	return registry.Errorf(registry.Invalid, "replica %s: its own API address %s is not in --replicas %s: give every replica the same list of all of them", self.Name, self.API, strings.Join(list, ","))
}

// joinRoster is for when a cluster is there.
func joinRoster(self registry.Replica, of registry.Greeting) joinStep {
	for _, m := range of.Roster {
		if m.Name != self.Name {
			continue
		}
		if m.StoreID != self.StoreID {
			return joinStep{err: wiped(self.Name, m.StoreID, self.StoreID)}
		}
		return joinStep{start: true}
	}
	return joinStep{wait: fmt.Sprintf("replica %s to be added: the cluster that %s belongs to does not have it", self.Name, of.Name)}
}

// joinFound is for when everyone answered and is empty.
func joinFound(self registry.Replica, roster []registry.Replica) joinStep {
	slices.SortFunc(roster, func(a, b registry.Replica) int { return strings.Compare(string(a.Name), string(b.Name)) })
	// One replica may be listed under two addresses.
	roster = slices.CompactFunc(roster, func(a, b registry.Replica) bool { return a.StoreID == b.StoreID })
	for i := 1; i < len(roster); i++ {
		if roster[i].Name == roster[i-1].Name {
			return joinStep{err: registry.Errorf(registry.Conflict, "two replicas are named %s, at %s and %s: give one of them another --name", roster[i].Name, roster[i-1].API, roster[i].API)}
		}
	}
	if roster[0].Name != self.Name {
		return joinStep{wait: fmt.Sprintf("replica %s at %s to found the cluster", roster[0].Name, roster[0].API)}
	}
	return joinStep{found: roster}
}

// found writes down whom the cluster is founded with, then bootstraps: a crash
// in between leaves one decision, and everyone who asks is told it.
func (r *Replica) found(roster []registry.Replica) error {
	if err := r.remember(func(i *identity) { i.Founding = roster }); err != nil {
		return err
	}
	return r.bootstrap(roster)
}

func (r *Replica) bootstrap(roster []registry.Replica) error {
	conf := raft.Configuration{}
	for _, m := range roster {
		r.book.note(m)
		conf.Servers = append(conf.Servers, raft.Server{ID: raft.ServerID(m.Name), Address: raft.ServerAddress(m.Raft)})
	}
	r.book.note(r.self())
	if err := r.store.bootstrap(conf); err != nil {
		return fmt.Errorf("founding the cluster: %w", err)
	}
	r.log.Info("cluster founded", "replicas", len(roster))
	return nil
}

// greet says hello at each address at once and gives the answers in order.
func (r *Replica) greet(ctx context.Context, apis []string) []answered {
	ctx, cancel := context.WithTimeout(ctx, helloTimeout)
	defer cancel()
	out := make([]answered, len(apis))
	me := r.Self()
	var wg sync.WaitGroup
	for i, api := range apis {
		wg.Go(func() {
			out[i].Greeting, out[i].err = r.opts.Caller.Hello(ctx, api, me)
			if out[i].err == nil {
				out[i].err = r.note(out[i].Greeting)
			}
		})
	}
	wg.Wait()
	return out
}

// pause waits, or gives ctx's error.
func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
