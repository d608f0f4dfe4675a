# Everything a newcomer needs: `make demo` and `make test`. Both set themselves up; nothing is installed outside this folder.
.DEFAULT_GOAL := help
SHELL := /bin/sh
PYTHON ?= python3
ARGS ?=
DATABASES ?= mariadb postgresql
FUZZ ?= 100
# Tests wait for servers a fifth of their time: one worker more than the two processors of a small machine keeps both busy.
WORKERS ?= 3
export UV_PYTHON_DOWNLOADS := never
# Tests start hundreds of processes: without kept bytecode each of them compiles every package anew (6.0 s instead of 2.5 s).
unexport PYTHONDONTWRITEBYTECODE
VENV ?= .venv
export UV_PROJECT_ENVIRONMENT := $(VENV)
UV := .uv/bin/uv
RUN := $(VENV)/bin

.PHONY: help demo test test-databases fuzz lint bench quarter docs prices setup setup-dev clean

help:  ## what can be made
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

# uv lives in an environment of its own; where the venv module lacks ensurepip (Debian without python3-venv) pip puts it in a folder.
$(UV):
	@$(PYTHON) -m venv .uv >/dev/null 2>&1 && .uv/bin/python -m pip install --quiet --disable-pip-version-check uv \
	  || { rm -rf .uv; $(PYTHON) -m pip install --quiet --disable-pip-version-check --target .uv uv; }

setup: $(UV)  ## what running needs, from uv.lock
	@$(UV) sync --quiet --locked --inexact --no-dev

setup-dev: $(UV)  ## what developing and testing need, from uv.lock
	@$(UV) sync --quiet --locked

demo: setup  ## logs in, priced analytics out, API and Dagster UI up (ARGS=--once: exit instead of serving)
	@$(RUN)/python -m pipelines.demo $(ARGS)

test: setup-dev  ## everything, then the control plane on MariaDB and PostgreSQL; a missing part is skipped with its reason (CI=true: a failure)
	@$(RUN)/python -m pytest -n $(WORKERS) --dist worksteal $(ARGS)
	@$(MAKE) --no-print-directory test-databases

# pytest says 5 when ARGS leave nothing to run.
test-databases: setup-dev  ## the control plane on MariaDB and PostgreSQL, each a private server (DATABASES=mariadb: that one only; EVERY=1: also what the database hardly matters to)
	@for database in $(DATABASES); do \
	  GATELEDGER_TEST_DATABASE=$$database $(RUN)/python -m pytest -n $(WORKERS) --dist worksteal -m "control_plane and not slow$(if $(EVERY),, and not one_database)" $(ARGS) \
	    || [ $$? -eq 5 ] || exit 1; \
	done

fuzz: setup-dev  ## many requests to every route, made from the OpenAPI document (FUZZ=300: so many of each kind)
	@GATELEDGER_FUZZ_EXAMPLES=$(FUZZ) $(RUN)/python -m pytest tests/contract/test_schemathesis.py -n $(WORKERS) --dist worksteal --timeout 3600 $(ARGS)

lint: setup-dev  ## style, types, directions of imports
	@$(RUN)/ruff check . && $(RUN)/ruff format --check . && $(RUN)/lint-imports && $(RUN)/pyright

bench: setup-dev  ## speed as ratios to a raw engine or a peer, in one run
	@GATELEDGER_BENCH_INGEST_ROWS=$${GATELEDGER_BENCH_INGEST_ROWS:-1000000} $(RUN)/python -m pytest tests/bench -m bench -s --benchmark-enable --benchmark-only --benchmark-columns=median,min,max,rounds -p no:randomly --timeout 3600 $(ARGS)

docs: setup-dev  ## regenerate docs/catalog.md and docs/openapi.json
	@$(RUN)/python -m warehouse.query.reference && $(RUN)/python -m api.openapi

prices: setup-dev  ## rebuild pricing_configs/ and print what changed
	@$(RUN)/python -m pricing_configs.build

quarter: setup-dev  ## a simulated quarter of two million requests: every number at every step, every alert once
	@GATELEDGER_QUARTER_ROWS=$${GATELEDGER_QUARTER_ROWS:-2400000} $(RUN)/python -m pytest tests/integration/test_simulated_quarter.py -p no:randomly $(ARGS)

clean:  ## remove the environments and caches (not your data)
	@rm -rf .venv .venv-demo .uv .pytest_cache .ruff_cache .hypothesis .import_linter_cache .benchmarks
