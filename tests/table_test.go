package tests_test

// module is ours; own packages are written relative to it.
const module = "github.com/rota-registry/rota"

// Third-party modules, and prefixes of their packages' paths.
const (
	bolt       = "go.etcd.io/bbolt"
	cobra      = "github.com/spf13/cobra"
	grpc       = "google.golang.org/grpc"
	etcd       = "go.etcd.io/etcd/client/v3"
	genproto   = "google.golang.org/genproto/googleapis/rpc" // grpc's own messages
	connect    = "connectrpc.com/connect"
	hclog      = "github.com/hashicorp/go-hclog"
	memberlist = "github.com/hashicorp/memberlist"
	nftables   = "github.com/google/nftables"
	metrics    = "github.com/hashicorp/go-metrics"
	pflag      = "github.com/spf13/pflag"
	porcupine  = "github.com/anishathalye/porcupine"
	prometheus = "github.com/prometheus/client_golang"
	protobuf   = "google.golang.org/protobuf"
	raft       = "github.com/hashicorp/raft"
	raftBolt   = "github.com/hashicorp/raft-boltdb/v2"
	redis      = "github.com/redis/go-redis/v9"
	term       = "golang.org/x/term"
	yaml       = "github.com/goccy/go-yaml"
	zap        = "go.uber.org/zap" // etcd's logger
)

// layer says what a package may import.
type layer struct {
	own     []string // of ours
	modules []string // third-party modules
	never   []string // of the standard library, with what is below them
	except  []string // from never
}

// impure is what makes an answer depend on more than the log: clocks, chance,
// the machine, other goroutines.
func impure() []string {
	return []string{
		"context", "crypto/rand", "database", "io", "log", "math/rand", "net", "os", "plugin", "runtime", "sync", "syscall", "time", "unsafe",
	}
}

// layers is the import table: a package that is not in it fails the test. A
// new package is a decision, and this is where it is recorded. Tests of a
// package may also import any other package of ours, and testModules.
func layers() map[string]layer {
	const gen, genConnect = "rpc/gen/rota/v1", "rpc/gen/rota/v1/rotav1connect"
	return map[string]layer{
		"registry":     {own: []string{"registry/hrw"}, never: impure()},
		"registry/hrw": {never: impure(), except: []string{"net/netip"}},
		// Of time it has the type of a span, and no clock.
		"registry/pace": {never: impure(), except: []string{"time"}},
		// Raft hands readers over and calls from several goroutines; what the
		// machine decides reads neither clock nor chance nor disk.
		"fsm": {
			own: []string{"registry"}, modules: []string{raft, protobuf},
			never: []string{"crypto/rand", "log", "math/rand", "net", "os", "runtime", "syscall", "time", "unsafe"},
		},
		"fsm/combine": {own: []string{"fsm", "registry", "registry/pace"}, never: impure(), except: []string{"time"}},
		"gossip":      {modules: []string{memberlist, hclog}},
		"fsm/replica": {
			own:     []string{"fsm", "fsm/combine", "registry", "gossip"},
			modules: []string{raft, raftBolt, bolt, hclog, metrics},
		},
		"fsm/replica/metricscompat": {modules: []string{metrics}}, // a module of its own
		gen:                         {modules: []string{protobuf}},
		genConnect:                  {own: []string{gen}, modules: []string{connect}},
		"rpc/proto/generate":        {modules: []string{"github.com/bufbuild/protocompile", protobuf}}, // a module of its own
		"rpc/wire":                  {own: []string{"registry", "registry/hrw", gen}, modules: []string{connect, protobuf}},
		"rpc/server": {
			// hclog for its logger, which is an argument like everyone's.
			own:     []string{"registry", "registry/hrw", "rpc/wire", gen, genConnect},
			modules: []string{connect, grpc, genproto, protobuf, hclog},
		},
		"rpc/client": {
			own:     []string{"registry", "registry/hrw", "registry/pace", "rpc/wire", "rpc/transport", gen, genConnect},
			modules: []string{connect, protobuf},
		},
		"rpc/replicas": {
			own:     []string{"registry", "rpc/wire", "rpc/transport", gen, genConnect},
			modules: []string{connect, protobuf},
		},
		"rpc/transport":               {},
		"rpc/transport/transporttest": {}, // for tests of those three
		"cmd/rota": {
			own: []string{
				"registry", "registry/hrw", "gossip", "fsm/replica",
				"rpc/wire", "rpc/server", "rpc/client", "rpc/replicas", gen,
			},
			modules: []string{cobra, pflag, yaml, prometheus, term, hclog, metrics, protobuf},
		},
		"tests": {},
		"tests/check": {
			own:     []string{"fsm", "registry", "registry/hrw"},
			modules: []string{porcupine, raft},
		},
		"tests/bench": { // a module of its own
			own:     []string{"registry", "registry/hrw", "gossip", "rpc/client", gen, genConnect},
			modules: []string{etcd, redis, grpc, zap},
		},
		"tests/chaos":       {},
		"tests/conformance": {own: []string{"registry", "registry/hrw"}},
		"tests/e2e":         {},
		"tests/simnet":      {modules: []string{memberlist}},
		"tests/sim": {
			own: []string{
				"registry", "registry/hrw", "fsm", "fsm/replica", "gossip",
				"rpc/client", "rpc/replicas", "rpc/server", "rpc/transport", "rpc/wire", gen, genConnect,
				"tests/check", "tests/simnet",
			},
			modules: []string{raft, hclog, connect},
		},
		"tests/procs":   {own: []string{"registry", "rpc/client"}},
		"tests/mutants": {}, // a command
		"tests/size":    {},
	}
}

// testModules are for tests alone.
func testModules() []string {
	return []string{
		"github.com/google/go-cmp", "pgregory.net/rapid", "github.com/cockroachdb/datadriven", "github.com/rogpeppe/go-internal",
		porcupine, nftables, raft, memberlist, hclog, metrics, connect, grpc, protobuf, bolt, raftBolt, cobra, yaml, prometheus,
	}
}

// sealedOff lists packages whose dependencies, near and far, must not contain
// some modules. Who embeds the client takes no Raft and no gossip in.
func sealedOff() map[string][]string {
	return map[string][]string{
		"rpc/client":   {grpc, raft, raftBolt, memberlist, bolt, metrics, hclog},
		"registry":     {raft, memberlist, connect, protobuf, hclog},
		"registry/hrw": {raft, memberlist, connect, protobuf, hclog},
	}
}

// orderly lists the packages in which no map's order may reach the outside:
// every replica must compute the same bytes.
func orderly() []string { return []string{"registry", "registry/hrw", "fsm"} }

// The bounds on lines; generated code has none.
const (
	fileLinesMax = 500
	testLinesMax = 1000
	funcLinesMax = 60 // not of tests, whose tables are long
)
