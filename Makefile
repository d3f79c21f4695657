# make demo: install, make a synthetic data set, train and score on it.
# make test: install, lint, run the tests.

# The first of these that is a Python we support.
PYTHON ?= $(shell for p in python3 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 13))' \
	2>/dev/null && echo $$p && break; done)
BIN := .venv/bin
DEMO ?= runs/demo

.PHONY: demo test lint clean

demo: .venv/ready
	$(BIN)/python -m aec_jax.main --config=configs/demo.py --workdir=$(DEMO)

test: lint
	$(BIN)/python -m pytest -n 2 --dist loadfile

lint: .venv/ready-to-test
	$(BIN)/ruff check
	$(BIN)/ruff format --check

clean:
	rm -rf .venv build *.egg-info

.venv/ready: requirements.txt
	@test -n "$(PYTHON)" || { echo 'error: needs Python 3.11 or 3.12:' \
	  'make PYTHON=/path/to/python3.12' >&2; exit 2; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet -r requirements.txt
	@touch $@

.venv/ready-to-test: .venv/ready requirements-test.txt
	$(BIN)/python -m pip install --quiet -r requirements-test.txt
	@touch $@
