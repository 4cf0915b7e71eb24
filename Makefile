# Two commands on a fresh machine: `make quickstart` and `make test`. Both install once, into .venv.
#   PYTHON=python3.12     another interpreter (3.11 or newer)
#   TORCH_INDEX=URL       another index for torch alone, e.g. https://download.pytorch.org/whl/cpu
PYTHON ?= python3
TORCH_INDEX ?=
BIN := .venv/bin
STAMP := .venv/.installed
EXTRAS := .venv/.installed-extras
FIGURES ?= footprint quickstart prefix_growth longer addition predictor u_curve feedback parity mazes early_exit adapters \
	ladder label_noise grid compaction compare_all overhead simulator coverage tune_scale kill_workers sigterm driver replicas \
	search_studies search detection

.DELETE_ON_ERROR:
.PHONY: help quickstart test test-units test-wholes test-ray test-all check format schema examples figures clean

help:
	@echo "make quickstart   run studies/quickstart.yaml and say where the report is"
	@echo "make test         fast and Ray tests"
	@echo "make test-all     the slow ones too; what needs root, Slurm, buildah or a Chromium says so where it is skipped"
	@echo "make check        format, lint, strict types, fast tests"
	@echo "make figures      the measured figures of benchmarks/ (FIGURES=addition for one)"

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit(f"sp_search needs Python 3.11 or newer, got {sys.version.split()[0]}: make PYTHON=python3.11")'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) 'torch>=2.13,<2.14'
	$(BIN)/python -m pip install --quiet --no-deps --requirement constraints.txt
	PYTHONWARNINGS=ignore $(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	touch $@

# What the slow tests of a cluster's jobs, of MLflow's login and of its pages in a browser need beside that.
$(EXTRAS): $(STAMP) constraints-cluster.txt
	PYTHONWARNINGS=ignore $(BIN)/python -m pip install --quiet --no-build-isolation --constraint constraints.txt \
		--constraint constraints-cluster.txt --editable '.[browser,cluster,login]'
	touch $@

quickstart: $(STAMP)
	$(BIN)/sp-search run studies/quickstart.yaml

# Ray's tests wait more than they compute, so three processes share two cores. Each is shown when it has ended.
test: $(STAMP)
	@echo "tests: of units, of whole runs, and those that start Ray; some minutes of silence"
	@$(MAKE) --jobs=3 --output-sync=target --no-print-directory test-units test-wholes test-ray

test-units: $(STAMP)
	$(BIN)/python -m pytest -m "not slow and not ray" tests/unit tests/architecture

test-wholes: $(STAMP)
	$(BIN)/python -m pytest -m "not slow and not ray" tests --ignore=tests/unit --ignore=tests/architecture

test-ray: $(STAMP)
	$(BIN)/python -m pytest -m "not slow and ray"

test-all: $(EXTRAS)
	$(BIN)/python -m pytest

check: $(STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -m "not slow and not ray"

format: $(STAMP)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

schema: $(STAMP)
	$(BIN)/sp-search schema > schema/study.schema.json

examples: $(STAMP)
	rm -rf examples
	$(BIN)/sp-search init parts sp_search_examples --output examples

figures: $(STAMP)
	for name in $(FIGURES); do echo "== $$name"; $(BIN)/python -m benchmarks.$$name || exit 1; done

clean:
	rm -rf .venv build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache
