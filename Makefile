# Two commands on a fresh machine: `make quickstart` runs the main job, `make test` the fast tests.
PYTHON ?= python3
BIN := .venv/bin
WORKSPACE ?= my-workspace

# Where bytecode is not written, every process of the tests compiles the program again, and pytest all assertions.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help quickstart test test-slow test-all check clean

help:
	@echo "make quickstart   install into .venv and run the whole loop on real models ($(WORKSPACE)/)"
	@echo "make test         install into .venv and run the fast tests (about 3 minutes on two cores)"
	@echo "make test-slow    the rest: kills, training, merging at scale, Ray, whole programs"
	@echo "make test-all     both"
	@echo "make check        lints, types, import contracts, the shipped knowledge"
	@echo "make clean        remove .venv"

quickstart: .venv/lab
	$(BIN)/mu quickstart --workspace $(WORKSPACE)

test: .venv/dev
	$(BIN)/python -m pytest -n 2 -m 'not slow'

test-slow: .venv/dev
	$(BIN)/python -m pytest -n 2 -m slow

test-all: test test-slow

check: .venv/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/mu lint
	for skill in skills/*/; do $(BIN)/agentskills validate $$skill || exit 1; done

clean:
	rm -rf .venv

# A stamp says that what the two files ask for is installed.
.venv/python:
	$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed, this is " + sys.version) if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv .venv
	touch $@

.venv/lab: .venv/python pyproject.toml constraints.txt
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[lab,tui]'
	touch $@

.venv/dev: .venv/python pyproject.toml constraints.txt
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[lab,tui,dev]'
	touch $@ .venv/lab
