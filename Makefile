# The two commands of the README are `make compare` and `make test`; both set up .venv first.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet --constraint constraints.txt
OUT ?= runs/quick
# Tests run in so many processes at once, a file's tests in one of them; 0: in this one, for a debugger.
TESTERS ?= 2
# Anything: `make test` also prints how many lines the tests run, and takes up to three times as long on Python 3.11.
COVERAGE ?=
PYTEST := $(BIN)/python -m pytest --numprocesses $(TESTERS) --dist loadfile

.PHONY: compare test test-all lint bench shape docs clean

compare: $(VENV)/installed
	$(BIN)/benchkit compare quick --out $(OUT)

test: $(VENV)/installed-dev lint
	$(PYTEST) -m "not slow" $(if $(COVERAGE),--cov --cov-report=)
ifdef COVERAGE
	@echo "The tests ran $$($(BIN)/python -m coverage report --format=total) % of the lines."
endif

test-all: $(VENV)/installed-dev lint
	FUZZ_TRIES=3000 $(PYTEST)

lint: $(VENV)/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(VENV)/installed-dev
	for file in benchmarks/*.py; do $(BIN)/python $$file || exit 1; done

# Rooms, levels and imports between them; sizes of files and functions; lines of source and of tests.
shape:
	$(PYTHON) benchmarks/shape.py

docs: $(VENV)/installed-dev
	$(BIN)/python docs/sheets.py
	$(BIN)/python docs/methods.py
	PATH=$(abspath $(BIN)):$$PATH $(BIN)/python docs/gallery.py
	$(BIN)/python docs/api.py
	$(BIN)/python docs/keys.py
	$(BIN)/python docs/diagram.py

# Bytecode on all cores at once, where pip takes one; a package may hold files that no Python compiles.
$(VENV)/installed: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) --no-compile --editable .
	$(BIN)/python -m compileall -qq -j 0 $(VENV)/lib || true
	touch $@

$(VENV)/installed-dev: $(VENV)/installed
	$(PIP) --editable ".[dev]"
	touch $@

clean:
	rm -rf $(VENV) build .coverage *.egg-info .pytest_cache .mypy_cache .ruff_cache
