# Every target installs what it needs, once: a virtual environment, Docker, a base image for the sample application.
.PHONY: help demo lab hosts test full browser coverage lint bench setup tools clean
.DEFAULT_GOAL := help

BASE = PENSTOCK_BASE_IMAGE="$$(cat .setup/base-image 2>/dev/null)"
DOCKER = setup/docker.sh && setup/base_image.sh

help: ## Show this list
	@sed -n 's/^\([a-z]*\):.*## /  make \1\t/p' Makefile | expand -t 16

demo: setup ## Build, test and roll out a commit under load (ARGS=--keep leaves it running)
	@$(BASE) .venv/bin/pipeline demo $(ARGS)

lab: setup ## Play the laboratory of load balancing, examples/elb-lab (ARGS=4 plays one step and leaves it)
	@setup/nftables.sh
	@cd examples/elb-lab && PENSTOCK_BASE_IMAGE="$$(cat ../../.setup/base-image)" ../../.venv/bin/python -m lab $(ARGS)

hosts: setup ## Deploy to three machines, examples/three-hosts (ARGS=swarm makes them a Swarm)
	@setup/ssh.sh
	@cd examples/three-hosts && PENSTOCK_BASE_IMAGE="$$(cat ../../.setup/base-image)" ../../.venv/bin/python -m play $(ARGS)

export FULL
PYTEST = $(BASE) .venv/bin/python -m $(MEASURE) pytest --dist worksteal
LONG = $(if $(FULL),, and not long)
WHICH = -m "not timing$(LONG)"
REPORTS = --durations=15 --junit-xml=.setup/junit

# Tests that measure time run first and alone. Those of Docker mostly wait, and run beside those that compute. Each worker
# of those in a browser has a browser and a daemon. pytest exits with 5 if no test is selected.
test: tools ## Run the tests (ARGS="-k name" selects some)
	@$(BASE) .venv/bin/python -m pytest $$(grep -rl mark.timing tests --include='*.py') -m "timing$(LONG)" $(REPORTS)-timing.xml $(ARGS) || test $$? = 5
	@$(PYTEST) -n 3 tests/browser $(WHICH) $(REPORTS)-browser.xml $(ARGS) || test $$? = 5
	@$(PYTEST) -n 6 --ignore=tests/browser $(WHICH) $(REPORTS)-others.xml $(ARGS) || test $$? = 5

full: ## Run all tests, also the long ones, with all generated cases
	@$(MAKE) --no-print-directory test FULL=1 ARGS='$(ARGS)'

browser: setup ## Play every scenario of the web interface in Chromium (ARGS="-k drain" selects some)
	@setup/browser.sh
	@$(PYTEST) -n 3 tests/browser -m "not timing" $(ARGS) || test $$? = 5
	@$(BASE) .venv/bin/python -m pytest tests/browser -m timing $(ARGS) || test $$? = 5
	@$(BASE) .venv/bin/python -m pytest tests/docker/test_web_pages.py $(ARGS) || test $$? = 5

coverage: ## Run the tests and measure the line coverage
	@rm -rf .coverage
	@$(MAKE) --no-print-directory test MEASURE="coverage run -m" ARGS='$(ARGS)'
	@.venv/bin/coverage combine --quiet
	@.venv/bin/coverage report

lint: ## Check style, types, import rules and declared dependencies
	@setup/venv.sh
	@.venv/bin/ruff check .
	@.venv/bin/ruff format --check .
	@.venv/bin/mypy
	@.venv/bin/lint-imports
	@.venv/bin/deptry --no-ansi .

bench: setup ## Run the measurements and write bench/RESULTS.md (ARGS=loss runs one, ARGS=--quick a short version, ARGS=plot plots)
	@setup/bench.sh
	@$(BASE) .venv/bin/python -m bench $(ARGS)

setup:
	@setup/venv.sh
	@$(DOCKER)

# If Docker, nftables, Pebble or Chromium cannot be set up, the tests that need it are skipped; in CI that is an error.
tools:
	@setup/venv.sh
	@setup/nftables.sh || test -z "$$CI"
	@setup/pebble.sh || test -z "$$CI"
	@setup/ssh.sh || test -z "$$CI"
	@setup/browser.sh || test -z "$$CI"
	@$(DOCKER) || test -z "$$CI"
	@setup/servers_image.sh || test -z "$$CI"

clean: ## Remove the files that setup and the tools created here (not Docker)
	rm -rf .venv .setup .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .coverage
