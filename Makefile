# What people type. `make demo` and `make test` need Python 3.11 with venv, make, e2fsprogs and a package registry.

PYTHON ?= $(or $(shell command -v python3.11),$(shell command -v python3.12),$(shell command -v python3.13),python3)
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/installed
DATA_DIR ?= data
LISTEN ?= 127.0.0.1:8776

.PHONY: install demo serve test check fmt bench soak heavy clean need-python need-mke2fs

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
	$(BIN)/python -m pytest -m "not heavy and not soak"

heavy: install need-mke2fs
	$(BIN)/python -m pytest -m heavy

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

soak: install need-mke2fs
	$(BIN)/python scripts/soak.py

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
