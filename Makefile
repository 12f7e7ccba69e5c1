# Three commands: `make lab`, `make run-all` and `make test`. `make help` lists the others.

SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-builtin-rules

PROFILE ?= standard
SEEDS ?=
FIRST ?=
DEVICE ?= auto
NOTEBOOK ?=
EXPERIMENT ?=
STALE ?=
OWNER ?=
LAB ?=
N ?= 20
SAMPLE ?=
PYTHON ?= python3
PYTHONS ?=
JOBS ?=

GIVEN := PROFILE SEEDS FIRST DEVICE NOTEBOOK EXPERIMENT STALE OWNER N SAMPLE PYTHON PYTHONS JOBS DATA PIP_FLAGS
# A name that is misspelt would be ignored.
$(foreach name,$(filter-out $(GIVEN) LAB COURSE PY SHELL MAKEFLAGS,$(.VARIABLES)),\
  $(if $(filter command,$(origin $(name))),$(error there is no $(name) here: choose from $(GIVEN) LAB)))
# What is given is text: no $(...) in it is run, here or where make exports it.
$(foreach name,$(GIVEN),$(eval override $(name) := $$(value $(name))))

PY := .venv/bin/python
COURSE := $(PY) -m helpers
# Arguments that are given, each quoted: a name with a blank or a quote stays one argument.
quoted = '$(subst ','\'',$(1))'
flag = $(if $(2),--$(1) $(call quoted,$(2)))
WHICH = $(call flag,notebook,$(NOTEBOOK)) $(call flag,jobs,$(JOBS))
HOW = $(WHICH) --device $(call quoted,$(DEVICE))
CORES = $(or $(JOBS),$(shell $(PY) -c 'import joblib; print(joblib.cpu_count())'))
TEST = OMP_NUM_THREADS=1 $(PY) -m pytest -n $(call quoted,$(CORES)) --dist loadfile --no-loadscope-reorder

.PHONY: help setup run-all check test nightly lint lab refresh register recap prove audit replicate compare verdicts
.PHONY: mutants invariance anatomy kaggle student site bench bench-many lock clean distclean

help:  ## this list
	@echo "make TARGET [NOTEBOOK=04] [PROFILE=smoke|standard] [SEEDS=n] [DEVICE=auto|cpu|cuda] [JOBS=n]"
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  %-10s %s\n", $$1, $$2}'

setup: .venv/dev  ## create .venv with everything that notebooks and tests need

run-all: .venv/course  ## execute every notebook into build/, one line each
	@$(COURSE) run-all $(HOW) --profile $(call quoted,$(PROFILE)) $(call flag,seeds,$(SEEDS))

check: .venv/dev lint  ## lint, architecture, fast tests: what to run all day
	$(TEST) tests helpers

test: .venv/dev lint  ## lint, all tests but the nightly ones, stored outputs; NOTEBOOK=04: of that one
	@$(COURSE) test $(WHICH)

nightly: .venv/dev  ## tests of what is seldom touched: clusters, mutants, benchmarks, Kaggle, JupyterLab, the site in a browser
	$(TEST) -m nightly tests

mutants: .venv/dev  ## plant scientific faults into the helpers, each must turn its check red; SAMPLE=120: so many random ones
	PYTHONPATH=. $(PY) tests/$(if $(SAMPLE),conventional.py $(call quoted,$(SAMPLE)),mutants.py) $(call flag,jobs,$(JOBS))

invariance: .venv/course  ## all notebooks under other threads and instruction sets, PYTHONS="..." too; benchmarks/INVARIANCE.md
	$(PY) -m tests.invariance $(call flag,jobs,$(JOBS)) $(call flag,notebook,$(NOTEBOOK)) $(call flag,pythons,$(PYTHONS))

lint: .venv/dev  ## ruff on code and notebooks, the order of the rooms, types
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	.venv/bin/lint-imports
	.venv/bin/pyrefly check --python-interpreter-path $(PY) --summary=none

anatomy: .venv/dev  ## what a notebook lacks of the second form, a line each
	@$(PY) -m tests.anatomy $(call quoted,$(NOTEBOOK))

lab: .venv/course  ## open the course in JupyterLab; LAB="--allow-root --no-browser" in a container
	@$(COURSE) lab $(if $(LAB),-- $(LAB))

refresh: .venv/course  ## execute against the evidence; store outputs, findings, README, VERDICTS.md, the red pen
	@$(COURSE) refresh $(WHICH)

recap: .venv/course  ## the recap in red pen: README, VERDICTS.md, build/recap.html and, with a browser, .pdf
	@$(COURSE) recap

register: .venv/course  ## freeze the design of a notebook before it is proved; commit it then
	@$(COURSE) register $(call flag,notebook,$(NOTEBOOK))

prove: .venv/course  ## train all seeds, write the evidence: [EXPERIMENT=name] [STALE=yes]
	@$(COURSE) prove $(HOW) $(call flag,experiment,$(EXPERIMENT)) $(if $(STALE),--stale)

audit: .venv/course  ## train N=20 stored networks again, drawn at random, and compare
	@$(COURSE) audit --networks $(call quoted,$(N)) $(call flag,notebook,$(NOTEBOOK))

replicate: .venv/course  ## prove on other seeds, FIRST=5000 on: which verdicts agree? [EXPERIMENT="one two"]
	@$(if $(SEEDS),$(error replicate begins at FIRST=5000; SEEDS is how many))$(COURSE) replicate $(HOW) $(call flag,first,$(FIRST)) $(call flag,experiment,$(EXPERIMENT))

compare: .venv/course  ## verdicts of the evidence that is here against the committed one
	@$(COURSE) compare

verdicts: .venv/course  ## what was found on every claim, a line each
	@$(COURSE) verdicts

kaggle: .venv/course  ## build/kaggle: a dataset and notebooks to publish; OWNER=your account
	@$(COURSE) kaggle --owner $(call quoted,$(OWNER))

student: .venv/course  ## build/student: notebooks without answers, exercises for nbgrader
	@$(COURSE) student $(call flag,notebook,$(NOTEBOOK))

site: .venv/dev  ## build/site: the stored notebooks as a web site, the red pen in front
	@$(PY) .site/prepare.py build/site-source
	@$(PY) -m sphinx -q -c .site -b html build/site-source build/site
	@echo "build/site/index.html"

bench: .venv/dev  ## speed claims, measured side by side; DATA=folder of the full Fashion-MNIST
	$(PY) benchmarks/epoch.py $(call flag,data,$(DATA)) --page benchmarks/EPOCH.md

bench-many: .venv/dev  ## many networks: fit_many against a loop, joblib, Ray and JAX, side by side
	$(PY) benchmarks/many.py --page benchmarks/MANY.md

lock: .venv/dev  ## renew requirements.lock from the current environment
	$(PY) -m pip freeze --exclude-editable > build/lock && mv build/lock requirements.lock

clean:  ## remove build/
	rm -rf build

distclean: clean  ## remove build/ and .venv/
	rm -rf .venv

.venv/course: requirements.txt
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14) and "Python 3.11, 3.12 or 3.13 is needed, this is " + sys.version.split()[0] + ": make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv .venv
	@echo "installing what the notebooks need: some minutes; Linux: 3 GB (README has a smaller way)"
	$(PY) -m pip install --quiet --disable-pip-version-check $(PIP_FLAGS) -r requirements.txt
	@touch $@

.venv/dev: .venv/course requirements-dev.txt
	$(PY) -m pip install --quiet --disable-pip-version-check $(PIP_FLAGS) -r requirements-dev.txt
	@touch $@
