# Two commands matter: make demo and make test. Both install what they need on a bare Debian 12 with Go and gcc.

GO        ?= go
FUZZTIME  ?= 1m
FUZZ      ?= ./...
LINT      := github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.14.0
SUDO      := $(shell [ "$$(id -u)" = 0 ] || echo sudo)

.PHONY: demo test race lint fuzz bench build deps chromium tidy clean

demo: build ## play a script of calls between a real Asterisk and a simulated Telegram, and judge every one; DEMO_FLAGS="--pbx freeswitch" for the FreeSWITCH that is installed
	./bin/tgtrunk demo $(DEMO_FLAGS)

# One package after the other: the tests keep time, and an Asterisk beside them wants a core.
test: deps chromium ## every test, the ones on a real Asterisk and with a real browser included; those on a real FreeSWITCH where FREESWITCH names one
	@echo "building (the Telegram types take a few minutes to compile the first time)"
	$(GO) vet ./...
	$(GO) test -p 1 -timeout 20m ./...

race: deps chromium ## the same under the race detector (slow: the Telegram types are compiled once more)
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

deps: ## libopus and redis-server (for the tests), by apt, unless they are there
	@missing=""; \
	[ -e /usr/include/opus/opus.h ] || missing="$$missing libopus-dev"; \
	command -v redis-server >/dev/null || missing="$$missing redis-server"; \
	if [ -n "$$missing" ]; then \
	  echo "installing$$missing"; \
	  $(SUDO) apt-get update -q && $(SUDO) apt-get install -q -y --no-install-recommends $$missing; \
	fi

chromium: ## a browser for the calls with web clients, by apt, unless one is there
	@if ! command -v chromium >/dev/null && ! command -v chromium-browser >/dev/null && ! command -v google-chrome >/dev/null; then \
	  if command -v apt-get >/dev/null; then \
	    echo "installing chromium (120 MB, for tests only)"; \
	    $(SUDO) apt-get update -q && $(SUDO) apt-get install -q -y --no-install-recommends chromium; \
	  else \
	    echo "chromium is not installed: the tests with a browser are skipped"; \
	  fi; \
	fi

tidy:
	$(GO) mod tidy

clean:
	rm -rf bin
