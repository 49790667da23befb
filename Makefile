# Everything runs in the virtual environment .venv. Node comes from a wheel in it, the CDK CLI from package-lock.json.
SHELL := /bin/bash
# The make of macOS is 3.81 and does not know this, so recipes join with && what must end at a failure.
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory
export PATH := $(CURDIR)/.venv/bin:$(CURDIR)/node_modules/.bin:$(PATH)

# The person's environment may say where packages come from and how to reach it, and nothing of how they are installed or
# how the tools run: a PYTHONPATH, PIP_TARGET or NODE_ENV=production would give other packages than the lock files.
KEPT := PIP_INDEX_URL PIP_EXTRA_INDEX_URL PIP_FIND_LINKS PIP_NO_INDEX PIP_CONFIG_FILE PIP_CACHE_DIR \
	PIP_CERT PIP_CLIENT_CERT PIP_TRUSTED_HOST PIP_PROXY PIP_DEFAULT_TIMEOUT PIP_TIMEOUT PIP_RETRIES PIP_KEYRING_PROVIDER \
	UV_INDEX% UV_DEFAULT_INDEX UV_EXTRA_INDEX_URL UV_FIND_LINKS UV_NO_INDEX UV_CONFIG_FILE UV_CACHE_DIR UV_INSECURE_HOST \
	UV_HTTP_TIMEOUT UV_KEYRING_PROVIDER UV_OFFLINE UV_LINK_MODE \
	PYTHONIOENCODING PYTHONUTF8 PYTHONUNBUFFERED NODE_EXTRA_CA_CERTS
unexport $(filter-out $(KEPT),$(filter PIP_% UV_% PYTHON_% PYTHON% NODE_% CONDA_%,$(.VARIABLES))) VIRTUAL_ENV BASH_ENV CDPATH
# Configuration files may say the same. These outweigh them.
export PIP_USER := 0
NPM_AS_LOCKED := --global=false --location=project --prefix . --include=dev --include=prod --include=optional --dry-run=false \
	--workspaces=false --bin-links --package-lock --ignore-scripts --engine-strict=false --foreground-scripts=false
# Trust the certificate authorities of this machine, so that the setup works behind a company's TLS proxy.
export UV_SYSTEM_CERTS := true
export NODE_USE_SYSTEM_CA := 1
# Without a home that can be written, as in containers with an arbitrary uid, the tools keep their caches here.
ifneq ($(shell cd "$${HOME:-/nonexistent}" 2> /dev/null && { test -d .cache || mkdir .cache; } 2> /dev/null && test -w .cache && echo yes),yes)
export XDG_CACHE_HOME ?= $(CURDIR)/.cache
export npm_config_cache ?= $(CURDIR)/.cache/npm
endif

PYTHON ?= python3
# Some shells have a start-up file of this name in their environment.
ifneq ($(findstring /,$(ENV)),)
ENV := dev
endif
ENV ?= dev

# What people name (branches may contain any character) is data: neither make nor a shell evaluates it.
$(foreach name,APPROVE BASE COMMENT DURATION ENV FAULTS LINES MINUTES PYTHON RATE REVISION SEED,$(eval override export $(name) := $$(value $(name))))

# make ends each failure with a line of its own, "Error 1". A command that knows the cause leaves it in this file and counts as
# done; then the target itself fails, with the cause as make's last line.
LAST_WORD := .venv/last-word
OR_LEAVES_LAST_WORD := && rm -f $(LAST_WORD) || test -s $(LAST_WORD)
ENDS_WITH_IT = @: $(if $(CAUSE),$(error $(CAUSE)))
CAUSE = $(shell cat $(LAST_WORD) 2> /dev/null)

##@ Promote
.PHONY: promote approve reject console status down clean remote run-promote run-approve
promote: run-promote ## Promote the current commit through dev, staging and prod on this machine  [APPROVE=yes] [REVISION=...]
	$(ENDS_WITH_IT)

run-promote: setup
	@rm -f $(LAST_WORD); LAST_WORD=$(LAST_WORD) python -m pipeline.local promote \
	$${APPROVE:+"--approve=$$APPROVE"} $${REVISION:+"--revision=$$REVISION"} $(OR_LEAVES_LAST_WORD)

approve: run-approve ## Approve the promotion that waits before prod, and continue it  [COMMENT=...]
	$(ENDS_WITH_IT)

run-approve: setup
	@rm -f $(LAST_WORD); LAST_WORD=$(LAST_WORD) python -m pipeline.local approve \
	$${COMMENT:+"--comment=$$COMMENT"} $(OR_LEAVES_LAST_WORD)

reject: setup ## Reject the promotion that waits before prod  [COMMENT=...]
	@python -m pipeline.local reject $${COMMENT:+"--comment=$$COMMENT"}

console: setup ## Open the console: promotions, releases, gates, alarms, payments on one page
	@python -m console

status: setup ## Show the last promotion and the local clouds
	@python -m pipeline.local status

down: setup ## Stop the local clouds
	@python -m pipeline.local down

clean: setup ## Stop the local clouds and remove all local state
	@python -m pipeline.local clean

remote: setup ## Create the git remote `local`: `git push local main` starts a promotion
	@python -m pipeline.local remote

##@ Check
.PHONY: check test run-test lint types unit edges collect infrastructure browser integration e2e
check: setup ## Run before each commit: style, types, unit tests
	@$(MAKE) --jobs=2 lint types collect unit

# A renamed module breaks the slow tests too, and types do not cover them.
collect: setup
	@python -m pytest --collect-only -qq tests/infrastructure tests/browser tests/integration tests/e2e > .venv/collected || { cat .venv/collected; exit 1; }

# Integration and e2e tests judge latencies, so they run alone. The other parts run at the same time.
SHARING := types lint unit browser infrastructure
ALONE := integration e2e
test: run-test ## Set up and check everything, and print the time of each part
	$(ENDS_WITH_IT)

run-test: setup
	@rm -f $(LAST_WORD); export TOOK=$$(mktemp); trap 'rm -f "$$TOOK"' EXIT; \
	{ $(MAKE) --jobs=2 $(addprefix timed-,$(SHARING)) && $(MAKE) $(addprefix timed-,$(ALONE)) && \
	printf '\nAll parts passed:\n' && cat "$$TOOK"; } $(OR_LEAVES_LAST_WORD)

timed-%:
	@echo "== $*"; begun=$$SECONDS; \
	$(MAKE) $* || { echo "$* failed, as shown above: \`make $*\` repeats it alone" > $(LAST_WORD); exit 1; }; \
	printf '  %-16s %4d s\n' $* $$((SECONDS - begun)) >> "$$TOOK"

lint: setup ## Style, the allowed imports between packages, and GitHub's workflows
	@ruff check . && ruff format --check . && { said=$$(lint-imports) || { echo "$$said"; exit 1; }; }
	@actionlint && { said=$$(zizmor --offline --pedantic --strict-collection --no-progress .github 2>&1) || { echo "$$said"; exit 1; }; }

types: setup ## Static types
	@mypy

unit: setup ## Fast tests of the code
	@python -m pytest -q -n auto --maxprocesses 4 tests/unit

edges: setup ## Every command in every wrong state, and 1,000 hostile command lines  [LINES=1000] [SEED=18]
	@EVERY_STATE=yes LINES="$${LINES:-1000}" python -m pytest -q -n 2 tests/unit/commands

infrastructure: setup .venv/checkov/.ready ## Tests of the synthesised templates of the environments and the pipeline
	@python -m pytest -q -n auto --maxprocesses 4 tests/infrastructure

browser: setup ## Tests of the console in a real browser
	@python -m pytest -q tests/browser

integration: setup ## Tests against the local cloud
	@python -m pytest -q -n 2 tests/integration

e2e: setup ## One real promotion on the local cloud
	@python -m pytest -q tests/e2e

##@ Work
.PHONY: setup doctor synth load audit review benchmark gameday rehearsal soak pictures format lock help
setup: .venv/.ready node_modules/.ready ## Install everything into .venv and node_modules

doctor: ## Tell what this machine lacks: programs, space, rights, settings
	@"$$PYTHON" -m pipeline.doctor

synth: setup ## Write cdk.out: the pipeline, every environment, and the local plan (needs no AWS account)
	@cdk synth --quiet && echo "Written to cdk.out"

load: setup ## Run the load gate by hand  [ENV=dev] [RATE=50] [DURATION=60]
	@variables=$$(python -m localcloud env -- "$$ENV") && eval "$$variables" && \
	python -m loadtest.gate "--env=$$ENV" $${RATE:+"--rate=$$RATE"} $${DURATION:+"--duration=$$DURATION"}

audit: setup .venv/audit/.ready ## Look up advisories about every locked package (needs the network)
	@python -m pipeline.compliance.advisories

review: setup ## Compare findings, templates and costs with another commit: reports/review/  [BASE=origin/main]
	@python -m pipeline.review "--base=$${BASE:-origin/main}"

benchmark: setup ## Measure the figures in the docs
	@python -m benchmarks

gameday: setup ## Break a local cloud in five ways, and mend it as docs/runbooks says
	@python -m benchmarks gameday

rehearsal: setup ## Move a whole payment system here on one machine, as docs/migration.md says: reports/rehearsal/
	@python -m benchmarks rehearsal

soak: setup ## Release back to back on a local cloud, each time with a fault, while customers pay  [MINUTES=60] [SEED=18] [FAULTS=...]
	@MINUTES="$${MINUTES:-60}" python -m benchmarks soak

pictures: synth ## Draw the docs' pictures: the console's pages, and the last promotion here
	@python -m tests.browser.pictures && python -m pipeline.local pictures

format: setup ## Format the code
	@ruff check --fix --quiet . || true; ruff format .

# Keep the header that uv writes: Dependabot reads its compile options from it.
lock: setup ## Compile requirements/*.in to *.txt, pinned with hashes
	@compile="uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate"; \
	$$compile requirements/dev.in -o requirements/dev.txt && \
	for name in loadtest uv; do \
		$$compile requirements/$$name.in -c requirements/dev.txt -o requirements/$$name.txt || exit; done && \
	for name in checkov audit; do \
		$$compile requirements/$$name.in -o requirements/$$name.txt || exit; done && \
	$$compile lambdas/requirements.in -c requirements/dev.txt -o lambdas/requirements.txt

help: ## Show this text
	@awk 'BEGIN { FS = ":.*## " } /^##@/ { printf "\n%s\n", substr($$0, 5) } /^[a-z0-9-]+:.*## / { printf "  \033[36m%-15s\033[0m %s\n", $$1, $$2 }' Makefile

.venv/.ready: requirements/dev.txt
	@"$$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed; $$PYTHON is $$("$$PYTHON" -V 2>&1). Name another: make PYTHON=python3.12"; exit 2; }
	@"$$PYTHON" -m venv .venv || { echo "$$PYTHON can't make a virtual environment: on Debian, apt-get install python3-venv"; exit 2; }
	@echo "Installing Python packages into .venv ..."
	@.venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/uv.txt || { $(MAKE) doctor; exit 2; }
	@uv pip sync --quiet --python .venv/bin/python --require-hashes requirements/dev.txt || { $(MAKE) doctor; exit 2; }
	@cp requirements/dev.txt $@

.venv/checkov/.ready: requirements/checkov.txt | .venv/.ready
	@echo "Installing checkov into .venv/checkov ..."
	@uv venv --quiet --clear --python .venv/bin/python .venv/checkov
	@uv pip sync --quiet --python .venv/checkov/bin/python --require-hashes requirements/checkov.txt
	@ln -sf ../checkov/bin/checkov .venv/bin/checkov
	@touch $@

.venv/audit/.ready: requirements/audit.txt | .venv/.ready
	@echo "Installing pip-audit into .venv/audit ..."
	@uv venv --quiet --clear --python .venv/bin/python .venv/audit
	@uv pip sync --quiet --python .venv/audit/bin/python --require-hashes requirements/audit.txt
	@ln -sf ../audit/bin/pip-audit .venv/bin/pip-audit
	@touch $@

node_modules/.ready: package-lock.json .venv/.ready
	@echo "Installing the files of package-lock.json into node_modules ..."
	@npm ci --silent --no-audit --no-fund $(NPM_AS_LOCKED) || { $(MAKE) doctor; exit 2; }
	@cp package-lock.json $@
