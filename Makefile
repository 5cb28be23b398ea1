# Everything a person types in this project. `make help` lists it.
# The environment .venv is made on first use from requirements.lock: exact versions, every archive checked by its hash.

PYTHON ?= python3
UV ?= uv
ARGS ?=
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
# Two tests at a time, each file's one after another, long files first: four on two cores run into each other's time
# limits. Each may hold 3 GB. ARGS='-n 0' runs them in one process.
PYTEST := $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder
# OpenStack Swift, the S3 server that the tests start, has an environment of its own. It runs on Linux only.
OBJECT_STORE := $(if $(filter Linux,$(shell uname -s)),.venv-swift/.installed)

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test faults check bench lock

help:  ## show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-7s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo "  ARGS='...' is passed on: make test ARGS='-k sampling', make demo ARGS='--root runs/other'"

demo: .venv/.installed  ## render a small data set and run the main job on it (minutes on 2 cores)
	@$(BIN)/actionrec demo $(ARGS)

test: .venv/.installed $(OBJECT_STORE)  ## all tests that kill nothing; on Linux also over an S3 server of their own
	@$(PYTEST) --ignore=tests/faults --ignore=tests/security $(ARGS)

faults: .venv/.installed $(OBJECT_STORE)  ## kill workers, drivers, nodes and stores; plant hostile files and secrets (up to 20 minutes)
	@$(PYTEST) tests/faults tests/security $(ARGS)

check: .venv/.installed  ## lint, format, types, layers
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo

bench: .venv/.installed  ## measure against bare limits, forecasts against the demo, and a million videos (hours)
	@$(BIN)/python benchmarks/extract.py $(ARGS)
	@$(BIN)/python benchmarks/flow.py
	@$(BIN)/python benchmarks/train.py
	@$(BIN)/python benchmarks/tune.py
	@$(BIN)/python benchmarks/plan.py
	@$(BIN)/python benchmarks/scale.py

lock:  ## bring requirements.lock and tests/swift.lock up to date; ARGS=--upgrade also moves the pins (needs uv)
	@command -v $(UV) >/dev/null || { echo "make lock needs uv: install it, or name it with UV=/path/to/uv." >&2; exit 1; }
	@$(UV) pip compile pyproject.toml --universal --extra dev --python-version 3.11 --generate-hashes \
	    --custom-compile-command "make lock" --quiet --output-file requirements.lock $(ARGS)
	@$(UV) pip compile tests/swift.in --universal --python-version 3.11 --generate-hashes \
	    --custom-compile-command "make lock" --quiet --output-file tests/swift.lock $(ARGS)

# Each stamp is written last, so an interrupted installation is continued by the next make and never taken for a finished one.
# The project itself is built by the setuptools that the lock pins (no build isolation): nothing unpinned is fetched for it.
.venv/.installed: .venv/.locked pyproject.toml
	@$(PIP) --quiet install --no-deps --no-build-isolation --editable .
	@touch $@

.venv/.locked: requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	    { echo "actionrec needs Python 3.11 or newer: install one and name it, as in 'make PYTHON=python3.12 ...'." >&2; exit 1; }
	@$(PYTHON) -m venv .venv
	@$(BIN)/python tools/install.py requirements.lock .venv/install.log $(PIP) install --progress-bar off --requirement requirements.lock
	@touch $@

.venv-swift/.installed: tests/swift.lock
	@$(PYTHON) -m venv .venv-swift
	@echo "Installing the tests' S3 server, OpenStack Swift, into .venv-swift: about 80 MB, once."
	@.venv-swift/bin/python -m pip --disable-pip-version-check --quiet install --requirement tests/swift.lock
	@touch $@
