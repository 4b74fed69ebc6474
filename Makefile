# Everything sets itself up: the virtual environment is made when it is missing or the pinned versions change.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV ?= .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

.PHONY: demo test lint format viz app jupyter docs bench seeds ablations clean help

help:
	@echo "make demo     run everything on the embedded phantoms; ends with a table and an HTML report"
	@echo "make test     lint, unit tests and a small end-to-end run"
	@echo "make viz      look at the pipelines in a browser"
	@echo "make app      a local page to look at films; MODEL=/folder and PORT=8061 for others than the usual"
	@echo "make jupyter  Jupyter Lab with catalog, context and pipelines at hand"
	@echo "make docs     the documentation into site/ (to read it while writing: .venv/bin/mkdocs serve)"
	@echo "make bench    speed and memory of every stage, of a training step and of prediction (takes a while)"
	@echo "make seeds    the demo's table over three seeds"
	@echo "make ablations  the tables of docs/ablations.md: five kinds of phantoms, hours; goes on where it was stopped"
	@echo "make clean    remove everything the pipelines made (not your raw data)"

$(INSTALLED): pyproject.toml requirements.lock
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade "pip>=25"
	$(BIN)/python -m pip install --quiet -c requirements.lock -e ".[viz,jupyter,dev]"
	@touch $(INSTALLED)

demo: $(INSTALLED)
	$(BIN)/kedro run

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(INSTALLED)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# Two processes, each with whole files of tests: the longest of them mostly wait for other processes.
test: lint
	$(BIN)/python -m pytest -n 2 --dist loadfile

viz: $(INSTALLED)
	$(BIN)/kedro viz run

app: $(INSTALLED)
	$(BIN)/python -m unichest_kedro.app $(if $(MODEL),--model "$(MODEL)") $(if $(PORT),--port "$(PORT)")

jupyter: $(INSTALLED)
	$(BIN)/kedro jupyter lab

# The variable silences a notice about MkDocs 2, which is no warning about this site.
docs: $(INSTALLED)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	@echo "The documentation: site/index.html"

bench: $(INSTALLED)
	$(BIN)/python benchmarks/stages.py
	$(BIN)/python benchmarks/phantoms.py
	$(BIN)/python benchmarks/ingestion.py
	$(BIN)/python benchmarks/harmonise.py
	$(BIN)/python benchmarks/reports.py
	$(BIN)/python benchmarks/texts.py
	$(BIN)/python benchmarks/leakage.py
	$(BIN)/python benchmarks/data.py
	$(BIN)/python benchmarks/steps.py
	$(BIN)/python benchmarks/query_networks.py
	$(BIN)/python benchmarks/metrics.py
	$(BIN)/python benchmarks/localisation.py
	$(BIN)/python benchmarks/scale.py
	$(BIN)/python benchmarks/predict.py

seeds: $(INSTALLED)
	$(BIN)/python benchmarks/seeds.py

ablations: $(INSTALLED)
	$(BIN)/python benchmarks/ablations.py --search --seeds 101 102 --out benchmarks/out/ablations_search
	$(BIN)/python benchmarks/ablations.py --seeds 1 2 3
	$(BIN)/python benchmarks/ablations.py --seeds 1 2 --epochs 36 --out benchmarks/out/ablations_long \
		--only conquer continued main_only divide experts_from_main from_main_standardised

# Of data/01_raw only the phantoms go: a user may keep films of their own there.
clean:
	find data -mindepth 2 ! -path 'data/01_raw/*' ! -name .gitkeep -delete
	rm -rf data/01_raw/phantoms data/.journal data/open data/paper
