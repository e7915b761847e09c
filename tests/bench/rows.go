package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/rota-registry/rota/rpc/client"
)

// What every comparison has: replicas of rota and of etcd, members of the pool
// that is asked, and connections of those rows that have their own.
const (
	replicas    = 3
	members     = 10
	connections = 16
)

// system is a group of processes that is alone while it is measured.
type system int

const (
	onRota system = iota
	onEtcd
	onRedis
)

// contender is one thing that can be measured. Rows may share one: it is then
// measured once for all of them.
type contender struct {
	on   system
	name string
	run  func(context.Context, *bench) (result, error)
}

// rival is what a row is compared with.
type rival struct {
	contender
	// atLeast is the target of rota's rate over the rival's; 0 is none.
	atLeast float64
	// atMost is that of rota's median latency over the rival's; 0 is none.
	atMost float64
}

// row is one line of work that people have rota do.
type row struct {
	name   string // for -only
	work   string
	ours   contender
	by     measure
	least  float64 // answers a second that are the target; 0 is none
	rivals []rival
}

// measure is what of a result is shown.
type measure int

const (
	byRate measure = iota
	byP50
)

func etcdPuts(callers int) contender {
	return contender{onEtcd, fmt.Sprintf("etcd Put, %d", callers), etcdWith(callers, etcdPut)}
}

func redisIncrs(callers int) contender {
	return contender{onRedis, fmt.Sprintf("Redis INCR, %d", callers), redisWith(callers, redisIncr)}
}

func ours(name string, run func(context.Context, *bench) (result, error)) contender {
	return contender{onRota, name, run}
}

// rows are all that is measured, in the order in which they are shown.
func rows() []row {
	var all []row
	for _, some := range [][]row{rrRows(), unaryRows(), batchRows(), followerRows(), hrwRows()} {
		all = append(all, some...)
	}
	return append(all, row{
		name: "hrw-watched", work: "hrw from a watched copy of the pool, in the client, 1 caller (12.5 M/s are 80 ns each)", least: 12.5e6,
		ours: ours("hrw of a watched pool", rotaWatched),
	})
}

func rrRows() []row {
	const most = 8 // callers that have 128 operations each
	txn := contender{onEtcd, fmt.Sprintf("etcd Txn of %d Puts, %d", etcdTxnOps, most), etcdWith(most, etcdTxn)}
	pipelined := contender{onRedis, fmt.Sprintf("Redis INCR pipelined by %d, 64", redisPipeline), redisWith(64, redisPipelined)}
	return []row{
		{
			name: "rr-1", work: "rr, 1 caller, p50", by: byP50,
			ours:   ours("rr, 1", rotaWith(1, everywhere, rotaInTurn)),
			rivals: []rival{{contender: etcdPuts(1), atMost: 0.8}},
		},
		{
			name: "rr-64", work: "rr, 64 callers of one client",
			ours:   ours("rr, 64", rotaWith(64, shared, rotaRR)),
			rivals: []rival{{contender: etcdPuts(64), atLeast: 3}},
		},
		{
			name: "rr-1024", work: "rr, 1,024 callers of one client",
			ours: ours("rr, 1024", rotaWith(1024, shared, rotaRR)),
			rivals: []rival{
				{contender: etcdPuts(1024), atLeast: 12},
				{contender: redisIncrs(1024), atLeast: 2},
				{contender: txn},
				{contender: pipelined},
			},
		},
	}
}

func unaryRows() (all []row) {
	for _, callers := range []int{64, 1024} {
		all = append(all, row{
			name: fmt.Sprintf("unary-%d", callers), work: fmt.Sprintf("rr, plain unary gRPC, %s callers", thousands(callers)),
			ours: ours(fmt.Sprintf("unary rr, %d", callers), rotaUnary(callers, grpcPort)),
			rivals: []rival{
				{contender: etcdPuts(callers), atLeast: 1},
				{contender: redisIncrs(callers)},
				{contender: ours(fmt.Sprintf("the same of the API's port, %d", callers), rotaUnary(callers, apiPort))},
			},
		})
	}
	return all
}

func batchRows() []row {
	const n, callers = 1000, 8
	return []row{
		{
			name: "rr-batch", work: fmt.Sprintf("rr in batches of %s, %d callers", thousands(n), callers), least: 1e6,
			ours: ours("rr in batches", rotaWith(callers, everywhere, rotaRRN(n))),
			rivals: []rival{{contender: contender{
				onRedis, fmt.Sprintf("Redis INCRBY %d, %d", n, callers), redisWith(callers, redisIncrBy(n)),
			}}},
		},
		{
			name: "rr-prefetch", work: "rr with Prefetch, 64 callers",
			ours:   ours("rr with turns taken ahead", rotaPrefetch),
			rivals: []rival{{contender: etcdPuts(64)}},
		},
	}
}

// followerRows compare rota with itself: what a program loses that asks
// replicas which do not lead.
func followerRows() (all []row) {
	for _, callers := range []int{64, 1024} {
		leader := ours(fmt.Sprintf("rr of the leader, %d", callers), rotaWith(callers, onLeader, rotaRR))
		all = append(all, row{
			name: fmt.Sprintf("followers-%d", callers), work: fmt.Sprintf("rr asked of followers only, %s callers", thousands(callers)),
			ours:   ours(fmt.Sprintf("rr of followers, %d", callers), rotaWith(callers, onFollowers, rotaRR)),
			rivals: []rival{{contender: leader, atLeast: 0.7}},
		})
	}
	return all
}

func hrwRows() []row {
	linearizable := func(callers int, atLeast float64) row {
		return row{
			name: fmt.Sprintf("hrw-%d", callers), work: fmt.Sprintf("hrw linearizable, any replica, %s callers", thousands(callers)),
			ours: ours(fmt.Sprintf("hrw, %d", callers), rotaWith(callers, everywhere, rotaHRW())),
			rivals: []rival{{contender: contender{
				onEtcd, fmt.Sprintf("etcd linearizable Get, %d", callers), etcdWith(callers, etcdGet()),
			}, atLeast: atLeast}},
		}
	}
	return []row{
		linearizable(64, 2),
		linearizable(1024, 5),
		{
			name: "hrw-local", work: "hrw local, any replica, 1,024 callers",
			ours: ours("hrw local, 1024", rotaWith(1024, everywhere, rotaHRW(client.Local()))),
			rivals: []rival{{contender: contender{
				onEtcd, "etcd serializable Get, 1024", etcdWith(1024, etcdGet(clientv3.WithSerializable())),
			}, atLeast: 3}},
		},
		{
			name: "hrw-batch", work: fmt.Sprintf("hrw of %s keys a call, 8 callers", thousands(keys)), least: 1e6,
			ours: ours("hrw of many keys", rotaWith(8, everywhere, rotaHRWs)),
		},
	}
}

// listRows prints the rows and their targets.
func listRows(out io.Writer, all []row) error {
	lines := [][]string{{"row", "work", "target"}}
	for _, r := range all {
		lines = append(lines, []string{r.name, r.work, strings.Join(r.targets(), "; ")})
	}
	_, err := io.WriteString(out, markdown(lines))
	return err
}

func (r row) targets() (all []string) {
	if r.least > 0 {
		all = append(all, r.floor())
	}
	for _, o := range r.rivals {
		if t := o.target(); t != none {
			all = append(all, t+" "+o.name)
		}
	}
	return all
}

func (r row) floor() string { return "≥ " + number(r.least) + "/s" }

func (o rival) target() string {
	switch {
	case o.atLeast > 0:
		return fmt.Sprintf("≥ %g ×", o.atLeast)
	case o.atMost > 0:
		return fmt.Sprintf("≤ %g ×", o.atMost)
	}
	return none
}

// met says whether a ratio of rota over the rival is what it should be.
func (o rival) met(ratio float64) bool {
	return ratio >= o.atLeast && (o.atMost == 0 || ratio <= o.atMost)
}
