# The two commands of the README are `make compare` and `make test`; both set up .venv first.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet --constraint constraints.txt
OUT ?= runs/quick
# Tests run in so many processes at once, a file's tests in one of them; 0: in this one, for a debugger.
TESTERS ?= 2
PYTEST := -m pytest --numprocesses $(TESTERS) --dist loadfile
# Measures which lines the tests run, at about a tenth more time (coverage.py: three times the time on Python 3.11).
# Work in processes that a test starts itself is not counted.
MEASURED := $(BIN)/python -m slipcover --source benchkit,plugins,leaderboard --json --out .coverage.json

.PHONY: compare test test-all lint bench simulations shape docs pictures clean

compare: $(VENV)/installed
	$(BIN)/benchkit compare quick --out $(OUT)

test: $(VENV)/installed-dev lint
	$(MEASURED) $(PYTEST) -m "not slow"
	@$(BIN)/python -c "import json; print('The tests run {percent_covered:.1f} % of the lines.'.format(**json.load(open('.coverage.json'))['summary']))"

test-all: $(VENV)/installed-dev $(VENV)/installed-docs lint
	FUZZ_TRIES=3000 $(BIN)/python $(PYTEST)

lint: $(VENV)/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# What the suite costs here, as one table: about half an hour of one core. Results: benchmarks/results/.
bench: $(VENV)/installed-dev
	$(BIN)/python benchmarks/table.py --run

# How often the suite's intervals cover and its rules err, on boards whose truth is known: hours.
simulations: $(VENV)/installed-dev
	for name in coverage coverage_across coverage_many coverage_seasons looks; do $(BIN)/python benchmarks/$$name.py || exit 1; done

# Rooms, levels and imports between them; sizes of files and functions; lines of source and of tests.
shape:
	$(PYTHON) benchmarks/shape.py

# The site: warnings are errors. Notebooks run, and no page needs another host.
docs: $(VENV)/installed-docs
	$(BIN)/python -m sphinx -W --keep-going -E -q -b html docs docs/_build/html
	@echo "docs/_build/html/index.html"

# The pictures of the documents, drawn again; minutes. `methods.py` needs a finished `make compare`.
pictures: $(VENV)/installed
	$(BIN)/python docs/pictures/diagram.py
	$(BIN)/python docs/pictures/sheets.py
	$(BIN)/python docs/pictures/methods.py
	$(BIN)/python docs/pictures/previews.py

# Bytecode on all cores at once, where pip takes one; a package may hold files that no Python compiles.
$(VENV)/installed: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) --no-compile --editable .
	$(BIN)/python -m compileall -qq -j 0 $(VENV)/lib || true
	touch $@

$(VENV)/installed-dev: $(VENV)/installed
	$(PIP) --editable ".[dev]"
	touch $@

$(VENV)/installed-docs: $(VENV)/installed
	$(PIP) --editable ".[docs]"
	touch $@

clean:
	rm -rf $(VENV) build docs/_build docs/included docs/reference/plugins/*/ .coverage.json *.egg-info .pytest_cache .mypy_cache .ruff_cache
