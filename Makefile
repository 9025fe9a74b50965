# Each goal builds its own .venv from nothing when it needs one. Needs Python 3.11 or newer; no root.
#
#   make demo PYTHON=python3.12     another Python
#   PIP_EXTRA_INDEX_URL=... make    another package index, say one with CPU builds of torch

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PGX := $(BIN)/pgx
RUN := runs/demo
INSTALLED := $(VENV)/.installed
ROS := $(VENV)/.ros
ENVS := $(VENV)/.envs
WARP := $(VENV)/.warp
SCALE := $(VENV)/.scale
COMPLETE := $(VENV)/.complete
BASE := train,export,serve,dev
# Python compiles a module when it is first imported; most of what is installed never is.
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile -c constraints.txt -e

# Small networks: a second thread waits longer at barriers than it computes.
export OMP_NUM_THREADS := 1
export OPENBLAS_NUM_THREADS := 1
export MKL_NUM_THREADS := 1

# Without the cache of compiled modules every process compiles them all anew, torch's in more than a second.
unexport PYTHONDONTWRITEBYTECODE

# The libraries of a ROS installation that the shell has sourced must not mix with the wheels of .venv.
ifdef AMENT_PREFIX_PATH
unexport PYTHONPATH LD_LIBRARY_PATH AMENT_PREFIX_PATH CMAKE_PREFIX_PATH
endif

.DEFAULT_GOAL := help
.PHONY: help demo test install ros envs warp scale lint types tests clean

help:  ## this list
	@sed -n 's/^\([a-z]*\):.*  ## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 16

demo: install ros  ## find the groups of a small suite, train, export, verify, replay, serve over ROS (minutes)
	$(PGX) train signs --workers 2 --out $(RUN)
	$(PGX) verify $(RUN)/bundle
	$(PGX) play $(RUN)/bundle --out $(RUN)/play
	$(BIN)/python examples/07_ros_demo.py $(RUN)/bundle

test: $(COMPLETE)  ## everything that must pass before a commit
	@+$(MAKE) --no-print-directory -j2 lint types tests

install: $(INSTALLED)  ## build .venv with the tested versions

ros: $(ROS)  ## add a ROS 2 from wheels to .venv and build ros2_ws with it

envs: $(ENVS)  ## add EnvPool and Gymnasium to .venv, for the suites of their environments (0.7 GB)

warp: $(WARP)  ## add MuJoCo Warp to .venv, for worlds on a GPU (0.3 GB)

scale: $(SCALE)  ## add Ray to .venv, for several GPUs or machines (0.3 GB)

lint: install  ## style and format
	$(BIN)/ruff check
	$(BIN)/ruff format --check

types: install  ## static types
	$(BIN)/mypy

tests: install ros envs warp scale  ## the tests alone, three files at a time (most wait for processes)
	$(BIN)/python -m pytest -q -n 3 --dist loadfile --no-loadscope-reorder

clean:  ## remove what the goals above made, but not runs
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis

# A stamp is written last: an install that broke off starts again.
$(INSTALLED): setup.py pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(PIP) ".[$(BASE)]"
	@touch $@

$(ENVS) $(WARP) $(SCALE): $(VENV)/.%: $(INSTALLED)
	$(PIP) ".[$*]"
	@touch $@

# All at once: pip resolves, and builds our own metadata, once instead of five times.
$(COMPLETE): setup.py pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(PIP) ".[$(BASE),ros,envs,warp,scale]"
	@touch $(INSTALLED) $(ENVS) $(WARP) $(SCALE) $@

# It writes the stamp itself, and not while something is missing: then the next `make` looks again.
$(ROS): $(INSTALLED) $(wildcard ros2_ws/wheels.py ros2_ws/src/*/package.xml ros2_ws/src/*/setup.* ros2_ws/src/pgx_msgs/*/*)
	@$(BIN)/python ros2_ws/wheels.py
