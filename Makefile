# Everything that a developer and CI run. `make` alone says what there is.
# Needs: Rust (rustup reads rust-toolchain.toml), a C compiler, make, a POSIX shell.

SHELL := /bin/sh
CARGO ?= cargo
TARGET := $(or $(CARGO_TARGET_DIR),$(CURDIR)/target)
DENY_VERSION := 0.20.2
DENY := $(TARGET)/tools/bin/cargo-deny

# How `make memory` builds: the bound holds for the unoptimized program too, which CI has built anyway.
PROFILE ?= release
PROFILE_FOLDER = $(if $(filter dev,$(PROFILE)),debug,$(PROFILE))

# How many organizations `make differential` makes, and from which seed on.
COUNT ?= 300
SEED ?= 1

# What `make test` runs; CI and a developer may narrow it: make test TEST="-p trailhaul-core dedup::"
TEST ?= --workspace --no-fail-fast

.DEFAULT_GOAL := help
.PHONY: help build demo demo-aws test lint deny bench bench-verify bench-smoke memory emulators parquet differential differential-smoke clean

help: ## Say what there is
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1|\2/p' $(firstword $(MAKEFILE_LIST)) | awk -F'|' '{ printf "%-20s %s\n", $$1, $$2 }'

build: ## Build the program, optimized: target/release/trailhaul
	$(CARGO) build --release --locked --package trailhaul --bin trailhaul

demo: ## Haul a simulated organization in ./demo and look at the result
	@CARGO='$(CARGO)' TARGET='$(TARGET)' sh scripts/demo.sh

test: ## Run every test: units, properties, end to end, crashes, kills
	$(CARGO) test --locked $(TEST)

lint: ## Check formatting, lints, the rules between folders, and wording
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --workspace --all-targets -- --deny warnings
	$(CARGO) test --locked --package trailhaul --test architecture --test wording

deny: $(DENY) ## Check licenses, sources and bans of all dependencies
	$(DENY) --locked --all-features check --hide-inclusion-graph bans licenses sources

$(DENY):
	CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_DEBUG=0 CARGO_PROFILE_RELEASE_OPT_LEVEL=1 \
	$(CARGO) install --locked --root '$(TARGET)/tools' --version $(DENY_VERSION) cargo-deny

# ---- measurements; always optimized, never part of `make test`

bench: ## Measure what the stages and the whole pipeline cost (minutes)
	$(CARGO) build --release --locked --bins
	'$(TARGET)/release/trailhaul-bench'
	'$(TARGET)/release/trailhaul-bench' pipeline
	$(MAKE) --no-print-directory bench-verify

bench-verify: ## Measure the CPU time of `verify` beside `aws cloudtrail validate-logs` (minutes; needs python3)
	$(CARGO) build --release --locked --bins
	python=$$(sh scripts/differential.sh) && \
	"$$python" benches/verify.py --programs '$(TARGET)/release' --folder '$(TARGET)/bench-verify'

bench-smoke: ## Run every benchmark once over little data, not optimized: do they still work? (needs python3)
	$(CARGO) build --locked --bins
	'$(TARGET)/debug/trailhaul-bench' --rounds 1 --megabytes 4
	'$(TARGET)/debug/trailhaul-bench' pipeline --rounds 1 --megabytes 4
	'$(TARGET)/debug/trailhaul-bench' s3 --small
	python=$$(sh scripts/differential.sh) && \
	"$$python" benches/verify.py --small --rounds 1 --programs '$(TARGET)/debug' --folder '$(TARGET)/bench-verify'

memory: ## Measure the peak memory of runs with limits.memory 64MiB, over folders and over S3 (after `make emulators`)
	$(CARGO) build --profile $(PROFILE) --locked --bins
	'$(TARGET)/$(PROFILE_FOLDER)/trailhaul-bench' memory
	'$(TARGET)/$(PROFILE_FOLDER)/trailhaul-bench' s3

# ---- over AWS and emulators of it

emulators: ## Install the AWS emulators that tests and demo-aws use, pinned, into .venv
	@sh scripts/emulators.sh

demo-aws: emulators ## The demo over S3 and Kinesis of an emulator, with assumed roles
	@CARGO='$(CARGO)' TARGET='$(TARGET)' sh scripts/demo-aws.sh

# ---- against other programs

parquet: ## Haul into a lake of Parquet files and read it with pyarrow and DuckDB, installed into .venv
	@CARGO='$(CARGO)' TARGET='$(TARGET)' sh scripts/parquet.sh

differential: ## Compare `verify` with `aws cloudtrail validate-logs` on 300 tampered organizations (needs python3)
	$(CARGO) build --locked --bins
	python=$$(sh scripts/differential.sh) && \
	"$$python" tests/differential/validate_logs.py --trailhaul '$(TARGET)/debug/trailhaul' --count $(COUNT) --seed $(SEED)

differential-smoke: ## The same on 40
	@$(MAKE) --no-print-directory differential COUNT=40

clean: ## Remove what was built, and the demo
	$(CARGO) clean
	rm -rf demo
