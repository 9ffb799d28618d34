# make sweep   set up and run the main job        make test   set up and run every check
# make bench   check the reach targets (timing)   make clean  remove what was built here
# make mutants plant bugs in the kernels by rule and run their tests on each (a quarter of an hour)
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
BENCHMARKS := truth coverage reach cpu_limit lowbit repeats verdicts layer page serving batch fleet fuzz
SOURCES := pyproject.toml constraints.txt Makefile

.PHONY: sweep test check bench mutants example clean

sweep: .venv/core.stamp
	$(BIN)/mglubench sweep --h 2048 --d 8192 --nm 1,2,4,8

test: .venv/dev.stamp
	$(MAKE) --no-print-directory check

check:
	$(BIN)/ruff check mglubench tests
	$(BIN)/ruff format --check mglubench tests
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(BIN)/python -m pytest -n 2

bench: .venv/dev.stamp
	@failed=0; for part in $(BENCHMARKS); do \
		$(BIN)/python -m tests.benchmarks.$$part || failed=1; \
	done; exit $$failed

mutants: .venv/dev.stamp
	PYTHONPATH=. $(BIN)/python tests/kernels_cuda/mutants.py --table tests/kernels_cuda/MUTANTS.md

# The environment is made once; the stamps say that what pyproject.toml asks for is in it.
.venv/bin/python:
	$(PYTHON) -c 'import sys; sys.exit("mglubench needs Python 3.11 to 3.13, %s found; try make PYTHON=python3.12" % sys.version.split()[0] if not (3, 11) <= sys.version_info[:2] <= (3, 13) else 0)'
	$(PYTHON) -m venv .venv

.venv/core.stamp: $(SOURCES) | .venv/bin/python
	$(PIP) --editable .
	@touch $@

.venv/dev.stamp: $(SOURCES) | .venv/bin/python
	$(PIP) --editable '.[dev,reports,triton,cu13,profile,hf]'
	@$(PIP) --editable '.[ray]' || echo 'Ray cannot be installed here: its tests are skipped'
	@touch $@ .venv/core.stamp

clean:
	rm -rf .venv dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
