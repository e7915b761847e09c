package replica

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
	"github.com/rota-registry/rota/fsm"
	"github.com/rota-registry/rota/gossip"
	"github.com/rota-registry/rota/registry"
)

// Replica is one replica. Open makes it, Start lets it join the others,
// StepDown and Close end it.
type Replica struct {
	opts    Options
	log     hclog.Logger
	boot    registry.BootID
	store   *store
	streams *streams
	gossip  gossipPort
	book    *book
	machine *fsm.Machine
	listed  []string // Options.Replicas, sorted

	raft    atomic.Pointer[raft.Raft] // nil until the replica may start it
	network atomic.Pointer[transport] // Raft's
	members atomic.Pointer[gossip.Gossip]

	lead     leadership
	confirms *rounds                // the leader's: which index may be read
	swift    []registry.ReplicaName // voters by their last answer to a round of confirms, the last one first
	// confirmed is when this replica last had all that was acknowledged, see age; nil:
	// not since its start.
	confirmed atomic.Pointer[time.Time]
	follows   *rounds // any replica's: what the leader's confirms say
	writes    *writes // turns asked for here
	gate      *writes // turns of all replicas, at their leader
	watches   *watches
	hints     *hints                     // of agents that have died
	heard     atomic.Pointer[[]answered] // the last greetings of the others

	caughtUp atomic.Bool
	// disagrees is the index at which voters hold different states and no majority
	// agrees; 0 is none.
	disagrees atomic.Uint64
	short     atomic.Pointer[string] // of room on the disk, for people; nil: it has enough
	stopping  atomic.Bool
	halted    sync.Once

	life struct {
		ctx  context.Context //nolint:containedctx // the replica's own lifetime, which no request's outlives
		stop context.CancelFunc
		wg   sync.WaitGroup

		sync.Mutex
		closed bool
		ended  chan struct{} // closed when the first Close is done
		err    error         // what it returned
	}

	// handing lets one handover be under way; stuck are those in a row that found
	// one of Raft's still under way.
	handing struct {
		turn  chan struct{} // full while one is
		stuck int
	}

	// writing orders the changes of the identity file; mu guards what others
	// read of it, and is never held while the file is written.
	writing sync.Mutex
	// unkept is that the book is not in the file as it is in memory; keeping orders who
	// writes it there.
	unkept  atomic.Bool
	keeping sync.Mutex

	mu struct {
		sync.Mutex
		waiting string // why Raft has not started, for people
	}
}

// Open opens the store and the listeners of a replica and calls nobody. Errors
// name the directory or the port that is wrong.
func Open(opts Options) (*Replica, error) {
	opts.Timings.setDefaults()
	setDefault(&opts.GossipProfile, gossip.LAN)
	if err := opts.validate(); err != nil {
		return nil, err
	}
	if err := injectFaults(&opts); err != nil {
		return nil, err
	}
	r := &Replica{opts: opts, log: opts.Logger, boot: registry.BootID(newID(registry.BootIDLen / 2))}
	r.listed = slices.Sorted(slices.Values(opts.Replicas))
	r.life.ctx, r.life.stop = context.WithCancel(context.Background())
	r.life.ended = make(chan struct{})
	r.mu.waiting = "it has just started"
	r.lead.init()
	r.handing.turn = make(chan struct{}, 1)
	r.machine = r.opts.machine.build(r.notApplied)
	r.confirms = &rounds{run: r.confirm, spawn: r.spawn}
	r.follows = &rounds{run: r.follow, spawn: r.spawn}
	r.writes = newWrites(r.life.ctx, r.spawn, false, r.proposeOnce)
	r.gate = newWrites(r.life.ctx, r.spawn, true, r.enter)
	r.hints = newHints()
	r.watches = newWatches(r.life.ctx, r.spawn, r.machine, r.age)
	if err := r.open(); err != nil {
		return nil, errors.Join(err, r.Close())
	}
	return r, nil
}

func (r *Replica) open() (err error) {
	if r.store, err = openStore(newDisk(r.opts.DataDir, r.opts.disk, r.halt), r.opts.Name, r.log); err != nil {
		return err
	}
	if r.streams, err = listenStreams(r.opts.Network, r.opts.RaftBind, r.opts.Advertise); err != nil {
		return fmt.Errorf("raft address %s: %w", r.opts.RaftBind, err)
	}
	if err := r.gossip.reserve(r.opts.Network, r.opts.GossipBind, r.opts.Advertise); err != nil {
		return fmt.Errorf("gossip address %s: %w", r.opts.GossipBind, err)
	}
	r.book = newBook(r.store.id.Book)
	r.book.note(r.self())
	return nil
}

// self is what this replica tells others of where it is.
func (r *Replica) self() registry.Replica {
	return registry.Replica{
		Name:    r.opts.Name,
		StoreID: r.store.storeID,
		API:     r.opts.API,
		Raft:    r.streams.Addr().String(),
		Gossip:  r.gossip.advertise,
	}
}

// Start lets the replica found or join its cluster, in the background.
func (r *Replica) Start() {
	r.spawn(r.watchSpace)
	r.spawn(func() {
		err := r.join(r.life.ctx)
		if err == nil {
			err = r.startRaft()
		}
		if err != nil && r.life.ctx.Err() == nil {
			r.halt(err)
		}
	})
}

// startRaft starts Raft and what lives from it.
func (r *Replica) startRaft() error {
	notify := make(chan bool, 8)
	tr := newTransport(r.streams, r.book, r.raftLeads, r.opts.Timings.Election, newQuiet(r.log.Named("raft-net"), &r.stopping))
	in := &installs{holds: r.store.holds, term: r.raftTerm}
	tr.sift(in)
	r.store.snapshots.refuse = in.refuse
	rf, err := r.newRaft(notify, tr)
	if err != nil {
		return errors.Join(fmt.Errorf("raft: %w", err), tr.Close())
	}
	r.network.Store(tr)
	r.raft.Store(rf)
	if r.life.ctx.Err() != nil { // Close may have looked before there was a Raft
		return r.closeRaft()
	}
	r.setWaiting("")
	r.spawn(func() { r.lead.drain(r.life.ctx, notify) })
	r.spawn(r.leadWhenElected)
	r.spawn(r.greetOthers)
	r.spawn(r.carryHints)
	r.spawn(r.stayConfirmed)
	r.spawn(r.adopt)
	return nil
}

// newRaft is raft.NewRaft. That one takes an older snapshot when the newest is
// damaged. It panics when the log does not reach back to it, before it has started
// anything; and when the log is empty it would forget what this replica has
// acknowledged.
func (r *Replica) newRaft(notify chan<- bool, tr raft.Transport) (rf *raft.Raft, err error) {
	damaged := func(why any) error {
		return fmt.Errorf("the log in %s does not reach back to the newest snapshot that is whole (%v): %s", r.opts.DataDir, why, registry.LostDataAdvice)
	}
	defer func() {
		if why := recover(); why != nil {
			err = damaged(why)
		}
	}()
	rf, err = raft.NewRaft(r.raftConfig(notify), r.driven(), r.store.logs, r.store.votes, r.store.snapshots, tr)
	if newest := r.store.newestSnapshot(); err == nil && rf.LastIndex() < newest {
		rf.Shutdown()
		return nil, damaged(fmt.Sprintf("it ends at index %d, and there was a snapshot of %d", rf.LastIndex(), newest))
	}
	return rf, err
}

// raftLeads reports whether Raft takes this replica for the leader.
func (r *Replica) raftLeads() bool {
	rf := r.raft.Load()
	return rf != nil && rf.State() == raft.Leader
}

// raftTerm is 0 before Raft has started.
func (r *Replica) raftTerm() uint64 {
	if rf := r.raft.Load(); rf != nil {
		return rf.CurrentTerm()
	}
	return 0
}

func (r *Replica) raftConfig(notify chan<- bool) *raft.Config {
	t := r.opts.Timings
	c := raft.DefaultConfig()
	c.LocalID = raft.ServerID(r.opts.Name)
	c.HeartbeatTimeout = t.Heartbeat
	c.ElectionTimeout = t.Election
	c.LeaderLeaseTimeout = t.Lease
	c.CommitTimeout = t.Commit
	c.SnapshotThreshold = t.SnapshotEvery
	c.SnapshotInterval = t.SnapshotLook
	c.TrailingLogs = t.Trailing
	c.BatchApplyCh = true
	c.NoLegacyTelemetry = true
	c.NotifyCh = notify
	c.Logger = newQuiet(r.log.Named("raft"), &r.stopping)
	return c
}

// adopt waits for the log's first word on the cluster, compares this replica's
// store with it, and starts gossip, whose label is the cluster id.
func (r *Replica) adopt() {
	id, ok := r.awaitCluster(r.life.ctx)
	if !ok {
		return
	}
	if err := r.checkStore(); err != nil {
		r.refuse(err)
		return
	}
	if err := r.remember(func(i *identity) { i.ClusterID = id }); err != nil {
		r.halt(err)
		return
	}
	if err := r.startGossip(id); err != nil {
		r.halt(err)
		return
	}
	r.catchUp(r.life.ctx)
}

// awaitCluster gives the cluster id once an applied command has told it.
func (r *Replica) awaitCluster(ctx context.Context) (id registry.ClusterID, ok bool) {
	for {
		view, at := r.machine.View()
		if id := view.ClusterID(); id != "" {
			return id, true
		}
		if r.machine.Wait(ctx, at.Index+1) != nil {
			return "", false
		}
	}
}

// checkStore refuses a store that is not the one that was committed for this
// replica's name: its directory was wiped, swapped or copied.
func (r *Replica) checkStore() error {
	view, _ := r.machine.View()
	known, ok := view.Replica(r.opts.Name)
	if ok && known.StoreID != r.store.storeID {
		return wiped(r.opts.Name, known.StoreID, r.store.storeID)
	}
	return nil
}

func wiped(name registry.ReplicaName, want, have registry.StoreID) error {
	return registry.Errorf(registry.Conflict, "replica %s: the cluster knows store %s under this name, and this data directory holds store %s: it was wiped or swapped, and a replica that forgot its vote must not vote; %s", name, want, have, registry.LostDataAdvice)
}

// catchUp makes the replica ready once it has seen all that was committed when
// it came up.
func (r *Replica) catchUp(ctx context.Context) {
	for ctx.Err() == nil {
		once, cancel := context.WithTimeout(ctx, 5*time.Second)
		_, _, err := r.Read(once, registry.ReadOptions{})
		cancel()
		if err == nil {
			r.caughtUp.Store(true)
			r.log.Info("replica is ready", "api", r.opts.API, "index", r.machine.At().Index)
			return
		}
		_ = pause(ctx, joinEvery)
	}
}

// halt tells the owner, once, what makes it impossible to go on.
func (r *Replica) halt(err error) { r.halted.Do(func() { r.opts.Halt(err) }) }

// notApplied halts for an entry that the machine cannot read.
func (r *Replica) notApplied(err error) {
	advice := "start the release that wrote it, or a newer one"
	if errors.Is(err, fsm.ErrChanged) {
		advice = registry.LostDataAdvice
	}
	r.halt(fmt.Errorf("data directory %s: %w; %s", r.opts.DataDir, err, advice))
}

// refuse halts for good: the store must not be used again.
func (r *Replica) refuse(why error) {
	_ = r.remember(func(i *identity) { i.Refused = why.Error() }) // it is refused with or without a note
	r.halt(why)
}

// spawn runs f in a goroutine that Close waits for; once Close has begun it
// does not, and says so.
func (r *Replica) spawn(f func()) bool {
	r.life.Lock()
	defer r.life.Unlock()
	if r.life.closed {
		return false
	}
	r.life.wg.Go(f)
	return true
}

func (r *Replica) setWaiting(why string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.mu.waiting = why
}

// founding gives the roster that this replica founds a cluster with, if it does.
func (r *Replica) founding() []registry.Replica {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.store.id.Founding)
}

// belongs reports whether Raft may start without asking anybody: this store has
// been in a cluster, or founds one. One that has only ever voted asks first.
func (r *Replica) belongs() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	id := r.store.id
	return r.store.existing && (id.ClusterID != "" || len(id.Founding) > 0 || len(r.opts.Replicas) == 0)
}

// remember changes the identity file.
func (r *Replica) remember(change func(*identity)) error {
	r.writing.Lock()
	defer r.writing.Unlock()
	r.mu.Lock()
	next := *r.store.id
	r.mu.Unlock()
	change(&next)
	defer r.store.disk.watch("writing " + identityFile).end()
	if err := next.write(r.opts.DataDir); err != nil {
		return fmt.Errorf("data directory %s: %w", r.opts.DataDir, err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.store.id = &next
	return nil
}

// StepDown makes the replica not ready, sends its watchers away and hands
// leadership over, so that a planned stop costs the others no election time-out. If
// that is not done when ctx ends it is tried further, until Close.
// It never edits the configuration: a stopped replica is not a removed one.
func (r *Replica) StepDown(ctx context.Context) {
	r.stopping.Store(true)
	r.watches.close()
	r.lead.poke()
	r.passOn(ctx)
}

// Close ends the replica: Raft, then gossip without a goodbye, and the store
// last. It may be called more than once.
func (r *Replica) Close() error {
	r.life.Lock()
	first := !r.life.closed
	r.life.closed = true
	r.life.Unlock()
	if !first {
		<-r.life.ended
		return r.life.err
	}
	defer close(r.life.ended)
	r.stopping.Store(true)
	r.life.stop()
	r.writes.close()
	r.gate.close()
	r.watches.close()
	r.life.err = errors.Join(r.closeRaft(), r.closeGossip())
	r.life.wg.Wait()
	if r.store != nil {
		r.life.err = errors.Join(r.life.err, r.store.close())
	}
	return r.life.err
}

func (r *Replica) closeRaft() error {
	if r.streams == nil {
		return nil
	}
	rf := r.raft.Load()
	if rf == nil {
		return ignoreClosed(r.streams.Close())
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	// Raft closes its transport when all its goroutines have ended, and one of
	// them may be in a read: so the connections are broken first.
	done := rf.Shutdown()
	err := r.network.Load().Close()
	return errors.Join(err, await(ctx, done))
}

func (r *Replica) closeGossip() error {
	r.gossip.release()
	if g := r.members.Load(); g != nil {
		return g.Close()
	}
	return nil
}

func ignoreClosed(err error) error {
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// await waits for a future of Raft's, which after a shutdown may never come.
func await(ctx context.Context, f raft.Future) error {
	done := make(chan error, 1)
	go func() { done <- f.Error() }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}
