# Everything a newcomer needs. `make help` lists the targets.
SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
VENV := .venv
BIN := $(VENV)/bin
PYTHON ?= python3
PORT ?= 8000
UI_PORT ?= 5000
export MLFLOW_DISABLE_TELEMETRY := true
export DVC_NO_ANALYTICS := true
export PATH := $(abspath $(BIN)):$(PATH)

.PHONY: help setup repro test test-cov check quick ui serve run bench clean lock

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

test: setup ## run the tests
	pytest

test-cov: setup ## run the tests with coverage
	pytest --cov --cov-report=term-missing:skip-covered

check: setup ## ruff, mypy and import-linter
	ruff check .
	ruff format --check .
	mypy
	lint-imports

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

lock: ## resolve requirements.lock anew from pyproject.toml
	uv lock --quiet --upgrade
	uv export --quiet --all-extras --all-groups --no-emit-project --no-header --output-file requirements.lock >/dev/null

clean: ## remove what is not in git, but .venv
	rm -rf .cache/replies.sqlite* mlflow var htmlcov .coverage .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
