# `make` with no target says what there is. A machine with Go needs nothing
# else; .ci/run is `make test` and `make fuzz` with nothing left out.

GO ?= go
export GO

# Arguments of `make run` for rota dev: make run ARGS='--agents worker=5'; of
# `make bench`: make bench ARGS='-only rr -repeat 1', or ARGS=-help.
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help build run test sim chaos e2e fuzz mutants size bench bench-parts generate lint fmt

help: ## Say what there is
	@echo 'usage: make TARGET'
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  %-12s %s\n", $$1, $$2}'

build: ## Build bin/rota
	$(GO) build -trimpath -o bin/ ./cmd/rota

run: build ## Build, then run a cluster to try: three replicas, seven agents; Ctrl-C ends it (ARGS=...)
	bin/rota dev $(ARGS)

test: ## Everything that proves it, about twelve minutes; STRICT=1 fails when something could not run
	@tests/run.sh test

# Of `make sim`: how many, and the seed of the first, drawn if it is empty.
RUNS ?= 500
SEED ?=

sim: ## Random faults on clusters in virtual time, two to three minutes (RUNS=, SEED=)
	@RUNS=$(RUNS) SEED=$(SEED) tests/run.sh sim

e2e: ## The built binary alone: conformance of a cluster, real processes, kill -9
	@tests/run.sh e2e

# How long, and from which seed: make chaos FOR=2h SEED=7.
FOR ?= 3m
SEED ?=

chaos: ## Real processes killed, cut off and starved under load, and judged (FOR=3m SEED=n); root gives them networks
	@FOR=$(FOR) SEED=$(SEED) $(GO) test -v -count=1 -timeout 0 ./tests/chaos

fuzz: ## Each fuzz target for FUZZTIME (30s)
	@tests/run.sh fuzz

mutants: ## Plant known bugs, one at a time, and show which test catches each, about five minutes (ARGS='-only NAME')
	@$(GO) run ./tests/mutants $(ARGS)

size: ## 5,000 nodes, 300 of them gossiping on real sockets; then 500, 100 through a bad hour, and 100 deaths, in virtual time; about ten minutes
	@failed=0; $(GO) test -count=1 -v ./tests/size || failed=1; \
	GOGC=400 $(GO) test -count=1 -v -timeout 60m -run 'Lost$$|ABadHour|ManyGossip|AKilledAgent' ./tests/sim -args -large || failed=1; \
	exit $$failed

bench: ## Speed side by side with etcd and Redis, about fifteen minutes (ARGS=...)
	@$(GO) -C tests/bench run . $(ARGS)

# Benchmarks of the parts, six times each, summed up by benchstat.
BENCH_PARTS = ./registry ./registry/hrw ./fsm

bench-parts: ## Speed of registry, hrw and fsm in one process, about fifteen minutes
	@mkdir -p bin && echo 'go test writes to bin/bench-parts.txt' >&2
	@$(GO) test -run '^$$' -bench . -count 6 -timeout 60m $(BENCH_PARTS) >bin/bench-parts.txt || { cat bin/bench-parts.txt; exit 1; }
	@$(GO) -C tests/bench tool benchstat parts=$(CURDIR)/bin/bench-parts.txt

generate: ## Write rpc/gen from rpc/proto
	$(GO) -C rpc/proto/generate run .

lint: ## Vet, staticcheck, gofumpt, go.mod, the generated code, the repository's own rules
	@tests/run.sh lint

fmt: ## Format in place
	$(GO) -C tests/tools build -o $(CURDIR)/bin/tools/ tool
	bin/tools/gofumpt -w cmd fsm gossip registry rpc tests
