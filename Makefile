# Two commands: `make demo` shows the product at work, `make test` proves it. Both set up what they need. More proof: simulate, faults, undo, soak, load, audit.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SUDO := $(shell [ "$$(id -u)" = 0 ] || echo sudo)
SECONDS_TO_SHOW ?=
# A real network camera for the tests.
RTSP := gir1.2-gst-rtsp-server-1.0 python3-gi gstreamer1.0-plugins-base gstreamer1.0-plugins-good gstreamer1.0-plugins-bad
# Every kind of training, judged in the tests' own process; all of `-m trains` would start the daemon again and again.
TRAINS := tests/lab tests/detectors tests/engines tests/test_bundle.py
# Where PyTorch comes from, if not from the ordinary index: `make TORCH_INDEX=https://download.pytorch.org/whl/cpu`.
TORCH_INDEX ?=
TORCH := $(shell grep -oE '"torch(vision)?[<>=][^"]*"' pyproject.toml)
N ?= 1000
SOAK_SECONDS ?= 3600
DATA ?= ../shared/data/bottle
RESULTS ?= 5000000
LOAD ?=
# Two at a time, whole files: what a file's tests share is started once.
PYTEST := $(BIN)/pytest -q -n 2 --dist loadfile
HERE := PYTHONPATH=$(CURDIR):$(CURDIR)/tests

# Where `make offline-bundle` writes.
OUT ?= dist/edge-inspector-offline

.PHONY: demo test test-trains test-slow lint dashboard simulate faults undo soak peers ledger load audit offline-bundle clean

demo: $(VENV)/demo nodered/node_modules
	$(BIN)/edge-inspector demo $(if $(SECONDS_TO_SHOW),--seconds $(SECONDS_TO_SHOW))

test: $(VENV)/test nodered/node_modules lint
	$(PYTEST)

# What trains, once more as on a processor without AVX-512, bf16 and AMX: torch, oneDNN and OpenVINO's own kernels.
test-trains: $(VENV)/test
	ATEN_CPU_CAPABILITY=avx2 ONEDNN_MAX_CPU_ISA=AVX2 OV_CPU_MAX_ISA=AVX2 $(PYTEST) -m 'trains and not slow' $(TRAINS)

test-slow: $(VENV)/test nodered/node_modules
	@command -v mmdebstrap >/dev/null && command -v shellcheck >/dev/null && command -v qemu-x86_64 >/dev/null \
	  || ( $(SUDO) apt-get update -qq && $(SUDO) apt-get install -qq -y --no-install-recommends mmdebstrap shellcheck qemu-user )
	$(PYTEST) -m slow

lint: $(VENV)/test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Seeds of simulated faults; a failing one is printed and plays again with `--seed`.
simulate: $(VENV)/test
	$(HERE) $(BIN)/python -m simulation --seeds $(N)

# Every fault on the real process; the matrix is printed at the end.
faults: $(VENV)/test
	$(HERE) $(BIN)/pytest -q -p faults.matrix -m 'fault and (slow or not slow)' tests

# Takes each critical line back in a copy of the tree and shows which test notices.
undo: $(VENV)/test
	$(HERE) $(BIN)/python tests/undo.py

# Ten parts a second and faults at random: `make soak SOAK_SECONDS=300` for five minutes.
soak: $(VENV)/test
	$(HERE) $(BIN)/python tests/soak.py --seconds $(SOAK_SECONDS)

# The same images through this daemon, the prior system's loop and anomalib: `make peers DATA=folder`.
peers: $(VENV)/test
	$(HERE) $(BIN)/python tests/benchmarks/peers/compare.py $(DATA) --home dist/peers

# A ledger of five million results beside an empty one.
ledger: $(VENV)/test
	$(HERE) $(BIN)/python tests/benchmarks/large_ledger.py --results $(RESULTS)

# How many stations one broker, dashboard and subscriber carry here: `make load LOAD="--steps 50x50,100x100 --no-dashboard"`.
load: $(VENV)/test nodered/node_modules
	$(HERE) $(BIN)/python tests/load.py $(LOAD)

# Known weaknesses of what is installed; says why where the advisory services cannot be asked. `make test-slow` has it too.
audit: $(VENV)/test
	$(BIN)/pytest -q -rs -m slow tests/test_audit.py

dashboard: nodered/node_modules
	cd nodered && npm start

# One folder that installs on a PC without a network: sudo bash systemd/install.sh, there.
offline-bundle: $(VENV)/base
	mkdir -p $(dir $(OUT))
	PYTHON=$(abspath $(BIN))/python systemd/offline-bundle.sh $(OUT)

# The constraints keep what follows from taking PyTorch from the ordinary index after all.
ifdef TORCH_INDEX
TAKE_TORCH = $(BIN)/pip install -q --no-deps --index-url $(TORCH_INDEX) $(TORCH) && $(BIN)/pip freeze | grep -E '^torch(vision)?==' >$(VENV)/torch.txt
KEEP_TORCH = -c $(VENV)/torch.txt
endif

# What pip's opencv-python needs from the system, and a Python that can make a venv.
$(VENV)/base: pyproject.toml
	@ldconfig -p | grep -q libGL.so.1 && ldconfig -p | grep -q libglib-2.0.so.0 && $(PYTHON) -m venv --help >/dev/null \
	  || ( $(SUDO) apt-get update -qq && $(SUDO) apt-get install -qq -y --no-install-recommends libgl1 libglib2.0-0 python3-venv )
	test -x $(BIN)/pip || $(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/demo: $(VENV)/base
	$(TAKE_TORCH)
	$(BIN)/pip install -q $(KEEP_TORCH) -e '.[demo]'
	@touch $@

$(VENV)/test: $(VENV)/base
	@command -v mosquitto >/dev/null && command -v mosquitto_sub >/dev/null && command -v chromium >/dev/null \
	  || ( $(SUDO) apt-get update -qq && $(SUDO) apt-get install -qq -y --no-install-recommends mosquitto mosquitto-clients chromium fonts-dejavu-core )
	@/usr/bin/python3 -c 'import gi; gi.require_version("GstRtspServer", "1.0")' 2>/dev/null \
	  || ( $(SUDO) apt-get update -qq && $(SUDO) apt-get install -qq -y --no-install-recommends $(RTSP) ) || echo "no RTSP server: its tests are skipped"
	$(TAKE_TORCH)
	$(BIN)/pip install -q $(KEEP_TORCH) -e '.[test]'
	@touch $@ $(VENV)/demo

# The dashboard is an extra: without Node the demo and the daemon do all the same.
nodered/node_modules: nodered/package-lock.json
	@command -v npm >/dev/null || { echo "npm is not installed: no dashboard"; exit 0; }; cd nodered && npm ci --no-audit --no-fund --loglevel=error
	@test ! -d $@ || touch $@

clean:
	rm -rf $(VENV) nodered/node_modules build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache
