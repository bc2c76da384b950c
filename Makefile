# SPDX-License-Identifier: MIT
# evbus: build, test, install. GNU make 4 and a C11 compiler; `make help` lists what there is.
#
# CC, CFLAGS, CPPFLAGS, LDFLAGS and AR are yours: they are used as you give them. What the library needs to be itself
# (language level, include paths, visibility) stands in the variables named REQ_*, which are added after them.
# Everything that is built lands under $(BUILD).

BUILD ?= build

# ---------------------------------------------------------------------------------------------------- settings

# The compiler: make's own default `cc`, or the first one there is. Set CC to choose.
ifeq ($(origin CC),default)
CC := $(or $(firstword $(foreach c,cc gcc clang,$(if $(shell command -v $c 2>/dev/null),$c))),cc)
endif

# SAN=address,undefined or SAN=thread: the sanitizer trees, see check-asan and check-tsan.
SAN ?=
ifeq ($(SAN),)
CFLAGS ?= -O2 -g
else
CFLAGS ?= -O1 -g
SANFLAGS := -fsanitize=$(SAN) -fno-sanitize-recover=all -fno-omit-frame-pointer
endif

# Warnings are errors where we ourselves build (a git checkout, or CI), never in somebody's release build of a tarball.
# `make WERROR=` switches it off. Not in sanitizer trees: there gcc warns of paths that only the instrumentation makes (its manual says so).
WERROR ?= $(if $(SAN),,$(if $(or $(wildcard .git),$(CI)),-Werror))
WARNINGS := -Wall -Wextra -Wpedantic -Wconversion -Wsign-conversion -Wshadow -Wstrict-prototypes -Wmissing-prototypes

REQ_CPPFLAGS := -D_GNU_SOURCE -Iinclude -Isrc
REQ_CFLAGS   := -std=c11 -pthread -fvisibility=hidden

# $(call cc-option,FLAG): FLAG if the compiler takes it, else nothing.
cc-option = $(shell $(CC) -Werror $(1) -x c -c /dev/null -o /dev/null 2>/dev/null && echo '$(1)')

# Where a loop of six instructions lies decides up to a third of its speed. The emit loop and the raw loop that the bench compares it with
# are compiled alike. FLAGS_<source> is added for that source only.
ALIGN_LOOPS := $(call cc-option,-falign-loops=32)
FLAGS_src/bus/emit.c := $(ALIGN_LOOPS)
FLAGS_tests/bench/bench_raw.c := $(ALIGN_LOOPS)

# The version is written once, in the public header. 0.x: every minor release may change the ABI, see CHANGELOG.md.
version-part = $(shell sed -n 's/^ *\# *define *EVB_VERSION_$(1) *\([0-9][0-9]*\).*/\1/p' include/evbus/base.h)
VERSION  = $(call version-part,MAJOR).$(call version-part,MINOR).$(call version-part,PATCH)
SONAME  := libevbus.so.0

PREFIX       ?= /usr/local
LIBDIR       ?= $(PREFIX)/lib
INCLUDEDIR   ?= $(PREFIX)/include
PKGCONFIGDIR ?= $(LIBDIR)/pkgconfig
DESTDIR      ?=
INSTALL      ?= install

# V=1 shows the commands.
ifeq ($(V),1)
Q :=
say = @:
else
Q := @
say = @printf '  %-7s %s\n' '$(1)' '$(2)'
endif

.DELETE_ON_ERROR:
.SUFFIXES:
.SECONDARY:
.PHONY: all
all: $(BUILD)/libevbus.a $(BUILD)/libevbus.so ## the shared and the static library (default)

# ---------------------------------------------------------------------------------------------------- sources

SRCS         := $(sort $(wildcard src/*.c src/*/*.c))
SUPPORT_SRCS := $(sort $(wildcard tests/support/*.c))
# The short tier: one program a file, all linked with tests/support, the library built for tests, and cmocka.
TEST_SRCS    := $(sort $(wildcard tests/unit/test_*.c tests/stress/*.c tests/fault/*.c))
# Tests of the house itself: shell programs that answer as the C ones do (tests/run.sh says how).
TEST_SCRIPTS := $(sort $(wildcard tests/unit/test_*.sh tests/install/*.sh))
EXAMPLE_SRCS := $(sort $(wildcard examples/c/*.c))

LIB_OBJS     := $(SRCS:%.c=$(BUILD)/obj/%.o)
PIC_OBJS     := $(SRCS:%.c=$(BUILD)/pic/%.o)
TESTLIB_OBJS := $(SRCS:%.c=$(BUILD)/testlib/%.o)
SUPPORT_OBJS := $(SUPPORT_SRCS:%.c=$(BUILD)/testobj/%.o)
TEST_OBJS    := $(TEST_SRCS:%.c=$(BUILD)/testobj/%.o)
EXAMPLES     := $(EXAMPLE_SRCS:examples/c/%.c=$(BUILD)/examples/%)

test-binary = $(BUILD)/tests/$(basename $(notdir $(1)))
TEST_BINS   := $(foreach t,$(TEST_SRCS),$(call test-binary,$t))
ifneq ($(words $(TEST_BINS)),$(words $(sort $(TEST_BINS))))
$(error two test sources share one name: $(TEST_SRCS))
endif

# ---------------------------------------------------------------------------------------------------- compiling

COMPILE = $(CC) $(REQ_CPPFLAGS) $(CPPFLAGS) $(WARNINGS) $(WERROR) $(CFLAGS) $(REQ_CFLAGS) $(SANFLAGS) $(FLAGS_$<) -MMD -MP
LINK    = $(CC) $(CFLAGS) $(REQ_CFLAGS) $(SANFLAGS) $(LDFLAGS)

# The library under test carries its own assertions and test hooks: other objects than those of the release library.
TEST_CPPFLAGS := -DEVB_DEBUG -DEVB_TESTING

# Objects made with other flags are not ours: this file changes when compiler or flags do, and every object depends on it.
FLAGS_NOW := $(strip $(CC) $(CPPFLAGS) $(CFLAGS) $(LDFLAGS) $(WERROR) $(SANFLAGS) $(WARNINGS) $(REQ_CPPFLAGS) $(REQ_CFLAGS) $(ALIGN_LOOPS))
ifneq ($(FLAGS_NOW),$(strip $(file <$(BUILD)/flags)))
.PHONY: $(BUILD)/flags
endif
$(BUILD)/flags:
	@:$(shell mkdir -p $(@D))$(file >$@,$(FLAGS_NOW))
$(BUILD):
	@mkdir -p $@

$(BUILD)/obj/%.o: %.c $(BUILD)/flags
	$(call say,CC,$<)
	@mkdir -p $(@D)
	$(Q)$(COMPILE) -c $< -o $@

$(BUILD)/pic/%.o: %.c $(BUILD)/flags
	$(call say,CC pic,$<)
	@mkdir -p $(@D)
	$(Q)$(COMPILE) -fPIC -c $< -o $@

$(BUILD)/testlib/%.o: %.c $(BUILD)/flags
	$(call say,CC test,$<)
	@mkdir -p $(@D)
	$(Q)$(COMPILE) $(TEST_CPPFLAGS) -c $< -o $@

$(BUILD)/testobj/%.o: %.c $(BUILD)/flags | $(BUILD)/cmocka
	$(call say,CC,$<)
	@mkdir -p $(@D)
	$(Q)$(COMPILE) $(TEST_CPPFLAGS) -Itests/support -c $< -o $@

# Examples are compiled as a user would: public headers and the language, nothing else.
$(BUILD)/exobj/%.o: %.c $(BUILD)/flags
	$(call say,CC,$<)
	@mkdir -p $(@D)
	$(Q)$(CC) -Iinclude $(CPPFLAGS) $(WARNINGS) $(WERROR) $(CFLAGS) -std=c11 -pthread $(SANFLAGS) -MMD -MP -c $< -o $@

$(BUILD)/libevbus.a: $(LIB_OBJS)
$(BUILD)/testlib/libevbus.a: $(TESTLIB_OBJS)
%/libevbus.a:
	$(call say,AR,$@)
	@mkdir -p $(@D) && rm -f $@
	$(Q)$(AR) rcs $@ $^

# -z defs: an undefined symbol is found here, not in the program that loads us. The version script lists what is public.
$(BUILD)/libevbus.so: $(PIC_OBJS) src/evbus.map
	$(call say,LD,$@)
	@mkdir -p $(@D)
	$(Q)$(LINK) -shared -Wl,-soname,$(SONAME) -Wl,--version-script=src/evbus.map $(if $(SAN),,-Wl,-z,defs) \
		-Wl,-z,relro -Wl,-z,now $(PIC_OBJS) -o $@
	@ln -sf libevbus.so $(BUILD)/$(SONAME)

$(BUILD)/examples/%: $(BUILD)/exobj/examples/c/%.o $(BUILD)/libevbus.a
	$(call say,LD,$@)
	@mkdir -p $(@D)
	$(Q)$(LINK) $^ $(LDLIBS) -o $@

# ---------------------------------------------------------------------------------------------------- tests

# T chooses test programs by name or first words of it (with or without test_, % stands for any text), K their tests (cmocka's * and ?).
T ?=
K ?=
chosen = $(if $(T),$(foreach b,$(1),$(if $(filter $(foreach t,$(T),$t test_$t test_$t_%),$(basename $(notdir $b))),$b)),$(1))

# The model test of queues runs the library on one thread: executor.c stands in for the pool, and for sleeping.
SINGLE_SRC  := tests/unit/test_queue_model.c

define test-program
$(call test-binary,$(1)): $(BUILD)/testobj/$(1:.c=.o) $(SUPPORT_OBJS) $(BUILD)/testlib/libevbus.a
endef
$(foreach t,$(filter-out $(SINGLE_SRC),$(TEST_SRCS)),$(eval $(call test-program,$t)))

SINGLE_BIN  := $(call test-binary,$(SINGLE_SRC))
SINGLE_OBJS := $(patsubst %.c,$(BUILD)/testobj/%.o,$(SINGLE_SRC) $(sort $(wildcard tests/support/queue_model/*.c)))
SINGLE_LINK := -Wl,--wrap=evb__park,--wrap=evb__wake_one,--wrap=evb__wake_all,--wrap=evb__hand_out_locked,--wrap=evb__lane_leave_locked
SINGLE_ALL  := $(SINGLE_OBJS) $(filter %/topic_oracle.o $(BUILD)/testobj/tests/support/evb_test%,$(SUPPORT_OBJS)) \
	$(filter-out $(BUILD)/testlib/src/pool/%,$(TESTLIB_OBJS))
$(SINGLE_BIN): $(SINGLE_ALL)
$(SINGLE_BIN): private LINK += $(SINGLE_LINK)

$(TEST_BINS):
	$(call say,LD,$@)
	@mkdir -p $(@D)
	$(Q)$(LINK) $(filter-out %.a,$^) $(filter %.a,$^) -lcmocka $(LDLIBS) -o $@

# cmocka is the only thing that tests need: present, or installed by the system's package manager, or a clear message.
$(BUILD)/cmocka: | $(BUILD)
	$(Q)CC='$(CC)' tools/need_cmocka.sh
	@touch $@

# A sanitizer tree runs programs and examples. The scripts look at the release build, which it is not; they get the tree and the compiler by
# environment.
TESTS_RUN := $(call chosen,$(TEST_BINS) $(if $(SAN),,$(TEST_SCRIPTS)) tools/run_examples.sh)
RUN_TESTS  = EVB_BUILD='$(BUILD)' EVB_SAN='$(SAN)' CC='$(CC)' MAKE='$(MAKE)' K='$(K)' tests/run.sh

.PHONY: check check-asan check-tsan check-long
check: $(filter $(BUILD)/%,$(TESTS_RUN)) $(if $(filter tests/%,$(TESTS_RUN)),all) $(if $(filter tools/%,$(TESTS_RUN)),$(EXAMPLES)) ## every test of the short tier; T=ring K='*wrap*' runs one
	$(Q)$(RUN_TESTS) $(TESTS_RUN)

check-asan: ## the short tier under AddressSanitizer, LeakSanitizer and UndefinedBehaviorSanitizer
	+$(Q)UBSAN_OPTIONS=print_stacktrace=1 EVB_TEST_TIMEOUT_SCALE=$${EVB_TEST_TIMEOUT_SCALE:-3} \
		$(MAKE) --no-print-directory BUILD=$(BUILD)-asan SAN=address,undefined check

# atexit_sleep_ms: by default every process ends with a second of sleep, and the exit test starts a hundred. setarch -R: ThreadSanitizer of older compilers does not start where the kernel scatters mappings over more than 28 bits.
check-tsan: ## the short tier under ThreadSanitizer, without one suppression
	+$(Q)TSAN_OPTIONS=halt_on_error=1:second_deadlock_stack=1:atexit_sleep_ms=20 EVB_TEST_TIMEOUT_SCALE=$${EVB_TEST_TIMEOUT_SCALE:-5} \
		$$(setarch -R true 2>/dev/null && echo setarch -R) $(MAKE) --no-print-directory BUILD=$(BUILD)-tsan SAN=thread check

check-long: ## the short tier with EVB_TEST_LONG=1: more rounds and seeds in the tests that ask for it
	+$(Q)EVB_TEST_LONG=1 EVB_TEST_TIMEOUT_SCALE=$${EVB_TEST_TIMEOUT_SCALE:-15} $(MAKE) --no-print-directory check

.PHONY: check-power
check-power: all ## the store on images of real file systems that lose power; needs root and loop devices, says what it skips
	$(Q)EVB_TEST_TIMEOUT_SCALE=$${EVB_TEST_TIMEOUT_SCALE:-15} $(RUN_TESTS) tests/power/loop_image.sh

# The explorer (check-model), the benches (bench, bench-peers) and the fuzz targets have rules of their own. They may use BUILD, SRCS, COMPILE, LINK, Q, say,
# ALIGN_LOOPS and $(BUILD)/libevbus.a.
-include tests/model/rules.mk
# What tests/model/seeded_queue_model.sh needs to compile a changed copy.
MODEL_ENV += EVB_BUILD='$(BUILD)' EVB_SINGLE_COMPILE='$(COMPILE) $(TEST_CPPFLAGS)' EVB_SINGLE_LINK='$(LINK) $(SINGLE_LINK)' EVB_SINGLE_OBJS='$(SINGLE_ALL)'
check-model-seeded: $(SINGLE_BIN)
-include tests/bench/rules.mk
-include tests/fuzz/rules.mk

# ---------------------------------------------------------------------------------------------------- examples

.PHONY: demo examples
demo: $(BUILD)/examples/flights ## the main job on real data: 20 000 flights through topics and listeners
	$(Q)$(BUILD)/examples/flights examples/data/flights.csv

examples: $(EXAMPLES) ## builds and runs every C example and compares what it prints
	$(Q)EVB_BUILD='$(BUILD)' tools/run_examples.sh

# ---------------------------------------------------------------------------------------------------- install, releases

.PHONY: install uninstall dist amalgamation
install: all $(BUILD)/evbus.pc ## headers, libraries and evbus.pc below PREFIX (DESTDIR, LIBDIR, INCLUDEDIR)
	$(Q)$(INSTALL) -d '$(DESTDIR)$(INCLUDEDIR)/evbus' '$(DESTDIR)$(LIBDIR)' '$(DESTDIR)$(PKGCONFIGDIR)'
	$(Q)$(INSTALL) -m 644 include/evbus.h '$(DESTDIR)$(INCLUDEDIR)'
	$(Q)$(INSTALL) -m 644 include/evbus/*.h '$(DESTDIR)$(INCLUDEDIR)/evbus'
	$(Q)$(INSTALL) -m 644 $(BUILD)/libevbus.a '$(DESTDIR)$(LIBDIR)'
	$(Q)$(INSTALL) -m 755 $(BUILD)/libevbus.so '$(DESTDIR)$(LIBDIR)/libevbus.so.$(VERSION)'
	$(Q)ln -sf libevbus.so.$(VERSION) '$(DESTDIR)$(LIBDIR)/$(SONAME)'
	$(Q)ln -sf $(SONAME) '$(DESTDIR)$(LIBDIR)/libevbus.so'
	$(Q)$(INSTALL) -m 644 $(BUILD)/evbus.pc '$(DESTDIR)$(PKGCONFIGDIR)'

uninstall: ## removes what install put there
	$(Q)rm -rf '$(DESTDIR)$(INCLUDEDIR)/evbus'
	$(Q)rm -f '$(DESTDIR)$(INCLUDEDIR)/evbus.h' '$(DESTDIR)$(PKGCONFIGDIR)/evbus.pc' '$(DESTDIR)$(LIBDIR)/libevbus.a' \
		'$(DESTDIR)$(LIBDIR)/libevbus.so' '$(DESTDIR)$(LIBDIR)/$(SONAME)' '$(DESTDIR)$(LIBDIR)/libevbus.so.$(VERSION)'

# Made anew each time: PREFIX may differ from the last call. Paths below the prefix are written relative to it.
below-prefix = $(patsubst $(PREFIX)/%,$${prefix}/%,$(1))
.PHONY: $(BUILD)/evbus.pc
$(BUILD)/evbus.pc: evbus.pc.in | $(BUILD)
	$(Q)sed -e 's|@PREFIX@|$(PREFIX)|' -e 's|@LIBDIR@|$(call below-prefix,$(LIBDIR))|' \
		-e 's|@INCLUDEDIR@|$(call below-prefix,$(INCLUDEDIR))|' -e 's|@VERSION@|$(VERSION)|' $< > $@

dist: | $(BUILD) ## build/evbus-VERSION.tar.gz from the last commit
	$(Q)git archive --format=tar --prefix=evbus-$(VERSION)/ HEAD | gzip -9n > $(BUILD)/evbus-$(VERSION).tar.gz
	@echo $(BUILD)/evbus-$(VERSION).tar.gz

amalgamation: ## build/amalgamation/evbus.c and evbus.h: the library as two files
	$(Q)tools/amalgamate.sh $(BUILD)/amalgamation
	@echo $(BUILD)/amalgamation/evbus.c $(BUILD)/amalgamation/evbus.h

# ---------------------------------------------------------------------------------------------------- house-keeping

.PHONY: help clean
help: ## this list
	@sed -n 's/^\([a-z][a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(filter-out %.d,$(MAKEFILE_LIST)) | expand -t 26
	@echo '  Variables: CC CFLAGS CPPFLAGS LDFLAGS WERROR= BUILD=dir V=1 PREFIX DESTDIR LIBDIR INCLUDEDIR'

clean: ## removes everything that was built
	$(Q)rm -rf $(BUILD) $(BUILD)-asan $(BUILD)-tsan $(BUILD)-clang $(BUILD)-fuzz

-include $(LIB_OBJS:.o=.d) $(PIC_OBJS:.o=.d) $(TESTLIB_OBJS:.o=.d) $(SUPPORT_OBJS:.o=.d) $(TEST_OBJS:.o=.d) $(SINGLE_OBJS:.o=.d)
-include $(EXAMPLE_SRCS:%.c=$(BUILD)/exobj/%.d)
