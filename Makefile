# Every target installs what it needs; stamp files make later runs quick.
.DEFAULT_GOAL := help
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.PHONY: help setup up demo screenshots wheels test test-slow generated-clients test-class-weights soak lint format requirements oracle-fixtures sbom advisories pin-images clean

PYTHON ?= python3
UV_VERSION := 0.13.9
BIN := .venv/bin
STAMP := .venv/.stamp
UV := $(BIN)/uv --no-config
COMPILE := $(UV) pip compile --quiet --universal --python-version 3.11 \
	--no-emit-package trainyard-client --generate-hashes --no-emit-index-url --no-annotate --custom-compile-command "make requirements"
OURS := pyproject.toml sdk/pyproject.toml

# Generators of clients, in an environment of their own: one needs an older typer than the server.
CLIENTS := tests/generated_clients
GENERATORS := .venv/generators/.stamp
NPM_QUIET := --ignore-scripts --no-audit --no-fund --loglevel=error

SBOM := $(BIN)/cyclonedx-py requirements --pyproject pyproject.toml --output-reproducible
PIP_AUDIT_VERSION := 2.10.1

# An index with other builds of torch, such as those for the CPU alone; `make setup` remembers it.
TORCH_INDEX ?= $(shell cat .venv/torch.index 2>/dev/null)
TORCH_LOCK := $(if $(TORCH_INDEX),.venv/torch.lock)
LOCKS := $(if $(TORCH_INDEX),.venv/other.lock .venv/torch.lock --extra-index-url "$(TORCH_INDEX)" --index-strategy unsafe-best-match,requirements-dev.txt)
# Of the packages in requirements-dev.txt, what torch's usual builds bring along.
OF_TORCH := ^(torch|torchvision|triton|cuda-.*|nvidia-(cu|nccl|nv[^=]*).*)==

# torch alone has thousands of files to compile, which takes long on a small machine.
export UV_COMPILE_BYTECODE_TIMEOUT ?= 900
UP_ARGS ?=
DEMO_ARGS ?=
TEST_ARGS ?=
MINUTES ?= 3
DATABASE ?= sqlite
SOAK_ARGS ?=
# Run two test files at once, not more: trainings share the machine's memory.
# Long files come first (tests/conftest.py); xdist would begin with those that have most tests.
PARALLEL ?= --numprocesses=2 --dist=loadfile --no-loadscope-reorder
# The order of the tests and their random examples. Another number tries others: SEED=$$RANDOM.
SEED ?= 1

help:  ## list the verbs
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-20s%s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

setup: $(STAMP)  ## install everything into .venv (Python 3.11 or later, git and make suffice)

$(BIN)/uv: Makefile
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Trainyard needs Python 3.11 or later; name one with: make PYTHON=python3.12")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
	@touch $@

$(STAMP): $(BIN)/uv requirements-dev.txt pyproject.toml sdk/pyproject.toml $(TORCH_LOCK)
	@echo "This installs 6.5 GB into .venv (torch and its CUDA libraries are most of it), and takes 5 to 15 minutes."
	@echo "docs/install.md: the client alone (20 MB), the server alone (350 MB), torch from another index."
	$(UV) pip sync --python $(BIN)/python --require-hashes --no-build --compile-bytecode $(LOCKS)
	$(UV) pip install --python $(BIN)/python --no-deps --no-build-isolation --editable ./sdk --editable .
	@touch $@

.venv/torch.lock: $(BIN)/uv requirements-dev.txt
	echo "$(TORCH_INDEX)" > .venv/torch.index
	sed -nE 's/^(torch|torchvision)==([^ ;]+).*/\1==\2/p' requirements-dev.txt | $(UV) pip compile - --quiet --no-deps \
		--python $(BIN)/python --generate-hashes --no-emit-index-url --no-header --index-url "$(TORCH_INDEX)" --output-file $@
	awk '/^[a-zA-Z]/ { skips = $$0 ~ /$(OF_TORCH)/ } !skips' requirements-dev.txt > .venv/other.lock

up: $(STAMP)  ## run server, broker and one worker slot on this machine; UP_ARGS="--port 9000"
	$(BIN)/trainyard up $(UP_ARGS)

demo: $(STAMP)  ## train a detector on drawn shapes, from an upload to a downloaded best.pt
	$(BIN)/python examples/demo.py $(DEMO_ARGS)

screenshots: $(STAMP)  ## train, and take every page into docs/images; needs chromium, 20 minutes
	$(BIN)/python -m tests.browser.screenshots

test: $(STAMP)  ## run the tests; TEST_ARGS="tests/core" for some, PARALLEL= for one file at a time, SEED=2 for another order
	$(BIN)/python -m pytest $(PARALLEL) --randomly-seed=$(SEED) --durations=20 $(TEST_ARGS)

test-slow: $(STAMP) $(GENERATORS)  ## run the tests that `make test` leaves out; TEST_ARGS as above
	$(BIN)/python -m pytest $(PARALLEL) --randomly-seed=$(SEED) --durations=20 -m slow $(TEST_ARGS)

generated-clients: $(STAMP) $(GENERATORS)  ## generate a Python and a TypeScript client, and run a job with the first
	$(BIN)/python -m pytest -m slow --randomly-seed=$(SEED) --durations=5 $(CLIENTS)

$(GENERATORS): $(BIN)/uv $(CLIENTS)/requirements.txt $(CLIENTS)/package.json $(CLIENTS)/package-lock.json
	$(UV) venv --quiet --clear --python $(BIN)/python $(@D)
	$(UV) pip sync --quiet --python $(@D)/bin/python --require-hashes --no-build $(CLIENTS)/requirements.txt
	cp $(CLIENTS)/package.json $(CLIENTS)/package-lock.json $(@D)
	cd $(@D) && PATH="$$PWD/bin:$$PATH" npm ci $(NPM_QUIET)
	@touch $@

test-class-weights: $(STAMP)  ## measure what class weights do to the rarest kind of blood cell
	$(BIN)/python -m pytest -m measurement tests/e2e/test_weighted_blood_cells.py

# 12 null jobs and 1 real training in 3 minutes, 200 and 4 in 30 minutes.
soak: $(STAMP)  ## kill processes at random while jobs run; MINUTES=3 DATABASE=sqlite
	$(BIN)/python -m tests.faults.soak --minutes $(MINUTES) --database $(DATABASE) $(SOAK_ARGS)

lint: $(STAMP)  ## check style, types and the direction of imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(STAMP)  ## format the code, and fix what ruff can fix by itself
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

requirements: $(BIN)/uv  ## compile the requirement files with the versions they hold; REQUIREMENTS_ARGS=--upgrade for the newest
	$(COMPILE) $(OURS) $(REQUIREMENTS_ARGS) --all-extras --output-file requirements-dev.txt
	$(COMPILE) $(OURS) --constraint requirements-dev.txt --extra postgres --output-file requirements.txt
	$(COMPILE) $(OURS) --constraint requirements-dev.txt --extra worker --extra postgres --output-file requirements-worker.txt
	$(COMPILE) $(CLIENTS)/requirements.in $(REQUIREMENTS_ARGS) --output-file $(CLIENTS)/requirements.txt
	cd $(CLIENTS) && ../../$(UV) run --isolated --no-project --python ../../$(BIN)/python --with-requirements requirements.txt \
		bash -c "npm install --package-lock-only --omit-lockfile-registry-resolved $(NPM_QUIET) && node without_addresses.mjs"

# They run in an environment of their own, because nothing else here needs them.
oracle-fixtures: $(BIN)/uv  ## ask supervision and globox again for the boxes of tests/data/first_try
	$(UV) run --isolated --no-project --python $(BIN)/python \
		--with-requirements tests/data/oracles/requirements.txt python -W ignore tests/data/oracles/ask.py

wheels: $(STAMP)  ## build the wheels of client and server into dist, with their SHA-256
	rm -rf dist
	for project in . sdk; do $(UV) build --quiet --wheel --no-build-isolation --python $(BIN)/python --out-dir dist $$project; done
	cd dist && sha256sum *.whl > SHA256SUMS

sbom: $(STAMP)  ## write the bills of materials of server and worker to build/sbom
	@mkdir -p build/sbom
	$(SBOM) requirements.txt --output-file build/sbom/server.cdx.json
	$(SBOM) requirements-worker.txt --output-file build/sbom/worker.cdx.json

# It runs in an environment of its own, because nothing else here needs it.
advisories: $(BIN)/uv  ## compare the lock files with the advisories known today; needs a network
	for file in requirements.txt requirements-worker.txt requirements-dev.txt; do \
		$(UV) run --isolated --no-project --with pip-audit==$(PIP_AUDIT_VERSION) pip-audit \
			--strict --disable-pip --require-hashes --vulnerability-service osv --requirement $$file; \
	done

pin-images: $(STAMP)  ## add to each base image the digest that its tag has today; needs docker and a network
	$(BIN)/python docker/pin_images.py docker/server.Dockerfile docker/worker.Dockerfile docker-compose.yml

clean:  ## remove .venv and every cache
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .schemathesis build dist
	find . -name __pycache__ -type d -not -path './.git/*' -prune -exec rm -rf {} +
