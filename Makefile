# The two commands a newcomer needs are `make serve` and `make test`.
.PHONY: serve demo simulate fuzz bench bench-quick test test-fast test-lowest check format lint types lock picture dist clean

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SERVING := $(VENV)/.serving
READY := $(VENV)/.ready
NODE_READY := tests/node/node_modules/.package-lock.json
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet

serve: $(SERVING) ## run the server; ARGS="--port 9000" passes flags
	$(BIN)/presence-server $(ARGS)

demo: $(SERVING) ## the server and a few people in one terminal
	$(BIN)/python -m presence_client.demo

test: $(READY) $(NODE_READY) ## run all tests; ARGS="tests/domain -x" narrows
	$(BIN)/python -m pytest $(if $(ARGS),$(ARGS),--cov --cov-report=term)
	$(if $(ARGS),,$(BIN)/python tests/floors.py)

test-fast: $(READY) $(NODE_READY) ## the tests without the slow ones, in under two minutes
	$(BIN)/python -m pytest -m "not slow" $(ARGS)

LOWEST := .venv-lowest
test-lowest: $(NODE_READY) ## all tests with the lowest versions of all dependencies that pyproject.toml allows; needs uv
	uv venv --quiet --clear --python 3.11 $(LOWEST)
	uv pip install --quiet --python $(LOWEST) --resolution lowest-direct --editable '.[server]' --group dev
	$(LOWEST)/bin/python -m pytest $(ARGS)

SEED ?=
STEPS ?= 2000
simulate: $(READY) ## the whole service on virtual time; SEED=1 STEPS=5000 replays
	$(BIN)/python tests/simulator/main.py $(if $(SEED),--seed $(SEED),--seeds 20) --steps $(STEPS) --engine both

MINUTES ?= 1
fuzz: $(READY) ## what reads bytes from outside, by coverage: MINUTES=30 for each target; ARGS="http token" narrows
	$(BIN)/python tests/fuzz/fuzz.py $(ARGS) --minutes $(MINUTES)

bench: $(READY) ## what it costs, beside floors and peers; ARGS="graph rest" narrows; needs a C compiler, Node and Go
	$(BIN)/python bench/run.py $(ARGS)

bench-quick: $(READY) ## does the bench work: small, no peers
	$(BIN)/python bench/run.py --quick $(ARGS)

check: lint types test ## what CI holds every commit to

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: $(READY)
	$(BIN)/mypy

picture: $(READY) ## make docs/page.png anew
	$(BIN)/python docs/make_picture.py

# An environment whose Python is gone (upgraded, or the folder was moved) is made anew. This runs while the file is read,
# so that what depends on the environment sees that it is gone.
ifneq ($(wildcard $(VENV)),)
HEALED := $(shell $(BIN)/python -c "import sys" >/dev/null 2>&1 && $(BIN)/python -m pip --version >/dev/null 2>&1 \
  || { echo "the environment in $(VENV) is broken: making it anew" >&2; rm -rf $(VENV); })
endif

$(VENV)/.made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) --version 2>&1 | head -1). Name another: make serve PYTHON=python3.13"; exit 1; }
	@echo "making an environment in $(VENV)"
	@$(PYTHON) -m venv $(VENV)
	@touch $@

$(SERVING): $(VENV)/.made requirements-serve.lock pyproject.toml
	@echo "installing what the server needs (20 MB, once)"
	@$(PIP) --requirement requirements-serve.lock
	@$(PIP) --no-deps --no-build-isolation --editable .
	@touch $@

$(READY): $(SERVING) requirements.lock
	@echo "installing what the tests need (300 MB, once)"
	@$(PIP) --requirement requirements.lock
	@touch $@

$(NODE_READY): tests/node/package-lock.json
	npm ci --prefix tests/node --no-audit --no-fund --silent
	touch $@

lock: ## pin anew; needs uv
	uv pip compile pyproject.toml --extra server --group build --universal --python-version 3.11 \
	  --no-emit-index-url --no-header --generate-hashes --upgrade -o requirements-serve.lock
	uv pip compile pyproject.toml --extra server --group dev --universal --python-version 3.11 \
	  --no-emit-index-url --no-header --generate-hashes --upgrade --constraint requirements-serve.lock -o requirements.lock

dist: $(READY) ## what a release uploads: wheels, an sdist, the npm package
	rm -rf dist
	$(BIN)/python -m hatchling build -d dist
	cd client_sdk/python && ../../$(BIN)/python -m hatchling build -t wheel -d ../../dist
	npm pack --silent --pack-destination dist ./client_sdk/js

clean:
	rm -rf $(VENV) $(LOWEST) tests/node/node_modules dist .coverage .pytest_cache .mypy_cache .ruff_cache
