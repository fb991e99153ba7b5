# Everything runs inside .venv, which the first target that needs it makes.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
COVERED := 74
OTHER_PYTHONS := python3.11 python3.12 python3.13

.PHONY: help setup demo test robustness test-tools unit-others lint types floors docs coverage test-above wheel check bench clean

help:            ## what can be made
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*##/\t/' | expand -t 16

setup: $(VENV)/ready ## a virtual environment with lMaPS, ansible-core and the tools of development

$(VENV)/ready: pyproject.toml
	scripts/setup "$(PYTHON)" "$(VENV)"
	@touch $@

demo: setup      ## the story, by really doing it: daemon, instances, apply with Ansible, rollback, export
	PATH="$(CURDIR)/$(BIN):$$PATH" scripts/demo

test: setup      ## all tests
	$(BIN)/pytest -q -n auto --dist worksteal

coverage: setup  ## the unit tests; they have to cover what they covered before: raise COVERED when they cover more
	$(BIN)/pytest -q -n auto --dist worksteal --cov --cov-report= --cov-fail-under=$(COVERED) tests/unit

test-above: setup ## all tests but those of the unit floor
	$(BIN)/pytest -q -n auto --dist worksteal --ignore=tests/unit

robustness: setup ## the full tier of tests/robustness, or of ONLY="FILE ..."; writes its figures into the docs
	$(BIN)/python scripts/robustness.py $(ONLY)

test-tools: setup ## the example handlers with the real Salt (SALT_CALL=...) and Puppet, where they are installed
	$(BIN)/pytest -q -m tools tests/integration/handlers/test_tools.py

unit-others: setup ## the unit floor and Ansible on the other Pythons that are found
	scripts/unit-others $(OTHER_PYTHONS)

lint: setup      ## format and lint
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: setup     ## mypy --strict, over lmaps, tests, bench and scripts
	$(BIN)/mypy

floors: setup    ## who may import whom
	$(BIN)/lint-imports
	$(BIN)/python scripts/house.py --check

docs: setup      ## the generated pages are those that are committed
	$(BIN)/python scripts/reference.py --check
	$(BIN)/python scripts/robustness.py --check

wheel: setup     ## the wheel, installed and run from another folder
	scripts/wheel

check: lint types floors docs coverage test-above unit-others wheel ## everything that must hold before a change lands

bench: setup     ## measure
	$(BIN)/python -m bench
	$(BIN)/python -m bench.history
	$(BIN)/python -m bench.apply

clean:           ## remove what was made
	rm -rf $(VENV) .coverage .demo .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache dist
