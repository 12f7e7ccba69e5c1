# The two commands: `make run-all` and `make test`. `make help` lists the others.

SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-builtin-rules

PROFILE ?= standard
SEEDS ?=
DEVICE ?= auto
NOTEBOOK ?=
THREADS ?= 1
RUNS ?= 10
PYTHON ?= python3
JOBS := $(or $(JOBS),$(shell $(PYTHON) -c 'import os; print(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count())'))

# One notebook per core, one process and one thread per notebook; in the browser (lab) a notebook
# trains its networks on all cores. More threads make small networks slower.
# glibc's malloc keeps its memory between updates instead of asking the system for it every time.
export THREADS
export OMP_NUM_THREADS := $(THREADS)
export LOKY_MAX_CPU_COUNT := 1
lab: export LOKY_MAX_CPU_COUNT := $(JOBS)
export PYTHONDONTWRITEBYTECODE := 1
export MALLOC_MMAP_THRESHOLD_ := 33554432
export MALLOC_TRIM_THRESHOLD_ := 1073741824
export IPYTHONDIR := $(CURDIR)/build/ipython

PY := .venv/bin/python
BUILD := build/$(PROFILE)
ALL := $(sort $(wildcard notebooks/*.ipynb))
CHOSEN := $(if $(NOTEBOOK),$(wildcard notebooks/$(NOTEBOOK)*.ipynb),$(ALL))
COMMON := $(wildcard helpers/*.py helpers/*/*.py data/*.* data/tuning/*.json) requirements.txt
# An order in which two cores end together.
ORDER := 04 10 08 09 07 06 02 01 05 03
CHOSEN := $(strip $(foreach n,$(ORDER),$(filter notebooks/$(n)_%,$(CHOSEN))) \
  $(filter-out $(ORDER:%=notebooks/%_%),$(CHOSEN)))
EXECUTED = $(CHOSEN:notebooks/%=$(BUILD)/%)

.PHONY: help setup run-all executed test lint nbval lab refresh tune verdicts compare repeat site bench bench-many lock clean distclean

help:  ## this list
	@echo "make TARGET [PROFILE=smoke|standard|full] [SEEDS=n] [DEVICE=auto|cpu|cuda] [NOTEBOOK=01]"
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  %-10s %s\n", $$1, $$2}'

setup: .venv/dev  ## create .venv with everything that notebooks and tests need

run-all: .venv/course  ## execute every notebook into build/, one line each
	@[ -n "$(CHOSEN)" ] || { echo "no notebook matches NOTEBOOK=$(NOTEBOOK): there are $(ALL)" >&2; exit 2; }
	+@$(MAKE) --no-print-directory --keep-going $(if $(filter -j%,$(MAKEFLAGS)),,-j$(JOBS)) executed

executed: $(EXECUTED)

# Keeps the kernel from warning, once a notebook, about what concerns nobody here.
KERNEL_CONFIG := build/ipython/profile_default/ipython_kernel_config.py
$(KERNEL_CONFIG):
	@mkdir -p $(@D)
	@echo "c.IPKernelApp.log_level = 50" > $@

$(BUILD)/%.ipynb: notebooks/%.ipynb $(COMMON) $(BUILD)/parameters | $(KERNEL_CONFIG)
	@$(PY) -m helpers execute $< $@ --profile "$(PROFILE)" --seeds "$(SEEDS)" --device "$(DEVICE)"

# The summary reads what all others have found; when it runs, all cores are free.
SUMMARY := $(BUILD)/11_phase_summary.ipynb
$(SUMMARY): $(filter-out $(SUMMARY),$(EXECUTED))
$(SUMMARY): private export LOKY_MAX_CPU_COUNT := $(JOBS)

# Changes only when a parameter does, so that finished notebooks are not run again for nothing.
GIVEN = SEEDS=$(SEEDS) DEVICE=$(DEVICE) THREADS=$(THREADS)
$(BUILD)/parameters: FORCE
	@mkdir -p $(@D)
	@echo "$(GIVEN)" | cmp -s - $@ || echo "$(GIVEN)" > $@
FORCE:

test: .venv/dev lint $(KERNEL_CONFIG)  ## lint, unit and property tests, stored outputs of all notebooks (nbval)
	$(PY) -m pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder $(CHOSEN) tests

lint: .venv/dev  ## ruff on code and notebooks
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .

nbval: .venv/dev $(KERNEL_CONFIG)  ## only the stored outputs of the chosen notebooks
	$(PY) -m pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder $(CHOSEN)

lab: .venv/course  ## open the course in JupyterLab
	$(PY) -m jupyter lab notebooks

refresh:  ## execute on the CPU and store the outputs in notebooks/, the evidence in data/
	@rm -rf build/refresh build/evidence/*
	@$(MAKE) --no-print-directory run-all PROFILE=standard SEEDS= DEVICE=cpu BUILD=build/refresh
	@for notebook in $(CHOSEN); do mv build/refresh/$${notebook#notebooks/} $$notebook; done
	@$(PY) -m helpers adopt $(CHOSEN)
	@$(PY) -m helpers figure notebooks/01_cnn_filters.ipynb \
	  "A random first layer costs" .github/random_filters.png

tune:  ## choose learning rates anew, keep them in data/tuning/, then refresh
	rm -rf build/tuning build/tune
	TUNE=again $(MAKE) --no-print-directory run-all PROFILE=standard SEEDS= DEVICE=cpu BUILD=build/tune
	mkdir -p data/tuning && cp build/tuning/*.json data/tuning/
	$(MAKE) --no-print-directory refresh

verdicts: .venv/course  ## print the verdict lines of the notebooks executed last
	@$(PY) -m helpers verdicts $(EXECUTED)

compare: run-all  ## run the course here: which verdicts differ from the committed evidence?
	@$(PY) -m helpers compare

repeat: .venv/course  ## run the course RUNS times, each compared with the committed evidence
	@differ=0; for run in $$(seq $(RUNS)); do echo "run $$run of $(RUNS)"; rm -rf $(BUILD); \
	  $(MAKE) --no-print-directory compare || differ=$$((differ + 1)); done; \
	echo "$$differ of $(RUNS) runs differ from the reference"; [ $$differ = 0 ]

site: .venv/dev run-all  ## build/site: the executed course as a web site, the summary in front
	@$(PY) .site/prepare.py $(BUILD) build/site-source
	@$(PY) -m sphinx -q -b html build/site-source build/site
	@echo "build/site/index.html"

bench: .venv/dev  ## speed claims, measured side by side; DATA=folder of the full Fashion-MNIST
	env -u OMP_NUM_THREADS $(PY) benchmarks/epoch.py $(if $(DATA),--data "$(DATA)")

bench-many: .venv/dev  ## many networks: fit_many against a loop, joblib, Ray and JAX, side by side
	env -u OMP_NUM_THREADS -u LOKY_MAX_CPU_COUNT $(PY) benchmarks/many.py

lock: .venv/dev  ## renew requirements.lock from the current environment
	$(PY) -m pip freeze --exclude-editable > build/lock && mv build/lock requirements.lock

clean:  ## remove build/
	rm -rf build

distclean: clean  ## remove build/ and .venv/
	rm -rf .venv

.venv/course: requirements.txt
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14) and "Python 3.11, 3.12 or 3.13 is needed, this is " + sys.version.split()[0] + ": make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv .venv
	$(PY) -m pip install --quiet --disable-pip-version-check $(PIP_FLAGS) -r requirements.txt
	@touch $@

.venv/dev: .venv/course requirements-dev.txt
	$(PY) -m pip install --quiet --disable-pip-version-check $(PIP_FLAGS) -r requirements-dev.txt
	@touch $@
