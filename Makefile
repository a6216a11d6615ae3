# The two commands that anybody needs: make migrate, make test.
# Extra flags: make migrate ARGS="--to NAME"

MAKEFLAGS += --no-print-directory
SHELL := /bin/sh
CLI := node dist/cli.js
# What they need is built before.
TESTS := SKIP_BUILD=1 npx --no-install vitest run
# With the folders, whose times tell of files that were removed.
SOURCES := $(shell find src -type d -o -name '*.ts' -o -name '*.cts' -o -name '*.css' -o -name '*.html' 2>/dev/null)

# Two commands at once must not install or build over each other.
LOCKED := $(shell command -v flock >/dev/null 2>&1 && echo flock .make.lock)

# A build that failed must not pass for one that is done.
.DELETE_ON_ERROR:

.PHONY: help migrate down plan status create test test-faults test-matrix bench picture screenshots check format clean ready build \
        check-format check-lint check-typecheck check-package

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1|\2/p' Makefile | awk -F'|' '{ printf "%-20s %s\n", $$1, $$2 }'

migrate: build ## install what is missing, build, run pending migrations
	@$(CLI) up $(ARGS)

down: build ## revert the last migration
	@$(CLI) down --yes $(ARGS)

plan: build ## what migrate would do: a sample of each pending migration, rolled back
	@$(CLI) plan $(ARGS)

status: build ## what is executed, running, failed, missing
	@$(CLI) status $(ARGS)

create: build ## write a new migration file: make create name=my-change
	@$(CLI) create --name "$(name)" $(ARGS)

test: build ## all tests, on a Postgres that they start themselves
	@$(TESTS) $(ARGS)

test-faults: build ## the long set of fault tests, and of other files that have one
	@FAULTS_LONG=1 $(TESTS) test/faults $$(grep -rl --include='*.test.ts' FAULTS_LONG test/e2e test/integration) $(ARGS)

test-matrix: build ## the smoke tests on Node 20 to 26 and Postgres 14 to 18
	@npx --no-install jiti scripts/test-matrix.ts

bench: build ## measure against the usual ways: make bench ARGS="shapes --rows 1000"
	@npx --no-install jiti bench/main.ts $(ARGS)

picture: build ## draw docs/terminal.svg anew, from a run of the example
	@npx --no-install jiti scripts/picture.ts

screenshots: build ## photograph the page in the middle of a run, into docs/
	@npx --no-install jiti scripts/screenshots.ts

check: build ## all that CI runs: format, lint, types, package, tests
	@$(MAKE) -j2 check-format check-lint check-typecheck check-package
	@$(TESTS)

# One process each, which keeps one core busy.
check-format check-lint check-typecheck check-package: check-%:
	@npm run --silent $(CHECK_$*)

CHECK_format := format:check
CHECK_lint := lint
CHECK_typecheck := typecheck
CHECK_package := package:check

format: build ## rewrite all files in the project's format
	@npm run --silent format

clean: ## stop and remove the embedded server, and all that was built
	@if [ -f dist/cli.js ]; then node dist/cli.js embedded remove; fi
	@rm -rf dist coverage .cache .make.lock

build:
	@$(LOCKED) $(MAKE) ready

ready: dist/.tsbuildinfo
	@:

node_modules/.package-lock.json: package-lock.json
	@echo "installing packages" >&2
	@npm ci --no-audit --no-fund --loglevel=error >&2
	@touch $@

dist/.tsbuildinfo: node_modules/.package-lock.json $(SOURCES) tsconfig.json tsconfig.build.json tsconfig.cjs.json tsconfig.page.json scripts/finish-build.mjs
	@echo "building" >&2
	@for built in $$(find dist -name '*.js' -not -path 'dist/cjs/*' 2>/dev/null); do \
	  source="src/$${built#dist/}"; base="$${built%.js}"; \
	  [ -f "$${source%.js}.ts" ] || rm -f "$$built" "$$base.d.ts"; \
	done
	@npm run --silent build
	@chmod +x dist/cli.js
	@touch $@
