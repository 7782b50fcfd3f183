# Everything lives in .venv; every target sets up what it needs.
.DEFAULT_GOAL := help
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
BENCH_READY := .venv-bench/.ready
INFRA_READY := .venv-infra/.ready

.PHONY: help demo test scenarios conformance simulate mutations check infra chaos bench smoke clean contracts lock setup

help:  ## show what can be done here
	@awk -F ':.*## ' '/^[a-z]+:.*## /{printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(READY)  ## make .venv with everything that is locked in requirements.txt

$(READY): requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("Reelwork needs Python 3.11 or newer: make PYTHON=python3.11 ...")'
	@echo "Setting up .venv (about a minute the first time)"
	@$(PYTHON) -m venv .venv
	@$(BIN)/pip install -qq --disable-pip-version-check --require-hashes -r requirements.txt
	@$(BIN)/pip install -qq --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $(READY)

demo: $(READY)  ## all three pipelines on a real clip on this machine: progress, one completion each, pictures in demo-output/
	@$(BIN)/reelwork demo --output demo-output

test: $(READY)  ## run all tests, two at once (TESTS=path for some of them, AT_ONCE=1 one after another)
	@$(BIN)/python -m pytest -n $(or $(AT_ONCE),2) --dist worksteal $(TESTS)

scenarios: $(READY)  ## run the scenarios of the requirements by name and print scenario x store
	@$(BIN)/python scripts/scenarios.py

conformance: $(READY)  ## run the suites that every broker and every ledger must pass and print group x engine
	@$(BIN)/python scripts/conformance.py

check: $(READY)  ## format, lint, types, import layers, contracts, job transitions, requirements
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python scripts/contracts.py --check
	$(BIN)/python scripts/job_transitions.py
	$(BIN)/python scripts/env_example.py --check
	$(BIN)/python scripts/requirements.py --check

infra: $(INFRA_READY)  ## look at the Dockerfile, compose.yaml, Kubernetes files and AWS template with their own tools; starts nothing
	@.venv-infra/bin/python scripts/infra.py

$(INFRA_READY): infra/checks/requirements.txt
	@echo "Setting up .venv-infra with hadolint, Docker Compose and schemas"
	@$(PYTHON) -m venv .venv-infra
	@awk '/^[^ ]/ {keep = /^poetry-core==/} keep' $< > .venv-infra/first.txt
	@.venv-infra/bin/pip install -qq --disable-pip-version-check --require-hashes -r .venv-infra/first.txt
	@.venv-infra/bin/pip install -qq --disable-pip-version-check --require-hashes --no-build-isolation -r $<
	@touch $@

chaos: $(READY)  ## kill processes and servers at work and print what it costs (KILLS=50 SEED=1 STORE=sqlite, postgresql, rabbitmq-stack or redis-stack; all by default)
	@$(BIN)/python -m tests.chaos --kills $(or $(KILLS),50) --seed $(or $(SEED),1) $(addprefix --store ,$(STORE))

simulate: $(READY)  ## run whole jobs under seeded faults on a virtual clock: SEEDS=2000 of them, or replay SEED=n (STORE=sqlite or dynamodb)
	@$(BIN)/python -m tests.simulation $(if $(SEED),--seed $(SEED),--seeds $(or $(SEEDS),2000)) $(addprefix --store ,$(STORE))

mutations: $(READY)  ## break every rule of the product in turn and print what the simulation caught it by (SEEDS=1000)
	@$(BIN)/python -m tests.simulation.table --seeds $(or $(SEEDS),1000)

smoke: $(READY)  ## submit a clip to a running server (URL=http://127.0.0.1:8000) and insist on `completed`
	@$(BIN)/python scripts/smoke.py --url $(or $(URL),http://127.0.0.1:8000)

bench: $(READY) $(BENCH_READY)  ## measure the ledger, fan-in beside Celery, Dramatiq and Huey, and the analyze and match jobs
	@$(BIN)/python benchmarks/ledger.py
	@$(BIN)/python benchmarks/postgresql.py
	@$(BIN)/python benchmarks/fan_in.py
	@$(BIN)/python benchmarks/analyze.py
	@$(BIN)/python benchmarks/scale_out.py
	@$(BIN)/python benchmarks/match_pipeline.py

$(BENCH_READY): benchmarks/contenders/requirements.txt
	@echo "Setting up .venv-bench with Celery, Dramatiq, Huey, Valkey and ffmpeg"
	@$(PYTHON) -m venv .venv-bench
	@.venv-bench/bin/pip install -qq --disable-pip-version-check --require-hashes -r $<
	@touch $@

contracts: $(READY)  ## write contracts/ and .env.example anew from the code
	@$(BIN)/python scripts/contracts.py
	@$(BIN)/python scripts/env_example.py

lock: $(READY)  ## compile requirements.txt anew from pyproject.toml, and those of benchmark, image and infra checks
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate --no-header \
		--extra dev pyproject.toml --output-file requirements.txt
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate --no-header \
		benchmarks/contenders/requirements.in --output-file benchmarks/contenders/requirements.txt
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate --no-header \
		--extra all --constraint requirements.txt pyproject.toml --output-file infra/image/requirements.txt
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate --no-header \
		--constraint requirements.txt infra/image/build-requirements.in --output-file infra/image/build-requirements.txt
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate --no-header \
		infra/checks/requirements.in --output-file infra/checks/requirements.txt

clean:  ## remove everything that make has made
	@rm -rf .venv .venv-bench .venv-infra .cache .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build dist demo-output
