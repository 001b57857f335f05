# Everything that is run by hand or by .ci/run has its name here.

SCALE ?= 1
export SCALE

.DEFAULT_GOAL := help
.PHONY: help run setup test clients check bench fuzz soak ci

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: ## Build and start the gateway on 127.0.0.1:8080
	cargo run --release -- serve

setup: ## Fetch what the client tests need
	tools/setup.sh

test: setup ## Run every test: Rust's, then the official clients against the release binary
	cargo test --workspace
	cargo build --release
	$(MAKE) --no-print-directory clients

clients: ## Run official clients and libraries against target/release/tidegate, or TIDEGATE_BIN
	.venv-openai2/bin/python tests/clients/upstreams_python.py
	.venv/bin/python tests/clients/openai_python.py
	.venv-openai2/bin/python tests/clients/openai_python.py
	.venv/bin/python tests/clients/openai_dialects.py
	.venv-openai2/bin/python tests/clients/openai_dialects.py
	.venv/bin/python tests/clients/anthropic_python.py
	.venv/bin/python tests/clients/langchain_python.py
	.venv-openai2/bin/python tests/clients/libraries_python.py
	node --test-reporter=spec tests/clients/openai_node.mjs
	node --test-reporter=spec tests/clients/anthropic_node.mjs

check: ## Formatting, lints, Rust's tests, documentation, dependencies, and tests that must bite
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	cargo test --workspace
	RUSTDOCFLAGS='-D warnings' cargo doc --workspace --no-deps
	@if cargo deny --version >/dev/null 2>&1; then \
	    cargo deny check; \
	else \
	    echo 'cargo deny is not installed, so dependencies were not checked: cargo install cargo-deny'; \
	fi
	tools/breaks.sh

bench: ## Run the published measurements again
	bench/run.sh

fuzz: ## Fuzz the readers of TOON for a minute each; needs cargo-fuzz and a nightly compiler
	cargo +nightly fuzz run toon -- -max_total_time=60 -max_len=4096 -dict=fuzz/toon.dict
	cargo +nightly fuzz run compact -- -max_total_time=60 -max_len=4096 -dict=fuzz/toon.dict

soak: ## Run the gateway under scripted faults, restarts and a failing store; SCALE=0.01 is a hundredth
	soak/run.sh

ci: ## Run what CI runs
	.ci/run
