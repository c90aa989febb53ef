# Everything a developer does here. Each target does its own set-up; the first run takes some minutes.
# Needs Python 3.11 or newer and make. Go 1.25 or newer builds Temporal where it can be had in no other way.

SHELL := /bin/sh
PYTHON ?= $(firstword $(foreach p,python3 python3.14 python3.13 python3.12 python3.11 python,$(shell \
	$(p) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $(p))))
RUN := .venv/bin/python
SETUP = @$(if $(PYTHON),$(PYTHON) scripts/setup.py,echo "Kairos needs Python 3.11 or newer; none is on PATH. Install it, or say make PYTHON=/path/to/python3." >&2; exit 1; \#)

# Messages hold more than ASCII, whatever the machine's locale says.
export PYTHONUTF8 := 1
export PYTHONUNBUFFERED := 1

.DEFAULT_GOAL := help
.PHONY: help setup setup-python demo demo-dormancy demo-cart test test-slow check bench chaos format clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: ## get everything ready: packages and Temporal
	$(SETUP)

setup-python:
	$(SETUP) --without-temporal

demo: setup ## the shop's month of May, live; KEEP=1 stays up, DRIVER=workflow|pool
	@$(RUN) -m examples.shop.demo

demo-dormancy: setup ## half a year of real customers: who was reached before they went quiet; KEEP=1, DRIVER=…
	@$(RUN) -m examples.cdnow.demo

demo-cart: setup ## unpaid carts over WeChat, SMS and e-mail, with receipts and clicks coming back; KEEP=1
	@$(RUN) -m examples.cart.demo

test: setup ## all tests but the slow ones, with real PostgreSQL and Temporal
	@$(RUN) -m pytest -m "not slow" -n 2 --dist loadfile

test-slow: setup ## the slow tests: full figures of faults and statistics
	@$(RUN) -m pytest -m slow --timeout 3600

check: setup-python ## format, lint, types, layers, spelling, lock
	@$(RUN) scripts/check.py

bench: setup ## compare speed with named baselines
	@$(RUN) -m benchmarks

chaos: setup ## kill -9 under load, and the ledger of what came of it
	@$(RUN) -m benchmarks.chaos

format: setup-python ## rewrite the code in the project's format
	@$(RUN) -m ruff check --fix-only --quiet .
	@$(RUN) -m ruff format .

clean: ## remove what the other targets left in this folder (not the caches in your home)
	@rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache dist build
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
