# What a person or CI runs: `make demo`, `make test`, `make bench`. Each installs what it needs into .venv and cargo's target
# folder; on the machine it wants a Rust toolchain and Python 3.10+. Targets are small, so that each can be run on its own.

PYTHON ?= python3
CARGO ?= cargo
VENV := .venv
BIN := $(VENV)/bin
TARGET := $(if $(CARGO_TARGET_DIR),$(CARGO_TARGET_DIR),target)
# Wheels only: nothing is compiled from source behind somebody's back.
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --prefer-binary

.PHONY: help demo demo-data build test test-long lint test-build test-rust test-python bench clean

help:
	@echo "make demo    builds Graticule, makes sample data, and shows what it does"
	@echo "make test    every test and lint: Rust and Python; what CI runs"
	@echo "make test-long   what takes minutes: nodes that die, freeze, come and go while queries run; many clients; plans of a million chunks"
	@echo "make bench   the benchmarks, as a Markdown table of ratios"

demo: build demo-data
	@$(TARGET)/debug/graticule demo

demo-data: $(VENV)/demo
	@$(BIN)/python demo/make_data.py

# The dev profile optimises the crates under the inner loops and builds in a fraction of the time of a release build.
build:
	@echo "== building graticule"
	@$(CARGO) build --locked --workspace --bin graticule

test: lint test-rust test-python
	@echo "== all tests passed"

lint:
	@echo "== formatting"
	@$(CARGO) fmt --all --check
	@echo "== clippy"
	@$(CARGO) clippy --locked --workspace --all-targets -- -D warnings
	@echo "== documentation"
	@RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --workspace --no-deps --quiet

# Everything at once, tests included: the same crates with the same features serve the Rust and the Python tests.
test-build:
	@echo "== building the program and all tests"
	@$(CARGO) build --locked --workspace --all-targets

test-rust: test-build
	@echo "== Rust tests"
	@$(CARGO) test --locked --workspace

test-python: test-build $(VENV)/test
	@echo "== Python types"
	@cd client/python && ../../$(BIN)/python -m mypy
	@echo "== Python tests"
	@cd client/python && GRATICULE=$(abspath $(TARGET))/debug/graticule ../../$(BIN)/python -m pytest

# Ten minutes or so; run before a release.
test-long: test-build $(VENV)/test
	@echo "== long Rust tests"
	@$(CARGO) test --locked --workspace -- --ignored long_
	@echo "== long Python tests"
	@cd client/python && GRATICULE=$(abspath $(TARGET))/debug/graticule ../../$(BIN)/python -m pytest -m long

bench:
	@echo "== building graticule, optimised"
	@$(CARGO) build --locked --release --package graticule-server --bin graticule
	@GRATICULE=$(abspath $(TARGET))/release/graticule $(PYTHON) tests/bench/run.py

$(VENV)/created:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and "Python 3.10 or newer is needed; set PYTHON=python3.x")'
	@echo "== creating $(VENV)"
	@$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/demo: $(VENV)/created demo/requirements.txt
	@echo "== installing what makes the sample data"
	@$(PIP) -r demo/requirements.txt
	@touch $@

$(VENV)/test: $(VENV)/created client/python/pyproject.toml
	@echo "== installing the Python client and its tests"
	@$(PIP) -e 'client/python[test]'
	@touch $@

clean:
	@rm -rf $(VENV) demo-data
	@$(CARGO) clean
