package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/rota-registry/rota/registry/hrw"
	"github.com/rota-registry/rota/rpc/client"
	clientv3 "go.etcd.io/etcd/client/v3"
)

const (
	// attemptTimeout bounds one write, most of which wait for a new leader when they
	// take that long.
	attemptTimeout = 500 * time.Millisecond
	// askPause is between two writes, and two reads, of one caller.
	askPause = 2 * time.Millisecond
	// beforehand is how long all go on before the loss.
	beforehand = 100 * time.Millisecond
	// outageMax is when a cluster is given up.
	outageMax = 30 * time.Second
	// settle is how long a cluster is left alone when it is whole again.
	settle = time.Second
	// afterwards is how long all go on once a write was taken that was asked when
	// the process had ended.
	afterwards = 500 * time.Millisecond
)

// ask is one call; nil is an acknowledgement.
type ask func(context.Context) error

// survivor is one replica that goes on when the leader does not.
type survivor struct{ write, read ask }

// contestant is a system whose leader is killed.
type contestant interface {
	name() string
	// leads gives the leader's process, once every replica follows it.
	leads(context.Context) (*process, error)
	// survivors are the other replicas, each with connections of its own.
	survivors(ctx context.Context, leader *process) (all []survivor, hangUp func(), err error)
}

// outage is what one loss of a leader cost.
type outage struct {
	writes      time.Duration // the longest time between two acknowledged writes
	reads       int
	failedReads int
	longestRead time.Duration // even if it had not ended
}

// failover kills the leaders of rota and etcd in turn, while both run, and
// prints how long writes and local reads had to wait.
func failover(ctx context.Context, o options, out io.Writer) error {
	b := &bench{options: o}
	fmt.Fprintln(o.say, "building rota and etcd")
	var err error
	if b.binaries, err = build(ctx, o.dir, true); err != nil {
		return err
	}
	head, err := machine(ctx, o.dir)
	if err != nil {
		return err
	}
	if b.rotas, err = startRota(ctx, b, replicas); err != nil {
		return err
	}
	defer b.rotas.close()
	if err := b.rotas.live(ctx, b, members); err != nil {
		return err
	}
	if b.etcds, err = startEtcd(ctx, b); err != nil {
		return err
	}
	defer b.etcds.close()
	kills, err := b.outages(ctx, "kill -9", o.kills, (*process).kill)
	if err != nil {
		return err
	}
	stops, err := b.outages(ctx, "planned stop", o.kills, (*process).stop)
	if err != nil {
		return err
	}
	_, err = io.WriteString(out, head+failoverTable(kills, stops))
	return err
}

// outages ends the leaders of both systems n times, in turn; it gives what that
// cost, rota's first.
func (b *bench) outages(ctx context.Context, how string, n int, end func(*process)) (all [2][]outage, err error) {
	for i := range n {
		for j, c := range []contestant{rotaContestant{b.rotas}, etcdContestant{b.etcds}} {
			lost, err := lose(ctx, c, end)
			if err != nil {
				return all, fmt.Errorf("%s %d of %d of %s: %w", how, i+1, n, c.name(), err)
			}
			all[j] = append(all[j], lost)
			b.note("%s %d of %d: %s took no write for %s; %d reads, %d failed, the longest took %s",
				how, i+1, n, c.name(), latency(lost.writes), lost.reads, lost.failedReads, latency(lost.longestRead))
		}
	}
	return all, nil
}

// lose ends one leader, and starts it again when all is measured.
func lose(ctx context.Context, c contestant, end func(*process)) (outage, error) {
	leader, err := steady(ctx, c)
	if err != nil {
		return outage{}, err
	}
	all, hangUp, err := c.survivors(ctx, leader)
	if err != nil {
		return outage{}, err
	}
	defer hangUp()
	for _, s := range all { // connections, sessions
		if err := errors.Join(s.write(ctx), s.read(ctx)); err != nil {
			return outage{}, err
		}
	}
	asking, stop := context.WithCancel(ctx)
	var callers sync.WaitGroup
	var taken acks
	tallies := make([]outage, len(all))
	for i, s := range all {
		callers.Go(func() { taken.writeOn(asking, s.write) })
		callers.Go(func() { tallies[i].readOn(asking, s.read) })
	}
	pause(ctx, beforehand)
	begun := time.Now()
	end(leader)
	err = taken.await(ctx, time.Now())
	pause(ctx, afterwards)
	stop()
	callers.Wait()
	lost := outage{writes: taken.longestGap(begun)}
	for _, t := range tallies {
		lost.reads, lost.failedReads, lost.longestRead = lost.reads+t.reads, lost.failedReads+t.failedReads, max(lost.longestRead, t.longestRead)
	}
	return lost, errors.Join(err, leader.start())
}

// steady waits until every replica follows a leader, and a while longer.
func steady(ctx context.Context, c contestant) (leader *process, err error) {
	for end := time.Now().Add(startTimeout); time.Now().Before(end) && ctx.Err() == nil; pause(ctx, 50*time.Millisecond) {
		one, cancel := context.WithTimeout(ctx, 5*time.Second)
		before, _ := c.leads(one)
		if before != nil {
			pause(one, settle)
			if leader, err = c.leads(one); err == nil && leader == before {
				cancel()
				return leader, nil
			}
		}
		cancel()
	}
	return nil, errors.Join(errors.New("it has no steady leader"), err, ctx.Err())
}

// acks are when writes were acknowledged, to any of the callers.
type acks struct {
	mu    sync.Mutex
	at    []time.Time
	asked time.Time // the last one that was acknowledged
}

// writeOn writes until its context ends.
func (a *acks) writeOn(ctx context.Context, write ask) {
	for ctx.Err() == nil {
		asked := time.Now()
		attempt, stop := context.WithTimeout(ctx, attemptTimeout)
		err := write(attempt)
		stop()
		if err == nil {
			a.note(asked)
		}
		pause(ctx, askPause)
	}
}

func (a *acks) note(asked time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.at = append(a.at, time.Now())
	if asked.After(a.asked) {
		a.asked = asked
	}
}

func (a *acks) lastAsked() time.Time {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.asked
}

// await waits until a write is acknowledged that was asked after that time.
func (a *acks) await(ctx context.Context, after time.Time) error {
	for end := time.Now().Add(outageMax); !a.lastAsked().After(after); pause(ctx, askPause) {
		if time.Now().After(end) || ctx.Err() != nil {
			return errors.Join(fmt.Errorf("no write was taken within %s", outageMax), ctx.Err())
		}
	}
	return nil
}

// longestGap is the longest time between two acknowledgements, of which the later
// one came after begun.
func (a *acks) longestGap(begun time.Time) (longest time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for i := 1; i < len(a.at); i++ {
		if a.at[i].After(begun) {
			longest = max(longest, a.at[i].Sub(a.at[i-1]))
		}
	}
	return longest
}

// readOn reads until its context ends. The read that this cuts off counts as far as
// it took long.
func (o *outage) readOn(ctx context.Context, read ask) {
	for ctx.Err() == nil {
		begun := time.Now()
		err := read(ctx)
		o.longestRead = max(o.longestRead, time.Since(begun))
		if ctx.Err() != nil {
			return
		}
		o.reads++
		if err != nil {
			o.failedReads++
		}
		pause(ctx, askPause)
	}
}

// pause waits, at most until the context ends.
func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// rotaContestant takes turns of one cursor, and hrw from a replica's own state.
type rotaContestant struct{ *rotaCluster }

func (c rotaContestant) name() string { return "rota" }

func (c rotaContestant) leads(ctx context.Context) (*process, error) {
	if err := c.findLeader(ctx); err != nil {
		return nil, err
	}
	return c.processes[slices.Index(c.apis, c.leader)], c.caughtUp(ctx)
}

func (c rotaContestant) survivors(_ context.Context, leader *process) (all []survivor, hangUp func(), err error) {
	var clients []*client.Client
	hangUp = func() {
		for _, one := range clients {
			_ = one.Close()
		}
	}
	for i, api := range c.apis {
		if c.processes[i] == leader {
			continue
		}
		one, err := client.Dial([]string{api}, client.Options{By: "bench"})
		if err != nil {
			return nil, hangUp, err
		}
		clients = append(clients, one)
		all = append(all, survivor{
			write: func(ctx context.Context) error { _, err := one.Pool(pool).RR(ctx, ""); return err },
			read: func(ctx context.Context) error {
				_, err := one.Pool(pool).HRW(ctx, hrw.String("key"), client.Local())
				return err
			},
		})
	}
	return all, hangUp, nil
}

// etcdContestant puts one key, and gets it serializably.
type etcdContestant struct{ *etcdCluster }

func (c etcdContestant) name() string { return "etcd" }

func (c etcdContestant) leads(ctx context.Context) (leader *process, err error) {
	one, err := clientv3.New(clientv3.Config{Endpoints: c.endpoints, Logger: quietly()})
	if err != nil {
		return nil, err
	}
	defer one.Close()
	var word uint64
	for i, endpoint := range c.endpoints {
		s, err := one.Status(ctx, endpoint)
		if err != nil {
			return nil, err
		}
		if s.Leader == 0 || i > 0 && s.Leader != word || len(s.Errors) > 0 {
			return nil, fmt.Errorf("member %s says that %x leads, others %x; %v", endpoint, s.Leader, word, s.Errors)
		}
		if word = s.Leader; s.Header.MemberId == word {
			leader = c.processes[i]
		}
	}
	if leader == nil {
		return nil, fmt.Errorf("no member is the leader %x", word)
	}
	return leader, nil
}

func (c etcdContestant) survivors(_ context.Context, leader *process) (all []survivor, hangUp func(), err error) {
	var clients []*clientv3.Client
	hangUp = func() {
		for _, one := range clients {
			_ = one.Close()
		}
	}
	for i, endpoint := range c.endpoints {
		if c.processes[i] == leader {
			continue
		}
		one, err := clientv3.New(clientv3.Config{Endpoints: []string{endpoint}, Logger: quietly()})
		if err != nil {
			return nil, hangUp, err
		}
		clients = append(clients, one)
		all = append(all, survivor{
			write: func(ctx context.Context) error { _, err := one.Put(ctx, etcdKey, ""); return err },
			read: func(ctx context.Context) error {
				_, err := one.Get(ctx, etcdKey, clientv3.WithSerializable())
				return err
			},
		})
	}
	return all, hangUp, nil
}
