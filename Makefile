PYTHON ?= python3
VENV ?= .venv
JAX ?=
MATRIX ?= python3.11,jax==0.10.0 python3.13,jax
RUN = $(VENV)/bin/python

.PHONY: quickstart test test-matrix lint benchmark benchmark-gpu install docs results clean

# Trains, evaluates and draws a guided network on generated images.
quickstart: $(VENV)/installed
	$(RUN) -m experiments.quickstart --workdir=runs/quickstart

# The suite, the wheel among it, and lint. A file goes to one worker whole; in the order of their names, since the files
# with the fewest tests are the longest.
test: $(VENV)/installed-test lint
	$(RUN) -m pytest --numprocesses auto --dist loadfile --no-loadscope-reorder

# The suite on the oldest jax and on the newest of Python and jax, in environments of their own; another pair, as
# MATRIX=python3.12,jax==0.11.0. The newest jax may need a newer Python than this one: pip takes what fits.
test-matrix:
	set -e; for each in $(MATRIX); do python=$${each%,*}; \
	  $(MAKE) test PYTHON=$$python VENV=.venv-$$python JAX="$${each#*,}"; \
	  .venv-$$python/bin/python -c 'import sys, jax; print("passed: Python", sys.version.split()[0], "jax", jax.__version__)'; \
	done

lint: $(VENV)/installed-test
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .

# Every benchmark that needs no data, beside PyTorch, into runs/benchmark/performance.json; goes on where it was stopped.
benchmark: $(VENV)/installed-test
	$(RUN) -m experiments benchmark all --workdir=runs/benchmark

# On a machine with an NVIDIA GPU: the suite on it, then the benchmarks.
benchmark-gpu: $(VENV)/installed-test
	$(RUN) -m pip install --quiet --upgrade 'jax[cuda13]<0.13'
	JAX_PLATFORMS=cuda $(RUN) -m pytest --numprocesses 1
	$(RUN) -m experiments benchmark all --workdir=runs/benchmark-gpu

# The tables of README and docs, from experiments/results/*.json.
results: $(VENV)/installed
	$(RUN) -m docs.tools.tables

# The pages of the interface in docs/api; fails where a table is stale or a reference leads nowhere.
docs: $(VENV)/installed-docs
	$(RUN) -m docs.tools.tables --check
	$(RUN) -m docs.tools.references
	$(RUN) -m docs.tools.api

install: $(VENV)/installed

$(VENV)/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; name it: make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/installed: setup.cfg pyproject.toml | $(VENV)/bin/python
	$(RUN) -m pip install --quiet --editable .
	touch $@

$(VENV)/installed-test: setup.cfg pyproject.toml tests/scorers.txt | $(VENV)/bin/python
	$(RUN) -m pip install --quiet --editable '.[test]' $(JAX)
	$(RUN) -m pip install --quiet --no-deps --requirement tests/scorers.txt
	touch $@ $(VENV)/installed

$(VENV)/installed-docs: setup.cfg pyproject.toml | $(VENV)/bin/python
	$(RUN) -m pip install --quiet --editable '.[docs]'
	touch $@ $(VENV)/installed

clean:
	rm -rf $(VENV) .pytest_cache runs docs/api
