package main

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/hashicorp/go-metrics"
	promsink "github.com/hashicorp/go-metrics/prometheus"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/rota-registry/rota/registry"
)

// scrapeTimeout bounds the local read of a scrape; it waits for nothing but
// the state's lock.
const scrapeTimeout = time.Second

// metricsPage is what /metrics shows: rota's own numbers, those that raft, bolt
// and memberlist send to go-metrics, Go's and the process's.
type metricsPage struct {
	registry *prometheus.Registry
	requests *prometheus.HistogramVec
}

// newMetrics takes over go-metrics' sink of the process, which its libraries
// write to; so it is called once, before any of them starts.
func newMetrics() (*metricsPage, error) {
	page := &metricsPage{
		registry: prometheus.NewRegistry(),
		requests: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "rota_api_request_seconds",
			Help:    "How long requests to the API took, by procedure and by the code of their answer.",
			Buckets: prometheus.ExponentialBuckets(0.0001, 4, 9), // 0.1 ms to 6.5 s
		}, []string{"procedure", "code"}),
	}
	page.registry.MustRegister(
		page.requests,
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	sink, err := promsink.NewPrometheusSinkFrom(promsink.PrometheusOpts{Registerer: page.registry})
	if err != nil {
		return nil, err
	}
	config := metrics.DefaultConfig("")
	config.EnableHostname, config.EnableRuntimeMetrics = false, false
	if _, err := metrics.NewGlobal(config, sink); err != nil {
		return nil, err
	}
	return page, nil
}

// observe adds the numbers of a replica, read at each scrape.
func (p *metricsPage) observe(r observed) {
	p.registry.MustRegister(&replicaCollector{replica: r})
}

// attended adds how many agents attend this replica.
func (p *metricsPage) attended(count func() int) {
	p.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "rota_attended_agents", Help: "Agents that keep a connection to this replica, whose end is a sign that one has died.",
	}, func() float64 { return float64(count()) }))
}

// request counts one request to the API.
func (p *metricsPage) request(procedure, code string, took time.Duration) {
	p.requests.WithLabelValues(strings.TrimPrefix(procedure, "/"), code).Observe(took.Seconds())
}

func (p *metricsPage) handler() http.Handler {
	return promhttp.HandlerFor(p.registry, promhttp.HandlerOpts{ErrorHandling: promhttp.ContinueOnError})
}

// observed is what metrics need of a replica.
type observed interface {
	Self() registry.Greeting
	Watchers() int
	Disagrees() bool
	Read(ctx context.Context, options registry.ReadOptions) (*registry.View, registry.ReadInfo, error)
}

// replicaCollector implements prometheus.Collector.
type replicaCollector struct{ replica observed }

// metric describes one of rota's own numbers.
func metric(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("rota_"+name, help, labels, nil)
}

// replicaMetrics are the descriptions, all of them gauges.
func replicaMetrics() map[string]*prometheus.Desc {
	return map[string]*prometheus.Desc{
		"applied":   metric("replica_applied_index", "Index of the last log entry that this replica has applied."),
		"committed": metric("replica_commit_index", "Index of the last log entry that this replica knows to be committed."),
		"term":      metric("replica_term", "Raft's term."),
		"leader":    metric("replica_is_leader", "1 on the leader."),
		"voter":     metric("replica_is_voter", "1 on a replica that votes."),
		"ready":     metric("replica_ready", "1 on a replica that answers /readyz with 200."),
		"gossip":    metric("gossip_members", "Replicas alive in this replica's gossip view, itself included."),
		"members":   metric("pool_members", "Members of the pool, alive or not.", "pool"),
		"alive":     metric("pool_alive", "Members of the pool that are alive.", "pool"),
		"eligible":  metric("pool_eligible", "Members of the pool that are alive and not draining.", "pool"),
		"satisfied": metric("pool_satisfied", "0 for an exclusive pool with fewer nodes than it wants.", "pool"),
		"disagree":  metric("replicas_disagree", "1 while replicas hold different states at one index and no majority of them agrees."),
		"frozen":    metric("liveness_frozen", "Types of nodes of which this replica, while it leads, declares none failed; see rota liveness show."),
		"watchers":  metric("watchers", "Watchers of pools at this replica."),
		"nodes":     metric("nodes", "Nodes of the layout by state; draining ones are counted under their state, too.", "state"),
	}
}

// Describe implements prometheus.Collector.
func (c *replicaCollector) Describe(out chan<- *prometheus.Desc) {
	for _, desc := range replicaMetrics() {
		out <- desc
	}
}

// Collect implements prometheus.Collector.
func (c *replicaCollector) Collect(out chan<- prometheus.Metric) {
	descs := replicaMetrics()
	put := func(name string, value float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(descs[name], prometheus.GaugeValue, value, labels...)
	}
	self := c.replica.Self()
	put("applied", float64(self.Applied))
	put("committed", float64(self.Committed))
	put("term", float64(self.Term))
	put("leader", bit(self.Leader != "" && self.Leader == self.Name))
	put("voter", bit(self.Voter))
	put("ready", bit(self.Ready))
	put("gossip", float64(self.GossipMembers))
	put("disagree", bit(c.replica.Disagrees()))
	put("frozen", float64(len(self.FrozenTypes)))
	put("watchers", float64(c.replica.Watchers()))
	pools, nodes := c.read()
	for _, p := range pools {
		pool := string(p.Spec.Name)
		put("members", float64(len(p.Members)), pool)
		put("alive", float64(p.AliveCount), pool)
		put("eligible", float64(p.EligibleCount), pool)
		put("satisfied", bit(p.Satisfied), pool)
	}
	for state, count := range nodes {
		put("nodes", float64(count), state)
	}
}

// read gives the pools, and how many nodes there are in each state; nothing of
// a replica that has no state yet.
func (c *replicaCollector) read() (pools []registry.PoolInfo, nodes map[string]int) {
	ctx, cancel := context.WithTimeout(context.Background(), scrapeTimeout)
	defer cancel()
	view, _, err := c.replica.Read(ctx, registry.ReadOptions{Consistency: registry.Local})
	if err != nil {
		return nil, nil
	}
	nodes = map[string]int{"alive": 0, "failed": 0, "left": 0, "draining": 0}
	for _, n := range view.Layout() {
		nodes[n.State.String()]++
		if n.Draining {
			nodes["draining"]++
		}
	}
	return view.Pools(), nodes
}

func bit(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
