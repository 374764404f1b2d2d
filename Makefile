# The door for people who change the project; each target sets up what it needs. `make help` lists them.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help setup protos demo test test-long lint format docs bench gpu-bench chaos-partition chaos-cluster hostile test-ui test-formats docs-site clean

PYTHON ?= python3
PY := .venv/bin/python
BUF_VERSION := 1.75.0
BUF := .cache/buf/node_modules/.bin/buf
# OpenMP threads that spin while they wait starve the other processes of a small machine.
export OMP_WAIT_POLICY ?= PASSIVE
# Where this is set, each of the hundreds of processes of a run compiles all that it imports.
unexport PYTHONDONTWRITEBYTECODE

help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 18

setup: .venv/.ready ## Create .venv with everything (uv, dependencies, generated stubs)

# uv, because it picks builds of torch and torchvision that belong together; taken from PATH, else from pip.
.venv/.ready: pyproject.toml constraints.txt $(wildcard protos/*.py) $(shell find protos -name '*.proto')
	@set -e; \
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "patchsearch needs Python 3.11 or newer; $(PYTHON) is older: make PYTHON=python3.12 setup"; exit 1; }; \
	uv=$$(command -v uv || true); \
	if [ -z "$$uv" ]; then \
		[ -x .cache/uv/bin/uv ] || { echo "installing uv"; $(PYTHON) -m venv .cache/uv && .cache/uv/bin/python -m pip install -q --disable-pip-version-check uv; }; \
		uv=.cache/uv/bin/uv; \
	fi; \
	[ -x $(PY) ] || $$uv venv -q --python "$$($(PYTHON) -c 'import sys; print(sys.executable)')" .venv; \
	echo "installing patchsearch and its dependencies into .venv (torch is large: this can take some minutes)"; \
	$$uv pip install -q --python $(PY) --constraint constraints.txt -e '.[server,ui]' --group dev; \
	$(PY) protos/build_hook.py; \
	touch $@

protos: setup ## Generate the gRPC stubs again
	$(PY) protos/build_hook.py

demo: setup ## The main job end to end: scenes in, finds out; PHOTOS=folder uses your photographs
	$(PY) -m evaluation.demo --out demo-out $(if $(PHOTOS),--photos "$(PHOTOS)")

test: setup ## The tests, about ten minutes on two cores
	$(PY) -m pytest -n 2 --dist loadfile --no-loadscope-reorder

test-long: setup ## What `make test` leaves out because it takes long
	HYPOTHESIS_PROFILE=default $(PY) -m pytest -n 2 --dist loadfile --no-loadscope-reorder -m long

KILLS ?= 30
CORRUPTIONS ?= 100
SEED ?= $(shell date +%s)
chaos-partition: setup ## Kills, power losses, disk faults and damaged files: KILLS, CORRUPTIONS, SEED, JSON=file
	$(PY) -m tests.chaos.partition --kills $(KILLS) --corruptions $(CORRUPTIONS) --seed $(SEED) $(if $(JSON),--json "$(JSON)")

ROUNDS ?= 2
chaos-cluster: setup ## Shards killed, stopped, cut off, filled, moved and split under load: KILLS, ROUNDS, SEED, JSON=file
	$(PY) -m tests.chaos.cluster --kills $(KILLS) --rounds $(ROUNDS) --seed $(SEED) $(if $(JSON),--json "$(JSON)")

MUTANTS ?= 2000
RPCS ?= 500
hostile: setup ## Hostile images and calls against real servers: MUTANTS, RPCS, SEED, JSON=file
	$(PY) -m tests.hostile.campaign --mutants $(MUTANTS) --rpcs $(RPCS) --seed $(SEED) $(if $(JSON),--json "$(JSON)")

lint: setup $(if $(shell command -v npm),$(BUF)) ## ruff, mypy --strict, import contracts, buf (where node is)
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/lint-imports
	@if [ -x $(BUF) ]; then protos/lint.sh $(CURDIR)/$(BUF) $(CURDIR)/$(PY) && echo "buf: protos are clean"; else echo "buf: skipped, npm is not installed"; fi
	deploy/lint.sh $(CURDIR)/$(PY)

$(BUF):
	@mkdir -p .cache/buf && npm install --prefix .cache/buf --no-save --no-fund --no-audit --loglevel=error @bufbuild/buf@$(BUF_VERSION)

docs: setup ## Write the reference pages in docs/ again
	$(PY) docs/reference.py

docs-site: setup ## The documentation as a site in site/, without network
	NO_MKDOCS_2_WARNING=1 .venv/bin/mkdocs build --strict

AXE := .cache/axe/node_modules/axe-core/axe.min.js
$(AXE):
	@mkdir -p .cache/axe && npm install --prefix .cache/axe --no-save --no-fund --no-audit --loglevel=error axe-core@4.14.1

test-ui: setup $(if $(shell command -v npm),$(AXE)) ## The page in a real browser, skipped where Chromium is missing
	$(PY) -m pytest tests/ui -rs

test-formats: setup ## Exports against the annotation tools' own libraries
	@uv=$$(command -v uv || echo .cache/uv/bin/uv); \
	$$uv venv -q --allow-existing .cache/formats && \
	$$uv pip install -q --python .cache/formats/bin/python -e . --group formats && \
	.cache/formats/bin/python -m pytest tests/patchsearch/exports

format: setup ## Format the code
	.venv/bin/ruff check --fix .
	.venv/bin/ruff format .

bench: setup ## Selection, encoder, partition and router benchmarks
	$(PY) -m benchmarks.selection
	$(PY) -m benchmarks.encoder
	$(PY) -m benchmarks.partition
	$(PY) -m benchmarks.router

gpu-bench: setup ## Encoder throughput on a CUDA machine against the bare model
	$(PY) -m benchmarks.gpu

clean: ## Remove everything that the targets made, .venv included
	rm -rf .venv .cache demo-out dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find patchsearch -name '*_pb2*' -delete
