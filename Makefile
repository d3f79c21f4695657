# make demo: install, make a synthetic data set, train and score on it.
# make quick, test, test-all: install, lint, run some or all of the tests.

# The first of these that is a Python we support.
PYTHON ?= $(shell for p in python3 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 13))' \
	2>/dev/null && echo $$p && break; done)
BIN := .venv/bin
DEMO ?= runs/demo
# cuda12, cuda13 or tpu: JAX for that is installed as well.
ACCELERATOR ?=
PYTEST := $(BIN)/python -m pytest -n 2 --dist loadfile

.PHONY: demo quick test test-all lint types clean

demo: .venv/ready
	$(BIN)/python -m aec_jax.main --config=configs/demo.py --workdir=$(DEMO)

quick: lint
	$(PYTEST) -m "not slow" $(QUICK)

test: lint types
	$(PYTEST) -m "not slow"

test-all: test
	XLA_FLAGS= $(PYTEST) -m slow  # compiled in full

lint: .venv/ready-to-test
	$(BIN)/ruff check
	$(BIN)/ruff format --check

types: .venv/ready-to-test
	$(BIN)/mypy

clean:
	rm -rf .venv build *.egg-info

# The tests that catch most for their time.
QUICK := tests/test_metrics.py tests/test_objective.py tests/input \
	tests/audio tests/datasets tests/run tests/train/test_loop.py \
	tests/train/test_step.py tests/train/test_stopping.py

.venv/ready: requirements.txt
	@test -n "$(PYTHON)" || { echo 'error: needs Python 3.11 or 3.12:' \
	  'make PYTHON=/path/to/python3.12' >&2; exit 2; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet -r requirements.txt
	@test -z "$(ACCELERATOR)" || \
	  $(BIN)/python -m pip install --quiet 'jax[$(ACCELERATOR)]'
	@touch $@

.venv/ready-to-test: .venv/ready requirements-test.txt
	$(BIN)/python -m pip install --quiet -r requirements-test.txt
	@touch $@
