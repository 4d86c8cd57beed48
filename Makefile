# `make run` and `make test` set up all they need from a bare clone; afterwards set-up is a no-op.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
LANGUAGE_MODEL := $(VENV)/share/ingot/lid.176.ftz
SET_UP := $(READY) $(LANGUAGE_MODEL)
# The tests of a file share what they set up, so they stay in one process.
SIDE_BY_SIDE := --numprocesses logical --maxprocesses 4 --dist loadfile

.PHONY: run test test-all test-offline check setup up down clean

run: $(SET_UP)
	$(BIN)/ingot run --recipe quickstart

test: $(SET_UP) check
	$(BIN)/python -m pytest $(SIDE_BY_SIDE)

test-all: $(SET_UP) check
	$(BIN)/python -m pytest -m "not suite"

# All of `make test` once more, in a network namespace that has a loopback interface alone.
test-offline: $(SET_UP)
	$(BIN)/python -m pytest -m suite

check: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/mypy

setup: $(SET_UP)

up: $(SET_UP)
	$(BIN)/ingot up

down: $(READY)
	$(BIN)/ingot down

# pip below 23.3 does not know an extra of lxml by the name that jusText gives it, and warns; later
# ones show setuptools' general advice on every editable install.
$(READY): pyproject.toml requirements.lock
	$(PYTHON) -c 'import sys; assert sys.version_info >= (3, 11), "Ingot needs Python 3.11 or newer; set PYTHON=python3.x"'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check 'pip>=23.3'
	PYTHONWARNINGS=ignore $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint requirements.lock --editable '.[dev]'
	touch $(READY)

# All that is ever fetched comes with the packages and this; afterwards nothing asks a network.
$(LANGUAGE_MODEL): | $(READY)
	$(BIN)/python -m llm.corpus.annotate.language_model

clean:
	rm -rf $(VENV) .ingot .pytest_cache .mypy_cache .ruff_cache .hypothesis *.egg-info
