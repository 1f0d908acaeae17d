# `make` alone prints this list. `make run` and `make test` install what they need into .venv by themselves.
.DEFAULT_GOAL := help
.PHONY: help install run test slow mutants check format smoke bench lock clean
SHELL := /bin/bash

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
WORKERS ?= 2
ARGS ?=
# The embedded models are small enough for a process on each core; results are the same. Other models say for themselves.
PROCESSES = $(if $(or $(findstring trainer,$(ARGS)),$(findstring generator,$(ARGS)),$(findstring experiment,$(ARGS))),,trainer.devices=$(WORKERS))
TESTS ?= tests

# One thread per process: with other load on the machine two are several times slower than one.
export OMP_NUM_THREADS ?= 1
export TOKENIZERS_PARALLELISM ?= false
# Without its bytecode every process compiles the libraries anew: a quarter of a minute instead of a few seconds.
unexport PYTHONDONTWRITEBYTECODE

help:  ## print this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-9s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo; echo "Options of a run go into ARGS: make run ARGS='surrogates=two_tiny num_images_per_cell=1'"

install: $(INSTALLED)  ## create .venv and install the locked versions
run: $(INSTALLED)  ## the whole loop on the embedded models; ends with the tables
	@$(BIN)/python run.py $(PROCESSES) $(ARGS)

test: $(INSTALLED)  ## all tests but the slow ones; TESTS=tests/test_mining.py for one file
	@$(BIN)/python -m pytest -n $(WORKERS) --dist loadscope --no-loadscope-reorder $(TESTS)

slow: $(INSTALLED)  ## the slow tests: killed and restarted runs, several processes
	@$(BIN)/python -m pytest -m slow $(TESTS)

check: $(INSTALLED)  ## lint, format, types, layers of imports; less than a minute
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/python -m pytest tests/test_architecture.py

format: $(INSTALLED)  ## put the code into the house format
	@$(BIN)/ruff check --fix --quiet . ; $(BIN)/ruff format .

smoke: $(INSTALLED)  ## the whole loop with one image a cell, in a folder that is thrown away
	@folder=$$(mktemp -d) && trap 'rm -rf "$$folder"' EXIT && \
	$(BIN)/python run.py num_images_per_cell=1 logger=csv paths.output_dir="$$folder" $(ARGS)

mutants: $(INSTALLED)  ## small random mistakes in the core, and how many of them its tests notice
	@$(BIN)/python -m benchmarks.mutants $(ARGS)

bench: $(INSTALLED)  ## speed and memory, as ratios measured in one run
	@for script in $(filter-out benchmarks/mutants.py,$(wildcard benchmarks/[a-z]*.py)); do name=$$(basename "$$script" .py); \
	echo "== python -m benchmarks.$$name"; $(BIN)/python -m "benchmarks.$$name" || exit 1; done

lock: $(INSTALLED)  ## resolve pyproject.toml again into requirements.lock, on every platform, without registry addresses
	@uv=$$(command -v uv || echo $(BIN)/uv); $$uv pip compile pyproject.toml --extra adapters --extra dev --extra exports --extra qc --extra slurm --extra ray --universal \
	--python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --custom-compile-command "make lock" \
	--upgrade --quiet --output-file requirements.lock

clean:  ## remove caches; runs and .venv stay
	@rm -rf .mypy_cache .pytest_cache .ruff_cache build dist *.egg-info
	@find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +

# uv resolves and unpacks torch in a fraction of pip's time; where there is none it goes into .venv.
$(INSTALLED): pyproject.toml requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' || \
	{ echo "imagenetd needs Python 3.11 to 3.13, and $(PYTHON) is another. Say which: make PYTHON=python3.12"; exit 1; }
	@uv=$$(uv --version >/dev/null 2>&1 && command -v uv || true); \
	if [ ! -x $(BIN)/python ]; then \
	  if [ -n "$$uv" ]; then $$uv venv --quiet --allow-existing --python $(PYTHON) $(VENV); else $(PYTHON) -m venv $(VENV); fi || exit 1; \
	fi; \
	if [ -z "$$uv" ]; then \
	  [ -x $(BIN)/uv ] || $(BIN)/python -m pip install --quiet --disable-pip-version-check uv || exit 1; uv=$(BIN)/uv; \
	fi; \
	echo "installing into $(VENV) (once; some minutes where nothing is cached)"; \
	$$uv pip install --quiet --python $(BIN)/python -r requirements.lock && \
	$$uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation -e .
	@touch $@
