# mmr_nb: what a reader or a contributor runs. Needs Python 3.10+, make and a package index; each target sets up .venv
# itself when it has to. `make` alone lists the targets.
#   another Python:  make demo PYTHON=python3.12
#   newest versions: make demo LOCK=  (instead of the tested ones in constraints.txt)
#   pip's options:   make demo PIP_ARGS="--index-url ..."     (such as a CPU-only build of PyTorch)

PYTHON ?= python3
PIP_ARGS ?=
BIN := .venv/bin
PIP = $(BIN)/python -m pip install --disable-pip-version-check --no-input $(addprefix -c ,$(LOCK)) $(PIP_ARGS)
RUN := .venv/.installed-run
DEV := .venv/.installed-dev
LOCK := constraints.txt
SETUP := settings.ini setup.py pyproject.toml $(LOCK)
HELD := torch==2.14.1 torchvision==0.29.1

# a checkout that was moved or copied together with its .venv is set up anew
ifneq ($(wildcard .venv/.where),)
ifneq ($(shell cat .venv/.where),$(CURDIR))
$(shell rm -f $(RUN) $(DEV))
endif
endif

SEED ?= 0
N ?= 2000

.PHONY: help demo test test-slow soundness docs check report check-site check-install check-newest release lock prepare lab clean
.DEFAULT_GOAL := help

help:
	@echo 'make demo        train FC1 plain and with MMR, certify and attack both, print the table (results/demo/);'
	@echo '                 ARGS=--quick the same in under a minute, rougher'
	@echo 'make test        run every notebook as a test; NB="02_regions 03_distances" only those'
	@echo 'make test-slow   the same with the cells flagged slow'
	@echo 'make soundness   N=2000 random cases from SEED=0 on: every certificate against the exact answer (an hour or so)'
	@echo 'make docs        build the documentation site into _docs/'
	@echo 'make prepare     before a commit: clean, export, re-run changed notebooks, README, test'
	@echo 'make check       does what git tracks agree with the notebooks? (changes nothing)'
	@echo 'make report      the house in numbers: long lines, cells and functions, repeats, pages'
	@echo 'make check-site  visit every page of _docs/ in headless Chromium'
	@echo 'make check-install  does a wheel work in a fresh environment without the extra dev?'
	@echo 'make check-newest  does it work with the newest version of everything? (STRICT=1: fail if not)'
	@echo 'make release     sdist and wheel into dist/, and that wheel tried in a fresh environment'
	@echo 'make lock        renew constraints.txt, the tested versions (KEEP=1: only what is new)'
	@echo 'make lab         JupyterLab on nbs/'
	@echo 'make clean       remove what was built; .venv stays'

.venv/.made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null || { \
	  echo "error: mmr_nb needs Python 3.10 or newer; $(PYTHON) is: `$(PYTHON) --version 2>&1 | head -n 1`" >&2; \
	  echo "       name another, such as: make $(MAKECMDGOALS) PYTHON=python3.12" >&2; exit 1; }
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || { echo "Making .venv with `$(PYTHON) --version`"; $(PYTHON) -m venv --clear .venv; } || { \
	  rm -rf .venv; echo 'error: no virtual environment could be made (Debian, Ubuntu: apt-get install python3-venv)' >&2; exit 1; }
	@touch $@

$(RUN): $(SETUP) | .venv/.made
	@echo 'Installing mmr_nb with PyTorch and a MIP solver into .venv (once; 1 to 6 GB, some minutes)'
	@$(PIP) -e .
	@echo '$(CURDIR)' > .venv/.where
	@touch $@

$(DEV): $(SETUP) | .venv/.made
	@echo 'Installing mmr_nb with PyTorch, nbdev and JupyterLab into .venv (once; 1 to 6 GB, some minutes)'
	@$(PIP) -e '.[dev]'
	@echo '$(CURDIR)' > .venv/.where
	@touch $(RUN) $@

demo: $(RUN)
	@$(BIN)/mmr_demo $(ARGS)

test: $(DEV)
	@$(BIN)/python tools/test_notebooks.py $(NB)

test-slow: $(DEV)
	@NB_TIMEOUT=$${NB_TIMEOUT:-14400} $(BIN)/python tools/test_notebooks.py --flags slow $(NB)

soundness: $(RUN)
	@OMP_NUM_THREADS=1 $(BIN)/python -m mmr_nb.soundness --n $(N) --seed $(SEED) $(ARGS)

docs: $(DEV)
	@$(BIN)/python tools/docs.py

check: $(DEV)
	@$(BIN)/python tools/check.py

report: $(DEV)
	@$(BIN)/python tools/report.py

check-site: $(DEV)
	@$(BIN)/python tools/check_site.py

check-install: $(DEV)
	@PIP_ARGS='$(PIP_ARGS)' $(BIN)/python tools/check_install.py

release: $(DEV)
	@PIP_ARGS='$(PIP_ARGS)' $(BIN)/python tools/check_install.py --keep dist

check-newest: $(DEV)
	@PIP_ARGS='$(PIP_ARGS)' $(BIN)/python tools/check_newest.py $(if $(STRICT),--strict)

# needs no environment but uv, so that a lock that no longer installs can be renewed
lock: | .venv/.made
	@$(BIN)/python -m uv --version >/dev/null 2>&1 || $(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	@$(BIN)/python tools/lock.py $(HELD) $(if $(KEEP),--keep)

prepare: $(DEV)
	@$(BIN)/python tools/prepare.py
	@$(BIN)/python tools/test_notebooks.py
	@$(BIN)/python tools/check.py

lab: $(DEV)
	@$(BIN)/jupyter lab nbs $(ARGS)

clean:
	rm -rf _proc _docs build dist *.egg-info
