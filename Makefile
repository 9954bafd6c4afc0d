# Everything a newcomer needs: make demo, make lab, make check, make test.
PYTHON ?= python3
BIN := .venv/bin
CORE := .venv/.core
LAB := .venv/.lab
READY := .venv/.ready
COLAB := .venv-colab/bin
COLAB_READY := .venv-colab/.ready
# Those that train most come first, and 06 when the runs that it shares with 02 are there.
FIRST := $(foreach number,02 08 06 07 04,$(wildcard notebooks/$(number)_*.ipynb))
NOTEBOOKS := $(FIRST) $(filter-out $(FIRST),$(wildcard notebooks/*.ipynb)) notebooks/solutions
NBVAL := -m pytest --nbval --nbval-current-env --nbval-cell-timeout=900 $(NOTEBOOKS)
# A core for each file, in the order in which they stand: a small network gains little by a second thread.
PARALLEL := -n auto --dist loadfile --no-loadscope-reorder
# nbval takes seconds to import, in each process.
UNITS := -p no:nbval $(PARALLEL) tests --ignore=tests/browser

# Where it is set, each of the hundreds of processes compiles all that it imports anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo lab check style test test-gpu test-colab reliability notebooks table site clean help

help:           ## show these lines
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/'

demo: $(CORE)   ## train baseline and EAC on synthetic faces with 30 % wrong labels: table and report
	$(BIN)/eacbook demo $(ARGS)

lab: $(LAB)     ## open JupyterLab on the first notebook (ARGS="--no-browser --allow-root": its options)
	$(BIN)/eacbook lab -- $(ARGS)

check: $(READY) ## the check before a commit: style, types, direction of imports, fast tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest -q $(UNITS) \
		-m "not (slow or cluster or gpu or reliability)"

style: $(READY) ## mend what ruff can mend
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

test: $(READY)  ## unit tests, then the notebooks, from nothing stored, by themselves and in JupyterLab
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/python -m pytest $(UNITS)
	export OMP_NUM_THREADS=1 EACBOOK_RUNS=$$(mktemp -d) && \
	$(BIN)/python $(NBVAL) $(PARALLEL) && \
	$(BIN)/python -m pytest -p no:nbval $(PARALLEL) tests/browser

test-gpu: $(READY)  ## what can only be seen on a GPU (NVIDIA, CUDA); a few minutes
	$(BIN)/python -m pytest -q -m gpu --durations=5 tests/test_gpu.py

# A build folder from before would still install modules that are gone.
test-colab: $(COLAB_READY)  ## the notebooks on the packages of Colab, none of which may move (EACBOOK_RUNS=folder of runs)
	rm -rf build
	$(COLAB)/python -m pip install --quiet --disable-pip-version-check ".[book,faces]"
	$(COLAB)/python tests/colab/check_stack.py
	export EACBOOK_RUNS=$(or $(abspath $(EACBOOK_RUNS)),$$(mktemp -d)) && $(COLAB)/python $(NBVAL)

reliability: $(READY)  ## thousands of malformed inputs and a hundred kills; writes docs/reliability.md
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.reliability $(ARGS)

notebooks: $(READY)  ## make and run the notebooks from their sources
	$(BIN)/python notebooks/source/build.py

table: $(CORE)  ## the README's table: every method, three noise rates, five seeds
	$(BIN)/eacbook table --seeds 0 1 2 3 4 $(ARGS)

site: $(READY)  ## the book, the guides, the results and the API as pages, for reading without network, in docs/_build/html
	@$(BIN)/python -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "make site needs Python 3.11 or newer: make clean, then make PYTHON=python3.12 site"; exit 1; }
	rm -rf docs/_build
	$(BIN)/python -m sphinx --fail-on-warning --quiet --jobs auto -c docs . docs/_build/html

clean:          ## remove the environments
	rm -rf .venv .venv-colab

# uv comes from the plain package index, into the environment itself.
$(CORE): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' \
		|| { echo "eacbook needs Python 3.10 or newer; found $$($(PYTHON) --version)." \
		"Try: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@$(PYTHON) -m venv .venv \
		|| { echo "$(PYTHON) could not make a virtual environment; on Debian and Ubuntu:" \
		"apt install python3-venv"; exit 1; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	$(BIN)/uv pip install --quiet --python $(BIN)/python --editable '.[book]'
	@touch $@

$(LAB): $(CORE)
	$(BIN)/uv pip install --quiet --python $(BIN)/python --editable '.[lab]'
	@touch $@

$(READY): $(LAB)
	$(BIN)/uv pip install --quiet --python $(BIN)/python --editable '.[docs,test]'
	@touch $@

# eacbook itself comes later, as on Colab: with pip, beside what is there.
$(COLAB_READY): tests/colab/stack.txt tests/colab/beside.txt | $(READY)
	$(PYTHON) -m venv --clear .venv-colab
	$(BIN)/uv pip install --quiet --python $(COLAB)/python -r tests/colab/stack.txt -r tests/colab/beside.txt
	@touch $@
