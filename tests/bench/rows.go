package main

import (
	"fmt"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/rota-registry/rota/rpc/client"
	"github.com/rota-registry/rota/tests/bench/load"
)

// row is one line of the table: what rota does, beside what users would
// otherwise take, and what it should reach.
type row struct {
	what string
	rota work
	// latency compares the median latencies, not the rates.
	latency bool
	against []against
	// least is the rate that it should reach alone; 0 is none.
	least float64
}

// against is a rival. Rota should reach factor times its rate, or take at most
// factor times its latency; 0 only shows it.
type against struct {
	rival  work
	factor float64
}

// Connections of the clients that do not combine: as many for each system.
const (
	plainConns = 16
	redisConns = 128
	txnPuts    = 128 // etcd's own limit of operations
	pipelined  = 16
	batch      = 1_000
	batchers   = 8
)

// rows are the table, in order.
func rows() []row {
	put1 := putting("Put, 1 caller", 1, 1, leader, put)
	put64 := putting("Put, 64 callers", 64, plainConns, leader, put)
	put1024 := putting("Put, 1,024 callers", 1024, plainConns, leader, put)
	txn1024 := putting("Txn of 128 Puts, 64 callers", 64, plainConns, leader, txn(txnPuts))
	incr64 := counting("INCR, 64 callers", 64, 64, incr(1))
	incr1024 := counting("INCR, 1,024 callers", 1024, redisConns, incr(1))
	incrPipe := counting("INCR pipelined by 16, 64 callers", 64, 64, incrPipelined(pipelined))
	incrBy := counting("INCRBY 1000, 8 callers", batchers, batchers, incr(batch))
	get64 := putting("Get, linearizable, 64 callers", 64, plainConns, everyone, get())
	get1024 := putting("Get, linearizable, 1,024 callers", 1024, plainConns, everyone, get())
	getLocal := putting("Get, serializable, 1,024 callers", 1024, plainConns, everyone, get(clientv3.WithSerializable()))
	rr64, rr1024 := rr(64, leader, "rr, 64 callers"), rr(1024, leader, "rr, 1,024 callers")
	return []row{
		{what: "rr, 1 caller, p50", rota: rr(1, leader, "rr, 1 caller"), latency: true, against: []against{{put1, 0.8}}},
		{what: "rr, 64 callers, combined by the client", rota: rr64, against: []against{{put64, 3}}},
		{what: "rr, 1,024 callers, combined by the client", rota: rr1024, against: []against{{put1024, 12}, {incr1024, 2}, {txn1024, 0}, {incrPipe, 0}}},
		{what: "rr, plain unary gRPC, 64 callers", rota: plainRR(64, leader, plainConns, true, "rr, unary gRPC, 64 callers"), against: []against{{put64, 1}, {incr64, 0}}},
		{what: "rr, plain unary gRPC, 1,024 callers", rota: plainRR(1024, leader, plainConns, true, "rr, unary gRPC, 1,024 callers"), against: []against{{put1024, 1}, {incr1024, 0}}},
		{what: "the same on the API's port, 64 callers", rota: plainRR(64, leader, plainConns, false, "rr, unary gRPC, API's port, 64 callers"), against: []against{{put64, 0}}},
		{what: "the same on the API's port, 1,024 callers", rota: plainRR(1024, leader, plainConns, false, "rr, unary gRPC, API's port, 1,024 callers"), against: []against{{put1024, 0}}},
		{what: "rr in batches of 1,000", rota: rrMany(batchers, batch, "rr, 1,000 a call, 8 callers"), least: 1e6, against: []against{{incrBy, 0}}},
		{what: "rr of followers only, 64 callers", rota: rr(64, followers, "rr of followers, 64 callers"), against: []against{{rr64, 0.7}}},
		{what: "rr of followers only, 1,024 callers", rota: rr(1024, followers, "rr of followers, 1,024 callers"), against: []against{{rr1024, 0.7}}},
		{what: "hrw linearizable, any replica, 64 callers", rota: hrwOne(64, "hrw, 64 callers"), against: []against{{get64, 2}}},
		{what: "hrw linearizable, any replica, 1,024 callers", rota: hrwOne(1024, "hrw, 1,024 callers"), against: []against{{get1024, 5}}},
		{what: "hrw local, 1,024 callers", rota: hrwOne(1024, "hrw local, 1,024 callers", client.Local()), against: []against{{getLocal, 3}}},
		{what: "HrwTopics, 1,000 keys a call, 10 members", rota: hrwMany(batchers, batch, "hrw, 1,000 keys a call, 8 callers"), least: 1e6},
	}
}

// works lists what is to be done to one system for some rows, each once.
func works(of []row, on system) []work {
	var list []work
	seen := make(map[string]bool)
	add := func(w work) {
		if w.on == on && !seen[w.String()] {
			seen[w.String()] = true
			list = append(list, w)
		}
	}
	for _, r := range of {
		add(r.rota)
		for _, a := range r.against {
			add(a.rival)
		}
	}
	return list
}

// outcome is what one work came to over all rounds: medians.
type outcome struct {
	rate float64
	p50  time.Duration
	err  error
}

// summary takes the medians of the rounds.
func summary(rounds []load.Result, err error) outcome {
	if err != nil || len(rounds) == 0 {
		return outcome{err: err}
	}
	var rates []float64
	var p50s []time.Duration
	for _, r := range rounds {
		rates, p50s = append(rates, r.Rate()), append(p50s, r.Latencies.Quantile(0.5))
	}
	return outcome{rate: load.Median(rates), p50: load.Median(p50s)}
}

// lines are a row's in the table, one for each rival.
func (r row) lines(of map[string]outcome) []string {
	own := of[r.rota.String()]
	if own.err != nil {
		return []string{fmt.Sprintf("| %s | %v | | | | |", r.what, own.err)}
	}
	var lines []string
	if r.least > 0 {
		lines = append(lines, fmt.Sprintf("| %s | %s | | | %s | %s |", r.what, perSecond(own.rate), perSecond(r.least), met(own.rate >= r.least)))
	}
	for _, a := range r.against {
		lines = append(lines, r.line(a, own, of[a.rival.String()]))
	}
	return lines
}

func (r row) line(a against, own, other outcome) string {
	if other.err != nil {
		return fmt.Sprintf("| %s | %s | %s: %v | | | |", r.what, r.shown(own), a.rival, other.err)
	}
	ratio := own.rate / other.rate
	reached := ratio >= a.factor
	if r.latency {
		ratio = float64(own.p50) / float64(other.p50)
		reached = ratio <= a.factor
	}
	target, verdict := "shown", ""
	if a.factor > 0 {
		target, verdict = fmt.Sprintf("%.3g ×", a.factor), met(reached)
	}
	return fmt.Sprintf("| %s | %s | %s: %s | %.2f × | %s | %s |", r.what, r.shown(own), a.rival, r.shown(other), ratio, target, verdict)
}

func (r row) shown(o outcome) string {
	if r.latency {
		return o.p50.Round(10 * time.Microsecond).String()
	}
	return perSecond(o.rate)
}

func met(yes bool) string {
	if yes {
		return "yes"
	}
	return "no"
}

// perSecond gives three digits, which is more than one run can tell.
func perSecond(rate float64) string {
	switch {
	case rate >= 1e6:
		return fmt.Sprintf("%.2f M/s", rate/1e6)
	case rate >= 1e4:
		return fmt.Sprintf("%.0f k/s", rate/1e3)
	case rate >= 1e3:
		return fmt.Sprintf("%.1f k/s", rate/1e3)
	}
	return fmt.Sprintf("%.0f/s", rate)
}
