# `make` prints this list.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STATE ?= .state
PORT ?= 8080
PROFILES ?= 100000

.DEFAULT_GOAL := help
.PHONY: help setup setup-dev demo serve test check format lint types imports bench soak lock schema parity language permissions assets clean

help: ## Print this list.
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk 'BEGIN {FS = ":.*## "} {printf "  %-12s %s\n", $$1, $$2}'

$(VENV)/.run: requirements/run.txt pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/run.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	touch $@

$(VENV)/.dev: requirements/dev.txt $(VENV)/.run
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	touch $@

setup: $(VENV)/.run ## Make .venv with what the gateway runs on.

setup-dev: $(VENV)/.dev ## Make .venv with what tests and checks need as well.

demo: setup ## Run everything on this machine, with sample data, until Ctrl-C.
	@exec $(BIN)/segment-gateway demo --port $(PORT) --state-dir $(STATE) --ready-file $(STATE)/ready.json --profiles $(PROFILES) --lesson docs/lesson.md

serve: setup ## Run the gateway alone.
	@exec $(BIN)/segment-gateway serve --port $(PORT) --state-dir $(STATE)

# Each worker has servers of its own; a file's tests stay together, since they share them.
test: setup-dev ## Run every test, on all cores.
	$(BIN)/python -m pytest -n logical --maxprocesses 4 --dist loadfile

check: setup-dev lint types imports ## Format, lint, types, import contracts, tests of the documents.
	$(BIN)/python -m pytest -q tests/docs

lint: setup-dev ## Look at format and style.
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: setup-dev ## Check types.
	$(BIN)/mypy

imports: setup-dev ## Check who imports whom.
	$(BIN)/lint-imports

format: setup-dev ## Write the format.
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: setup-dev ## Run the benchmarks; they print ratios.
	for name in $$(grep -l '__main__' benchmarks/*.py | grep -v soak); do $(BIN)/python -m benchmarks.$$(basename $$name .py) || exit 1; done

soak: setup-dev ## Read and write for ten minutes while gateways are killed and AEP fails.
	$(BIN)/python -m benchmarks.soak

lock: setup-dev ## Write requirements/ anew from pyproject.toml.
	$(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header pyproject.toml -o requirements/run.txt
	$(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --extra dev -c requirements/run.txt pyproject.toml -o requirements/dev.txt

schema: setup ## Write openapi/schema.graphql anew from the code.
	$(BIN)/python -c "from app.graphql.schema import sdl; print(sdl(), end='')" > openapi/schema.graphql

parity: setup-dev ## Write docs/parity.md anew from the markers of the tests.
	$(BIN)/python -m tests.parity

language: setup-dev ## Write the tables of docs/pql.md anew from the code and from runs.
	$(BIN)/python -m tests.pql.language_page

permissions: setup-dev ## Write the table of docs/permissions.md anew from the code.
	$(BIN)/python -m tests.permissions_page

assets: ## Build the GraphiQL page's assets anew (needs npm).
	cd app/console/assets && npm ci && npm run build

clean: ## Remove the environment and all state.
	rm -rf $(VENV) $(STATE)
