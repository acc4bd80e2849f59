# Two commands on a fresh machine: `make run` and `make test`. `make help` lists the rest.
SHELL := /bin/bash
VENV ?= .venv
BIN := $(VENV)/bin
ARGS ?=
# The parts that must never lose a Run: measured by line and branch, each for itself, worker processes included.
HEART := core queue timing worker
HEART_COVERAGE := 90

.PHONY: help run test check lint rules bench faults lock tools services

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-7s %s\n", $$1, $$2}' Makefile

run: ## make the virtual environment and start the centre (ARGS="…" are passed on)
	@.ci/venv $(VENV) requirements.lock
	@exec $(BIN)/python run.py $(ARGS)

test: tools services lint ## checks and all tests, with coverage (ARGS="…" are passed to pytest)
	@rm -f .coverage .coverage.*
	@set -o pipefail; $(BIN)/coverage run -m pytest -m "not faults" $(ARGS) | tee $(VENV)/pytest.txt || \
	  { echo "once more, alone, what failed:"; $(BIN)/coverage run -m pytest -m "not faults" --last-failed --last-failed-no-failures none | tee $(VENV)/pytest.txt; }
	@$(BIN)/coverage combine --quiet
	@$(BIN)/coverage report --fail-under=0
	@low=0; for part in $(HEART); do \
	  printf 'coverage of scheduler/%s, percent: ' $$part; \
	  $(BIN)/coverage report --include="scheduler/$$part/*" --format=total --fail-under=$(HEART_COVERAGE) || low=1; \
	done; exit $$low
	@tail -n 1 $(VENV)/pytest.txt

check: lint rules ## the checks alone: lint, format, types, layers, house rules

lint: tools
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

rules: tools
	@$(BIN)/python -m pytest -q tests/rules

bench: services ## measure against other schedulers and queues, side by side (ARGS="--list", "--quick", "--only …")
	@.ci/venv $(VENV) requirements.lock
	@$(BIN)/python benchmarks/run.py $(ARGS)

faults: tools services ## the long chaos runs; prints a table
	@$(BIN)/python -m pytest -q tests/faults -m faults $(ARGS)

lock: ## resolve pyproject.toml into the two lock files again
	@.ci/lock

tools:
	@.ci/venv $(VENV) requirements-test.lock

services:
	@command -v redis-server >/dev/null || .ci/apt redis-server
	@command -v git >/dev/null || .ci/apt git
