.DEFAULT_GOAL := help
PYTHON ?= python3.11
BIN := .venv/bin
MEMBERS := $(wildcard shared/*/pyproject.toml services/*/pyproject.toml infra/*/pyproject.toml)
EDITABLE := $(foreach member,$(MEMBERS),-e ./$(dir $(member)))
PACKAGES := waybill $(foreach member,$(filter-out infra/%,$(MEMBERS)),waybill-$(subst _,-,$(notdir $(patsubst %/,%,$(dir $(member))))))
# what goes into the images: a part of requirements.lock, in the same versions
IMAGE_LOCK := $(BIN)/uv pip compile --quiet --generate-hashes --universal --python-version 3.11 --no-header \
  --constraints requirements.lock $(foreach package,$(PACKAGES),--no-emit-package $(package))

# the integration tests that know nothing of processes, and those of them that CI runs on containers too
OF_ANY_STACK := shared services $(wildcard infra/waybill/tests/integration/test_provision*.py)
ON_CONTAINERS ?= $(filter-out shared,$(OF_ANY_STACK)) shared/exactly_once/tests/conformance

.PHONY: help setup lock check openapi manifests test coverage nightly mutants bench up down status demo audit compose-up compose-down test-containers

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 17

setup: .venv/.ready ## make .venv from the locks (nothing outside it is touched)

.venv/.ready: requirements.lock requirements-bootstrap.lock $(MEMBERS)
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-bootstrap.lock
	$(BIN)/uv pip install --quiet --require-hashes -r requirements.lock
	$(BIN)/uv pip install --quiet --no-deps --no-build-isolation $(EDITABLE)
	@touch $@

lock: ## resolve the requirements again, with hashes
	$(BIN)/uv pip compile --quiet --upgrade --generate-hashes --universal --python-version 3.11 --no-header --group dev \
	  $(foreach package,$(PACKAGES),--no-emit-package $(package)) pyproject.toml -o requirements.lock
	$(IMAGE_LOCK) $(wildcard services/*/pyproject.toml) -o requirements-services.lock
	$(IMAGE_LOCK) $(wildcard services/*/pyproject.toml) infra/waybill/pyproject.toml -o requirements-operator.lock

check: setup ## lint, types, architecture rules, known vulnerabilities of what we depend on
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy $(foreach member,$(MEMBERS),$(dir $(member))src) $(foreach member,$(MEMBERS),$(wildcard $(dir $(member))tests)) e2e_tests infra/checks infra/benchmarks
	$(BIN)/lint-imports
	$(BIN)/python infra/checks/one_place_ends_transactions.py
	$(BIN)/python infra/checks/openapi.py
	$(BIN)/hadolint $(wildcard infra/docker/*.Dockerfile) .ci/k6/Dockerfile
	$(BIN)/shellcheck .ci/containers .ci/run $(wildcard infra/docker/*.sh)
	$(BIN)/python infra/checks/manifests.py
	$(BIN)/python infra/checks/vulnerabilities.py

openapi: setup ## write docs/openapi anew after a change of an HTTP interface
	$(BIN)/python infra/checks/openapi.py --write

manifests: setup ## write what infra/kubernetes derives from shared/contracts anew
	$(BIN)/python infra/checks/manifests.py --write

test: setup coverage ## every test that needs no Docker; the end-to-end ones last
	$(BIN)/python -m pytest

test-containers: setup ## what needs Docker: the stack in containers, and ON_CONTAINERS on Kafka and PostgreSQL there
	$(BIN)/python -m waybill.compose.images
	$(BIN)/python -m pytest -m containers e2e_tests
	WAYBILL_TEST_STACK=compose $(BIN)/python -m pytest -m "integration and not nightly" $(ON_CONTAINERS)

coverage: setup ## every branch of the decisions and of the protocol is taken by tests that need no stack
	$(BIN)/python -m coverage run -m pytest -q services/*/tests/unit shared/exactly_once/tests/memory
	$(BIN)/python -m coverage report

mutants: setup ## change the decisions and the protocol a little, and see that tests notice
	$(BIN)/python infra/checks/mutants.py

nightly: setup ## what takes minutes: a crash at every point, and the like; with Docker, all of it on containers too
	$(BIN)/python -m pytest -m nightly
	$(BIN)/python infra/checks/mutants.py
	if $(BIN)/python -m waybill.compose.images; then $(MAKE) test-containers ON_CONTAINERS="$(OF_ANY_STACK)"; fi

bench: setup ## what things cost, beside what they are compared with
	$(BIN)/python infra/benchmarks/bench.py --write

up: setup ## start the stack
	$(BIN)/waybill up

down: ## stop the stack, nothing left behind
	$(BIN)/waybill down

status: ## what runs, how it is, and why not
	$(BIN)/waybill status

demo: setup ## the whole story: start, hundreds of orders, the audit
	$(BIN)/waybill demo

audit: ## prove that nothing was lost, doubled or out of order
	$(BIN)/waybill audit

compose-up: setup ## start the stack in containers
	$(BIN)/waybill up --stack compose

compose-down: ## remove its containers, its data stays
	$(BIN)/waybill down --stack compose
