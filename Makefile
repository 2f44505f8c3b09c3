# make demo    the main job end to end on this machine, a minute
# make test    lint, types and every test
# make binary  one executable that needs no Python: build/binary/halow-gateway (Debian 12); binary-aarch64 likewise
# All set up everything they need (.venv; missing Debian packages by apt).

PY := .venv/bin/python

.PHONY: docs man demo test lint types unit binary binary-aarch64 test-binary bench crash cuts soak incumbent ota fuzz rehearse rehearse-short rehearse-long test-radio images-amd64 images-arm64 check-buildroot test-page clean

demo: .venv/.demo
	@.venv/bin/halow-gateway demo

test: lint types unit

lint: .venv/.test
	.venv/bin/ruff check .

types: .venv/.test
	.venv/bin/mypy

# A file's tests stay together and in order; files run side by side on as many cores as there are, four at most.
unit: .venv/.test
	$(PY) -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile

binary: build/binary/.setup
	@PYTHONHASHSEED=0 /usr/bin/python3.11 -B tools/binary/build.py --wheels build/binary/wheels build/binary/halow-gateway

binary-aarch64: build/binary/aarch64/.setup
	@PYTHONHASHSEED=0 /usr/bin/python3.11 -B tools/binary/build.py --machine aarch64 \
		--sysroot build/binary/aarch64/sysroot --wheels build/binary/aarch64/wheels build/binary/aarch64/halow-gateway

# Pages that are written from data: docs/meters.md from profiles and captures, docs/commands.md from the commands.
docs: .venv/.test
	@$(PY) tools/docs/meters.py
	@$(PY) tools/docs/commands.py

# The manual page: build/halow-gateway.1.
man: .venv/.demo
	@mkdir -p build
	@.venv/bin/halow-gateway man > build/halow-gateway.1

# What the binary is, proven: one process, nothing written, nothing heavy inside, two builds alike, the daemon at work.
# With a binary for aarch64 made before, that one too, under user-mode emulation.
test-binary: .venv/.test binary
	HALOW_GATEWAY_BINARY=build/binary/halow-gateway $(PY) -m pytest tests/binary
	$(PY) benchmarks/binary.py

# The page in Debian's Chromium against the running gateway, screenshots of every view in build/page; the API against its own document.
test-page: .venv/.page
	HALOW_PAGE=$(CURDIR)/build/page $(PY) -m pytest --timeout=600 tests/page

# The ring against power cuts and bad flash at length: 20,000 examples of the machine, each guard taken away, 5,000 crash states of
# the machine's own ext4 (root), and SQLite through the same cuts; hours. Each line also runs alone; docs/ring-proofs.md says more.
# The examples go in parts, a process and a seed each: what hypothesis remembers of a history it never forgets.
RING_EXAMPLES ?= 20000
RING_PART = 500
CRASH_STATES ?= 1667
crash: .venv/.test
	$(PY) tests/crash/rig.py ring-grow ring-wrap ring-full ring-sealed sqlite-full --states $(CRASH_STATES) --generations 8
	$(PY) tests/crash/rig.py sqlite-normal ring-without-sync --states 200
	$(PY) tests/ring/ring_mutants.py
	seq $$(( $(RING_EXAMPLES) / $(RING_PART) )) | xargs -P $$(nproc) -I{} env RING_EXAMPLES=$(RING_PART) $(PY) -m pytest -q \
		--hypothesis-seed={} tests/ring/test_ring_machine.py

# The whole list of what goes over the uplink, cut behind every packet in either direction (make test takes a sample); a minute or two.
cuts: .venv/.test
	UPLINK_CUTS=all $(PY) -m pytest -q --timeout=0 tests/uplink/test_uplink_cuts.py

# The whole gateway for SOAK_S seconds: 100 meters, random kills, outages and clock steps, two weeks of its time in an hour; then an
# account of every reading that a meter gave. Takes about a third of a core.
SOAK_S ?= 3600
SOAK_SEED ?= 1
soak: .venv/.test
	$(PY) tests/soak/soak.py --seconds $(SOAK_S) --seed $(SOAK_SEED) --report

# What the ThingsBoard IoT Gateway's own storages lose where the ring loses nothing, and how fast it drains a backlog beside ours,
# on loopback and over a modem's link; its packages go into build/ only.
incumbent: .venv/.test
	@tools/setup incumbent
	$(PY) benchmarks/incumbent.py
	$(PY) benchmarks/drain.py
	$(PY) benchmarks/drain.py --rtt-ms 40

# The flashed image in a virtual board: boots, watchdogs, power cuts, updates (under an hour on two cores without KVM).
# -short: one architecture, boot and watchdog. -long: 20 power cuts and an hour of polling.
REHEARSE := HALOW_REHEARSAL=$(CURDIR)/build/image $(PY) -m pytest -s --timeout=0

rehearse: images-amd64 images-arm64
	$(REHEARSE) tests/image

rehearse-short: images-amd64
	$(REHEARSE) tests/image/test_image_boot.py tests/image/test_image_watchdog.py -k "not arm64"

rehearse-long: images-amd64 images-arm64
	HALOW_CUTS=20 HALOW_POLLING_S=3600 $(REHEARSE) tests/image

# The radio in a virtual machine: four simulated kernel radios, hostapd, three stations over WPA3-SAE, a meter behind each. Ten minutes
# after `make rehearse` or a first build of five; HALOW_RECORD=1 writes the messages of its kernel into tests/halow/recorded.
test-radio: images-amd64
	@$(PY) tools/radio_vm/build.py
	$(REHEARSE) tests/radio

images-amd64: .venv/.test build/image/.setup binary
	@$(PY) tools/image/build.py amd64

images-arm64: .venv/.test build/image/.setup binary-aarch64
	@$(PY) tools/image/build.py arm64

# A 40 MB update over the fair link, with an outage, a reset and a kill -9, while twenty meters are polled: half an hour.
# LINK_SHARE=1 takes all of the link and half the time.
LINK_SHARE ?= 0.5
ota: .venv/.test
	$(PY) benchmarks/ota_fair_link.py --link-share $(LINK_SHARE)

# Hostile bytes for every decoder, two million cases in all; ten to twenty minutes. Findings are saved under tests/fuzz/crashers,
# where `make test` plays them again. FUZZER=atheris takes that fuzzer where it is installed; EXECUTIONS= and SEED= as they say.
EXECUTIONS ?= 2000000
fuzz: .venv/.test
	nice $(PY) tests/fuzz/fuzz_run.py --engine $(or $(FUZZER),own) --executions $(EXECUTIONS) $(if $(SEED),--seed $(SEED))

# Figures for docs/figures.md; about twenty minutes. Each script also runs alone and prints what it measures. One that fails or is above
# its bound does not stop the others; the exit status tells.
BENCHMARKS := poll_vs_gurux profile_day ring ring_full ring_elision daemon_memory poll_fair_link poll_radio_links

bench: .venv/.bench
	@missed=; for name in $(BENCHMARKS); do \
		echo "-- $$name"; $(PY) benchmarks/$$name.py || missed="$$missed $$name"; \
	done; \
	test -z "$$missed" || { echo "failed, or above their bounds:$$missed" >&2; exit 1; }

# The Buildroot tree against a checkout of Buildroot 2026.02.x (BUILDROOT_DIR=...), and each fault planted once; nothing is built.
# KERNEL_DIR=... names a kernel source for the fragments; without it Debian's is fetched (57 MB, its Kconfig only).
KERNEL_DIR ?= build/check-buildroot/linux
check-buildroot: build/check-buildroot/.setup
	@test -n "$(BUILDROOT_DIR)" || { echo "BUILDROOT_DIR= must name a checkout of Buildroot 2026.02.x" >&2; exit 1; }
	$(PY) tools/buildroot/check.py --buildroot "$(BUILDROOT_DIR)" --kernel "$(KERNEL_DIR)"
	BUILDROOT_DIR="$(realpath $(BUILDROOT_DIR))" KERNEL_DIR="$(realpath $(KERNEL_DIR))" $(PY) -m pytest tests/buildroot

.venv/.test: pyproject.toml tools/setup
	@tools/setup test
	@touch .venv/.test .venv/.demo

.venv/.page: .venv/.test
	@tools/setup page
	@touch .venv/.page

.venv/.bench: .venv/.test
	@tools/setup bench
	@touch .venv/.bench

.venv/.demo: pyproject.toml tools/setup
	@tools/setup demo
	@touch .venv/.demo

build/binary/.setup: tools/binary/requirements.txt tools/setup
	@tools/setup binary
	@touch $@

build/binary/aarch64/.setup: tools/binary/requirements.txt tools/setup
	@tools/setup binary-aarch64
	@touch $@

build/image/.setup: tools/setup
	@tools/setup rehearse
	@mkdir -p build/image && touch $@

build/check-buildroot/.setup: .venv/.test tools/setup
	@tools/setup buildroot
	@touch $@

clean:
	rm -rf .venv build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
