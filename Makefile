# gate25. `make deps` installs what is missing; everything is built below build/.

PREFIX    ?= /usr/local
DESTDIR   ?=
ifeq ($(origin CC),default)
CC        := gcc
endif
VERSION   := 0.1.0
BUILD     ?= build

# What the targets that do everything use: as many at once as there are cores, each one's words together.
PARALLEL  := -j$(shell nproc) --output-sync=target

# `make V=1` shows the whole commands.
Q         := $(if $(V),,@)
say        = $(if $(V),,@echo '  $(1)')

# Each layer may include itself and the layers named here, and nothing else: its compiler
# is given only those folders' headers (see $(BUILD)/include below).
LAYERS    := base core net svc proxy ctl spf web bypass
SEES_base  := base
SEES_core  := base core
SEES_net   := base core net
SEES_svc   := base core net svc
SEES_proxy := base core net svc proxy
SEES_ctl   := base core net svc ctl
SEES_spf   := base core net spf
SEES_web   := base core net svc web
SEES_bypass := base core net svc bypass
SEES_prog  := base core net svc proxy ctl spf web bypass

PACKAGES  := libevent_core libevent_extra libevent_openssl libssl libcrypto hiredis jansson libconfuse libcap-ng libsystemd
PKG_CFLAGS = $(shell pkg-config --cflags $(PACKAGES))
PKG_LIBS   = $(shell pkg-config --libs $(PACKAGES))
$(BUILD)/bin/gate25-web $(BUILD)/tests/unit/test_mailer: MORE_LIBS := -lcurl -lunbound -lresolv
# What parses hostile DNS data is linked into the program that has nothing to lose, and nowhere else.
SPF_LIBS  := -lspf2 -lunbound -lseccomp -lidn2 -lresolv
$(BUILD)/bin/gate25-spfd $(BUILD)/tests/unit/test_spf_check $(BUILD)/tests/unit/test_spf_sender \
    $(BUILD)/tests/unit/test_spf_sandbox: MORE_LIBS := $(SPF_LIBS)
# What speaks to the kernel's packet filter is linked into the program that may.
BYPASS_LIBS := $(shell pkg-config --libs libnftables libmnl libnetfilter_conntrack libbpf)
$(BUILD)/bin/gate25-bypassd $(BUILD)/tests/unit/test_bypass $(BUILD)/tests/unit/test_fast_path \
    $(BUILD)/tests/unit/test_nft_run: MORE_LIBS := $(BYPASS_LIBS)

WARNINGS  := -Wall -Wextra -Werror -Wshadow -Wstrict-prototypes -Wmissing-prototypes \
             -Wpointer-arith -Wcast-qual -Wwrite-strings -Wundef -Wvla -Wformat=2 \
             -Wimplicit-fallthrough -Wdouble-promotion -Wnull-dereference
HARDEN    := -fstack-protector-strong -D_FORTIFY_SOURCE=2 -fPIE
OPTIMIZE  ?= -O2 -g
SANITIZE  ?=
CFLAGS_ALL = -std=gnu17 -D_GNU_SOURCE -DGATE25_VERSION='"$(VERSION)"' $(WARNINGS) $(HARDEN) \
             $(OPTIMIZE) $(SANITIZE) $(PKG_CFLAGS) -MMD -MP $(CFLAGS)
LDFLAGS_ALL = -pie -Wl,-z,relro,-z,now $(SANITIZE) $(LDFLAGS)

PROGRAMS  := $(patsubst src/prog/%.c,%,$(wildcard src/prog/gate25*.c))
UNITS     := $(patsubst tests/unit/%.c,%,$(wildcard tests/unit/test_*.c))

layer_objects = $(patsubst src/$(1)/%.c,$(BUILD)/obj/$(1)/%.o,$(wildcard src/$(1)/*.c)) \
                $(patsubst src/$(1)/%.S,$(BUILD)/obj/$(1)/%.S.o,$(wildcard src/$(1)/*.S))
LIBRARIES := $(foreach layer,bypass web spf ctl proxy svc net core base,$(BUILD)/lib/libgate25-$(layer).a)

.DEFAULT_GOAL := all
.PHONY: all bench bench-quick bench-tools deps freezes soak million bypass-million failover replacement demo turns-table test unit differential check-differential integration asan valgrind lint analyze format fuzz fuzz-short install clean FORCE
.SECONDARY:

all: $(PROGRAMS:%=$(BUILD)/bin/%)

# --- what each layer is allowed to see -----------------------------------------------------------

define layer_rules
$(BUILD)/include/$(1)/.made: Makefile
	@rm -rf $$(@D) && mkdir -p $$(@D)
	@$$(foreach seen,$$(SEES_$(1)),ln -s $$(abspath include/$$(seen)) $$(@D)/$$(seen);)
	@touch $$@

$(BUILD)/obj/$(1)/%.o: src/$(1)/%.c $(BUILD)/include/$(1)/.made $(BUILD)/flags
	@mkdir -p $$(@D)
	$$(call say,CC  $$<)
	$$(Q)$$(CC) $$(CFLAGS_ALL) -I$(BUILD)/include/$(1) -c -o $$@ $$<

$(BUILD)/obj/$(1)/%.S.o: src/$(1)/%.S $$(wildcard src/$(1)/*.lua) $(BUILD)/flags
	@mkdir -p $$(@D)
	$$(call say,AS  $$<)
	$$(Q)$$(CC) -c -Isrc/$(1) $$(AS_SEES) -o $$@ $$<

$(BUILD)/lib/libgate25-$(1).a: $$(call layer_objects,$(1))
	@mkdir -p $$(@D)
	@rm -f $$@
	$$(Q)ar rcs $$@ $$^
endef
$(foreach layer,$(LAYERS) prog,$(eval $(call layer_rules,$(layer))))

# What runs in the kernel, as a file that gate25-bypassd carries: clang alone compiles for it.
BPF_FLAGS := -std=gnu17 -O2 -g -target bpf -mcpu=v2 -I/usr/include/$(shell $(CC) -print-multiarch) -Iinclude \
             -Wall -Wextra -Werror -Wshadow -Wundef -MMD -MP

$(BUILD)/kernel/%.bpf.o: src/kernel/%.c Makefile
	@mkdir -p $(@D)
	$(call say,BPF $<)
	$(Q)clang $(BPF_FLAGS) -c -o $@ $<

$(BUILD)/obj/bypass/fast_path_program.S.o: $(BUILD)/kernel/fast_path.bpf.o
$(BUILD)/obj/bypass/fast_path_program.S.o: AS_SEES := -I$(BUILD)/kernel

$(BUILD)/bin/%: $(BUILD)/obj/prog/%.o $(LIBRARIES)
	@mkdir -p $(@D)
	$(call say,LD  $@)
	$(Q)$(CC) $(LDFLAGS_ALL) -o $@ $< $(LIBRARIES) $(PKG_LIBS) $(MORE_LIBS)

# Rebuilds everything when the compiler or its flags change.
$(BUILD)/flags: FORCE
	@mkdir -p $(BUILD)
	@echo '$(subst ','\'',$(CC) $(CFLAGS_ALL) $(LDFLAGS_ALL))' | cmp -s - $@ || \
	    echo '$(subst ','\'',$(CC) $(CFLAGS_ALL) $(LDFLAGS_ALL))' > $@

# --- tests ---------------------------------------------------------------------------------------

$(BUILD)/tests/unit/%: tests/unit/%.c $(LIBRARIES) $(BUILD)/flags
	@mkdir -p $(@D)
	$(call say,LD  $@)
	$(Q)$(CC) $(CFLAGS_ALL) $(LDFLAGS_ALL) -Iinclude -Itests -o $@ $< $(LIBRARIES) $(PKG_LIBS) $(MORE_LIBS) -lcmocka

unit: $(UNITS:%=$(BUILD)/tests/unit/%)
	@tests/run-units $(UNITS:%=$(BUILD)/tests/unit/%)

# The whole in one go, as CI does it.
test: deps
	@$(MAKE) --no-print-directory $(PARALLEL) all bench-tools
	@$(MAKE) --no-print-directory lint
	@$(MAKE) --no-print-directory $(PARALLEL) unit
	@$(MAKE) --no-print-directory $(PARALLEL) BUILD=$(BUILD)/asan CC=gcc SANITIZE='$(ASAN)' OPTIMIZE='-O1 -g' unit
	@$(MAKE) --no-print-directory fuzz-short
	@$(MAKE) --no-print-directory integration

ASAN := -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer

# Everything again with the sanitizers in: unit tests, and the lab with a sanitized daemon.
asan: deps
	@$(MAKE) --no-print-directory $(PARALLEL) BUILD=$(BUILD)/asan SANITIZE='$(ASAN)' OPTIMIZE='-O1 -g' all bench-tools unit
	GATE25_BIN=$(abspath $(BUILD))/asan/bin GATE25_BENCH_BIN=$(abspath $(BUILD))/asan/bench LIMIT=3600 $(MAKE) --no-print-directory integration

# Everything again under valgrind (slow).
valgrind: deps
	@$(MAKE) --no-print-directory $(PARALLEL) all bench-tools
	WRAP='$(VALGRIND)' $(MAKE) --no-print-directory unit
	GATE25_WRAP='$(VALGRIND)' LIMIT=7200 $(MAKE) --no-print-directory integration

VALGRIND := valgrind -q --error-exitcode=99 --leak-check=full --errors-for-leak-kinds=definite \
            --trace-children=no --child-silent-after-fork=no

lint: all
	@tests/lint/run $(BUILD)

# clang-tidy's analyzer to its full depth: three times as long as what `make lint` has time for.
analyze:
	@NODES=225000 tests/lint/tidy

format:
	clang-format -i $$(git ls-files '*.c' '*.h')

# --- the bench's own load, sink and relay --------------------------------------------------------

# They share nothing with what they measure, lest they share its faults: no layer of src/, no libevent. But for
# lookup, which measures a part of the library itself.
BENCH_OBJECTS := $(patsubst tests/bench/%.c,$(BUILD)/bench/obj/%.o,$(wildcard tests/bench/*.c))
BENCH_LIBS    := -lssl -lcrypto -ljansson -lm
bench_part     = $(filter $(BUILD)/bench/obj/$(1).o $(BUILD)/bench/obj/$(1)_%.o,$(BENCH_OBJECTS))
BENCH_SHARED  := $(filter-out $(foreach tool,load sink relay lookup,$(call bench_part,$(tool))),$(BENCH_OBJECTS))

bench-tools: $(BUILD)/bench/load $(BUILD)/bench/sink $(BUILD)/bench/relay $(BUILD)/bench/lookup

$(BUILD)/bench/obj/lookup.o: BENCH_SEES := -Iinclude
$(BUILD)/bench/lookup: $(BUILD)/bench/obj/lookup.o $(BENCH_SHARED) $(LIBRARIES)
	$(call say,LD  $@)
	$(Q)$(CC) $(LDFLAGS_ALL) -o $@ $^ $(PKG_LIBS) -lm

$(BUILD)/bench/obj/%.o: tests/bench/%.c $(BUILD)/flags
	@mkdir -p $(@D)
	$(call say,CC  $<)
	$(Q)$(CC) $(CFLAGS_ALL) $(BENCH_SEES) -Itests -c -o $@ $<

$(BUILD)/bench/load: $(call bench_part,load) $(BENCH_SHARED)
$(BUILD)/bench/sink: $(call bench_part,sink) $(BENCH_SHARED)
$(BUILD)/bench/relay: $(call bench_part,relay) $(BENCH_SHARED)
$(BUILD)/bench/load $(BUILD)/bench/sink $(BUILD)/bench/relay:
	$(call say,LD  $@)
	$(Q)$(CC) $(LDFLAGS_ALL) -o $@ $^ $(BENCH_LIBS)

# Their pure parts have a unit test like the others, but for the layers, which it is linked without.
BENCH_PURE := $(patsubst %,$(BUILD)/bench/obj/%.o,address latency load_pace load_reply sink_dot words)

$(BUILD)/tests/unit/test_bench_tools: tests/unit/test_bench_tools.c $(BENCH_PURE) $(BUILD)/flags
	@mkdir -p $(@D)
	$(call say,LD  $@)
	$(Q)$(CC) $(CFLAGS_ALL) $(LDFLAGS_ALL) -Itests -o $@ $< $(BENCH_PURE) -lm -lcmocka

# --- fuzzing (libFuzzer) -------------------------------------------------------------------------

FUZZERS   := $(patsubst tests/fuzz/fuzz_%.c,%,$(wildcard tests/fuzz/fuzz_*.c))
FUZZ_RUNS ?= 10000000
FUZZ_SECONDS ?= 0# a target; 0: no end but FUZZ_RUNS
FUZZ_OBJ  := $(BUILD)/fuzz

FUZZ_LAYERS  := base core net svc ctl web
FUZZ_OBJECTS := $(foreach layer,$(FUZZ_LAYERS),$(patsubst src/%.c,$(FUZZ_OBJ)/obj/%.o,$(wildcard src/$(layer)/*.c))) \
                $(FUZZ_OBJ)/obj/svc/functions.S.o $(FUZZ_OBJ)/obj/web/site_functions.S.o
FUZZ_SANITIZE := address,undefined -fno-sanitize-recover=undefined
FUZZ_FLAGS    = -std=gnu17 -D_GNU_SOURCE -DGATE25_VERSION='"$(VERSION)"' \
                $(filter-out -Wnull-dereference,$(WARNINGS)) -O1 -g -Iinclude $(PKG_CFLAGS) -MMD -MP

$(FUZZ_OBJ)/obj/%.o: src/%.c
	@mkdir -p $(@D)
	$(call say,CC  $@)
	$(Q)clang $(FUZZ_FLAGS) -fsanitize=fuzzer-no-link,$(FUZZ_SANITIZE) -c -o $@ $<

$(FUZZ_OBJ)/obj/%.S.o: src/%.S $(wildcard src/*/*.lua)
	@mkdir -p $(@D)
	$(Q)clang -c -I$(<D) -o $@ $<

$(FUZZ_OBJ)/libgate25.a: $(FUZZ_OBJECTS)
	@rm -f $@
	$(Q)ar rcs $@ $^

$(FUZZ_OBJ)/bin/fuzz_%: tests/fuzz/fuzz_%.c $(FUZZ_OBJ)/libgate25.a
	@mkdir -p $(@D)
	$(call say,LD  $@)
	$(Q)clang $(FUZZ_FLAGS) -fsanitize=fuzzer,$(FUZZ_SANITIZE) -o $@ $< $(FUZZ_OBJ)/libgate25.a $(PKG_LIBS)

# The transcripts are inputs of the dialogue too.
$(FUZZ_OBJ)/seeds/dialog/.made: tests/fuzz/transcript_seeds.py $(wildcard tests/transcripts/*.txt)
	@rm -rf $(@D)
	@/usr/bin/python3 tests/fuzz/transcript_seeds.py $(@D)
	@touch $@

# What the fuzzers find new goes into build/, not into the tree's corpus. Long inputs find nothing that
# short ones do not, and take their time: each target has its -max_len in tests/fuzz/max_len.
fuzz: $(FUZZERS:%=fuzz-%)

fuzz-%: $(FUZZ_OBJ)/bin/fuzz_% $(FUZZ_OBJ)/seeds/dialog/.made
	@mkdir -p $(FUZZ_OBJ)/found/$* $(FUZZ_OBJ)/seeds/$*
	@echo "fuzz: $*, $(FUZZ_RUNS) runs"
	@$< -runs=$(FUZZ_RUNS) -max_total_time=$(FUZZ_SECONDS) -seed=$(or $(FUZZ_SEED),1) -verbosity=0 \
	    -max_len=$$(sed -n "s/^$* //p" tests/fuzz/max_len) \
	    -print_final_stats=1 -artifact_prefix=$(FUZZ_OBJ)/found/$*. \
	    $(FUZZ_OBJ)/found/$* tests/fuzz/corpus/$* $(FUZZ_OBJ)/seeds/$* 2>&1 \
	    | grep -vE 'dictionary|^"'; \
	! ls $(FUZZ_OBJ)/found | grep -E '^$*\.(crash|leak|timeout|oom)-'

fuzz-short:
	@$(MAKE) --no-print-directory $(PARALLEL) fuzz FUZZ_RUNS=100000 FUZZ_SECONDS=8

# --- into the system -----------------------------------------------------------------------------

install: all
	install -d $(DESTDIR)$(PREFIX)/sbin $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/share/gate25 \
	    $(DESTDIR)/etc/gate25 $(DESTDIR)$(PREFIX)/lib/systemd/system
	install -m 0755 $(BUILD)/bin/gate25d $(DESTDIR)$(PREFIX)/sbin/gate25d
	install -m 0755 $(BUILD)/bin/gate25-spfd $(DESTDIR)$(PREFIX)/sbin/gate25-spfd
	install -m 0755 $(BUILD)/bin/gate25-web $(DESTDIR)$(PREFIX)/sbin/gate25-web
	install -m 0755 $(BUILD)/bin/gate25-bypassd $(DESTDIR)$(PREFIX)/sbin/gate25-bypassd
	install -m 0755 $(BUILD)/bin/gate25ctl $(DESTDIR)$(PREFIX)/bin/gate25ctl
	[ -e $(DESTDIR)/etc/gate25/gate25.conf ] || \
	    install -m 0640 conf/gate25.conf $(DESTDIR)/etc/gate25/gate25.conf
	@# It may hold Redis's password: readable for the daemon's group, not for everybody.
	@if getent group gate25 >/dev/null; then \
	    chgrp gate25 $(DESTDIR)/etc/gate25/gate25.conf; \
	else \
	    echo 'install: no group gate25 yet; once it is there: chgrp gate25 /etc/gate25/gate25.conf'; \
	fi
	@# The operator's own texts stay; the new ones lie beside the README, to be compared.
	[ -e $(DESTDIR)/etc/gate25/pages ] || cp -r conf/pages $(DESTDIR)/etc/gate25/pages
	install -m 0644 README.md CHANGES.md $(DESTDIR)$(PREFIX)/share/gate25/
	cp -r contrib/redis contrib/routers contrib/sysctl contrib/prometheus contrib/grafana contrib/freeradius contrib/kea conf/pages \
	    $(DESTDIR)$(PREFIX)/share/gate25/
	for unit in gate25d gate25-web gate25-bypassd; do \
	    sed 's|@PREFIX@|$(PREFIX)|g' contrib/systemd/$$unit.service \
	        > $(DESTDIR)$(PREFIX)/lib/systemd/system/$$unit.service || exit 1; \
	done
	install -m 0644 contrib/systemd/gate25d.socket $(DESTDIR)$(PREFIX)/lib/systemd/system/

clean:
	rm -rf build

-include $(shell find $(BUILD)/obj $(BUILD)/kernel $(BUILD)/tests $(BUILD)/bench $(FUZZ_OBJ) -name '*.d' 2>/dev/null)

# --- what is needed, and tests in the lab ----------------------------------------------------------

deps:
	@scripts/deps.sh

# Several labs at once: JOBS=1 for one. PYTEST passes more arguments, files among them:
# make integration PYTEST="-k redis -x"
integration: deps
	@$(MAKE) --no-print-directory $(PARALLEL) all bench-tools $(BUILD)/tests/unit/test_fast_path
	@tests/run-integration $(if $(NO_SKIPS),--no-skips) $(PYTEST)

# The same while the labs' processes stand still at random, as on a machine that has no time for them: what counts on
# an answer that comes at once fails. SEED for other chances; GATE25_BIN for the programs of `make asan`.
freezes: export GATE25_FREEZE := $(or $(SEED),1)
freezes: integration

# A million standings, a million leases, and a million decisions of Redis's compared with rate.c's: what the README says.
million: deps
	@$(MAKE) --no-print-directory $(PARALLEL) all $(BUILD)/tests/unit/test_functions
	DECISIONS=1000000 $(BUILD)/tests/unit/test_functions
	tests/lab/lab exec /usr/bin/python3 tests/bench/million.py
	tests/lab/lab exec /usr/bin/python3 tests/bench/million_leases.py

# gate25 against HAProxy and against no proxy: what the README says. What it may be told by the environment is in
# tests/bench/options.py: make bench PARTS="pairs growth" ARMS="haproxy meter"
bench bench-quick: deps
	@$(MAKE) --no-print-directory $(PARALLEL) all bench-tools
	@tests/lab/lab exec /usr/bin/python3 -m tests.bench $(if $(filter bench-quick,$@),--quick)

# How soon a gate follows its Redis to a new master: what the README says.
failover: deps
	@$(MAKE) --no-print-directory $(PARALLEL) all
	SWITCHES=$(or $(SWITCHES),10) tests/lab/lab exec /usr/bin/python3 tests/bench/failover.py

# How soon a killed worker is replaced: what the README says.
replacement: deps
	@$(MAKE) --no-print-directory $(PARALLEL) all
	KILLS=$(or $(KILLS),40) tests/lab/lab exec /usr/bin/python3 tests/bench/replacement.py

# A million registered subscribers in the kernel's sets: what the README says.
bypass-million: deps
	@$(MAKE) --no-print-directory $(PARALLEL) all
	tests/lab/lab exec /usr/bin/python3 tests/bench/bypass_million.py

# More sessions than the 2,000 a server of `make test`, or others: make differential N=20000 SEED=7
differential: export DIFFERENTIAL_N := $(or $(N),20000)
differential: export DIFFERENTIAL_SEED := $(or $(SEED),1)
differential: check-differential deps
	@$(MAKE) --no-print-directory $(PARALLEL) all
	@LIMIT=$(or $(LIMIT),86400) tests/run-integration \
	    --logs $(BUILD)/differential/logs tests/integration/test_differential.py $(PYTEST)

check-differential:
	@/usr/bin/python3 -m tests.differential.names

print-sees:
	@echo $(SEES_$(LAYER))

demo: deps
	@$(MAKE) --no-print-directory $(PARALLEL) all
	@KEEP=$(KEEP) scripts/demo.sh

# The README's table of what turns tell about TLS sessions.
turns-table: all
	@tests/lab/lab exec /usr/bin/python3 tests/lab/turns_table.py
