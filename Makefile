# Everything that a fresh machine with Python 3.11 and make needs: `make demo`, `make test`.
# Environments and the store stay inside the clone, so that deleting it undoes everything.

PYTHON ?= python3.11
VENV := .venv
export MODELBUILD_CACHE ?= $(CURDIR)/.cache/modelbuild
export UV_CACHE_DIR ?= $(CURDIR)/.cache/uv
RECIPES := digits activity
# Where this is set, each of the hundreds of commands that the tests start would compile all that it imports.
unexport PYTHONDONTWRITEBYTECODE
# Two processes; tests that share what was built for them stay together, in the order of tests/conftest.py.
PARALLEL := -n 2 --dist loadscope --no-loadscope-reorder

.PHONY: demo test test-fast test-nightly test-zoo faults lint clean

demo: $(VENV)/installed
	@set -e; for recipe in $(RECIPES); do \
	  echo; echo "== $$recipe"; \
	  $(VENV)/bin/modelbuild build ios android -f recipes/$$recipe/deploy.yaml --out artifacts/$$recipe; \
	done

test: $(VENV)/installed
	MODELBUILD_PROPERTIES=ci $(VENV)/bin/python -m pytest $(PARALLEL)

test-fast: $(VENV)/installed
	$(VENV)/bin/python -m pytest -m "not toolchain" $(PARALLEL)

# The properties on many more random projects, 40,000 hostile inputs, each value of each quantization scheme, every
# format built twice, all cases of which `make test` takes every third (`by_day` in tests/profile.py), 200 builds that
# are killed at random, all of ONNX's backend models, and all of Apple's tests of operators. The last two take hours,
# and go on where they were stopped: what became of each case is written to .cache/modelbuild/sweeps, by the digest of
# the code.
test-nightly: $(VENV)/installed
	MODELBUILD_PROPERTIES=nightly $(VENV)/bin/python -m pytest tests/properties tests/hostile $(PARALLEL)
	MODELBUILD_PROPERTIES=nightly $(VENV)/bin/python -m pytest tests/backends $(PARALLEL)
	MODELBUILD_PROPERTIES=nightly $(VENV)/bin/python -m pytest tests/e2e
	MODELBUILD_KILLS=200 $(VENV)/bin/python -m pytest tests/faults $(PARALLEL)
	MODELBUILD_BACKEND_MODELS=all $(VENV)/bin/python -m pytest tests/backends/onnx/corpus/test_backend_models.py
	MODELBUILD_APPLE=all $(VENV)/bin/python -m pytest -s tests/backends/coreml/apple
	$(VENV)/bin/python -m benchmarks.timm_zoo --hard --again

# One small model of every family of timm: hours, and it goes on where it was stopped.
test-zoo: $(VENV)/installed
	$(VENV)/bin/python -m benchmarks.timm_zoo

faults: $(VENV)/installed
	MODELBUILD_KILLS=200 $(VENV)/bin/python -m pytest tests/faults $(PARALLEL)

lint: $(VENV)/installed
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports

clean:
	rm -rf $(VENV) .cache artifacts/digits artifacts/activity

$(VENV)/installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --editable '.[dev]'
	touch $@
