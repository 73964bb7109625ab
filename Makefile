# Two commands matter: make demo and make test. Both install what they need on a bare Debian 12 with Go and gcc.

GO        ?= go
FUZZTIME  ?= 1m
FUZZ      ?= ./...
LINT      := github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.14.0
SUDO      := $(shell [ "$$(id -u)" = 0 ] || echo sudo)

.PHONY: demo test race lint fuzz bench build deps tidy clean

demo: build ## play a script of calls between a real Asterisk and a simulated Telegram, and judge every one
	./bin/tgtrunk demo $(DEMO_FLAGS)

# One package after the other: the tests keep time, and an Asterisk beside them wants a core.
test: deps ## every test, the ones on a real Asterisk included
	@echo "building (the Telegram types take a few minutes to compile the first time)"
	$(GO) vet ./...
	$(GO) test -p 1 -timeout 20m ./...

race: deps ## the same under the race detector (slow: the Telegram types are compiled once more)
	$(GO) test -race -p 1 -timeout 40m ./...

bench: build ## connect time, CPU, memory and latency of the service under calls, per path; nothing is asserted
	./bin/tgtrunk bench $(BENCH_FLAGS)
	$(GO) test -run '^$$' -bench . -benchmem -benchtime 500x ./media ./telegram/voip

lint: deps ## formatting, golangci-lint, tidy go.mod
	@files=$$(gofmt -l $$(git ls-files '*.go')); [ -z "$$files" ] || { echo "not gofmt-clean:"; echo "$$files"; exit 1; }
	$(GO) mod tidy -diff
	@echo "lint: building golangci-lint the first time takes a few minutes"
	$(GO) run $(LINT) run

# Each test binary is asked for its targets by itself, so that a package that does not build ends this, too.
fuzz: deps ## every fuzz target for FUZZTIME each, one after the other; ends at the first failure. FUZZ narrows the packages
	@set -e; packages=$$($(GO) list $(FUZZ)); for package in $$packages; do \
	  targets=$$($(GO) test -list '^Fuzz' $$package); \
	  for target in $$(echo "$$targets" | grep '^Fuzz' || true); do \
	    echo "fuzz $$package $$target"; \
	    $(GO) test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) $$package; \
	  done; \
	done

build: deps
	@echo "building (the Telegram types take a few minutes to compile the first time)"
	$(GO) build -o bin/tgtrunk ./cmd/tgtrunk

deps: ## libopus, by apt, unless it is there
	@if [ ! -e /usr/include/opus/opus.h ]; then \
	  echo "installing libopus-dev"; \
	  $(SUDO) apt-get update -q && $(SUDO) apt-get install -q -y --no-install-recommends libopus-dev; \
	fi

tidy:
	$(GO) mod tidy

clean:
	rm -rf bin
