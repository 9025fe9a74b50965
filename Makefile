# Each goal builds its own .venv from nothing when it needs one. Needs Python 3.10 or newer; no root.
#
#   make demo PYTHON=python3.12     another Python
#   PIP_EXTRA_INDEX_URL=... make    another package index, say one with CPU builds of torch

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PGX := $(BIN)/pgx
RUN := runs/demo
INSTALLED := $(VENV)/.installed

# Small networks: a second thread waits longer at barriers than it computes.
export OMP_NUM_THREADS := 1
export OPENBLAS_NUM_THREADS := 1
export MKL_NUM_THREADS := 1

.DEFAULT_GOAL := help
.PHONY: help demo test install lint types tests clean

help:  ## this list
	@sed -n 's/^\([a-z]*\):.*  ## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 16

demo: install  ## find the groups of a small suite, train, export, verify and replay (minutes)
	$(PGX) train signs --out $(RUN)
	$(PGX) verify $(RUN)/bundle
	$(PGX) play $(RUN)/bundle --out $(RUN)/play

test: lint types tests  ## everything that must pass before a commit

install: $(INSTALLED)  ## build .venv with the tested versions

lint: install  ## style and format
	$(BIN)/ruff check
	$(BIN)/ruff format --check

types: install  ## static types
	$(BIN)/mypy

tests: install  ## the tests alone
	$(BIN)/python -m pytest -q

clean:  ## remove what the goals above made, but not runs
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis

# The stamp is written last: an install that broke off starts again.
$(INSTALLED): setup.py pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[train,export,serve,dev]"
	@touch $@
