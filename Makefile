# make demo: install into .venv, then compare the methods on real digits. make test: install, then run all tests.
# make lint: style and types. make dist: build what is published, and check what is in it.
# make docs: the documentation, into docs/_build/html. make lowest: a short test on the lowest versions allowed.
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/pip install --quiet --disable-pip-version-check
WORKERS ?= 2
SHORT := tests/test_help.py tests/test_likelihood.py tests/test_tables.py tests/test_persistence.py tests/test_plots.py
export OMP_NUM_THREADS := 1

LOWEST := .venv-lowest/bin
NOTEBOOKS ?= cache
.PHONY: demo test lint dist docs lowest clean

demo: .venv/installed
	$(BIN)/elision compare digits --out demo

# A file's tests stay in one process: they share what they train. WORKERS=0 runs all in this one.
test: .venv/installed
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile

lint: .venv/developing
	$(BIN)/ruff check . && $(BIN)/ruff format --check .
	$(BIN)/python .ci/check_types.py

dist: .venv/developing
	rm -rf build dist
	$(BIN)/python -m build --outdir dist .
	$(BIN)/python .ci/check_dist.py dist

# NOTEBOOKS=off shows them without their outputs. Links within the pages are checked: a warning is an error.
docs: .venv/documenting
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m sphinx -W --keep-going -q -D nb_execution_mode=$(NOTEBOOKS) docs docs/_build/html

# The core alone: extras have no bounds that matter to it.
lowest:
	$(PYTHON) -m venv .venv-lowest
	$(LOWEST)/pip install --quiet --disable-pip-version-check uv
	$(LOWEST)/uv pip install --quiet --python $(LOWEST)/python --resolution lowest-direct -e . hypothesis==6.100 pytest==8.0
	$(LOWEST)/python -m pytest -q -o filterwarnings=default $(SHORT)

.venv/installed: pyproject.toml
	$(PYTHON) -m venv .venv
	$(PIP) -e '.[test]'
	touch $@

.venv/developing: .venv/installed
	$(PIP) -e '.[dev]'
	touch $@

.venv/documenting: .venv/installed
	$(PIP) -e '.[docs]'
	touch $@

clean:
	rm -rf .venv .venv-lowest build dist demo docs/_build docs/gallery
