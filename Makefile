# The only commands; each is one line of `uv run`. `make` needs Python 3.11-3.13 with pip and brings uv itself.
PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3; do $$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null && { echo $$p; break; }; done)
UV := .tools/bin/uv
export UV_PYTHON_DOWNLOADS = never
# Each process would compile TensorFlow's sources again, which takes half a minute.
unexport PYTHONDONTWRITEBYTECODE
TEST_PROCESSES ?= 2

.PHONY: help install up test check fix bench images
help: ## Show the commands
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/'
$(UV):
	@test -n "$(PYTHON)" || { echo "Python 3.11, 3.12 or 3.13 with pip is needed; none was found. Install one, or set PYTHON=/path/to/python." >&2; exit 1; }
	$(PYTHON) -m pip install --quiet --disable-pip-version-check --root-user-action=ignore --target .tools "uv>=0.9"
install: $(UV) ## Set everything up; the command is then .venv/bin/brain
	$(UV) sync --quiet --locked --all-extras --python "$(PYTHON)"
up: install ## Start the whole platform until Ctrl-C
	$(UV) run --no-sync brain up
test: install ## Run all tests (REQUIRE=all: a part that is missing is a failure)
	$(UV) run --no-sync python -m tests.requirements
	$(UV) run --no-sync pytest -n $(TEST_PROCESSES) --no-loadscope-reorder --durations=25
check: install ## Lint, format, types, import directions
	$(UV) run --no-sync ruff check . && $(UV) run --no-sync ruff format --check . && $(UV) run --no-sync mypy && $(UV) run --no-sync lint-imports
fix: install ## Format and mend what can be mended
	$(UV) run --no-sync ruff check --fix . && $(UV) run --no-sync ruff format .
bench: install ## Measure the figures; DATA=/path/to/data adds those on real MRI
	failed=0; for script in startup augment promotion_power training up inference page $(if $(DATA),image_statistics duplicates first_figures explanation predict gate); do $(UV) run --no-sync python bench/$$script.py $$(case $$script in (image_statistics) echo "$(DATA)/brain-tumor-mri";; (inference|duplicates|first_figures|explanation|predict|gate) echo "$(DATA)";; esac) || failed=1; done; exit $$failed
images: install ## Build the three images (needs Docker)
	for part in serving pipeline dashboard; do docker build -t brain-assets-$$part -f infra/docker/$$part.Dockerfile . || exit 1; done
