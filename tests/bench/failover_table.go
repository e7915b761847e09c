package main

import (
	"slices"
	"strconv"
	"time"
)

const (
	// stopMax is what a planned stop of the leader may cost in the median.
	stopMax = 200 * time.Millisecond
	// readMax is what a local read may take that nothing interrupts, on a machine
	// that does other things, too; readsMin is how many a loss must have had.
	readMax  = 100 * time.Millisecond
	readsMin = 50
)

// failoverTable shows what the losses of leaders cost, rota's first.
func failoverTable(kills, stops [2][]outage) string {
	text := "The longest time between two acknowledged writes around the loss, at the replicas that are left; local reads\n" +
		"(rota: hrw `local`; etcd: serializable `Get`) go on meanwhile. Elections as each is shipped.\n\n"
	lines := [][]string{{"loss of the leader", "system", "times", "p50", "p99", "longest", "local reads", "failed", "longest read", "target", "met?"}}
	lines = append(lines, lossLines("kill -9", kills, "no later than etcd at p50 and p99; no read fails or takes 100 ms", notLater(kills))...)
	lines = append(lines, lossLines("planned stop", stops, "200 ms at p50; no read fails or takes 100 ms", shortStops(stops))...)
	return text + markdown(lines, 2, 3, 4, 5, 6, 7, 8)
}

func lossLines(how string, both [2][]outage, target string, is bool) (lines [][]string) {
	for i, name := range []string{"rota", "etcd"} {
		s := summed(both[i])
		line := []string{
			how, name, strconv.Itoa(len(both[i])), latency(s.at(0.5)), latency(s.at(0.99)), latency(s.at(1)),
			thousands(s.reads), strconv.Itoa(s.failedReads), latency(s.longestRead), none, none,
		}
		if i == 0 {
			line[9], line[10] = target, met(len(both[0]) > 0, is)
		}
		lines = append(lines, line)
	}
	return lines
}

// losses is all outages of one system.
type losses struct {
	outage
	sorted []time.Duration
}

func summed(all []outage) (s losses) {
	for _, o := range all {
		s.sorted = append(s.sorted, o.writes)
		s.reads, s.failedReads, s.longestRead = s.reads+o.reads, s.failedReads+o.failedReads, max(s.longestRead, o.longestRead)
	}
	slices.Sort(s.sorted)
	return s
}

// at is a quantile of the times without writes; 0 when there are none.
func (s losses) at(q float64) time.Duration {
	if len(s.sorted) == 0 {
		return 0
	}
	return quantile(s.sorted, q)
}

func notLater(both [2][]outage) bool {
	rota, etcd := summed(both[0]), summed(both[1])
	return rota.at(0.5) <= etcd.at(0.5) && rota.at(0.99) <= etcd.at(0.99) && rota.uninterrupted()
}

func shortStops(both [2][]outage) bool {
	rota := summed(both[0])
	return rota.at(0.5) <= stopMax && rota.uninterrupted()
}

// uninterrupted reports whether local reads went on as if nothing had happened.
func (s losses) uninterrupted() bool {
	return s.failedReads == 0 && s.longestRead < readMax && s.reads >= readsMin*len(s.sorted)
}
