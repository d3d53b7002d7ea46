# `make` alone says what there is.
.DEFAULT_GOAL := help
.PHONY: help setup tiny test test-all console-test check bench ui deploy

PYTHON := .venv/bin/python
RECIPE ?= tiny
ENDPOINT ?= dns:///localhost:8090
PROJECT ?= k2
DOMAIN ?= development
# `make deploy DRY_RUN=` really deploys.
DRY_RUN ?= --dry-run

help: ## Say what there is
	@echo "An agentic language model from raw text, the way Kimi K2 was made. Start with: make tiny"
	@echo
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'
	@echo
	@echo "After the first run: .venv/bin/k2 --help  (or: export PATH=\"\$$PWD/.venv/bin:\$$PATH\")"

setup: ## Set up .venv from the committed locks (the others call it; quick when nothing changed)
	@bash infra/setup.sh

tiny: setup ## Run the whole pipeline here, raw text to a released model (RECIPE=smoke: smaller)
	@.venv/bin/k2 run --recipe $(RECIPE)

test: setup ## Run the tests, the pipeline's smoke run included (ARGS="-k word": some of them)
	@$(PYTHON) -m pytest $(ARGS)

test-all: setup ## Run the slow tests too; says how long all took, and the slowest twenty
	@FUZZ_CASES=$${FUZZ_CASES:-1000} $(PYTHON) -m pytest -m "not gpu and not cluster" --durations=20 $(ARGS)

console-test: setup ## Deploy to a control plane on this machine, run the pipeline through it, rerun
	@$(PYTHON) -m pytest -n 0 -m slow tests/console $(ARGS)

check: setup ## Check style, types and who imports whom
	@.venv/bin/ruff check .
	@.venv/bin/ruff format --check --quiet . || { .venv/bin/ruff format --check .; exit 1; }
	@.venv/bin/mypy
	@.venv/bin/lint-imports

bench: setup ## Measure the rooms side by side with their peers
	@$(PYTHON) -m bench

ui: setup ## Show recorded runs, curves and lineage in MLflow (Flyte's own: .venv/bin/flyte start tui)
	@.venv/bin/k2 ui

deploy: setup ## Register all tasks with a Flyte backend: dry run; DRY_RUN= ENDPOINT=... does it
	@$(PYTHON) -m infra.deploy --endpoint $(ENDPOINT) --project $(PROJECT) --domain $(DOMAIN) $(DRY_RUN)
