# Needs Python 3.11 or newer and make; everything else comes into .venv.
.DEFAULT_GOAL := help
.PHONY: help demo install test drill bench up down logs k8s check licences sbom audit release format lock servers clean

# A command or a version, as in PYTHON=3.13: uv finds it, or fetches it.
PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed
COMPOSE ?= docker compose --file compose/compose.yaml
DEMO_INSTALLED := .venv/.demo-installed
BENCH_INSTALLED := .venv/.bench-installed
# What users get, without our tools: the licences and the bill of materials are of that.
RUNTIME := .cache/runtime
RUNTIME_INSTALLED := $(RUNTIME)/.installed
SBOM := .cache/penstock.cdx.json
# uv from PATH, else one of our own, kept apart: `uv sync` removes from .venv what the lock file does not name.
UV ?= $(or $(shell command -v uv),.cache/uv/bin/uv)

help: ## show this help
	@awk -F ':.*## ' '/^[a-z0-9]+:.*## / { printf "  make %-9s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(DEMO_INSTALLED) ## see it all at work on a stack of its own; make demo INPUT=DIR takes your records
	@$(BIN)/penstock demo $(if $(INPUT),--input "$(INPUT)")

install: $(INSTALLED) ## make .venv with all extras and tools, as uv.lock says

test: $(INSTALLED) ## run the tests; make test ARGS="-k table" runs some of them
	@$(BIN)/pytest $(ARGS)

drill: $(INSTALLED) ## break real servers and count what was lost; make drill QUICK=1 is shorter, NAME="…" runs some
	@$(if $(QUICK),QUICK=$(QUICK)) $(BIN)/penstock drill $(NAME)

bench: $(BENCH_INSTALLED) ## measure Penstock against others on real servers; make bench QUICK=1 is shorter, NAME="…" runs some
	@$(if $(QUICK),QUICK=$(QUICK)) PYTHONPATH=tests $(BIN)/python -m bench $(NAME)

up: ## start servers and workers in Docker; make up PROFILES=core,observability,failover starts those, see compose/README.md
	@compose/prepare $(PROFILES)
	@$(COMPOSE) up --build --detach --wait --remove-orphans

down: ## end them; their data stays
	@$(COMPOSE) --profile '*' down

logs: ## follow their logs; make logs NAME=discogs-table follows one
	@$(COMPOSE) logs --follow --tail 100 $(NAME)

# Without the settings of whoever runs it.
k8s: $(INSTALLED) ## write k8s/base anew, as `penstock k8s` has it
	@env -i PATH="$(PATH)" HOME="$(HOME)" $(BIN)/penstock k8s discogs-table discogs-graph --output-dir k8s/base

check: $(INSTALLED) licences sbom ## check style, types, layers, licences, Dockerfile and workflows; changes nothing
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/hadolint compose/Dockerfile
	$(BIN)/zizmor --offline --quiet --strict-collection .github

licences: $(INSTALLED) $(RUNTIME_INSTALLED) ## list the licences of what comes along; one that pyproject.toml does not allow fails
	$(BIN)/pip-licenses

sbom: $(SBOM) ## write the bill of materials (CycloneDX) of what comes along

# What they are asked is nobody's but the advisory service's to answer: no answer is a failure.
audit: $(INSTALLED) ## ask PyPI about vulnerabilities of all that uv.lock names; AUDIT="…" are options of pip-audit
	@mkdir -p .cache
	$(UV) export --quiet --frozen --all-extras --all-groups --no-emit-project --output-file .cache/requirements.txt
	$(BIN)/pip-audit --strict --disable-pip --require-hashes --requirement .cache/requirements.txt --progress-spinner off $(AUDIT)

release: $(INSTALLED) $(SBOM) ## build wheel and source distribution, try them in an empty environment; uploads nothing
	.ci/release

format: $(INSTALLED) ## format the code and mend what ruff can mend
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

lock: $(UV) ## bring uv.lock up to date with pyproject.toml
	$(UV) lock --python $(PYTHON) --default-index https://pypi.org/simple

servers: ## install RabbitMQ, PostgreSQL, PgBouncer, Java, Maven, Prometheus and kubeconform for the tests (Debian or Ubuntu, as root)
	.ci/install-servers
	.ci/install-validators

clean: ## remove .venv and all caches of this folder
	rm -rf .venv .cache dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find framework workers tests -name __pycache__ -type d -prune -exec rm -rf {} +

$(INSTALLED): pyproject.toml uv.lock | $(UV)
	$(UV) sync --frozen --all-extras --python $(PYTHON)
	@rm -f $(BENCH_INSTALLED) # it has removed what that brought
	@touch $@

$(RUNTIME_INSTALLED): pyproject.toml uv.lock | $(UV)
	UV_PROJECT_ENVIRONMENT=$(RUNTIME) $(UV) sync --quiet --frozen --all-extras --no-dev --no-install-project --python $(PYTHON)
	@touch $@

$(SBOM): $(INSTALLED) $(RUNTIME_INSTALLED)
	$(BIN)/cyclonedx-py environment --pyproject pyproject.toml --mc-type library --output-reproducible -o $@ $(RUNTIME)/bin/python

# Only what the demo needs; --inexact leaves what `make install` brought.
$(DEMO_INSTALLED): pyproject.toml uv.lock | $(UV)
	@$(UV) sync --frozen --extra embedded --no-dev --inexact --python $(PYTHON) >&2
	@touch $@

# What Penstock is measured against comes in addition: the tests do without.
$(BENCH_INSTALLED): pyproject.toml uv.lock | $(UV)
	$(UV) sync --frozen --all-extras --group bench --inexact --python $(PYTHON) >&2
	@touch $@

.cache/uv/bin/uv:
	$(or $(shell command -v $(PYTHON)),python3) -m venv .cache/uv
	.cache/uv/bin/pip install --quiet uv
