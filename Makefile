# Two commands do everything on a fresh machine: `make demo` and `make test`. Each sets up .venv by itself.
PYTHON ?= python3
VENV ?= .venv
OUT ?= out/demo
BIN := $(VENV)/bin
LOCK := requirements/constraints.txt
READY := $(VENV)/.ready

.PHONY: demo test lint setup lock benchmarks clean help

help: ## what there is to make
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 14

demo: $(READY) ## the whole chain on made-up records, into out/demo
	$(BIN)/deepicd demo $(OUT)

test: $(READY) ## the quick tests (no torch, about two minutes)
	$(BIN)/python -m pytest -n auto

lint: $(READY) ## ruff and mypy (strict)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

setup: $(READY) ## .venv with everything that demo and tests need

# Remade when the project or its lock changes. Exact versions come from the lock; pip brings whatever index it is set to.
$(READY): pyproject.toml $(LOCK) requirements/dev.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "deepicd needs Python 3.11 or newer; name one with: make $(MAKECMDGOALS) PYTHON=python3.12"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -qq --disable-pip-version-check -c $(LOCK) -e '.[all]' -r requirements/dev.txt
	@touch $(READY)

lock: $(READY) ## resolve pyproject.toml anew for every platform and Python it supports
	$(BIN)/python -m pip install -qq uv
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --all-extras --no-annotate --no-header \
	  --constraint requirements/held-back.txt pyproject.toml requirements/dev.txt --output-file $(LOCK)

benchmarks: $(READY) ## measure what should be fast, against a floor in the same run
	$(BIN)/python -m benchmarks.run

clean: ## remove the environment and all output
	rm -rf $(VENV) out
