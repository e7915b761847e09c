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
	// attemptTimeout bounds one write of those that wait for a new leader, and
	// attemptPause is between a write that failed and the next.
	attemptTimeout = 500 * time.Millisecond
	attemptPause   = 5 * time.Millisecond
	// readPause is between two reads of a reader.
	readPause = 2 * time.Millisecond
	// outageMax is when a cluster is given up.
	outageMax = 30 * time.Second
	// settle is how long a cluster is left alone when it is whole again.
	settle = time.Second
	// afterwards is how long reads go on once writes are taken again.
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
	writes      time.Duration // until a write was taken that was asked after the loss
	reads       int
	failedReads int
	longestRead time.Duration
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
			b.note("%s %d of %d: %s writes again after %s; %d reads, %d failed, the longest took %s",
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
	reading, stopReading := context.WithCancel(ctx)
	tallies := make([]outage, len(all))
	var readers sync.WaitGroup
	for i, s := range all {
		readers.Go(func() { tallies[i].readOn(reading, s.read) })
	}
	pause(ctx, 50*time.Millisecond)
	begun := time.Now()
	ended := make(chan struct{})
	go func() { end(leader); close(ended) }()
	writes, err := firstWrite(ctx, all, begun)
	if err == nil {
		pause(ctx, afterwards)
	}
	stopReading()
	readers.Wait()
	<-ended
	lost := outage{writes: writes}
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

// firstWrite gives when the first write is acknowledged that was asked after the
// loss, by whichever survivor.
func firstWrite(ctx context.Context, all []survivor, begun time.Time) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, outageMax)
	defer cancel()
	first := make(chan time.Duration, len(all))
	var writers sync.WaitGroup
	for _, s := range all {
		writers.Go(func() {
			for ctx.Err() == nil {
				attempt, stop := context.WithTimeout(ctx, attemptTimeout)
				err := s.write(attempt)
				stop()
				if err == nil {
					first <- time.Since(begun)
					cancel()
					return
				}
				pause(ctx, attemptPause)
			}
		})
	}
	writers.Wait()
	select {
	case took := <-first:
		return took, nil
	default:
		return 0, fmt.Errorf("no write was taken within %s", outageMax)
	}
}

// readOn reads until its context ends; the read that this cuts off does not
// count.
func (o *outage) readOn(ctx context.Context, read ask) {
	for ctx.Err() == nil {
		begun := time.Now()
		err := read(ctx)
		if ctx.Err() != nil {
			return
		}
		o.reads++
		if err != nil {
			o.failedReads++
		}
		o.longestRead = max(o.longestRead, time.Since(begun))
		pause(ctx, readPause)
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
