# The same commands for people and for CI. Each makes the virtual environment that it needs, once.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Stamps: newer than the requirements means installed.
APP_READY := $(VENV)/.requirements
DEV_READY := $(VENV)/.requirements-dev

.DEFAULT_GOAL := help
.PHONY: help install app test check bench format screenshots

help: ## list the commands
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

app: $(APP_READY) ## start the page on http://127.0.0.1:7860
	$(BIN)/python app.py

test: $(DEV_READY) ## run the tests
	$(BIN)/python -m pytest

check: $(DEV_READY) ## lint, format, types, and every stored figure once more
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/python -m training evaluate --check

bench: $(DEV_READY) ## measure layers and training loop against torch's, and the page; on an idle machine
	$(BIN)/python -m training bench
	$(BIN)/python -m tests.page_bench

format: $(DEV_READY) ## put the code in shape
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

screenshots: $(DEV_READY) ## look at the page: every tab, wide and narrow, light and dark, in screenshots/
	$(BIN)/python -m tests.browser.screenshots

install: $(DEV_READY) ## make the virtual environment for all of these

$(APP_READY): requirements.txt
	test -x $(BIN)/pip || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -r requirements.txt
	touch $@

$(DEV_READY): requirements-dev.txt requirements.txt
	test -x $(BIN)/pip || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -r requirements-dev.txt
	touch $(APP_READY) $@
