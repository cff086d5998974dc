# make demo: install into .venv, then compare the methods on real digits. make test: install, then run all tests.
PYTHON ?= python3
BIN := .venv/bin
export OMP_NUM_THREADS := 1

.PHONY: demo test lint clean

demo: .venv/installed
	$(BIN)/elision compare digits --out demo

test: .venv/installed
	$(BIN)/python -m pytest

lint: .venv/installed
	$(BIN)/pip install --quiet -e '.[dev]'
	$(BIN)/ruff check . && $(BIN)/ruff format --check .

.venv/installed: pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check -e '.[test]'
	touch $@

clean:
	rm -rf .venv demo
