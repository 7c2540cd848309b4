# Every target installs what it needs; stamp files make later runs quick.
.DEFAULT_GOAL := help
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.PHONY: help setup up demo test test-slow test-class-weights soak lint format requirements clean

PYTHON ?= python3
UV_VERSION := 0.13.9
BIN := .venv/bin
STAMP := .venv/.stamp
UV := $(BIN)/uv --no-config
COMPILE := $(UV) pip compile pyproject.toml --quiet --universal --python-version 3.11 \
	--generate-hashes --no-emit-index-url --no-annotate --custom-compile-command "make requirements"

# torch alone has thousands of files to compile, which takes long on a small machine.
export UV_COMPILE_BYTECODE_TIMEOUT ?= 900
UP_ARGS ?=
DEMO_ARGS ?=
TEST_ARGS ?=
MINUTES ?= 3
DATABASE ?= sqlite
SOAK_ARGS ?=
# Run two test files at once, not more: trainings share the machine's memory.
PARALLEL ?= --numprocesses=2 --dist=loadfile

help:  ## (this text)
	@echo "make setup   install everything into .venv (Python 3.11 or later, git and make suffice)"
	@echo "make up      run server, broker and one worker slot on this machine; UP_ARGS=\"--port 9000\""
	@echo "make demo    train a detector on drawn shapes, from an upload to a downloaded best.pt"
	@echo "make test    run the tests (make test-slow: the slow ones); TEST_ARGS=\"tests/core\""
	@echo "make lint    check style, types and the direction of imports"
	@echo "make clean   remove .venv and every cache"

setup: $(STAMP)

$(BIN)/uv: Makefile
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Trainyard needs Python 3.11 or later; name one with: make PYTHON=python3.12")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
	@touch $@

$(STAMP): $(BIN)/uv requirements-dev.txt pyproject.toml
	$(UV) pip sync --python $(BIN)/python --require-hashes --no-build --compile-bytecode requirements-dev.txt
	$(UV) pip install --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $@

up: $(STAMP)
	$(BIN)/trainyard up $(UP_ARGS)

demo: $(STAMP)
	$(BIN)/python examples/demo.py $(DEMO_ARGS)

test: $(STAMP)
	$(BIN)/python -m pytest $(PARALLEL) --durations=20 $(TEST_ARGS)

test-slow: $(STAMP)
	$(BIN)/python -m pytest $(PARALLEL) --durations=20 -m slow $(TEST_ARGS)

test-class-weights: $(STAMP)
	$(BIN)/python -m pytest -m slow tests/e2e/test_weighted_blood_cells.py

soak: $(STAMP)  # kills every process at random while jobs run; 12 null and 1 real job in 3 minutes, 200 and 4 in 30
	$(BIN)/python -m tests.faults.soak --minutes $(MINUTES) --database $(DATABASE) $(SOAK_ARGS)

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

requirements: $(BIN)/uv  # keeps the versions in the files; REQUIREMENTS_ARGS=--upgrade takes the newest
	$(COMPILE) $(REQUIREMENTS_ARGS) --all-extras --output-file requirements-dev.txt
	$(COMPILE) --constraint requirements-dev.txt --extra postgres --output-file requirements.txt
	$(COMPILE) --constraint requirements-dev.txt --extra worker --extra postgres --output-file requirements-worker.txt

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .schemathesis build dist
	find . -name __pycache__ -type d -not -path './.git/*' -prune -exec rm -rf {} +
