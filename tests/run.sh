#!/usr/bin/env bash
# What `make lint`, `make test`, `make sim`, `make e2e` and `make fuzz` do:
#
#   tests/run.sh lint|test|sim|e2e|fuzz
#
# Every step runs, even when one before it failed; the last lines say which
# failed, and what could not run at all because a tool or a module could not be
# fetched. That alone is no failure, unless STRICT=1 or CI=1 says that
# everything must run. FUZZTIME (30s) is for each fuzz target; RUNS (500) and
# SEED (drawn) are those of the simulations.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1

GO=${GO:-go}
FUZZTIME=${FUZZTIME:-30s}
case "${STRICT:-${CI:-}}" in '' | 0 | false) strict= ;; *) strict=1 ;; esac

# Modules of their own; what is below them is not in the product's ./...
nested=(fsm/replica/metricscompat rpc/proto/generate tests/bench)

passed=() failed=() missed=() partly=()

# step NAME COMMAND... runs the command and notes how it ended.
step() {
	local name=$1 began=$SECONDS
	shift
	printf '\n==> %s\n' "$name"
	if "$@"; then
		passed+=("$name, $((SECONDS - began)) s")
	else
		failed+=("$name, $((SECONDS - began)) s")
		return 1
	fi
}

# fetching NAME COMMAND... is step for what needs modules that building rota
# does not: when they cannot be fetched, it could not run.
fetching() {
	local name=$1 out began=$SECONDS
	shift
	printf '\n==> %s\n' "$name"
	out=$("$@" 2>&1)
	local ended=$?
	printf '%s' "${out:+$out$'\n'}"
	if [ $ended = 0 ]; then
		passed+=("$name, $((SECONDS - began)) s")
	elif why=$(grep -m1 -E 'dial tcp|lookup .*: |module lookup disabled|proxyconnect|TLS handshake|i/o timeout|Client.Timeout|502 |503 ' <<<"$out"); then
		missed+=("$name: it could not be fetched: $why")
		return 1
	else
		failed+=("$name, $((SECONDS - began)) s")
		return 1
	fi
}

vet_nested() {
	local dir bad=0
	for dir in "${nested[@]}"; do $GO -C "$dir" vet ./... || bad=1; done
	return $bad
}

test_nested() {
	local dir bad=0
	for dir in "${nested[@]}"; do $GO -C "$dir" test -count=1 ./... || bad=1; done
	return $bad
}

tidy_nested() {
	local dir bad=0
	for dir in "${nested[@]}" tests/tools; do $GO -C "$dir" mod tidy -diff || bad=1; done
	return $bad
}

tools() { $GO -C tests/tools build -o "$PWD/bin/tools/" tool; }

formatted() {
	local files
	files=$(bin/tools/gofumpt -l cmd fsm gossip registry rpc tests) || return 1
	[ -z "$files" ] || { printf 'not formatted, run make fmt:\n%s\n' "$files"; return 1; }
}

# generated compares rpc/gen with what the protos give, in a copy.
generated() {
	local copy ended
	copy=$(mktemp -d) || return 1
	mkdir "$copy/rpc" && cp -r rpc/proto "$copy/rpc/" && $GO -C "$copy/rpc/proto/generate" run . &&
		diff -r "$copy/rpc/gen" rpc/gen
	ended=$?
	rm -rf "$copy"
	return $ended
}

lint() {
	step 'go vet' $GO vet ./...
	step 'go vet of the builds that fail on purpose' $GO vet -tags rotatest ./cmd/rota ./fsm/replica
	fetching 'go vet, the nested modules' vet_nested
	if fetching 'staticcheck and gofumpt, fetched' tools; then
		step 'staticcheck' bin/tools/staticcheck ./...
		step 'gofumpt' formatted
	fi
	step 'go mod tidy' $GO mod tidy -diff
	fetching 'go mod tidy, the nested modules' tidy_nested
	fetching 'rpc/gen is what the protos give' generated
	step 'the rules of the repository' $GO test -count=1 ./tests
}

# unit runs all packages with the race detector, which needs a C compiler. The
# corpora of the fuzz targets are among them.
unit() {
	local race=-race all
	if [ "$($GO env CGO_ENABLED)" != 1 ]; then
		race=
		missed+=('the race detector: it needs a C compiler (gcc or clang) and CGO_ENABLED=1; the tests ran without it')
	fi
	all=$($GO list ./... | grep -vE '/tests(/e2e|/conformance|/procs|/sim|/size|/chaos)?$') || all=./...
	# shellcheck disable=SC2086 # the list is words
	step "all packages $race" $GO test $race -count=1 -timeout 10m $all
	step 'named faults, simulated' $GO test -count=1 -timeout 10m -skip '^TestRandomSimulations$' ./tests/sim
	step "random faults, simulated, a few $race" $GO test $race -count=1 -timeout 10m -run '^TestRandomSimulations$' ./tests/sim -args -runs 8
	fetching 'the nested modules' test_nested
	step "conformance of the registry $race" $GO test $race -count=1 -skip '^TestCluster' ./tests/conformance
}

# sim runs many random simulations, which have to see what they are there to
# see. Those that make test runs are few, and with the race detector.
sim() {
	local runs=${RUNS:-500} seed=${SEED:-}
	seed=${seed:-$(date +%s)}
	step "$runs random simulations from seed $seed" sim_runs "$runs" "$seed"
}

sim_runs() {
	GOGC=400 $GO test -count=1 -timeout 60m -v -run '^TestRandomSimulations$' ./tests/sim -args -runs "$1" -seed "$2" |
		grep -vE '^(=== | *--- PASS)'
}

# e2e runs the binary as it is shipped, in real processes.
e2e() {
	# Side by side: both wait for processes most of the time.
	step 'conformance of a cluster, and end to end' $GO test -count=1 -timeout 15m ./tests/conformance ./tests/e2e
	isolates || partly+=('chaos: on loopback, with neither cuts nor losses nor small disks; they need root, and ip (iproute2) to make network namespaces')
	step 'chaos, a short form, and what judges it' env FOR=20s SEED=1 $GO test -count=1 -timeout 10m ./tests/chaos
}

# isolates reports whether network namespaces can be made here.
isolates() {
	local name=rota-run-$$
	ip netns add "$name" 2>/dev/null && ip netns del "$name"
}

fuzz() {
	local file target
	while IFS=: read -r file target; do
		step "fuzz $target for $FUZZTIME" fuzz_one "./$(dirname "$file")" "$target"
	done < <(grep -roE '^func Fuzz[A-Za-z0-9]+' --include='*_test.go' cmd fsm gossip registry rpc | sed 's/func //' | sort)
}

# fuzz_one fuzzes one target. Before Go 1.27 the end of the time is now and then
# reported as a failure of its own (golang/go#75804): when that is all that is
# wrong, and no input was written, the target has passed.
fuzz_one() {
	local log ended
	log=$(mktemp) || return 1
	$GO test -run '^$' -fuzz "^$2\$" -fuzztime "$FUZZTIME" "$1" 2>&1 | tee "$log"
	ended=${PIPESTATUS[0]}
	if [ "$ended" != 0 ] && time_was_up "$log"; then
		printf 'The time was up, and Go calls that a failure (golang/go#75804): no input failed.\n'
		ended=0
	fi
	rm -f "$log"
	return "$ended"
}

time_was_up() {
	[ "$(sed -n '/^--- FAIL: /,$p' "$1" | sed -E '1d; /^(FAIL|exit status 1)/d')" = '    context deadline exceeded' ]
}

build_all() { $GO build ./... && $GO build -trimpath -o bin/ ./cmd/rota; }

build() { step 'go build' build_all; }

case "${1:-}" in
lint) lint ;;
test)
	build && {
		lint
		unit
		e2e
	}
	;;
sim) sim ;;
e2e) build && e2e ;;
fuzz) fuzz ;;
*)
	sed -n '2,10s/^# \{0,1\}//p' "$0"
	exit 2
	;;
esac

printf '\n'
[ ${#passed[@]} = 0 ] || printf 'passed         %s\n' "${passed[@]}"
[ ${#partly[@]} = 0 ] || printf 'ran in part    %s\n' "${partly[@]}"
[ ${#missed[@]} = 0 ] || printf 'COULD NOT RUN  %s\n' "${missed[@]}"
[ ${#failed[@]} = 0 ] || printf 'FAILED         %s\n' "${failed[@]}"
printf '%s: %d passed, %d failed, %d could not run, in %d s\n' "$1" ${#passed[@]} ${#failed[@]} ${#missed[@]} $SECONDS
[ ${#passed[@]} != 0 ] && [ ${#failed[@]} = 0 ] && { [ ${#missed[@]} = 0 ] || [ -z "$strict" ]; }
