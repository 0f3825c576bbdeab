# The same commands for people and for CI. Each makes the virtual environment that it needs, once.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/$(if $(filter Windows_NT,$(OS)),Scripts,bin)
# cpu: PyTorch's own index of builds without CUDA (about 1 GB in place of 5); or the address of another index.
TORCH_INDEX ?=
TORCH_INDEX_URL := $(if $(filter cpu,$(TORCH_INDEX)),https://download.pytorch.org/whl/cpu,$(TORCH_INDEX))
PIP_OPTIONS := $(if $(TORCH_INDEX_URL),--extra-index-url $(TORCH_INDEX_URL))
# Groups and order are those of tests/conftest.py.
TESTS := $(BIN)/python -m pytest -n auto --dist loadgroup --no-loadscope-reorder
# Stamps: newer than the requirements means installed.
APP_READY := $(VENV)/.requirements
DEV_READY := $(VENV)/.requirements-dev
# The fuzzer, which is no requirement, in an environment of its own that also sees the packages of the other.
FUZZ := build/fuzz
FUZZ_READY := $(FUZZ)/.atheris

.DEFAULT_GOAL := help
.PHONY: help install docs app test test-fast test-cluster test-browsers test-container check bench load audit fuzz format screenshots

##@ Use

help: ## list the commands
	@awk -F ':.*## ' '/^##@ / { printf "\n%s\n", substr($$0, 5) } /^[a-z-]+:.*## / { printf "  make %-15s %s\n", $$1, $$2 }' \
	    $(MAKEFILE_LIST)

install: $(BIN)/normzoo ## create the virtual environment

app: $(APP_READY) ## start the page on http://127.0.0.1:7860
	$(BIN)/python app.py

##@ Develop

test-fast: $(DEV_READY) ## run the tests that need neither a browser nor another process
	$(TESTS) -m "not browser and not process"

test: $(DEV_READY) ## run the tests, one worker per core
	$(TESTS)

check: $(DEV_READY) ## check style and types, recompute stored figures, check RESULTS.md
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m training evaluate --check
	$(BIN)/python -m training report --check

format: $(DEV_READY) ## format the code
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

docs: $(DEV_READY) ## build the documentation, in build/docs/index.html
	$(BIN)/sphinx-build -W --keep-going -q docs build/docs

##@ Measure

screenshots: $(DEV_READY) ## take screenshots of every tab, wide and narrow, light and dark
	$(BIN)/python -m tests.browser.screenshots

bench: $(DEV_READY) ## compare speed with torch's layers and a plain loop, and time the page; on an idle machine
	$(BIN)/python -m training bench
	$(BIN)/python -m tests.page_bench

load: $(DEV_READY) ## simulate 100 visitors with one photo and 8 with many; on an idle machine
	$(BIN)/python -m tests.load --clients 100 --many 8

##@ Longer tests

test-cluster: $(DEV_READY) ## test studies on a Slurm cluster on this host; as root, with slurm-wlm and munge
	timeout 900 $(BIN)/python -m pytest tests/cluster

test-browsers: $(DEV_READY) ## test the page in two more engines; with firefox-esr, webkit2gtk-driver, xvfb
	timeout 1800 $(BIN)/python -m pytest tests/engines -rA

test-container: $(DEV_READY) ## build and test the container image; ten minutes, with Docker or CONTAINER_*
	timeout 1800 $(BIN)/python -m pytest tests/container -s

fuzz: $(FUZZ_READY) ## fuzz the image loader for ten minutes
	mkdir -p $(FUZZ)/corpus
	GLIBC_TUNABLES=glibc.malloc.tcache_count=0 PYTHONPATH=. $(FUZZ)/bin/python tests/images/fuzz_images.py $(FUZZ)/corpus \
	    -max_total_time=600 -max_len=100000 -rss_limit_mb=2048 -timeout=20

audit: $(DEV_READY) ## look up known vulnerabilities of installed packages; needs the network
	$(BIN)/pip-audit --local --strict

$(APP_READY): requirements.txt
	test -x $(BIN)/pip || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install $(PIP_OPTIONS) -r requirements.txt
	touch $@

$(DEV_READY): requirements-dev.txt requirements.txt
	test -x $(BIN)/pip || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install $(PIP_OPTIONS) -r requirements-dev.txt
	touch $(APP_READY) $@

# The library is not installed but used from here; its command line is, beside the others.
$(BIN)/normzoo: $(DEV_READY)
	printf '#!/bin/sh\nPYTHONPATH="%s$${PYTHONPATH:+:$$PYTHONPATH}" exec "%s/python" -m normzoo "$$@"\n' \
	    '$(CURDIR)' '$(abspath $(BIN))' > $@
	chmod +x $@

$(FUZZ_READY): $(DEV_READY)
	test -x $(FUZZ)/bin/pip || $(PYTHON) -m venv $(FUZZ)
	$(FUZZ)/bin/python -m pip install atheris==3.0.0
	$(BIN)/python -c "import sysconfig; print(sysconfig.get_path('purelib'))" \
	    > "$$($(FUZZ)/bin/python -c "import sysconfig; print(sysconfig.get_path('purelib'))")/normzoo.pth"
	touch $@
