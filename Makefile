# `make demo` and `make test` set everything up; both start from a fresh clone and Python 3.11 or newer.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready

# Each of the many processes that tests start would compile every module anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test quick test-all check format docs fuzz clean

demo: $(READY)
	$(BIN)/laconic demo --force

# PARTS=auto or any number: how many tests run at a time.
PARTS ?= 2

test: check
	$(BIN)/python -m pytest -n $(PARTS) --dist loadfile

# Every row of every table of cases, what takes minutes, and shapes and types as functions are called.
SHAPED := csteps models theory.importance theory.metric lc training
COMMA := ,
test-all: check
	$(BIN)/python -m pytest -n $(PARTS) --dist loadfile --all --slow \
		--jaxtyping-packages=$(subst $() ,$(COMMA),$(SHAPED:%=laconic.%) typechecker.check)

# While something is being written: all but the laws, doctests and what trains.
quick: $(READY)
	$(BIN)/python -m pytest -n $(PARTS) --dist loadfile tests --ignore tests/csteps/test_laws.py \
		--ignore tests/experiments --ignore tests/cli/test_resume.py --ignore tests/format/test_fuzz.py

check: $(READY)
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

format: $(READY)
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

# The site, build/site/index.html; fails on a link that leads nowhere.
docs: $(READY)
	$(BIN)/python docs/make_site.py

# Ten minutes of damaged files; what it finds stays in build/fuzz, and is tried again the next time.
fuzz: $(READY)
	mkdir -p build/fuzz/found
	$(BIN)/python tests/fuzz/make_corpus.py build/fuzz/seeds
	$(BIN)/python tests/fuzz/fuzz_open.py -max_total_time=600 -rss_limit_mb=0 -timeout=20 -max_len=10000 \
		-artifact_prefix=build/fuzz/ build/fuzz/found build/fuzz/seeds

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[dev]" -c constraints.txt
	touch $(READY)

clean:
	rm -rf .venv build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis
