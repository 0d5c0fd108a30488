# Everything here needs python3, make and git only; what else a target needs goes into .venv.
PYTHON ?= python3
BIN := .venv/bin
KUBERNETES := $(HOME)/.cache/lume-kubernetes
.PHONY: demo test test-unit test-kubernetes servers lint bench docs clean

# One stamp a set of packages: re-running a target costs nothing until pyproject.toml changes.
$(BIN)/python:
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade "pip>=25.1"

.venv/.demo: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --editable '.[demo]'
	@touch $@

.venv/.dev: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --editable '.[all]' --group lint --group test
	@touch $@ .venv/.demo

.venv/.docs: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --editable '.[demo]' --group docs
	@touch $@

demo: .venv/.demo
	$(BIN)/lume-services demo

# As root on Debian the servers that tests need are installed; elsewhere tests that miss one say how.
servers:
	@if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then tests/servers/install.sh; fi

# Tests on Kubernetes are among them where its programs have been built; that takes six minutes.
SLOW = slow$(if $(wildcard $(KUBERNETES)/bin/kubectl),, and not kubernetes)
test: .venv/.dev servers
	$(BIN)/python -m pytest -m "not slow" -n 2
	$(BIN)/python -m pytest -m "$(SLOW)" -n 2 --dist loadfile

test-unit: .venv/.dev
	$(BIN)/python -m pytest -m "not slow" -n 2

test-kubernetes: .venv/.dev servers
	tests/servers/kubernetes/build.sh $(KUBERNETES)
	$(BIN)/python -m pytest -m kubernetes

lint: .venv/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: .venv/.dev servers
	$(BIN)/python -m benchmarks

docs: .venv/.docs
	$(BIN)/mkdocs build --strict

clean:
	rm -rf .venv site .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
