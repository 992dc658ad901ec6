# SPDX-License-Identifier: Apache-2.0
# gangway: build, prove, install. CONTRIBUTING.md explains; `make help` lists.
#
#   make                       build/gangway
#   make SAN=address,undefined build/asan/gangway, with AddressSanitizer
#   make SAN=thread            build/tsan/gangway, with ThreadSanitizer
#   make BUILD=/tmp/x          anywhere else
#   make CC=clang EXTRA=-O0    another compiler, further flags at the end

VERSION = 0.1.0

BUILD ?= build
# By one name only: which object depends on which header is kept by name.
override BUILD := $(patsubst $(CURDIR)/%,%,$(BUILD))
SAN   ?=
EXTRA ?=
MAKEFLAGS += --no-builtin-rules
.SUFFIXES:
.DELETE_ON_ERROR:
.DEFAULT_GOAL := all
SHELL = /bin/bash

ifeq ($(origin CC),default)
CC = gcc
endif
AR = ar
# Debian's own Python has the modules the tests use, whatever is first on PATH.
PYTHON ?= /usr/bin/python3

# ---- flavours --------------------------------------------------------------
# Each has its own directory, so they can stand side by side.

SAN_NAME_             =
SAN_NAME_address,undefined = /asan
SAN_NAME_thread       = /tsan
SAN_NAME_fuzz         = /fuzz
ifeq ($(origin SAN_NAME_$(SAN)),undefined)
$(error SAN must be address,undefined or thread, not $(SAN))
endif
OUT := $(BUILD)$(SAN_NAME_$(SAN))

ifeq ($(SAN),fuzz)
CC = clang
SANFLAGS = -fsanitize=fuzzer-no-link,address,undefined
else ifneq ($(SAN),)
SANFLAGS = -fsanitize=$(SAN)
endif
ifneq ($(findstring undefined,$(SAN))$(findstring fuzz,$(SAN)),)
SANFLAGS += -fno-sanitize-recover=undefined
endif

# ---- flags -----------------------------------------------------------------

WARN = -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wvla
# A warning of the compilers we know (gcc 12, clang 14) fails what only tests
# build; a newer one's may be news.
ifneq ($(SAN),)
ifneq ($(filter 12 14.%,$(shell $(CC) -dumpversion)),)
WARN += -Werror
endif
endif

# Not among them: -ftrivial-auto-var-init=zero. It would clear the parser's
# field table and the stack buffers of every write on the data path, and
# clang 14 does not take it.
HARDEN = -fstack-protector-strong -fPIE
HARDEN_LINK = -pie -Wl,-z,relro,-z,now -Wl,-z,noexecstack
ifneq ($(filter x86_64-%,$(shell $(CC) -dumpmachine)),)
HARDEN += -fcf-protection
endif
ifeq ($(SAN),)
HARDEN += -fstack-clash-protection -D_FORTIFY_SOURCE=3
OPT = -O2
else
OPT = -O1 -fno-omit-frame-pointer
endif

# Looked up when a recipe first needs it, so that `make deps` runs before.
PACKAGES = libssl libcrypto yaml-0.1 libcares
PKG_CFLAGS = $(eval PKG_CFLAGS := $$(shell pkg-config --cflags $(PACKAGES)))$(PKG_CFLAGS)
PKG_LIBS = $(eval PKG_LIBS := $$(shell pkg-config --libs $(PACKAGES)))$(PKG_LIBS)

CFLAGS_ALL = -std=c17 -D_GNU_SOURCE $(OPT) -g $(WARN) $(HARDEN) $(SANFLAGS) \
	-DGANGWAY_VERSION='"$(VERSION)"' $(PKG_CFLAGS) $(CFLAGS) $(EXTRA)
LDFLAGS_ALL = $(HARDEN_LINK) $(SANFLAGS) $(LDFLAGS)
# Neither libev nor Paho comes with a .pc file.
LIBS = $(PKG_LIBS) -lpaho-mqtt3as -lev -lpthread

# ---- sources: found, not listed ---------------------------------------------

# bridges/sample is the loadable example: an object of its own.
SAMPLE_SRC := $(wildcard bridges/sample/*.c)
SRC := $(filter-out $(SAMPLE_SRC),$(wildcard gateway/*.c gateway/*/*.c conf/*.c \
	bridges/*/*.c))
MAIN := gateway/main.c
LIB_OBJ := $(patsubst %.c,$(OUT)/obj/%.o,$(filter-out $(MAIN),$(SRC)))
MAIN_OBJ := $(patsubst %.c,$(OUT)/obj/%.o,$(wildcard $(MAIN)))
LIB := $(OUT)/libgangway.a
BIN := $(if $(MAIN_OBJ),$(OUT)/gangway)
SAMPLE := $(if $(SAMPLE_SRC),$(OUT)/sample.so)

UNIT_SRC := $(wildcard tests/unit/test_*.c)
UNIT_BIN := $(patsubst tests/unit/%.c,$(OUT)/tests/%,$(UNIT_SRC))
FUZZ_SRC := $(wildcard tests/fuzz/fuzz_*.c)
FUZZ_BIN := $(patsubst tests/fuzz/%.c,$(OUT)/tests/%,$(FUZZ_SRC))
# The benchmark's load generator, one program of several files, and the relays
# that everything is compared with, a program each.
LOAD_OBJ := $(patsubst %.c,$(OUT)/obj/%.o,$(wildcard tests/bench/load/*.c))
BENCH_BIN := $(if $(LOAD_OBJ),$(OUT)/bench/load) $(patsubst \
	tests/bench/floor/%.c,$(OUT)/bench/%,$(wildcard tests/bench/floor/*.c))

C_FILES = $(shell find gateway conf bridges tests \
	\( -name node_modules -o -name corpus \) -prune -o -name '*.[ch]' -print)

# ---- build -------------------------------------------------------------------

.PHONY: all
all: $(BIN) $(SAMPLE) $(if $(BIN),,$(LIB))

# Changes when a flag does; what was built with others is then built again.
$(OUT)/flags: FORCE
	@mkdir -p $(@D)
	@new=$@.$$$$; \
	echo '$(subst ','\'',$(CC) $(CFLAGS_ALL) $(LDFLAGS_ALL) $(LIBS))' >$$new; \
	cmp -s $$new $@ && rm $$new || mv $$new $@
.PHONY: FORCE
FORCE:

$(OUT)/obj/%.o: %.c $(OUT)/flags
	@mkdir -p $(@D)
	$(CC) $(CFLAGS_ALL) -MMD -MP -c -o $@ $<

# Made anew each time: no member of a deleted source stays behind.
$(LIB): $(LIB_OBJ)
	@rm -f $@
	$(AR) rcs $@ $^

$(OUT)/gangway: $(MAIN_OBJ) $(LIB)
	$(CC) $(LDFLAGS_ALL) -o $@ $^ $(LIBS)

$(OUT)/sample.so: $(SAMPLE_SRC) bridges/bridge.h $(OUT)/flags
	$(CC) $(filter-out -fPIE,$(CFLAGS_ALL)) -fPIC -shared $(SANFLAGS) \
		-Wl,-z,relro,-z,now -o $@ $(SAMPLE_SRC)

$(OUT)/tests/test_%: $(OUT)/obj/tests/unit/test_%.o $(LIB)
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS_ALL) -o $@ $^ -lcmocka $(LIBS)

$(OUT)/tests/fuzz_%: $(OUT)/obj/tests/fuzz/fuzz_%.o $(LIB)
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS_ALL) -fsanitize=fuzzer -o $@ $^ $(LIBS)

$(OUT)/bench/load: $(LOAD_OBJ)
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS_ALL) -o $@ $^ -lssl -lcrypto -lpthread

$(OUT)/bench/%: $(OUT)/obj/tests/bench/floor/%.o
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS_ALL) -o $@ $^ -lssl -lcrypto -lpthread

.SECONDARY:
-include $(shell find $(OUT)/obj -name '*.d' 2>/dev/null)

# ---- run ---------------------------------------------------------------------

.PHONY: deps deps-run deps-test run
deps:
	@tests/deps.sh build
deps-run:
	@tests/deps.sh build run
deps-test:
	@tests/deps.sh build run test

# The demo: a page, a TCP service and a broker, conf/demo. ARGS are flags of
# gangway; BROKER= is a demo without one.
PORT ?= 8080
BROKER ?= mosquitto
ARGS ?=
run: deps-run
	@$(MAKE) --no-print-directory all
	@$(PYTHON) conf/demo/run.py --port $(PORT) --broker '$(BROKER)' \
		$(OUT)/gangway $(ARGS)

# ---- prove -------------------------------------------------------------------

# Everything, a stage after the other, with a summary: tests/all.py.
.PHONY: test
test: deps-test
	@$(PYTHON) tests/all.py

# One program or all: make unit UNIT=ws_frame
UNIT ?=
.PHONY: unit unit-build
unit-build: $(UNIT_BIN)
unit: unit-build
	@$(PYTHON) tests/unit/run.py $(if $(UNIT),$(UNIT:%=$(OUT)/tests/test_%),$(UNIT_BIN))

# Against the binary of this flavour: make e2e E2E="-k close"
E2E ?=
.PHONY: e2e
e2e: all bench-build tests/browser/node_modules/.installed
	@GANGWAY_BIN=$(abspath $(OUT)/gangway) $(PYTHON) -m pytest \
		-c tests/e2e/pytest.ini tests/e2e $(E2E)

tests/browser/node_modules/.installed: tests/browser/package.json \
		tests/browser/package-lock.json
	cd tests/browser && npm ci --ignore-scripts --no-audit --no-fund
	@touch $@

# fuzz-replay: every seed once. fuzz: each target for FUZZ_SECONDS more.
# FUZZ=ws_stream for one of them.
FUZZ_SECONDS ?= 60
FUZZ ?= $(patsubst tests/fuzz/fuzz_%.c,%,$(FUZZ_SRC))
FUZZ_RUN = $(FUZZ:%=$(BUILD)/fuzz/tests/fuzz_%)
.PHONY: fuzz fuzz-build fuzz-replay
ifeq ($(SAN),fuzz)
fuzz-build: $(FUZZ_BIN)
else
fuzz-build:
	@$(MAKE) --no-print-directory SAN=fuzz fuzz-build
endif
fuzz-replay: fuzz-build
	@$(PYTHON) tests/fuzz/run.py replay $(FUZZ_RUN)
fuzz: fuzz-build
	@$(PYTHON) tests/fuzz/run.py $(FUZZ_SECONDS) $(FUZZ_RUN)

.PHONY: san-address san-thread
san-address:
	@$(MAKE) --no-print-directory SAN=address,undefined unit
san-thread:
	@$(MAKE) --no-print-directory SAN=thread unit

# ---- measure -----------------------------------------------------------------

# Beside what else there is, on this machine: tests/bench. The results go to
# tests/bench/results, those of a narrower run to $(OUT)/bench/results:
# make bench BENCH="--cases ^echo --only floor,gangway --seconds 2"
BENCH ?=
.PHONY: bench bench-full bench-build deps-bench
deps-bench:
	@tests/deps.sh build bench
bench-build: all $(BENCH_BIN)
bench bench-full: deps-bench
	@$(MAKE) --no-print-directory -j$(shell nproc) bench-build
	@$(PYTHON) tests/bench/bench.py --build $(OUT) \
		$(if $(filter bench-full,$@),--full) \
		$(if $(BENCH),$(BENCH),--out tests/bench/results)
# One shared upstream beside plain Paho: what it must carry.
.PHONY: bench-paho
bench-paho: all
	@$(PYTHON) tests/bench/paho/run.py --gangway $(OUT)/gangway --check

# ---- lint --------------------------------------------------------------------

.PHONY: lint lint-format lint-rules lint-tidy lint-cppcheck lint-text format

# Style and findings differ from one version of these tools to the next: they
# are Debian 12's. Elsewhere the rest is still checked.
ifneq ($(filter lint lint-%,$(MAKECMDGOALS)),)
LINT_LLVM := $(shell clang-format --version | sed -n 's/.*version 14\..*/14/p')
endif
ifeq ($(LINT_LLVM),14)
lint: lint-format lint-rules lint-text lint-cppcheck lint-tidy
else
lint: lint-rules lint-text
	@echo 'not checked: style, clang-tidy, cppcheck (they need clang-format 14)'
endif

format:
	clang-format -i $(C_FILES)
lint-format:
	clang-format --dry-run -Werror $(C_FILES)
lint-rules:
	$(PYTHON) tests/lint_rules.py
lint-text:
	$(PYTHON) tests/lint_text.py
# What cppcheck 2.10 gets wrong: it takes an output parameter and what
# container_of finds for uninitialised, an argument before "..." for a variable
# one, a caller's literal for every caller's, and what a call returns for the
# address it was given.
CPPCHECK_WRONG = uninitvar ctuuninitvar varFuncNullUB returnDanglingLifetime \
	arrayIndexOutOfBoundsCond pointerOutOfBoundsCond
# Of the system's headers it is shown the two that are macros.
lint-cppcheck:
	@mkdir -p $(BUILD)/cppcheck/include
	@ln -sf /usr/include/utlist.h /usr/include/uthash.h $(BUILD)/cppcheck/include
	cppcheck --quiet --error-exitcode=1 --std=c11 \
		--enable=warning,portability --cppcheck-build-dir=$(BUILD)/cppcheck \
		--suppress=missingIncludeSystem $(CPPCHECK_WRONG:%=--suppress=%) \
		-I$(BUILD)/cppcheck/include --suppress='*:$(BUILD)/cppcheck/include/*' \
		-D_GNU_SOURCE -DGANGWAY_VERSION='""' -D__x86_64__ gateway conf bridges

# A stamp for each file: only what changed is looked at again.
TIDY := $(patsubst %.c,$(BUILD)/tidy/%.ok,$(SRC) $(SAMPLE_SRC))
lint-tidy: $(TIDY)
$(BUILD)/tidy/%.ok: %.c $(BUILD)/obj/%.o .clang-tidy
	@mkdir -p $(@D)
	clang-tidy --quiet --warnings-as-errors='*' $< -- \
		-std=c17 -D_GNU_SOURCE -DGANGWAY_VERSION='""' $(PKG_CFLAGS) \
		2> >(grep -v 'warnings* generated' >&2)
	@touch $@

# ---- install -----------------------------------------------------------------

PREFIX ?= /usr/local
DESTDIR ?=
SCD := $(wildcard gateway/*.scd conf/*.scd bridges/*.scd)
MAN := $(patsubst %.scd,$(OUT)/man/%,$(notdir $(SCD)))
INSTALL = install -D

.PHONY: man install
man: $(MAN)
vpath %.scd gateway conf bridges
$(OUT)/man/%: %.scd
	@mkdir -p $(@D)
	scdoc <$< >$@

install: all man
	$(INSTALL) -m 755 $(OUT)/gangway $(DESTDIR)$(PREFIX)/bin/gangway
	$(INSTALL) -m 644 bridges/bridge.h \
		$(DESTDIR)$(PREFIX)/include/gangway/bridge.h
	for page in $(MAN); do \
		$(INSTALL) -m 644 $$page $(DESTDIR)$(PREFIX)/share/man/man$${page##*.}/$${page##*/}; \
	done
	for example in $(wildcard conf/gangway.yaml); do \
		$(INSTALL) -m 644 $$example $(DESTDIR)$(PREFIX)/share/doc/gangway/$${example##*/}; \
	done
	for unit in $(wildcard conf/*.service conf/*.socket); do \
		$(INSTALL) -m 644 $$unit $(DESTDIR)$(PREFIX)/lib/systemd/system/$${unit##*/}; \
	done

# ---- the rest ----------------------------------------------------------------

.PHONY: clean help
clean:
	rm -rf $(BUILD)

help:
	@echo 'all           $(BUILD)/gangway (SAN=address,undefined or thread: a checked one)'
	@echo 'run           install and build what is missing, then the demo; PORT=$(PORT) BROKER=$(BROKER)'
	@echo 'test          everything below that proves something, with a summary'
	@echo 'unit          unit tests; UNIT=name for one'
	@echo 'e2e           the real binary against real clients; E2E="-k name"'
	@echo 'fuzz-replay   the fuzzers'"'"' corpora; fuzz: FUZZ_SECONDS=60 on each'
	@echo 'san-address   unit tests under ASan and UBSan; san-thread: under TSan'
	@echo 'bench         what it costs beside its rivals, in ten minutes; bench-full: all'
	@echo 'bench-paho    the shared upstream beside plain Paho'
	@echo 'lint          format, rules, cppcheck, clang-tidy; format: apply it'
	@echo 'man install   PREFIX=$(PREFIX) DESTDIR='
	@echo 'deps          Debian packages to build; deps-test: and to test'
