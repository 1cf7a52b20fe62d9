# Everything a developer runs; continuous integration runs the same targets. Needs Python >= 3.11, a C compiler and make.

PYTHON ?= python3
VENV ?= .venv
TORCH ?= 1
WORKERS ?= auto

RUN := $(VENV)/bin/python
PIP_INSTALL := $(RUN) -m pip install --quiet --disable-pip-version-check --no-input -c constraints.txt

# A stamp is older than the files it was made from only when the environment must be installed again. The environment for
# development holds that of the quickstart, which holds that without PyTorch, so each install also sets the smaller stamps.
NO_TORCH := $(VENV)/.stamp-no-torch
QUICKSTART := $(VENV)/.stamp-quickstart
DEV := $(VENV)/.stamp-dev

ifeq ($(TORCH),0)
quickstart: $(NO_TORCH)
quickstart: QUICKSTART_ARGUMENTS := --no-torch
else
quickstart: $(QUICKSTART)
endif

.DEFAULT_GOAL := help
.NOTPARALLEL: # two targets must not install into one environment at once
.PHONY: help quickstart test test-slow test-targets check check-format check-lint check-types check-imports \
	check-security docs dist test-wheel test-oldest audit bench bench-edge notebooks mutants format clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-12s %s\n", $$1, $$2}' Makefile
	@echo 'Variables: PYTHON=$(PYTHON) VENV=$(VENV) TORCH=$(TORCH) WORKERS=$(WORKERS)'

quickstart: ## Install and run examples/quickstart.py; TORCH=0 leaves PyTorch out
	$(RUN) examples/quickstart.py $(QUICKSTART_ARGUMENTS)

# Each worker runs on its own core: threads inside one would only wait for each other.
test test-slow test-targets mutants: export OMP_NUM_THREADS ?= 1
test test-slow test-targets mutants: export OMP_WAIT_POLICY ?= passive
test test-slow test-targets mutants: export OPENBLAS_NUM_THREADS ?= 1
test test-slow test-targets mutants: export MKL_NUM_THREADS ?= 1

test: $(DEV) ## Run the fast tests; at least 90 % of lines and branches must be covered
	$(RUN) -m pytest -n $(WORKERS) -m "not slow and not targets" --cov --cov-report=term

test-slow: $(DEV) ## Run the slow tests
	$(RUN) -m pytest -n $(WORKERS) -m slow

test-targets: $(DEV) ## Run the C header on emulated microcontrollers
	@$(RUN) tests/target_tools.py >/dev/null
	$(RUN) -m pytest -n $(WORKERS) -m targets

check: check-format check-lint check-types check-imports check-security ## Check format, lint, types, floors of imports, security

check-format: $(DEV)
	$(RUN) -m ruff format --check .

check-lint: $(DEV)
	$(RUN) -m ruff check .

check-types: $(DEV)
	$(RUN) -m mypy

check-imports: $(DEV)
	$(VENV)/bin/lint-imports

check-security: $(DEV)
	$(RUN) -m bandit -q -c pyproject.toml -r ensemble_1d

dist: $(DEV) ## Build the wheel and the sdist into dist, and check what an index would
	rm -rf dist
	$(VENV)/bin/hatch build
	$(RUN) -m twine check --strict dist/*

# The wheel is built first unless one is named: make test-wheel WHEEL=dist/ensemble_1d-0.1.0-py3-none-any.whl
test-wheel test-oldest: $(if $(WHEEL),,dist)

test-wheel: $(DEV) ## Test the wheel in clean environments: each extra alone, every Python found
	$(RUN) tests/wheel_environments.py $(or $(WHEEL),dist/*.whl)

test-oldest: $(DEV) ## Test the wheel with the oldest versions that it allows
	$(RUN) tests/wheel_environments.py --oldest $(or $(WHEEL),dist/*.whl)

audit: $(DEV) ## Ask for known vulnerabilities of what users are given; fails too where the service is out of reach
	$(RUN) tests/vulnerability_audit.py

bench: $(DEV) ## Run every benchmark and print its table
	@for script in benchmarks/bench_*.py; do \
		echo "== $$script"; \
		$(RUN) "$$script" || exit 1; \
	done

bench-edge: $(DEV) ## Measure our C beside that of other exporters, on emulated microcontrollers
	@$(RUN) tests/target_tools.py >/dev/null || echo 'The rest still runs.' >&2
	$(RUN) benchmarks/edge/bench_edge.py $(if $(CMSIS_NN),--cmsis-nn "$(CMSIS_NN)")

notebooks: $(DEV) ## Run the notebooks of the examples, and store what they print
	$(RUN) examples/execute_notebooks.py

docs: export NO_MKDOCS_2_WARNING = 1
docs: $(DEV) ## Build the documentation into site/; a warning is an error
	$(RUN) -m mkdocs build --strict --quiet

# Whole, because mutmut would keep the verdicts of before on functions that did not change, whatever tests are new.
mutants: $(DEV) ## Change the code that decides integers, one spot at a time, and tell what no test notices
	rm -rf mutants
	PATH="$(abspath $(VENV))/bin:$$PATH" $(VENV)/bin/mutmut run
	$(RUN) tests/mutation_report.py

format: $(DEV) ## Format the code and apply the safe fixes of the linter
	$(RUN) -m ruff check --fix-only .
	$(RUN) -m ruff format .

clean: ## Remove caches, reports and build products; the environment stays
	rm -rf build dist site htmlcov coverage.xml .coverage .coverage.* quickstart-output mutants
	rm -rf .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find . -name '.venv*' -prune -o -type d -name __pycache__ -prune -exec rm -rf {} +

# An environment whose pip is missing was left half made: it is made again.
$(VENV)/bin/pip:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
		echo 'ensemble-1d needs Python 3.11 or newer; $(PYTHON) -V says:' "$$($(PYTHON) -V 2>&1)"; \
		echo 'Name a newer one, for example: make $(MAKECMDGOALS) PYTHON=python3.12'; \
		exit 1; } >&2
	$(PYTHON) -m venv $(VENV)

$(NO_TORCH): pyproject.toml constraints.txt | $(VENV)/bin/pip
	$(PIP_INSTALL) -e '.[xgboost-cpu]'
	@touch $@

$(QUICKSTART): pyproject.toml constraints.txt | $(VENV)/bin/pip
	$(PIP_INSTALL) -e '.[all-cpu]'
	@touch $@ $(NO_TORCH)

$(DEV): pyproject.toml constraints.txt | $(VENV)/bin/pip
	$(PIP_INSTALL) -e '.[dev,all-cpu]'
	@touch $@ $(QUICKSTART) $(NO_TORCH)
