# Set-up and the usual commands; `make` alone lists them.
PYTHON ?= $(shell for p in python3.11 python3; do \
	$$p -c "" 2>/dev/null && echo $$p && break; done)
VENV ?= .venv
PY := $(VENV)/bin/python
# Options for the runner: make run ARGS="--only 01,03 --resume"
ARGS ?=

# Quiet start-up, and this environment's kernel rather than the user's.
export TF_CPP_MIN_LOG_LEVEL ?= 3
export JUPYTER_PREFER_ENV_PATH := 1

# By nbval in the quick profile: the first, and what reads all measured tables.
CHECKED := $(wildcard notebooks/00_*.ipynb notebooks/11_*.ipynb)

.DEFAULT_GOAL := help
.PHONY: help setup run full gpu-check test test-book lab book notebooks \
	handout bench lint clean

help:
	@echo "make run        set up, then run all notebooks (quick, CPU)"
	@echo "make full       the same with the full profile, on a GPU"
	@echo "make gpu-check  whether a GPU trains, and how fast: minutes"
	@echo "make test       unit tests, notebooks (smoke) by papermill, nbval"
	@echo "make test-book  committed outputs against a quick run's"
	@echo "make lab        JupyterLab on 00_start_here"
	@echo "make book       the executed notebooks as web pages, in runs/book"
	@echo "make notebooks  re-execute the committed notebooks in place"
	@echo "make handout    notebooks without outputs and solutions, for a class"
	@echo "make bench      speed against plain Keras"
	@echo "make lint       ruff, notebooks included"
	@echo "make clean      remove the environment and caches, not the runs"

$(PY):
	@"$(PYTHON)" -c "import sys; sys.exit(not (3, 11) <= sys.version_info \
	< (3, 14) and 'Python 3.11, 3.12 or 3.13 is needed: make PYTHON=...')"
	"$(PYTHON)" -m venv $(VENV)

# A stamp for each list of packages: a second run installs nothing.
$(VENV)/.installed: requirements.txt pyproject.toml | $(PY)
	@echo "Installing requirements.txt into $(VENV): some minutes"
	@$(PY) -m pip install --quiet --disable-pip-version-check \
		-r requirements.txt
	@touch $@

$(VENV)/.installed-gpu: requirements-gpu.txt $(VENV)/.installed
	@echo "Installing requirements-gpu.txt into $(VENV): some minutes"
	@$(PY) -m pip install --quiet --disable-pip-version-check \
		-r requirements-gpu.txt
	@touch $@

setup: $(VENV)/.installed

# Two notebooks at a time; where memory is short: ARGS="--jobs 1".
run: setup
	@$(PY) -m helpers.run --profile quick --jobs 2 $(ARGS)

full: $(VENV)/.installed-gpu
	@$(PY) -m helpers.run --profile full $(ARGS)

gpu-check: $(VENV)/.installed-gpu
	@$(PY) -m helpers.run --study gpu_check $(ARGS)

test: setup
	@$(PY) -m pytest -n 2 --nbval-lax --nbval-current-env \
		tests $(CHECKED)

# As long as make run; not part of make test.
test-book: setup
	@$(PY) -m pytest tests/book.py

lab: setup
	@$(PY) -m jupyter lab notebooks/00_start_here.ipynb \
		--ServerApp.contents_manager_class=helpers.lab.Contents

book: setup
	@$(PY) -m helpers.book $(ARGS)

notebooks: setup
	@$(PY) -m helpers.run --in-place $(ARGS)

handout: setup
	@$(PY) -m helpers.run --handout runs/handout $(ARGS)

bench: setup
	@$(PY) tests/benchmarks/run.py

lint: setup
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .

clean:
	rm -rf $(VENV) *.egg-info .pytest_cache .ruff_cache
	find . -name __pycache__ -prune -exec rm -rf {} +
	find . -name .ipynb_checkpoints -prune -exec rm -rf {} +
