package replica

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/rota-registry/rota/gossip"
	"github.com/rota-registry/rota/registry"
)

// askTimeout bounds asking the others about suspects: a probe, some more if it takes
// longer there, and the way. Who does not answer in it counts neither way.
const askTimeout = 500 * time.Millisecond

// ask has all voters say what they see of the suspects, this replica included.
func (r *Replica) ask(suspects []registry.Suspect) []registry.Said {
	ctx, cancel := context.WithTimeout(r.life.ctx, askTimeout)
	defer cancel()
	var views, probes []registry.Life
	for _, s := range suspects {
		if s.Probe {
			probes = append(probes, s.Life)
		} else {
			views = append(views, s.Life)
		}
	}
	var inView, called []registry.Said
	var wg sync.WaitGroup
	wg.Go(func() { inView = r.gather(ctx, views, false) })
	wg.Go(func() { called = r.gather(ctx, probes, true) })
	wg.Wait()
	return append(inView, called...)
}

// gather asks all voters at once about lives.
func (r *Replica) gather(ctx context.Context, lives []registry.Life, probe bool) []registry.Said {
	if len(lives) == 0 {
		return nil
	}
	names := voters(r.raft.Load())
	answers := make([][]registry.Sight, len(names))
	var wg sync.WaitGroup
	for i, name := range names {
		wg.Go(func() {
			if name == r.opts.Name {
				answers[i] = r.SeesNodes(ctx, lives, probe)
				return
			}
			of, ok := r.book.lookup(name)
			if !ok {
				return
			}
			var err error
			if answers[i], err = r.opts.Caller.SeesNodes(ctx, of.API, lives, probe); err != nil {
				r.log.Debug("a replica did not say whether it sees nodes", "replica", name, "nodes", len(lives), "error", err)
			}
		})
	}
	wg.Wait()
	said := make([]registry.Said, len(lives))
	for i, life := range lives {
		said[i] = registry.Said{Life: life, Probed: probe}
		for j, name := range names {
			if answers[j] == nil {
				continue
			}
			switch answers[j][i] {
			case registry.Sees:
				said[i].SeenBy = name
			case registry.Misses:
				said[i].Missed++
			}
		}
	}
	return said
}

// SeesNodes says of each life whether this replica's gossip shows it; or, with
// probe, whether the life answers when it is called directly, whatever gossip
// shows.
func (r *Replica) SeesNodes(ctx context.Context, lives []registry.Life, probe bool) []registry.Sight {
	sights := make([]registry.Sight, len(lives)) // all Unsure
	g := r.members.Load()
	if g == nil {
		return sights
	}
	inView := r.inView(g)
	if probe {
		ctx, cancel := soonerThan(ctx, tellIn)
		defer cancel()
		var wg sync.WaitGroup
		for i, life := range lives {
			wg.Go(func() { sights[i] = r.probe(ctx, g, life, inView(life)) })
		}
		wg.Wait()
		return sights
	}
	for i, life := range lives {
		sights[i] = inView(life)
	}
	return sights
}

// tellIn is what an answer needs for its way: who waits for it until a deadline
// hears what is known by then, and nothing of those whose probes take longer.
const tellIn = 100 * time.Millisecond

// soonerThan is ctx with a deadline so much before its own, if it has one.
func soonerThan(ctx context.Context, by time.Duration) (context.Context, context.CancelFunc) {
	end, ends := ctx.Deadline()
	if !ends {
		return context.WithCancel(ctx)
	}
	return context.WithDeadline(ctx, end.Add(-by))
}

// inView looks at the view once, and says of lives whether it shows them. Of whom
// it does not show nothing is known while gossip is young: until then it may not
// have heard of everybody.
func (r *Replica) inView(g *gossip.Gossip) func(registry.Life) registry.Sight {
	shown := make(map[registry.Life]bool)
	seen, replicas := r.lives()
	for _, s := range seen {
		shown[registry.Life{Name: s.Name, Boot: s.Boot}] = true
	}
	otherwise := registry.Misses
	if g.Age() < r.opts.GossipProfile.Suspicion(len(seen)+replicas) {
		otherwise = registry.Unsure
	}
	return func(life registry.Life) registry.Sight {
		if shown[life] {
			return registry.Sees
		}
		return otherwise
	}
}

// probe calls a life at all addresses that are known of it. One that is
// silent and takes connections is missed only if gossip has lost it, too: gossip
// goes on over TCP where UDP is lost, and a broken connection proves nothing then.
// So is one whose host's name has gone, as that of a container does with it. Who can
// be called nowhere else for any other reason is not missed: it is as likely this
// replica's fault.
func (r *Replica) probe(ctx context.Context, g *gossip.Gossip, life registry.Life, inView registry.Sight) registry.Sight {
	view, _ := r.machine.View()
	record := registry.Node{Name: life.Name, Boot: life.Boot}
	if of, err := view.Node(life.Name); err == nil && of.Boot == life.Boot {
		record = of.Node
	}
	asked, most := false, gossip.Silent
	for _, c := range call(ctx, g, record) {
		asked = asked || c.fault == nil || errors.Is(c.fault, gossip.ErrNoHost) && inView == registry.Misses
		most = max(most, c.reply) // Silent where there is a fault
	}
	switch {
	case !asked:
		return registry.Unsure
	case most == gossip.Answered:
		return registry.Sees
	case most == gossip.Connected && inView != registry.Misses:
		return registry.Unsure
	default:
		return registry.Misses
	}
}

// called is what a life said at one address.
type called struct {
	addr  string
	reply gossip.Reply
	fault error
}

// call asks a life at all addresses that are known of it, at once.
func call(ctx context.Context, g *gossip.Gossip, n registry.Node) []called {
	at := whereSeen(g, n)
	calls := make([]called, len(at))
	var wg sync.WaitGroup
	for i, addr := range at {
		wg.Go(func() {
			reply, err := g.Probe(ctx, string(n.Name), string(n.Boot), addr)
			calls[i] = called{addr, reply, err}
		})
	}
	wg.Wait()
	return calls
}

// sayFreezes logs what a decision has frozen and thawed.
func (r *Replica) sayFreezes(before, after registry.Memory) {
	for t := range after.Frozen {
		if _, was := before.Frozen[t]; !was {
			r.log.Warn("too many nodes of a type were lost at once: none of them is declared failed until they are back, or a majority of the replicas has probed them in vain; see rota liveness show", "type", t)
		}
	}
	for t := range before.Frozen {
		if _, is := after.Frozen[t]; !is {
			r.log.Info("nodes of a type are declared failed again", "type", t)
		}
	}
}

// tell lets others read what the leader remembers; a zero look is nothing.
func (l *leadership) tell(of look) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.mu.look = of
}

// told gives what the leader remembers.
func (l *leadership) told() look {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.mu.look
}

// thaw asks for types to be thawed by the next decision.
func (l *leadership) thaw(types []registry.NodeType) {
	l.mu.Lock()
	l.mu.thaws = append(l.mu.thaws, types...)
	l.mu.Unlock()
	l.poke()
}

func (l *leadership) takeThaws() []registry.NodeType {
	l.mu.Lock()
	defer l.mu.Unlock()
	types := l.mu.thaws
	l.mu.thaws = nil
	return types
}

// Liveness asks the leader, wherever it is, what keeps it from following its
// gossip; with thaw it ends the freeze of a type first, or of all if that is
// empty, and the report is of before.
func (r *Replica) Liveness(ctx context.Context, thaw bool, t registry.NodeType) (report registry.LivenessReport, err error) {
	err = r.untilLeader(ctx, func(ctx context.Context) (err error) {
		if r.leading() != 0 {
			report, err = r.OwnLiveness(thaw, t)
			return err
		}
		_, api := r.leader()
		if api == "" || api == r.opts.API {
			return r.noLeader()
		}
		report, err = r.opts.Caller.Liveness(ctx, api, thaw, t)
		return err
	})
	return report, err
}

// OwnLiveness is Liveness for other replicas: it is refused by who does not lead.
func (r *Replica) OwnLiveness(thaw bool, t registry.NodeType) (registry.LivenessReport, error) {
	if r.leading() == 0 {
		return registry.LivenessReport{}, r.noLeader()
	}
	report := r.livenessReport()
	if thaw {
		var types []registry.NodeType
		for _, f := range report.Frozen {
			if t == "" || f.Type == t {
				types = append(types, f.Type)
			}
		}
		r.lead.thaw(types)
	}
	return report, nil
}

func (r *Replica) livenessReport() registry.LivenessReport {
	l := r.lead.told()
	view, _ := r.machine.View()
	report := l.memory.Report(view, registry.Millis(time.Since(l.began).Milliseconds()))
	report.Leader = r.opts.Name
	return report
}

// frozenTypes are those of a leader, as many as a greeting may carry.
func (r *Replica) frozenTypes() []registry.NodeType {
	var types []registry.NodeType
	for _, f := range r.livenessReport().Frozen {
		if len(types) < registry.FrozenTypesMax {
			types = append(types, f.Type)
		}
	}
	return types
}
