# skimd: `make help` lists what can be made.
#
# Everything is built below build/PROFILE (build/PROFILE-clang with CC=clang), nothing beside the
# sources. PROFILE is release (default), debug, asan (with UBSan), tsan or fuzz (clang only).

PROFILE ?= release
ifeq ($(origin CC),default)
CC := gcc
endif

COMPILER := $(if $(findstring clang,$(notdir $(CC))),-clang)
BUILD    := build/$(PROFILE)$(COMPILER)
PREFIX   ?= /usr/local
DESTDIR  ?=

LIBRARIES := libcurl libcares libmicrohttpd gnutls gumbo jansson libseccomp nettle zlib libdeflate libbrotlidec libzstd

# -- flags ---------------------------------------------------------------------------------------

WARNINGS := -Wall -Wextra -Wmissing-declarations -Wstrict-prototypes -Wshadow -Wvla -Wundef \
            -Wpointer-arith -Wcast-qual -Wformat=2
ifeq ($(COMPILER),)
WARNINGS += -Wjump-misses-init -Wlogical-op
endif

CFLAGS_release := -O2 -g -fstack-protector-strong -fstack-clash-protection -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2
CFLAGS_debug   := -O0 -g3
CFLAGS_asan    := -O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=all
CFLAGS_tsan    := -O1 -g -fno-omit-frame-pointer -fsanitize=thread
CFLAGS_fuzz    := -O1 -g -fno-omit-frame-pointer -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all
LDFLAGS_release := -Wl,-z,relro,-z,now
LDFLAGS_asan    := -fsanitize=address,undefined
LDFLAGS_tsan    := -fsanitize=thread
LDFLAGS_fuzz    := -fsanitize=address,undefined
ifeq ($(filter $(PROFILE),release debug asan tsan fuzz),)
$(error PROFILE=$(PROFILE) is not known; release, debug, asan, tsan and fuzz are)
endif

WERROR   ?=
CPPFLAGS += -D_GNU_SOURCE -I.
CFLAGS   += -std=c17 -fPIE -pthread $(WARNINGS) $(CFLAGS_$(PROFILE)) -ffile-prefix-map=$(CURDIR)=. $(WERROR)
LDFLAGS  += -pie -pthread $(LDFLAGS_$(PROFILE))
CPPFLAGS += $(shell pkg-config --cflags $(LIBRARIES) 2>/dev/null)
LDLIBS    = $(shell pkg-config --libs $(LIBRARIES)) -lm

# Short lines while building; V=1 shows the commands.
ifeq ($(V),)
Q := @
say = @printf '  %-3s %s\n' $(1) $(2)
endif

# -- what is built from what ---------------------------------------------------------------------

ASYNC_SRC := $(wildcard core/base/*.c core/async/*.c)
ROOM_SRC  := $(wildcard core/fetch/*.c parsers/*.c) $(filter-out server/main.c,$(wildcard server/*.c server/*/*.c))
TEST_SRC  := $(wildcard tests/*.c) $(filter-out %_main.c,$(wildcard tests/support/*.c))

objects    = $(patsubst %.c,$(BUILD)/obj/%.o,$(1))
ASYNC_OBJ := $(call objects,$(ASYNC_SRC))
ROOM_OBJ  := $(call objects,$(ROOM_SRC))
TEST_OBJ  := $(call objects,$(TEST_SRC))
MAIN_OBJ  := $(call objects,server/main.c)
ORIGIN_OBJ := $(call objects,$(wildcard tests/support/origin*.c core/base/*.c))
NAME_SERVER_OBJ := $(call objects,$(wildcard tests/support/name_*.c core/base/*.c))
BENCH_OBJ := $(call objects,$(wildcard bench/*.c bench/async/*.c bench/fetch/*.c bench/parsers/*.c))
BENCH_FETCH := $(BUILD)/bench_fetch $(BUILD)/bare_multi $(BUILD)/many_hosts
FUZZ_OBJ  := $(call objects,$(wildcard tests/fuzz/*.c))
TORTURE_OBJ := $(call objects,$(wildcard tests/torture/*.c))
EXAMPLE_OBJ := $(call objects,$(wildcard examples/*.c))
ALL_OBJ   := $(ASYNC_OBJ) $(ROOM_OBJ) $(TEST_OBJ) $(MAIN_OBJ) $(ORIGIN_OBJ) $(NAME_SERVER_OBJ) $(BENCH_OBJ) $(FUZZ_OBJ) $(TORTURE_OBJ) $(EXAMPLE_OBJ)

# What install-async installs for others to include; the other headers of these rooms are their own.
ASYNC_HEADERS := $(patsubst %,core/async/%.h,async future task scope channel map combine context runtime debug mock loop) \
                 $(patsubst %,core/base/%.h,bytes clock list)
VERSION := $(shell sed -n 's/^.define SKIMD_VERSION "\(.*\)"/\1/p' server/version.h)

.PHONY: all everything help deps demo test check check-asan check-tsan check-clang check-metrics check-openapi check-web-page \
        examples check-examples check-install check-valgrind model torture fuzz lint format bench bench-async bench-fetch \
        bench-load bench-parsers bench-peers install uninstall install-async clean
.DEFAULT_GOAL := all

all: $(BUILD)/skimd $(BUILD)/libasync.a compile_commands.json ## build skimd (build/release/skimd)

everything: all examples $(BUILD)/check_skimd $(BUILD)/origin $(BUILD)/name_server $(BUILD)/bare_fetch $(BUILD)/bench_async \
            $(BENCH_FETCH) $(BUILD)/bench_parsers $(BUILD)/torture

help: ## list what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo "PROFILE=release|debug|asan|tsan and CC=gcc|clang choose the build; it lands in build/."

$(BUILD)/libasync.a: $(ASYNC_OBJ)
	$(call say,AR,$@)
	@rm -f $@
	$(Q)$(AR) rcsD $@ $^

$(BUILD)/skimd: $(MAIN_OBJ) $(ROOM_OBJ) $(BUILD)/libasync.a
	$(call say,LD,$@)
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(LDLIBS)

$(BUILD)/check_skimd: $(TEST_OBJ) $(ROOM_OBJ) $(BUILD)/libasync.a
	$(call say,LD,$@)
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(LDLIBS) $(shell pkg-config --libs check openssl)

$(BUILD)/origin: $(ORIGIN_OBJ)
	$(call say,LD,$@)
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ -lz

$(BUILD)/name_server: $(NAME_SERVER_OBJ)
	$(call say,LD,$@)
	$(Q)$(CC) $(LDFLAGS) -o $@ $^

$(BUILD)/bare_fetch: $(call objects,bench/bare_fetch.c)
	$(call say,LD,$@)
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(LDLIBS)

$(BUILD)/bench_async: $(call objects,bench/async/bench_async.c bench/async/bare.c) $(BUILD)/libasync.a
	$(call say,LD,$@)
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(LDLIBS)

$(BUILD)/bench_parsers: $(call objects,$(wildcard bench/parsers/*.c parsers/*.c)) $(BUILD)/libasync.a
	$(call say,LD,$@)
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ -Wl,--as-needed $(LDLIBS)

$(BUILD)/bench_uv: $(call objects,bench/async/bench_uv.c)
	$(call say,LD,$@)
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(shell pkg-config --libs libuv)

$(BUILD)/bench_fetch: $(call objects,bench/fetch/workload.c $(wildcard core/fetch/*.c)) $(BUILD)/libasync.a
$(BUILD)/bare_multi: $(call objects,bench/fetch/workload.c)
$(BENCH_FETCH): $(BUILD)/%: $(BUILD)/obj/bench/fetch/%.o
	$(call say,LD,$@)
	$(Q)$(CC) $(LDFLAGS) -o $@ $(filter %.o,$^) $(filter %.a,$^) $(LDLIBS)

EXAMPLES := $(patsubst examples/%.c,$(BUILD)/examples/%,$(filter-out examples/download.c,$(wildcard examples/*.c)))
$(EXAMPLES): $(BUILD)/examples/%: $(BUILD)/obj/examples/%.o $(BUILD)/libasync.a
	$(call say,LD,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(LDFLAGS) -o $@ $(filter %.o,$^) $(filter %.a,$^) -Wl,--as-needed \
	  $(shell pkg-config --libs libcurl gumbo libseccomp)
$(addprefix $(BUILD)/examples/,first_answer mixed_bag titles): $(BUILD)/obj/examples/download.o

# Calls of the functions that faults.h lists go to faults.c first.
WRAPPED := free $(shell sed -n 's/^ *X.\([a-z_0-9]*\), [A-Z].*/\1/p' tests/torture/faults.h 2>/dev/null)
$(BUILD)/torture: $(TORTURE_OBJ) $(BUILD)/libasync.a
	$(call say,LD,$@)
	$(Q)$(CC) $(LDFLAGS) $(WRAPPED:%=-Wl,--wrap=%) -o $@ $^ -Wl,--as-needed $(LDLIBS)

FUZZERS := $(patsubst $(BUILD)/obj/tests/fuzz/%.o,$(BUILD)/%,$(FUZZ_OBJ))
$(FUZZERS): $(BUILD)/%: $(BUILD)/obj/tests/fuzz/%.o $(ROOM_OBJ) $(BUILD)/libasync.a
	$(call say,LD,$@)
	$(Q)$(CC) $(LDFLAGS) -fsanitize=fuzzer -o $@ $^ $(LDLIBS)

# The flags that objects were built with: when they change, everything is built anew.
FLAGS_NOW := $(CC) $(CPPFLAGS) $(CFLAGS) $(LDFLAGS)
$(BUILD)/flags: FORCE
	@mkdir -p $(@D)
	@printf '%s\n' '$(subst ','\'',$(FLAGS_NOW))' | cmp -s - $@ || printf '%s\n' '$(subst ','\'',$(FLAGS_NOW))' >$@
.PHONY: FORCE
FORCE:

$(BUILD)/obj/%.o: %.c $(BUILD)/flags
	$(call say,CC,$<)
	@mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<

-include $(wildcard $(ALL_OBJ:.o=.d))

# The assembler reads these files, of which -MMD does not know.
$(call objects,server/web/web_page.c): $(filter-out %.c %.h,$(wildcard server/web/*))
$(call objects,server/web/openapi.c): server/web/openapi.json

ALL_SRC := $(patsubst $(BUILD)/obj/%.o,%.c,$(sort $(ALL_OBJ)))
compile_commands.json: $(BUILD)/flags $(ALL_SRC)
	@{ echo '['; sep=; for f in $(ALL_SRC); do \
	  printf '%s{"directory": "%s", "file": "%s", "command": "%s"}\n' "$$sep" '$(CURDIR)' "$$f" \
	    '$(subst ",\\\",$(CC) $(CPPFLAGS) $(CFLAGS)) -c '"$$f"; sep=,; done; echo ']'; } >$@

# -- what is done with it ------------------------------------------------------------------------

deps: ## install the Debian packages that are missing (root or sudo)
	@docker/deps build

demo: ## build skimd and watch it scrape a small bundled site (URLS="http://... ..." for your own)
	@docker/deps build
	@$(MAKE) --no-print-directory $(BUILD)/skimd $(BUILD)/origin
	@docs/demo/run $(BUILD)

test: ## install what is missing, build and run the tests
	@docker/deps build
	@$(MAKE) --no-print-directory check

# Each test is a process that looks for leaks at its end: through all that AddressSanitizer keeps of what the tests before it
# freed, 256 MB by default, which takes three times as long as the tests do.
check: export ASAN_OPTIONS := quarantine_size_mb=4:$(ASAN_OPTIONS)
check: $(BUILD)/check_skimd $(BUILD)/skimd ## run the tests of this profile (SUITE=name for one suite, SHARD=1/2 for a half)
	$(if $(SUITE),CK_RUN_SUITE=$(SUITE)) $(if $(SHARD),CHECK_SHARD=$(SHARD)) SKIMD_BINARY=$(BUILD)/skimd $(BUILD)/check_skimd

check-asan: ## run the tests under AddressSanitizer and UBSan
	@$(MAKE) --no-print-directory PROFILE=asan check

check-tsan: ## run the tests under ThreadSanitizer
	@$(MAKE) --no-print-directory PROFILE=tsan check

check-clang: ## run the tests built by clang
	@$(MAKE) --no-print-directory CC=clang check

check-metrics: $(BUILD)/skimd $(BUILD)/origin ## scrape a batch and have promtool read /metrics, where there is one
	tests/check_metrics $(BUILD)

check-openapi: $(BUILD)/check_skimd $(BUILD)/skimd ## hold server/web/openapi.json against what is answered in the tests
	@docker/deps openapi
	tests/openapi/run $(BUILD)

check-web-page: $(BUILD)/skimd $(BUILD)/origin ## use the page at / in a headless Chromium, where there is one
	tests/web_page/run $(BUILD)

examples: $(EXAMPLES) ## build the programs of examples/, which use core/async alone

check-examples: $(EXAMPLES) $(BUILD)/origin ## run the examples and compare what they print
	examples/check $(BUILD)

check-install: $(BUILD)/public/libasync.a $(BUILD)/skimd.8 ## install skimd and libasync somewhere temporary and use them
	+tests/install_skimd $(BUILD)
	+tests/install_async $(BUILD)

check-valgrind: $(BUILD)/check_skimd ## run a million tasks under valgrind
	@docker/deps model
	CK_FORK=no CK_RUN_SUITE=million valgrind --quiet --error-exitcode=1 --leak-check=full \
	  --show-leak-kinds=definite,indirect,possible $(BUILD)/check_skimd

model: ## verify the Spin models of core/async, and that each seeded mistake is caught (some minutes)
	@docker/deps model
	@tests/model/run

torture: $(BUILD)/torture ## fail each allocation and each system call of core/async in turn
	@tests/torture/run $(BUILD)/torture

FUZZ_SECONDS ?= 30
FUZZ         ?= $(patsubst tests/fuzz/fuzz_%.c,%,$(wildcard tests/fuzz/fuzz_*.c))

fuzz: ## fuzz what reads bytes of others, FUZZ_SECONDS (30) each, by clang (FUZZ=name for one)
	@$(MAKE) --no-print-directory PROFILE=fuzz CC=clang $(FUZZ:%=fuzz-%)

# New finds go to the build, beside the input of a crash; the seeds of tests/corpus are only read.
fuzz-%: $(BUILD)/fuzz_%
	@mkdir -p $(BUILD)/corpus/$*
	$(BUILD)/fuzz_$* -max_total_time=$(FUZZ_SECONDS) -timeout=10 -rss_limit_mb=1024 -malloc_limit_mb=64 \
	  -max_len=16384 -print_final_stats=1 -verbosity=0 -artifact_prefix=$(BUILD)/$*- \
	  $(addprefix -dict=,$(wildcard tests/fuzz/$*.dict)) $(BUILD)/corpus/$* tests/corpus/$*

lint: ## layering, banned calls, format, warnings as errors with gcc and clang
	@tests/lint/run

format: ## format the sources with clang-format
	clang-format -i $$(git ls-files '*.c' '*.h')

bench: ## measure skimd beside a bare libcurl loop and curl --parallel
	@docker/deps bench
	@$(MAKE) --no-print-directory $(BUILD)/skimd $(BUILD)/bare_fetch
	@bench/run $(BUILD)

bench-async: ## measure the future layer beside bare loops, libuv and Python
	@docker/deps bench
	@$(MAKE) --no-print-directory $(BUILD)/bench_async $(if $(shell pkg-config --exists libuv && echo yes),$(BUILD)/bench_uv)
	@bench/async/run $(BUILD)

bench-fetch: ## measure the fetch engine beside bare libcurl loops
	@docker/deps bench
	@$(MAKE) --no-print-directory $(BENCH_FETCH) $(BUILD)/name_server
	@bench/fetch/run $(BUILD)

bench-parsers: ## measure a page's title beside a parse of the whole page
	@docker/deps bench
	@$(MAKE) --no-print-directory $(BUILD)/bench_parsers
	@bench/parsers/run $(BUILD)

bench-peers: ## measure skimd beside Scrapy, aiohttp, httpx, curl and wget2
	@docker/deps peers
	@$(MAKE) --no-print-directory $(BUILD)/skimd $(BUILD)/bare_fetch
	@bench/peers/run $(BUILD)

bench-load: ## put load on the daemon with curl and wrk
	@docker/deps load
	@$(MAKE) --no-print-directory $(BUILD)/skimd
	@bench/load/run $(BUILD)

# Its options are those of --help, so the binary is asked.
$(BUILD)/skimd.8: docs/manual docs/skimd.8.in $(BUILD)/skimd
	$(call say,MAN,$@)
	$(Q)docs/manual $(BUILD)/skimd >$@.new && mv $@.new $@

MAN_DIR   := $(PREFIX)/share/man/man8
BASH_DIR  := $(PREFIX)/share/bash-completion/completions
UNIT_DIR  := $(PREFIX)/lib/systemd/system
UNITS     := skimd.service skimd.socket
INSTALLED := $(PREFIX)/bin/skimd $(MAN_DIR)/skimd.8 $(BASH_DIR)/skimd $(UNITS:%=$(UNIT_DIR)/%)

install: $(BUILD)/skimd $(BUILD)/skimd.8 ## install skimd, its manual, units and completion below PREFIX (/usr/local)
	install -D -m 755 $(BUILD)/skimd $(DESTDIR)$(PREFIX)/bin/skimd
	install -D -m 644 $(BUILD)/skimd.8 $(DESTDIR)$(MAN_DIR)/skimd.8
	install -D -m 644 docs/skimd.bash $(DESTDIR)$(BASH_DIR)/skimd
	@install -d $(DESTDIR)$(UNIT_DIR)
	@for unit in $(UNITS); do \
	  sed 's|/usr/local/bin/|$(PREFIX)/bin/|' docker/systemd/$$unit >$(DESTDIR)$(UNIT_DIR)/$$unit && \
	  chmod 644 $(DESTDIR)$(UNIT_DIR)/$$unit || exit; done

uninstall: ## remove what install put below PREFIX
	rm -f $(INSTALLED:%=$(DESTDIR)%)

# For the programs of others: one object, in which only what the public headers declare has a name outside.
$(BUILD)/public/libasync.a: $(ASYNC_OBJ) $(ASYNC_HEADERS)
	$(call say,AR,$@)
	@mkdir -p $(@D)
	@grep -ohE '[a-z][a-z0-9_]+\(' $(ASYNC_HEADERS) | tr -d '(' | sort -u >$(@D)/names
	$(Q)$(LD) -r -o $(@D)/libasync.o $(ASYNC_OBJ)
	$(Q)objcopy --keep-global-symbols=$(@D)/names $(@D)/libasync.o
	@rm -f $@
	$(Q)$(AR) rcsD $@ $(@D)/libasync.o

install-async: $(BUILD)/public/libasync.a ## install core/async as a library: libasync.a, headers, pkg-config file
	install -D -m 644 $(BUILD)/public/libasync.a $(DESTDIR)$(PREFIX)/lib/libasync.a
	@for header in $(ASYNC_HEADERS); do \
	  install -D -m 644 $$header $(DESTDIR)$(PREFIX)/include/libasync/$$header || exit; done
	@install -d $(DESTDIR)$(PREFIX)/lib/pkgconfig
	sed 's|@PREFIX@|$(PREFIX)|; s|@VERSION@|$(VERSION)|' core/async/libasync.pc.in \
	  >$(DESTDIR)$(PREFIX)/lib/pkgconfig/libasync.pc

clean: ## remove everything that was built
	rm -rf build compile_commands.json
