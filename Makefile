# What people type. `make demo` and `make test` need Python 3.11 with venv, make, e2fsprogs and a package registry.

PYTHON ?= $(or $(shell command -v python3.11),$(shell command -v python3.12),$(shell command -v python3.13),python3)
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/installed
DATA_DIR ?= data
LISTEN ?= 127.0.0.1:8776
# One process for each core, a file never split: most fixtures are of a module or of the session.
PYTEST = $(BIN)/python -m pytest -n logical --maxprocesses 4 --dist loadfile

.PHONY: install demo serve test test-postgresql check fmt bench bench-api bench-index soak fuzz heavy tempest clean need-python need-mke2fs

install: $(INSTALLED)

$(INSTALLED): requirements.lock pyproject.toml | need-python
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	touch $@

demo: install need-mke2fs
	$(BIN)/python scripts/demo.py

serve: install
	$(BIN)/openvbs serve --data-dir $(DATA_DIR) --listen $(LISTEN)

test: install need-mke2fs
	$(PYTEST) -m "not heavy and not soak"

heavy: install need-mke2fs
	$(PYTEST) -m heavy

# Rules, API, clients and the queue once more, on the other database. Needs Debian's PostgreSQL.
test-postgresql: install need-mke2fs
	$(PYTEST) -m "not heavy and not soak" --database postgresql \
	  tests/actions tests/api tests/cli tests/e2e tests/jobs/test_queue.py

check: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -q tests/unit/test_tidy.py

fmt: install
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: install need-mke2fs
	$(BIN)/python -m bench
	$(BIN)/python -m bench.s3

bench-api: install
	$(BIN)/python -m bench.api

BENCH_INDEX_ENTRIES ?= 100000000
BENCH_INDEX_DIR ?= bench/results/index

bench-index: install
	$(BIN)/python -m bench.synthetic_index make $(BENCH_INDEX_DIR) $(BENCH_INDEX_ENTRIES)
	$(BIN)/python -m bench.synthetic_index ask $(BENCH_INDEX_DIR) $(BENCH_INDEX_ENTRIES)
	rm -r $(BENCH_INDEX_DIR)

soak: install need-mke2fs
	$(BIN)/python scripts/soak.py

fuzz: install need-mke2fs
	$(BIN)/python scripts/fuzz.py

# OpenStack's own tests of backups, volumes and snapshots, in an environment of their own.
tempest: install
	$(PYTHON) -m venv $(VENV)/tempest
	$(VENV)/tempest/bin/python -m pip install --quiet --disable-pip-version-check tempest==47.0.0
	$(BIN)/python scripts/tempest.py $(VENV)/tempest/bin/python

clean:
	rm -rf $(VENV) *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis

need-python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	  || { echo "OpenVBS needs Python 3.11 or newer (Debian: apt-get install python3), or say make PYTHON=/path/to/python"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null \
	  || { echo "Python's venv is missing (Debian: apt-get install python3-venv)"; exit 1; }

need-mke2fs:
	@PATH="$$PATH:/usr/sbin:/sbin" command -v mke2fs >/dev/null \
	  || { echo "mke2fs is missing; it makes the demo's disk image (Debian: apt-get install e2fsprogs)"; exit 1; }
