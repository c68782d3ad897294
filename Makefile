# Everything runs in .venv, which the first target that needs it makes. Python >= 3.10 and make are
# all a machine must have; packages come from whatever index pip is set to use.

PYTHON ?= python3
AUDIO  ?= samples
OUT    ?= out/demo
CODEC  ?= tiny_24khz
ARGS   ?=

VENV := .venv
RUN  := $(VENV)/bin/python
PIP  := $(RUN) -m pip --disable-pip-version-check install --quiet --constraint constraints.txt

.DEFAULT_GOAL := help
.PHONY: help install demo test chaos check clean

help: ## Show what there is to make
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' Makefile
	@echo "  Variables:    PYTHON=$(PYTHON) AUDIO=$(AUDIO) OUT=$(OUT) CODEC=$(CODEC) ARGS=$(ARGS)"

install: $(VENV)/.core ## Install what tokenizing and verifying need, into .venv

demo: $(VENV)/.core ## Tokenize AUDIO with CODEC into OUT, verify it, say where everything is
	@status=0; \
	$(RUN) jobs/tokenize.py "$(AUDIO)" --output "$(OUT)" --codec "$(CODEC)" || status=$$?; \
	case $$status in 0|3) ;; *) exit $$status ;; esac; \
	$(RUN) jobs/verify.py "$(OUT)" --fraction 0.25 || status=$$?; \
	case $$status in 0|3) ;; *) exit $$status ;; esac; \
	echo; \
	echo "Tokens:   $(OUT)/data  (load_dataset(\"$(OUT)\"))"; \
	echo "Figures:  $(OUT)/_run/verify.json"; \
	echo "Report:   $(OUT)/report.html"; \
	exit $$status

test: check ## Run the checks and the test-suite (ARGS="-k word" chooses among the tests)
	$(RUN) -m pytest $(ARGS)

chaos: $(VENV)/.test ## Kill, fill, break and damage what can be, for half an hour; print what was lost
	$(RUN) -m pytest tests/chaos -m "chaos or not chaos" $(ARGS)

check: $(VENV)/.test ## Run ruff format, ruff and mypy --strict
	$(RUN) -m ruff format --check .
	$(RUN) -m ruff check .
	$(RUN) -m mypy

clean: ## Remove .venv, caches, builds and the output of the demo
	rm -rf $(VENV) build dist out/demo .pytest_cache .ruff_cache .mypy_cache .hypothesis
	find codec tokenize_pipeline jobs samples tests -name __pycache__ -type d -prune -exec rm -rf {} +

$(RUN):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { \
	    echo "Python 3.10 or newer is needed; choose one with: make PYTHON=/path/to/python3"; exit 2; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	    echo "$(PYTHON) lacks its venv module; on Debian and Ubuntu: apt install python3-venv"; exit 2; }
	$(PYTHON) -m venv --clear $(VENV)

# The stamps lie inside .venv, so that they go when it goes.
$(VENV)/.core: $(RUN) pyproject.toml constraints.txt
	@echo "Installing (2 to 3 minutes and 5 GB, once) ..."
	$(PIP) --editable .
	@touch $@

$(VENV)/.test: $(VENV)/.core
	$(PIP) --editable ".[test]"
	@$(PIP) --editable ".[pesq]" >/dev/null 2>&1 \
	    || echo "PESQ could not be compiled here (it needs a C compiler); its tests will be skipped."
	@touch $@
