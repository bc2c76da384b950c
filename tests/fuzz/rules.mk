# SPDX-License-Identifier: MIT
# Fuzz targets of the store's decoders (fuzz.h). test_store_fuzz runs all of them, in `make check`; `make fuzz` gives them to libFuzzer.

FUZZ_SRCS    := $(filter-out tests/fuzz/libfuzzer.c,$(sort $(wildcard tests/fuzz/*.c)))
FUZZ_OBJS    := $(FUZZ_SRCS:%.c=$(BUILD)/testobj/%.o)
FUZZ_TARGETS := meta segment frame event decl heads idx snapshot store
SECONDS      ?= 60

$(BUILD)/tests/test_store_fuzz: $(FUZZ_OBJS)

# A tree of its own, built by clang.
FUZZ_CHOSEN := $(if $(T),$(filter $(T),$(FUZZ_TARGETS)),$(FUZZ_TARGETS))
.PHONY: fuzz
fuzz: ## libFuzzer with clang: make fuzz T=frame SECONDS=60; without T every target in turn. What it finds lands in build-fuzz
	@command -v clang >/dev/null || { echo 'make fuzz needs clang'; exit 1; }
	@[ -n '$(FUZZ_CHOSEN)' ] || { echo 'no such target: $T (there are: $(FUZZ_TARGETS))'; exit 1; }
	+$(Q)$(MAKE) --no-print-directory BUILD=$(BUILD)-fuzz CC=clang SAN=address,undefined,fuzzer-no-link \
		$(FUZZ_CHOSEN:%=$(BUILD)-fuzz/fuzz/%)
	$(Q)for t in $(FUZZ_CHOSEN); do mkdir -p $(BUILD)-fuzz/corpus/$$t && echo "fuzz $$t, $(SECONDS) s" && \
		$(BUILD)-fuzz/fuzz/$$t -max_total_time=$(SECONDS) -max_len=16384 -rss_limit_mb=4096 -print_final_stats=1 -verbosity=0 \
		-artifact_prefix=$(BUILD)-fuzz/$$t- $(BUILD)-fuzz/corpus/$$t tests/fuzz/corpus/$$t || exit 1; done

FUZZ_SUPPORT := $(filter $(BUILD)/testobj/tests/support/fault_fs%,$(SUPPORT_OBJS))
$(BUILD)/fuzz/%: tests/fuzz/libfuzzer.c $(FUZZ_OBJS) $(FUZZ_SUPPORT) $(BUILD)/testlib/libevbus.a
	$(call say,LD,$@)
	@mkdir -p $(@D)
	$(Q)$(COMPILE) -fsanitize=fuzzer -DFUZZ_TARGET=fuzz_$* -Itests/fuzz $^ -o $@

-include $(FUZZ_OBJS:.o=.d)
