# The two commands a newcomer needs are `make serve` and `make test`.
.PHONY: serve demo simulate bench bench-quick test check format lint types lock picture clean

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
NODE_READY := tests/node/node_modules/.package-lock.json

serve: $(READY) ## run the server; ARGS="--port 9000" passes flags
	$(BIN)/presence-server $(ARGS)

demo: $(READY) ## the server and a few people in one terminal
	$(BIN)/python -m presence_client.demo

test: $(READY) $(NODE_READY) ## run all tests; ARGS="tests/domain -x" narrows
	$(BIN)/python -m pytest $(if $(ARGS),$(ARGS),--cov --cov-report=term)

SEED ?=
STEPS ?= 2000
simulate: $(READY) ## the whole service on virtual time; SEED=1 STEPS=5000 replays
	$(BIN)/python tests/simulator/main.py $(if $(SEED),--seed $(SEED),--seeds 20) --steps $(STEPS) --engine both

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

$(READY): requirements.lock pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --requirement requirements.lock
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	touch $@

$(NODE_READY): tests/node/package-lock.json
	npm ci --prefix tests/node --no-audit --no-fund --silent
	touch $@

lock: ## pin anew; needs uv
	uv pip compile pyproject.toml --extra server --group dev --universal --python-version 3.11 \
	  --no-emit-index-url --no-header --generate-hashes --upgrade -o requirements.lock

clean:
	rm -rf $(VENV) tests/node/node_modules dist .coverage .pytest_cache .mypy_cache .ruff_cache
