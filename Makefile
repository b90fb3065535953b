# Every target sets up what it needs, once: a virtual environment, Docker, a base image for the sample application.
.PHONY: help demo test coverage lint bench setup clean
.DEFAULT_GOAL := help

BASE = PENSTOCK_BASE_IMAGE="$$(cat .setup/base-image)"

help: ## This list
	@sed -n 's/^\([a-z]*\):.*## /  make \1\t/p' Makefile | expand -t 16

demo: setup ## Watch a commit being built, tested and rolled out under load (ARGS=--keep leaves it running)
	@$(BASE) .venv/bin/pipeline demo $(ARGS)

PYTEST = $(BASE) .venv/bin/python -m $(MEASURE) pytest -n 4 --dist worksteal
REPORTS = --durations=15 --junit-xml=.setup/junit

# Tests that measure time run before those that keep the machine busy. pytest's exit code 5 means that none was selected.
test: setup ## Run every test (ARGS="-k name" for some)
	@$(PYTEST) --ignore=tests/docker $(REPORTS)-fast.xml $(ARGS) || test $$? = 5
	@$(PYTEST) tests/docker $(REPORTS)-docker.xml $(ARGS) || test $$? = 5

coverage: ## Run every test, and measure which lines they run
	@rm -rf .coverage
	@$(MAKE) --no-print-directory test MEASURE="coverage run -m" ARGS='$(ARGS)'
	@.venv/bin/coverage combine --quiet
	@.venv/bin/coverage report

lint: ## Style, types, and who may import whom
	@setup/venv.sh
	@.venv/bin/ruff check .
	@.venv/bin/ruff format --check .
	@.venv/bin/mypy
	@.venv/bin/lint-imports

bench: setup ## Measure, against others where there are any, into bench/RESULTS.md (ARGS=loss for one)
	@setup/bench.sh
	@$(BASE) .venv/bin/python -m bench $(ARGS)

setup:
	@setup/venv.sh
	@setup/docker.sh
	@setup/base_image.sh

clean: ## Remove what the set-up made here (not Docker)
	rm -rf .venv .setup .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .coverage
