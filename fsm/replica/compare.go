package replica

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/hashicorp/raft"
	"github.com/rota-registry/rota/fsm"
	"github.com/rota-registry/rota/registry"
)

// Replicas compare the hashes of what they have applied (see fsm.Chain) when
// they greet each other. One that a majority of the voters contradicts stops
// and does not come back: its state is not the cluster's, and whatever it would
// answer may be wrong. Where no majority agrees nobody knows who is right, and
// all go on and say so.

// opinion is a voter's hash of what is before one index.
type opinion struct {
	name registry.ReplicaName
	hash uint64
}

// verdict is what the voters' hashes say about this replica's.
type verdict struct {
	of registry.Checkpoint // this replica's; no index: nobody contradicts it
	// refuted says that a majority holds another hash, theirs.
	refuted bool
	theirs  uint64
	// others are those who contradict it, by name.
	others []registry.ReplicaName
}

// judge compares this replica's checkpoints with those of other voters; voters
// is how many there are in all. A replica that has not answered, or has passed
// none of the same checkpoints, has no opinion.
func judge(mine []registry.Checkpoint, others map[registry.ReplicaName][]registry.Checkpoint, voters int) (v verdict) {
	for _, c := range slices.Backward(mine) {
		if is := judgeOne(c, opinions(c, others), voters/2+1); is.refuted || is.of.Index != 0 && v.of.Index == 0 {
			if v = is; v.refuted {
				return v
			}
		}
	}
	return v
}

// opinions gives those of others on one checkpoint, by hash and name.
func opinions(c registry.Checkpoint, others map[registry.ReplicaName][]registry.Checkpoint) (out []opinion) {
	for name, checks := range others {
		for _, o := range checks {
			if o.Index == c.Index && o.From == c.From {
				out = append(out, opinion{name, o.Hash})
			}
		}
	}
	slices.SortFunc(out, func(a, b opinion) int {
		return cmp.Or(cmp.Compare(a.hash, b.hash), strings.Compare(string(a.name), string(b.name)))
	})
	return out
}

func judgeOne(c registry.Checkpoint, of []opinion, majority int) (v verdict) {
	agree := 1 // with this replica, itself included
	for len(of) > 0 {
		n := 1
		for n < len(of) && of[n].hash == of[0].hash {
			n++
		}
		if of[0].hash == c.Hash {
			agree += n
		} else {
			v.of = c
			for _, o := range of[:n] {
				v.others = append(v.others, o.name)
			}
			if n >= majority {
				return verdict{of: c, refuted: true, theirs: of[0].hash, others: v.others[len(v.others)-n:]}
			}
		}
		of = of[n:]
	}
	if agree >= majority { // it is others who are wrong, and find it themselves
		return verdict{}
	}
	return v
}

// compare judges this replica by what others answered to its greeting.
func (r *Replica) compare(answers []answered) {
	rf := r.raft.Load()
	mine := r.machine.Checkpoints()
	if rf == nil || len(mine) == 0 {
		return
	}
	all := voters(rf)
	others := make(map[registry.ReplicaName][]registry.Checkpoint)
	for _, a := range answers {
		_, known, ok := r.known(a.Name)
		if a.err == nil && ok && a.Name != r.opts.Name && known.StoreID == a.StoreID && slices.Contains(all, a.Name) {
			others[a.Name] = a.Checkpoints
		}
	}
	switch v := judge(mine, others, len(all)); {
	case v.refuted:
		r.refuse(registry.Errorf(registry.Internal, "replica %s: at index %d the hash of all that it has applied is %016x, and at %s it is %016x: its state is not the cluster's; keep its data directory for whoever looks into it, and %s",
			r.opts.Name, v.of.Index, v.of.Hash, names(v.others), v.theirs, registry.LeaveOffAdvice))
	case v.of.Index == 0:
		if r.disagrees.Swap(0) != 0 {
			r.log.Info("the replicas agree again on what they have applied")
		}
	case r.disagrees.Swap(uint64(v.of.Index)) != uint64(v.of.Index):
		r.log.Error("replicas have applied different entries, and no majority agrees which: stop the writes, compare their data directories, and leave off those that are wrong",
			"index", v.of.Index, "hash", fmt.Sprintf("%016x", v.of.Hash), "others", names(v.others))
	}
}

func names(list []registry.ReplicaName) string {
	var b strings.Builder
	for i, n := range list {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(string(n))
	}
	return b.String()
}

// Disagrees reports whether voters hold different states at one index and no
// majority of them agrees.
func (r *Replica) Disagrees() bool { return r.disagrees.Load() != 0 }

// machineHooks let this package's tests have a machine that goes wrong, and
// checkpoints at which that shows soon; none is set otherwise.
type machineHooks struct {
	every registry.Index
	wrap  func(*fsm.Machine) raft.FSM
}

func (h machineHooks) build(halt func(error)) *fsm.Machine {
	if h.every > 0 {
		return fsm.NewCheckedMachine(halt, h.every)
	}
	return fsm.NewMachine(halt)
}

// driven is what Raft drives.
func (r *Replica) driven() raft.FSM {
	switch {
	case r.opts.machine.wrap != nil:
		return r.opts.machine.wrap(r.machine)
	case r.opts.Applying != nil:
		return overheard{r.machine, r.opts.Applying}
	}
	return r.machine
}

// overheard is a machine whose entries somebody else hears of first.
type overheard struct {
	*fsm.Machine
	applying func([]*raft.Log)
}

// ApplyBatch applies entries.
func (o overheard) ApplyBatch(entries []*raft.Log) []any {
	o.applying(entries)
	return o.Machine.ApplyBatch(entries)
}
