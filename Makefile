# Pointsman: everything a newcomer or a maintainer does, one target each. `make` prints this help.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
UV := .uv/bin/uv
READY := $(VENV)/.ready
# More than there are cores: many tests wait for processes to start, and to be missed.
DIST ?= -n 4
# What `make test-system` installs on Debian as root: what tests start the database under other accounts with, and real targets of work.
SYSTEM_PACKAGES := util-linux bubblewrap docker.io openssh-server

export UV_PYTHON_DOWNLOADS := never

.PHONY: help
help: ## Print this help
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: setup
setup: $(READY) ## Make .venv with the locked dependencies (needs only Python >= 3.11 and pip)

# Debian's pip is externally managed and its venv module may be missing: uv, installed into a folder of its own, needs neither.
# Whatever is fetched lands beside its place first and is moved there whole, so that a broken download leaves nothing behind.
$(UV):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "setup: $(PYTHON) is not Python 3.11 or newer; name one: make setup PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -m pip --version > /dev/null \
		|| { echo "setup: $(PYTHON) has no pip; on Debian: apt-get install python3-pip" >&2; exit 1; }
	@echo "setup: getting uv"
	@rm -rf .uv .uv.part
	@$(PYTHON) -m pip install --quiet --disable-pip-version-check --no-warn-script-location --root-user-action=ignore --target .uv.part uv \
		|| { rm -rf .uv.part; echo "setup: uv could not be downloaded; check the network and run make again" >&2; exit 1; }
	@mv .uv.part .uv

$(READY): requirements.lock pyproject.toml | $(UV)
	@echo "setup: making .venv from requirements.lock"
	@$(BIN)/python -c '' 2> /dev/null || $(UV) venv --quiet --clear --python "$(PYTHON)" $(VENV)
	@rm -f $@
	@$(UV) pip sync --quiet --python $(BIN)/python --require-hashes requirements.lock
	@$(UV) pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $@

.PHONY: up
up: $(READY) ## Serve on this machine: database, migrations and HTTP in one process
	@$(BIN)/pointsman up $(ARGS)

.PHONY: demo
demo: $(READY) ## Set everything up and run a conversation to its end, with no key and no network
	@$(BIN)/pointsman demo

.PHONY: test
test: $(READY) ## Run the tests; ARGS='tests/chat -k resume' narrows them
	@$(BIN)/pytest $(DIST) -m "not system" $(ARGS)
	@echo "test: tests that need root on Debian were left out; make test-system runs them"

.PHONY: test-system
test-system: $(READY) ## Install what the system tests need (root on Debian only) and run them
	@if [ "$$(id -u)" = 0 ] && [ -e /etc/debian_version ]; then \
		dpkg --status $(SYSTEM_PACKAGES) > /dev/null 2>&1 \
			|| { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends $(SYSTEM_PACKAGES); }; \
	else \
		echo "test-system: not root on Debian: nothing is installed, and each test that needs it says why it was skipped"; \
	fi
	@$(BIN)/pytest -n 0 -m system $(ARGS)

.PHONY: check
check: check-lint check-types check-contracts check-migrations check-docs check-openapi check-lock ## Every check that needs no test run

.PHONY: check-lint
check-lint: $(READY) ## ruff: rules and format
	@$(BIN)/ruff check --quiet
	@$(BIN)/ruff format --check --quiet || { $(BIN)/ruff format --check; exit 1; }
	@echo "check-lint: passed"

.PHONY: check-types
check-types: $(READY) ## pyright, strict
	@$(BIN)/pyright

.PHONY: check-contracts
check-contracts: $(READY) ## import contracts: who may import whom
	@$(BIN)/lint-imports --no-logo --cache-dir $(VENV)/.import_linter_cache

.PHONY: check-migrations
check-migrations: $(READY) ## the migrations make exactly the tables that the code declares, and can be undone
	@$(BIN)/pytest -q tests/migrations tests/schema

.PHONY: check-docs
check-docs: $(READY) ## generated pages are fresh, links resolve, the site builds without a network
	@$(BIN)/python scripts/docs.py --check
	@$(BIN)/zensical build --strict --clean > /dev/null || { $(BIN)/zensical build --strict --clean; exit 1; }
	@echo "check-docs: passed"

.PHONY: check-openapi
check-openapi: $(READY) ## the OpenAPI document is the one in docs/reference
	@$(BIN)/python scripts/openapi.py --check

.PHONY: check-lock
check-lock: $(READY) ## requirements.lock covers pyproject.toml, with hashes and without addresses (offline)
	@$(BIN)/python scripts/check_lock.py

.PHONY: faults
faults: $(READY) ## Faults against real processes: PROGRAM=kills SEED=1 COUNT=200 DURATION=1500; without PROGRAM the small sample of all
	@$(if $(PROGRAM),$(BIN)/python -m tests.faults.$(PROGRAM) $(if $(SEED),--seed $(SEED)) $(if $(COUNT),--count $(COUNT)) \
		$(if $(DURATION),--duration $(DURATION)) $(if $(REPORT),--report $(REPORT)) $(ARGS),$(BIN)/python -m tests.faults.sample)

.PHONY: faults-sample
faults-sample: $(READY) ## The small fixed sample of every fault program, two at a time, in about five minutes
	@$(BIN)/python -m tests.faults.sample

.PHONY: bench
bench: $(READY) | $(UV) ## The benchmarks beside a floor measured in the same run; ARGS='--only chat-c8 --rounds 1', `--help` lists the rows; PEERS=litellm
	@$(BIN)/python -m benchmarks.run $(addprefix --peers ,$(PEERS)) $(ARGS)

.PHONY: profile
profile: $(READY) | $(UV) ## Where the gateway's processor time goes; ARGS='--load stream --duration 10'
	@$(BIN)/python -m benchmarks.profiler $(ARGS)

.PHONY: fuzz
fuzz: $(READY) ## Requests made from the OpenAPI document, as four sorts of callers; COUNT=20000 SEED=… DURATION=seconds
	@$(BIN)/python -m tests.fuzz.fuzz $(if $(SEED),--seed $(SEED)) $(if $(COUNT),--count $(COUNT)) $(if $(DURATION),--duration $(DURATION)) $(ARGS)

.PHONY: docs
docs: $(READY) ## Write the generated pages, the OpenAPI document and the site
	@$(BIN)/python scripts/openapi.py
	@$(BIN)/python scripts/docs.py
	@$(BIN)/zensical build --strict --clean

.PHONY: fmt
fmt: $(READY) ## Format, and mend what ruff can mend
	@$(BIN)/ruff check --fix --quiet || true
	@$(BIN)/ruff format

.PHONY: lock
lock: $(UV) ## Resolve requirements.lock anew; UPGRADE=--upgrade takes newer versions
	@cp requirements.lock .requirements.part
	@$(UV) pip compile $(UPGRADE) --universal --all-extras --generate-hashes --no-emit-index-url --no-emit-find-links --no-header -q \
		--python-version 3.11 pyproject.toml -o .requirements.part || { rm -f .requirements.part; exit 1; }
	@mv .requirements.part requirements.lock

.PHONY: clean
clean: ## Remove what make made, the downloads too; data directories stay
	@rm -rf $(VENV) .uv .uv.part .requirements.part site .cache build dist reports .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	@find src tests scripts -name __pycache__ -type d -prune -exec rm -rf {} +
