# Thin: each target calls go or a script that can be typed as well. `make` alone lists them.

.DEFAULT_GOAL := help
.PHONY: help demo demo-down test test-unit test-machine faults bench bench-quick lint clean-cache

help: ## list what can be typed here
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: ## a server, Mattermost 7.7.0 on it, then 9.10.0: the whole product on this machine (root)
	@scripts/demo.sh

demo-down: ## remove every trace of the demo but the cache of what was built
	@scripts/demo-down.sh

test: test-unit test-machine ## everything: unit tests, then end to end on real machines (root)

test-unit: ## unit and component tests: no root, no network, seconds once compiled
	@scripts/test-unit.sh

test-machine: ## end to end on real machines (root)
	@scripts/test-machine.sh

faults: ## the whole fault matrix: each phase, each fault, each kind of bad release (root)
	@scripts/faults.sh

bench: ## downtime beside the vendor's guide and a bare restart, at three sizes; writes scripts/bench/RESULTS.md (root)
	@scripts/bench/bench.sh

bench-quick: ## a small version of it, made for 10 minutes; writes bin/bench-quick/RESULTS.md (root)
	@scripts/bench/bench.sh --quick

lint: ## gofmt, vet, staticcheck, the arrows between packages, shellcheck, actionlint, file lengths
	@scripts/lint.sh

clean-cache: ## remove what the demo and the tests built and keep outside the tree
	@scripts/clean-cache.sh
