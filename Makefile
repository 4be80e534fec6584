# Every target sets up .venv by itself: `make demo` works on a machine that has Python 3.11+, pip and git.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed

.PHONY: setup demo test scorecard scorecard-quick bench check format docs clean

setup: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; v = sys.version.split()[0]; sys.exit(sys.version_info < (3, 11) and f"torchvitals needs Python 3.11 or newer; {v} was found. Try: make PYTHON=python3.11 setup")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $(STAMP)

demo: setup
	$(BIN)/python -m sweeps --multirun experiment=demo

test: setup
	$(BIN)/python -m pytest -m 'not slow' -n 2 -q
	$(BIN)/python -m pytest -m slow -n 2 -q

# The peers are other people's packages: of the benchmark only, and not needed for anything else.
scorecard: setup
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[peers]'
	$(BIN)/python -m sweeps.scorecard

scorecard-quick: setup
	$(BIN)/python -m sweeps.scorecard --quick

# On a machine that does nothing else: under 20 minutes on two cores.
bench: setup
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[peers]'
	$(BIN)/python -m sweeps.bench

check: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(BIN)/lint-imports

format: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: setup
	$(BIN)/torchvitals explain all > docs/diagnostics.md

clean:
	rm -rf .venv build dist outputs runs
