# Everything runs from a virtual environment in .venv; Node comes from a wheel in it, the CDK CLI from package-lock.json.
SHELL := /bin/bash
.DEFAULT_GOAL := help
export PATH := $(CURDIR)/.venv/bin:$(CURDIR)/node_modules/.bin:$(PATH)
# Trust what this machine trusts, so that set-up works behind a company's TLS proxy too.
export UV_SYSTEM_CERTS := true
export NODE_USE_SYSTEM_CA := 1

.PHONY: setup
setup: .venv/.ready node_modules/.ready ## Install everything into .venv and node_modules

.venv/.ready: requirements/dev.txt
	@python3 -m venv .venv
	@.venv/bin/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/uv.txt
	@.venv/bin/uv pip sync --quiet --python .venv/bin/python --require-hashes requirements/dev.txt
	@touch $@

node_modules/.ready: package-lock.json .venv/.ready
	@npm ci --silent --no-audit --no-fund
	@touch $@
