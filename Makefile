# make demo: install into .venv, then compare the methods on real digits. make test: install, then run all tests.
# make lint: style and types. make dist: build what is published, and check what is in it.
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/pip install --quiet --disable-pip-version-check
WORKERS ?= 2
export OMP_NUM_THREADS := 1

.PHONY: demo test lint dist clean

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

.venv/installed: pyproject.toml
	$(PYTHON) -m venv .venv
	$(PIP) -e '.[test]'
	touch $@

.venv/developing: .venv/installed
	$(PIP) -e '.[dev]'
	touch $@

clean:
	rm -rf .venv build dist demo
