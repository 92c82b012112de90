# Every target sets up what it needs. `make help` lists them.
SHELL := /bin/bash
.ONESHELL:
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
BIN := .venv/bin
export KUBECONFIG_LOCAL := $(CURDIR)/.local/kubeconfig

.PHONY: help
help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/\1\t\2/' | expand -t 16

.PHONY: setup
setup: ## prepare everything the other targets need (uv, .venv, system packages)
	@tools/setup.sh
	$(BIN)/atheria-local prerequisites --install

.PHONY: demo
demo: setup ## bring a cluster up, install Atheria, serve a model, scale it to zero and wake it (CONTEXT=name [VALUES=file]: on your own cluster; without root or Linux: as processes)
	@asked=$$(realpath -m -- "$${KUBECONFIG:-$(KUBECONFIG_LOCAL)}")
	if [ -z "$(CONTEXT)" ] && [ "$$asked" = "$$(realpath -m -- "$(KUBECONFIG_LOCAL)")" ]; then
	  if ! $(BIN)/atheria-local can-run; then
	    exec $(BIN)/atheria demo
	  fi
	  $(BIN)/atheria-local build
	  $(BIN)/atheria-local up
	  $(BIN)/atheria-local images
	  exec $(BIN)/atheria demo --local
	else
	  exec $(BIN)/atheria demo --cluster $(if $(CONTEXT),--context $(CONTEXT)) $(addprefix --values ,$(VALUES))
	fi

.PHONY: demo-down
demo-down: ## remove everything that `make demo` started
	@if [ -x $(BIN)/atheria-local ]; then $(BIN)/atheria-local down; else echo "nothing to remove: $(BIN) is not there"; fi

.PHONY: test
test: setup ## all tests: unit, contract, integration on a real API server, end to end on the local cluster
	@tools/test.sh

.PHONY: test-unit
test-unit: ## unit tests only (seconds; needs `make setup` once)
	@$(BIN)/python -m pytest tests/unit -q -n 2

.PHONY: check
check: setup ## format, lint, types, import rules, generated files
	@$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m tools.generate --check

.PHONY: docs
docs: setup ## build the site of the documentation into build/site, without any network
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	echo "build/site/index.html"

.PHONY: docs-serve
docs-serve: setup ## show that site on 127.0.0.1:8088, built anew at each change
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs serve --strict --dev-addr 127.0.0.1:8088

.PHONY: audit
audit: setup ## security review of the sources: bandit, hadolint, bills of materials (CycloneDX), licences; writes dist/audit
	@tools/audit.sh

.PHONY: bench-serving
bench-serving: setup ## measure the model server beside its peers, about 15 minutes (OPTIONS="--help" lists the options)
	@$(BIN)/python -m bench.serving $(OPTIONS)

.PHONY: bench-quality
bench-quality: setup ## how far each precision of the shipped law is from fp32, about a minute (OPTIONS="--help")
	@$(BIN)/python -m bench.quality $(OPTIONS)

.PHONY: bench-gateway
bench-gateway: setup ## what the gateway costs a warm call and a held one, about 5 minutes (OPTIONS="--help")
	@$(BIN)/python -m bench.gateway $(OPTIONS)
	@$(BIN)/python -m bench.gateway.holds

.PHONY: bench-autoscaling
bench-autoscaling: setup ## replay recorded traffic under Atheria's policy and others', about 10 minutes (OPTIONS="--help")
	@$(BIN)/python -m bench.autoscaling $(OPTIONS)

.PHONY: bench-replay
bench-replay: setup ## five minutes of recorded arrivals on real processes beside the simulator, about 8 minutes (OPTIONS="--help")
	@$(BIN)/python -m bench.live_replay $(OPTIONS)

.PHONY: bench-wake
bench-wake: setup ## how long the first call at zero waits for each step, on real processes, about 8 minutes (OPTIONS="--help")
	@$(BIN)/python -m bench.live_replay.wake $(OPTIONS)

.PHONY: bench-compile
bench-compile: setup ## what compiling, batching and the compile cache save on this machine, about 10 minutes
	@$(BIN)/python -m bench.optimization.chain
	$(BIN)/python -m bench.optimization.compile_cache

.PHONY: bench-attention
bench-attention: setup ## attention kernels from 256 to 4096 tokens, bytes and drift of compressed caches, about 10 minutes (OPTIONS="--help")
	@$(BIN)/python -m bench.attention $(OPTIONS)

.PHONY: bench-text
bench-text: setup ## tokens per second of a running batch beside one text at a time, about 5 minutes (OPTIONS="--help")
	@$(BIN)/python -m bench.text $(OPTIONS)

.PHONY: bench-cold-start
bench-cold-start: setup ## seconds by phase of calls to a model at zero on the local cluster, about 5 minutes (OPTIONS="--help")
	@$(BIN)/python -m bench.cold_start $(OPTIONS)

.PHONY: bench-install
bench-install: setup ## helm install on fresh local clusters, upgrades and rollbacks under steady calls, about 8 minutes (OPTIONS="--help")
	@$(BIN)/python -m bench.release $(OPTIONS)

.PHONY: chaos
chaos: setup ## ten minutes of kills, edits, deletions and outages under steady calls: no call may be lost but by a kill (OPTIONS="--help")
	@$(BIN)/python -m bench.chaos $(OPTIONS)

.PHONY: format
format: ## rewrite the sources in the project's format
	@$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

.PHONY: generate
generate: ## regenerate gRPC stubs, CRDs, the references, the overview of benchmarks, the chart's schema, the manifests and the dashboards
	@$(BIN)/python tools/generate_stubs.py
	$(BIN)/python -m tools.generate

.PHONY: lock
lock: ## resolve the dependencies again into requirements/
	@compile="$(BIN)/uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header -q"
	$$compile requirements/bootstrap.in -o requirements/bootstrap.txt
	$$compile requirements/go.in -o requirements/go.txt
	$$compile requirements/audit.in -o requirements/audit.txt
	$$compile requirements/clients-kserve.in -o requirements/clients-kserve.txt
	for peer in litserve mlserver bentoml; do
	  $$compile --overrides bench/serving/peers/overrides.in bench/serving/peers/$$peer.in -o bench/serving/peers/$$peer.txt
	done
	$$compile --all-extras pyproject.toml -o requirements/all.txt
	for group in operator gateway server torch otel sources text report cli movie docs; do
	  $$compile --extra $$group -c requirements/all.txt pyproject.toml -o requirements/$$group.txt
	done
	$$compile --no-deps -c requirements/all.txt requirements/last.in -o requirements/last.txt
	# The images bring a torch of their own.
	$$compile --extra optimize -c requirements/all.txt --overrides requirements/without-torch.in pyproject.toml -o requirements/optimize.txt

.PHONY: clean-cache
clean-cache: demo-down ## delete built programs and images (~/.cache/atheria), .local and .venv
	@rm -rf "$${XDG_CACHE_HOME:-$$HOME/.cache}/atheria" .local .venv
