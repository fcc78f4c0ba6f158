# Every target does all set-up that it needs; a second call does none of it again.
#   make book [PROFILE=smoke|laptop|paper] [DATA=phantom|chula_rbc12|a folder with splits.json]
#   make test · make chapter NB=03 · make results [SEEDS=0,1,2 ARMS=RD,SD TASKS=fcn8s] · make bench · make refresh · make lock · make clean
#   make lab (student notebooks) · make audit (barriers for readers, valid HTML) · make pdf · make archive · make twice
PROFILE ?= smoke
DATA    ?= phantom
PYTHON  ?= python3
VENV    ?= .venv
PY      := $(VENV)/bin/python
READY   := $(VENV)/.ready
NAME    := $(PROFILE)-$(shell basename "$(DATA)")
BUILD   := build/$(NAME)

# A filled cache beside the checkout serves machines without internet.
ifneq ($(wildcard ../shared/data),)
export BLOODLIB_DATA ?= $(abspath ../shared/data)
export BLOODLIB_WEIGHTS ?= $(abspath ../shared/weights)
endif

.PHONY: book test chapter results bench refresh regression setup lock lint clean help lab audit pdf archive twice
.DEFAULT_GOAL := help

help:
	@sed -n '1,4s/^# \{0,1\}//p' Makefile

setup: $(READY)

# --no-deps: the lock file is the whole answer, so pip has nothing to decide; pip check then proves it.
$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 15) and "Python 3.11 to 3.14 is needed, for which packages are locked; this is %d.%d: make PYTHON=/path/to/python3.12 …" % sys.version_info[:2])'
	@echo "Setting up $(VENV) (about 7 GB on Linux, a few minutes, once) …"
	@$(PYTHON) -m venv --clear $(VENV)
	@$(PY) -m pip install --quiet --quiet --disable-pip-version-check --no-deps -r requirements.lock
	@$(PY) -m pip install --quiet --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@$(PY) -m pip check
	@touch $@

book: $(READY)
	$(PY) -m tools.execute --profile $(PROFILE) --data "$(DATA)"
	$(PY) -m tools.stage --profile $(PROFILE) --data "$(DATA)"
	$(PY) -m tools.build --profile $(PROFILE) --data "$(DATA)"
	$(PY) -m tools.check "$(BUILD)/html"
	@echo "The book is ready: open $(BUILD)/html/index.html"

chapter: $(READY)
	@test -n "$(NB)" || { echo "Say which: make chapter NB=03"; exit 2; }
	$(PY) -m tools.execute --profile $(PROFILE) --data "$(DATA)" --only $(NB)
	$(PY) -m tools.stage --profile $(PROFILE) --data "$(DATA)" --only $(NB)
	$(PY) -m tools.build --profile $(PROFILE) --data "$(DATA)" --only $(NB)

test: $(READY) lint
	$(PY) -m pytest

lint: $(READY)
	@$(VENV)/bin/ruff check --quiet .
	@$(VENV)/bin/ruff format --quiet --check .

# Compares the notebooks that the smoke book executed with the outputs in git, by nbval's own rules.
regression: $(READY)
	BLOODLIB_EXECUTED=build/smoke-phantom/executed $(PY) -m pytest -p no:cacheprovider tests/test_notebooks.py

refresh: $(READY)
	$(PY) -m tools.refresh

results: $(READY)
	$(PY) -m tools.results --profile $(PROFILE) --data "$(DATA)" $(if $(SEEDS),seeds=$(SEEDS)) $(if $(ARMS),arms=$(ARMS)) $(if $(TASKS),tasks=$(TASKS))

# Exercises without solutions, in build/lab; `make lab RUN=--run` runs each from top to bottom as well.
lab: $(READY)
	$(PY) -m tools.lab $(RUN)

# Needs Chromium, Java, and npm to fetch axe-core and the Nu checker, which are not part of the book.
audit: $(READY)
	@mkdir -p build/axe build/vnu
	@test -f build/axe/package/axe.min.js || (cd build/axe && npm pack --silent axe-core && tar xzf axe-core-*.tgz)
	@test -f build/vnu/package/build/dist/vnu.jar || (cd build/vnu && npm pack --silent vnu-jar && tar xzf vnu-jar-*.tgz)
	$(PY) -m tools.validity "$(BUILD)/html" --vnu build/vnu/package/build/dist/vnu.jar
	$(PY) -m tools.audit "$(BUILD)/html" --axe build/axe/package/axe.min.js

pdf: $(READY)
	$(PY) -m tools.pdf "$(BUILD)/html" "$(BUILD)/book.pdf"

# The built site as one file, with its checksum beside it.
archive: $(READY)
	$(PY) -m tools.archive "$(BUILD)/html" "$(BUILD)/bloodlib-book-$(NAME).zip"

# Renders the executed notebooks once more, pictures of the play pages included, and compares with the book that stands.
twice: $(READY)
	$(PY) -m tools.twice --profile $(PROFILE) --data "$(DATA)"

bench: $(READY)
	$(PY) -m benchmarks

# Needs uv, which nothing else does.
lock: $(READY)
	uv pip compile --quiet --universal --all-extras --no-header --no-annotate --python-version 3.11 pyproject.toml -o requirements.lock
	$(PY) tools/conda.py

clean:
	rm -rf build .pytest_cache .ruff_cache .hypothesis .snakemake
