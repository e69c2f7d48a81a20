# evomerge: `make help` lists what there is. Make only calls the command; each target sets up
# the virtual environment it needs.

PYTHON ?= python3
VENV   ?= .venv
RECIPE ?= recipes/quickstart.yaml
RUN    ?= runs/$(notdir $(basename $(RECIPE)))
GENS   ?=
JOBS   ?=
ARGS   ?=

BIN := $(VENV)/bin
# Tests share two cores well: one torch thread each.
export OMP_NUM_THREADS ?= 1

.DEFAULT_GOAL := help
.PHONY: help install install-dev evolve compile report test test-long bench lint clean

help:  ## Show this help
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo
	@echo "  Variables: RECIPE=$(RECIPE) RUN=$(RUN) GENS= JOBS= ARGS="

install: $(VENV)/.installed  ## Make the virtual environment and install evomerge, pinned
install-dev: $(VENV)/.installed-dev  ## The same with the tools for tests

$(VENV)/.installed: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@

evolve: install  ## Evolve RECIPE into RUN for GENS generations; again to resume
	$(BIN)/evomerge evolve $(RECIPE) --run-dir $(RUN) $(if $(GENS),--gens $(GENS)) $(if $(JOBS),-j $(JOBS)) $(ARGS)

compile: install  ## Print the mergekit YAML of RECIPE
	$(BIN)/evomerge compile $(RECIPE) $(ARGS)

report: install  ## Write RUN as one HTML file
	$(BIN)/evomerge report $(RUN) $(ARGS)

test: install-dev  ## Lint, type-check and run the tests (minutes)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -n 2 --dist loadfile -m "not long and not gpu" $(ARGS)

test-long: install-dev  ## Every test, with real kills and real merges of everything (an hour)
	$(BIN)/python -m pytest -n 2 --dist loadfile $(ARGS)

bench: install  ## Measure this machine: start-up, compile, candidates a minute
	$(BIN)/evomerge bench $(ARGS)

lint: install-dev  ## Mend what ruff can mend
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:  ## Remove caches, not runs
	rm -rf .pytest_cache .mypy_cache .ruff_cache build dist
	find . -name __pycache__ -prune -exec rm -rf {} +
