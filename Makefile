# Two commands are all that a fresh machine needs: `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: demo test check format proto clean

demo: $(STAMP)  ## the main job on real images, end to end
	$(BIN)/unlearn demo

test: $(STAMP)  ## every check and every test
	@bash .ci/components
	$(MAKE) check
	$(BIN)/python -m pytest

check: $(STAMP)
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports
	cd proto && ../$(BIN)/buf lint && ../$(BIN)/buf format --diff --exit-code

format: $(STAMP)
	$(BIN)/ruff format
	$(BIN)/ruff check --fix
	cd proto && ../$(BIN)/buf format --write

proto: $(STAMP)  ## generate service/pb from proto
	PYTHON=$(BIN)/python bash proto/generate.sh

$(STAMP): pyproject.toml .ci/constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint .ci/constraints.txt --editable '.[worker,research,dev]'
	touch $@

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
