# make run      install into .venv and run TrafficEngine on the embedded loopback device; needs no root
# make test     install what the tests need, as root Debian's packages too, and run every check
# make lint     ruff and mypy alone
# make bench    measure what te-apps costs, against the same work in C; writes docs/performance.md
# make soak     a million connections at once on two devices, transfers with the kernel over a bad network, a long run on loopback: SOAK=seconds
# make conformance   run the tests that hold what standards and others ask for; writes docs/conformance.md
# make clean    remove what these made

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.ONESHELL:
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help
.PHONY: help run test lint bench soak conformance clean packages

export PIP_DISABLE_PIP_VERSION_CHECK := 1

VENV := .venv
BIN := $(VENV)/bin
RUN := --device loopback --connections 200000
SOAK := 600
SOURCES := $(wildcard apps/*.py apps/endpoint/*.py dpdk_io/*.py dpdk_io/*.c operators/*.py pipeline/*.py tcp/*.py)
# Measured by the clock, or with packets of their own on the machine's interfaces: these have the machine for themselves.
TIMED := tests/network tests/benchmarks tests/test_readme.py \
	$(addprefix tests/engine/test_,app.py impaired.py plateau.py) $(addprefix tests/dpdk_io/test_,clock.py dpdk.py interfaces.py)
# The endpoint's kernels are run by Python, as the command does.
ENDPOINT := $(filter-out %/test_server.py,$(wildcard tests/endpoint/test_*.py))
# Run by Python too, but for what runs the installed command, and what does nothing but last.
PURE := $(ENDPOINT) tests/pipeline tests/operators $(filter-out %/test_netsim.py,$(wildcard tests/tcp/test_*.py)) \
	$(filter-out $(TIMED) $(addprefix tests/engine/test_,variants.py leaks.py),$(wildcard tests/engine/test_*.py)) \
	$(addprefix tests/dpdk_io/test_,memory.py mbuf.py ring.py mempool.py loopback.py toeplitz.py clock.py)
# Beside each other, a file at a time, from the first on.
BESIDE := --numprocesses auto --maxprocesses 8 --dist loadfile --no-loadscope-reorder
ROOT := $(filter 0,$(shell id -u))
APT := DEBIAN_FRONTEND=noninteractive apt-get -q </dev/null

PACKAGES := conntrack curl dpdk dpdk-dev ethtool gcc iperf3 iproute2 iputils-ping libc6-dev libdpdk-dev nftables nginx-light \
	nmap pkg-config procps tcpdump tcpreplay tcptrace tshark wrk

# The first Python from 3.11 on; empty when there is none.
PYTHON = $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
	"$$p" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null </dev/null && { echo "$$p"; break; }; done)

help:
	@sed -n 's/^# \(make .*\)/\1/p' Makefile

run: $(VENV)/installed
	$(BIN)/te-apps trafficengine $(RUN) $(ARGS)

test: packages lint
	$(BIN)/pytest $(BESIDE) tests/engine/test_variants.py tests $(addprefix --ignore=,$(TIMED) $(ENDPOINT))
	NUMBA_DISABLE_JIT=1 $(BIN)/pytest $(BESIDE) $(PURE)
	$(BIN)/pytest $(TIMED)
	$(if $(ROOT),,echo "make test: not root: what needs namespaces and kernel interfaces was skipped" >&2)

lint: $(VENV)/developed
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

bench: $(VENV)/developed
	$(BIN)/python -m benchmarks $(ARGS)

soak: $(VENV)/developed
	$(BIN)/python -m tests.engine.plateau 1000000 loopback >/dev/null
	$(BIN)/python -m tests.engine.plateau 1000000 net_ring0 >/dev/null
	$(if $(ROOT),$(BIN)/python -m tests.network.soak,echo "make soak: not root: transfers with the kernel are skipped" >&2)
	$(BIN)/te-apps trafficengine --device loopback --duration $(SOAK) $(ARGS)

conformance: $(VENV)/developed
	$(BIN)/python -m tests.conformance $(ARGS)

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/installed: pyproject.toml README.md $(SOURCES) | $(BIN)/python
	@test -e $(VENV)/developed || $(BIN)/pip install -q .
	touch $@

$(VENV)/developed: pyproject.toml | $(BIN)/python
	@$(BIN)/pip install -q -e '.[dev]'
	touch $@

# Debian keeps ensurepip, without which a virtual environment has no pip, in a package of its own.
$(BIN)/python:
	@python='$(PYTHON)'
	if ! "$${python:-false}" -c 'import ensurepip, venv' 2>/dev/null; then
		package=$$("$${python:-false}" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])' || echo python3-venv)
		if [ -z '$(ROOT)' ]; then
			echo "make: Python >= 3.11 with the venv module is missing; install it: sudo apt-get install $$package" >&2
			exit 1
		fi
		$(APT) update && $(APT) install -y --no-install-recommends "$$package"
		python=$${python:-python3}
	fi
	"$$python" -m venv $(VENV)

# Only root can install, and only Debian's kind of system has apt-get; elsewhere the tests say what they miss.
packages:
	@[ -n '$(ROOT)' ] && command -v apt-get >/dev/null || exit 0
	installed=$$(dpkg-query -W -f='$${db:Status-Status} $${Package}\n' $(PACKAGES) 2>/dev/null | sed -n 's/^installed //p') || :
	missing=$$(comm -23 <(tr ' ' '\n' <<<'$(PACKAGES)' | sort) <(sort <<<"$$installed"))
	[ -n "$$missing" ] || exit 0
	$(APT) update && $(APT) install -y --no-install-recommends $$missing
