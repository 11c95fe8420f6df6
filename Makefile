# Needs Go and make, a C compiler for the race detector, and bash for fuzzing.
# Go fetches the rest.

FUZZTIME ?= 5s
BENCH ?= .
BENCHTIME ?= 1s

# Everything that is a module of its own below this one.
MODULES := $(patsubst %/go.mod,%,$(wildcard */go.mod))

# make torture SEEDS=200 SEED=1 DURATION=30s FAULTS=kill-leader,isolate: a cluster of
# three nodes in one process that is broken in every way while clients use it. A run that
# fails says how to repeat it.
SEEDS ?= 10
SEED ?= 0
DURATION ?= 30s
FAULTS ?=

.PHONY: torture test check gofmt vet tidy lint race fuzz examples modules test-clients check-dashboard bench api

# What the README tells everyone to run.
test:
	go test ./...

# What a change must pass: all that .ci/run does.
check: gofmt vet tidy lint race fuzz examples modules

gofmt:
	@files=$$(gofmt -l .); if [ -n "$$files" ]; then echo "run gofmt -w on:"; echo "$$files"; exit 1; fi

vet:
	go vet ./...

tidy:
	go mod tidy -diff
	@for m in $(MODULES); do echo "cd $$m && go mod tidy -diff"; (cd $$m && go mod tidy -diff) || exit 1; done

lint:
	go tool -modfile=tools/go.mod staticcheck ./...
	@for m in $(filter-out tools,$(MODULES)); do echo "cd $$m && staticcheck ./..."; (cd $$m && go tool -modfile=$(CURDIR)/tools/go.mod staticcheck ./...) || exit 1; done

race:
	go test -race ./...

# make fuzz FUZZTIME=10m for a long one.
fuzz:
	FUZZTIME=$(FUZZTIME) tools/fuzz.sh

# Each example is a program that checks its own outcome: exit status 0 is right.
examples:
	@for dir in $(sort $(dir $(wildcard examples/*/*.go))); do echo "go run ./$$dir"; go run ./$$dir || exit 1; done

# The modules of their own build, and their tests pass; tools has no package.
modules:
	@for m in $(filter-out tools,$(MODULES)); do echo "cd $$m && go vet ./... && go test ./..."; (cd $$m && go vet ./... && go test ./...) || exit 1; done

# Kafka's clients in many languages against `leat serve`; docs/clients.md has more.
# make test-clients CLIENTS='-only sarama,java -v'
CLIENTS ?=
CLIENT_MODULES := $(patsubst %/go.mod,%,$(wildcard clients/*/go.mod))
test-clients:
	@for m in $(CLIENT_MODULES); do echo "cd $$m && go mod tidy -diff && go vet && staticcheck && go test"; (cd $$m && go mod tidy -diff && go vet ./... && go tool -modfile=$(CURDIR)/tools/go.mod staticcheck ./... && go test ./...) || exit 1; done
	cd clients/run && go run . $(CLIENTS)

# The queries of the dashboard for Grafana, in a Prometheus that scrapes nodes under load.
# Needs Prometheus, as in Debian's package of that name.
check-dashboard:
	LEAT_CHECK_DASHBOARD=1 go test -count=1 ./docs/dashboard

torture:
	go test ./leattest -run 'TestTorture$$' -v -timeout 0 -leat.torture-seeds=$(SEEDS) -leat.torture-seed=$(SEED) -leat.torture-duration=$(DURATION) -leat.torture-faults=$(FAULTS)

# make bench BENCH=Produce BENCHTIME=5s
bench:
	cd bench && go test -run '^$$' -bench '$(BENCH)' -benchtime $(BENCHTIME) -timeout 0 ./...

# Rewrites the listing of the exported API after a change of it that is meant.
api:
	go test ./internal/apitest -update
