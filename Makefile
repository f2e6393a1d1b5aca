# Each target sets the environment up by itself on first use, in .venv.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
MKDOCS := NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs

.PHONY: demo nano test lint docs bench clean help

help:  ## what there is
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/'

demo: $(READY)  ## build data, fine-tune the embedded model, score it before and after, write a report
	$(BIN)/coalm demo

# CORPORA: folder with snips, sgd, function_calling and the test sets, as folders or zips.
CORPORA ?= corpora
nano: $(READY)  ## train coalm-nano from raw corpora (CORPORA=DIR) and score it; goes on where it was
	$(BIN)/python -m coalm.nano --corpora $(CORPORA)

test: $(READY)  ## all tests, offline
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

lint: $(READY)  ## ruff, mypy, and the documentation, warnings as errors
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(MKDOCS) build --strict

docs: $(READY)  ## the documentation as a site, in build/site
	$(MKDOCS) build --strict
	@echo build/site/index.html

bench: $(READY)  ## speed, side by side with plain rows
	$(BIN)/python benchmarks/training.py --quick --no-trl

clean:  ## remove the environment and what was run
	rm -rf .venv runs build

# torch first: its CPU build satisfies all that asks for torch afterwards. bfcl-eval, whose environments BFCL's
# conversations play in, last and alone: it asks for releases of numpy and others that it does not need there.
$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt torch
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable ".[dev]"
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps bfcl-eval==2025.6.8
	touch $@
