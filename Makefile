# Two commands do everything on a fresh machine: `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
OUT ?= out
TORCH := torch==$(shell sed -n 's/^torch==//p' constraints.txt)
BUILD := $(shell nvidia-smi -L >/dev/null 2>&1 && echo cuda || echo cpu)

.PHONY: setup torch-cuda torch-cpu demo test test-browser chromium test-release test-shown test-slow lint types \
	docs bench clean

setup: $(VENV)/ready-$(BUILD)

$(VENV)/ready-$(BUILD): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(0 if v >= (3, 11) else "found Python %d.%d, expected 3.11 or later" % v[:2])'
	$(PYTHON) -m venv $(VENV)
	$(MAKE) --no-print-directory torch-$(BUILD)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	rm -f $(VENV)/ready-*
	touch $@

torch-cuda:
	$(BIN)/python -m pip install --quiet --constraint constraints.txt $(TORCH)

# Without a GPU, torch's CPU build: the other one brings gigabytes of CUDA. pip finds it where it is
# the default or is to hand; uv knows where it is published.
torch-cpu:
	$(BIN)/python -m pip install --quiet --constraint constraints.txt '$(TORCH)+cpu' 2>/dev/null \
	|| ( [ "$$(uname -s)" = Linux ] && $(BIN)/python -m pip install --quiet uv \
	     && $(BIN)/uv pip install --quiet --python $(BIN)/python --torch-backend cpu $(TORCH) ) \
	|| $(BIN)/python -m pip install --quiet --constraint constraints.txt $(TORCH)

demo: setup
	$(BIN)/dcgan-probe --model svhn --out $(OUT)/svhn --force visualize-d
	$(BIN)/dcgan-probe --model rooms --out $(OUT)/rooms --force visualize-d forget --by places sample
	$(BIN)/dcgan-probe --model cells --out $(OUT)/cells --force forget --by places sample
	$(BIN)/dcgan-probe --model rooms --out $(OUT)/filters --force forget
	$(BIN)/dcgan-probe --model people --out $(OUT)/people --force sample \
		arithmetic "smiling_woman - neutral_woman + neutral_man"
	$(BIN)/dcgan-probe --model faces --out $(OUT)/faces --force --report \
		arithmetic --classifier faces --keep all "glasses_short - plain_short + plain_long" \
		turn --from neutral --to smiling --reach 3 --exemplars 10 --classifier faces --keep all --n 4 --steps 5 \
		walk --points 5
	@echo "The pictures: $(OUT)/svhn/visualize-d/filters.png $(OUT)/rooms/visualize-d/filters.png" \
		"$(OUT)/rooms/forget/forget.png $(OUT)/rooms/sample/sheet.png" \
		"$(OUT)/cells/forget/forget.png $(OUT)/cells/sample/sheet.png $(OUT)/filters/forget/forget.png" \
		"$(OUT)/people/sample/sheet.png $(OUT)/people/arithmetic/arithmetic.png" \
		"$(OUT)/faces/arithmetic/arithmetic.png $(OUT)/faces/turn/turn.png, and as a page" \
		"$(OUT)/faces/report.html"

# Several processes at once: with two threads each, they wait for one another on two cores.
test test-browser test-release test-shown docs: export OMP_NUM_THREADS = 1

test: setup
	$(BIN)/python -m pytest -n 2 --dist worksteal

test-browser: setup chromium
	$(BIN)/python -m pytest tests/browser -m browser

# From Debian where it is not there yet; elsewhere, have one of your own.
chromium:
	command -v chromium >/dev/null || (apt-get update -q && apt-get install -qqy chromium >/dev/null)

# What is published: built, and installed where nothing else is.
test-release: setup
	$(BIN)/python -m pytest tests/test_release.py -m release

# Every line of dcgan-probe that a page shows.
test-shown: setup
	$(BIN)/python -m pytest tests/test_shown_lines.py -m shown -n 2 --dist worksteal

test-slow: setup
	$(BIN)/python -m pytest -m slow

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: setup
	$(BIN)/mypy

# The site, into build/site; a warning is an error.
docs: setup
	$(BIN)/python -m sphinx -q -W -j 2 --keep-going -n -c docs -d build/trees . build/site

bench: setup
	$(BIN)/python benchmarks/run.py

clean:
	rm -rf $(VENV) out build *.egg-info
