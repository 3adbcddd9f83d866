# Needed: Python >= 3.11, make, git. `uv` is used when it is on the PATH, plain venv + pip otherwise.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# One stamp an extra: the demo and the figures need little, the tests and the site the rest.
DEMO_READY := $(VENV)/.ready-figures
READY := $(VENV)/.ready-dev
# A file's tests share what they compile, so that one worker takes the whole file.
PYTEST := $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

.PHONY: all install demo figures docs test extended thorough quick lint format clean constraints

all: test

$(VENV)/.ready-%: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(v < (3, 11) and f"Python >= 3.11 is needed; {sys.executable} is {v[0]}.{v[1]}. Name another with: make PYTHON=/path/to/python3")'
	@echo "Installing nqm-lopt with its extra '$*' into $(VENV); this takes a minute or two."
	@if command -v uv >/dev/null 2>&1; then \
	  test -x $(BIN)/python || uv venv --quiet --python "$$($(PYTHON) -c 'import sys; print(sys.executable)')" $(VENV); \
	  uv pip install --quiet --python $(BIN)/python -c constraints.txt -e '.[$*]'; \
	else \
	  test -x $(BIN)/python || $(PYTHON) -m venv $(VENV); \
	  $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[$*]'; \
	fi
	@touch $@

install: $(READY)

demo: $(DEMO_READY)
	@$(BIN)/python -m figures.demo

figures: $(READY)
	$(BIN)/python -m figures --all

# The notebooks are run, but for the longest, and their outputs are kept for the next time.
docs: $(READY)
	$(BIN)/python -m sphinx -W --keep-going -q -D nb_execution_mode=cache docs build/docs
	@echo "build/docs/index.html"

test: $(READY)
	$(PYTEST)

# Further cases of the same, which CI runs after `make test`.
extended: $(READY)
	HYPOTHESIS_PROFILE=extended $(PYTEST) -m extended

# Every test at full size, and 2,000 examples of every property: hours.
thorough: $(READY)
	HYPOTHESIS_PROFILE=thorough $(PYTEST)

quick: $(READY)
	$(PYTEST) -m "not slow"

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

constraints:
	uv pip compile --universal --python-version 3.11 --extra dev pyproject.toml -o constraints.txt --no-header --no-annotate --upgrade

clean:
	rm -rf $(VENV) demo .pytest_cache .ruff_cache .mypy_cache .hypothesis
