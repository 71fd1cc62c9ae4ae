# `make` checks and tests; `make demo` shows the product. Nothing has to be set up by hand.

PYTHON ?= python3
# The small CPU build of torch for the demo; handed to pip as it stands. Where no such wheel is at
# hand: make demo TORCH_CPU="torch --index-url https://download.pytorch.org/whl/cpu"
TORCH_CPU ?= torch==2.13.0
# `make demo LANGUAGE=ja`; the variable LANGUAGE of the desktop does not count.
LANG_ARG := $(if $(filter command,$(origin LANGUAGE)),--lang $(LANGUAGE))

PIP := -m pip install --quiet --disable-pip-version-check
DEV := .venv
DEMO := .venv-demo

.DEFAULT_GOAL := all
.PHONY: all demo test check soak docs clean help

all: check test ## Check and test (the default)

demo: $(DEMO)/installed ## Show the whole story on this computer; LANGUAGE=ja for Japanese
	$(DEMO)/bin/wordsight demo $(LANG_ARG)

test: $(DEV)/installed ## Run the tests
	$(DEV)/bin/python tests/run.py

check: $(DEV)/installed ## Format, lint, types, layers, spelling, documentation in step
	$(DEV)/bin/ruff format --check
	$(DEV)/bin/ruff check
	$(DEV)/bin/pyright
	$(DEV)/bin/lint-imports
	$(DEV)/bin/codespell
	$(DEV)/bin/python docs/generate.py --check

soak: $(DEV)/installed ## Run the long tests
	$(DEV)/bin/python -m pytest -m soak || test $$? -eq 5 # 5: there are none

docs: $(DEV)/installed ## Write the generated parts of the documentation
	$(DEV)/bin/python docs/generate.py

clean: ## Remove environments, caches and what the demo made
	rm -rf $(DEV) $(DEMO) demo-out build dist .pytest_cache .ruff_cache .hypothesis
	rm -rf .import_linter_cache
	find src tests docs benchmarks recipes -name __pycache__ -type d -prune -exec rm -rf {} +

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-6s %s\n", $$1, $$2 }' Makefile

# torch and torchvision are asked for together, so that pip finds a pair that fits.
$(DEV)/installed: pyproject.toml
	test -x $(DEV)/bin/python || $(PYTHON) -m venv $(DEV)
	$(DEV)/bin/python $(PIP) torch torchvision --editable ".[dev]"
	touch $@

$(DEMO)/installed: pyproject.toml
	test -x $(DEMO)/bin/python || $(PYTHON) -m venv $(DEMO)
	$(DEMO)/bin/python $(PIP) $(TORCH_CPU)
	$(DEMO)/bin/python $(PIP) --editable ".[demo]"
	touch $@
