# SPDX-License-Identifier: MIT
# check-model: the interleaving explorer (explore.h) on itself and on the shipped source.
#
#   selftest_*.c   the explorer checked: litmus tests, rings, locks, exact counts
#   shapes_*.c     programs over a unit: files of the shipped source, compiled unchanged through the seams
#   bugs/*.patch   seeded bugs of those files; seeded_*.sh apply each to a copy and want it found
#
# A new unit: its sources in MODEL_UNIT_<name>, its shapes in shapes_<name>.c.

# The whole bus, without a store.
MODEL_BUS_ITSELF := tests/model/no_store.c src/store/turns.c $(sort $(wildcard src/bus/*.c src/topic/*.c))
# And what its shapes share.
MODEL_BUS := tests/model/bus_shape.c src/base/opts.c src/base/reader.c $(MODEL_BUS_ITSELF)

MODEL_UNIT_reader   := src/base/reader.c
MODEL_UNIT_bus_call := $(MODEL_BUS)
MODEL_UNIT_bus_free := $(MODEL_BUS)
MODEL_UNIT_bus_wait := $(MODEL_BUS)
MODEL_UNIT_request  := $(MODEL_BUS)
MODEL_UNITS         := reader bus_call bus_free bus_wait request ring_spsc ring_seq ring_swap ring_wait \
	pool_strand pool_idle pool_lock queue_bias queue_credit queue_mailbox queue_wake \
	store_turns

# The rings, whole, for each of their units.
MODEL_RING := src/base/opts.c src/base/reader.c $(sort $(wildcard src/ring/*.c))

MODEL_UNIT_ring_spsc := $(MODEL_RING)
MODEL_UNIT_ring_seq  := $(MODEL_RING)
MODEL_UNIT_ring_swap := $(MODEL_RING)
MODEL_UNIT_ring_wait := $(MODEL_RING)

# Their shapes contain the files that they are about: strand.c; pool.c, timer.c and worker.c; lock.c.
MODEL_UNIT_pool_strand := src/base/reader.c src/ring/eventcount.c
MODEL_UNIT_pool_idle   := $(MODEL_RING) src/pool/wheel.c
MODEL_UNIT_pool_lock   := src/ring/eventcount.c

# Headers, which stand in their shapes.
MODEL_UNIT_queue_bias    := src/base/reader.c
MODEL_UNIT_queue_credit  := src/base/reader.c
MODEL_UNIT_queue_mailbox := $(MODEL_RING)

# Stands in its shapes, and needs nothing else.
MODEL_UNIT_store_turns := src/base/reader.c

# A whole queue on a bus; three of its files stand in its shapes.
MODEL_UNIT_queue_wake := $(MODEL_RING) $(MODEL_BUS_ITSELF) \
	$(filter-out $(addprefix src/queue/,intake.c pull.c worker.c),$(sort $(wildcard src/queue/*.c)))

# Test code in gnu11 (statement expressions), without -Wpedantic. The slots are few and shallow, so that a pass over them stays short.
MODEL_CPPFLAGS := -DEVB__EXPLORE -DEVB_DEBUG -DEVB__READER_DEPTHS=2 -DEVB__READER_STATIC=4 -DEVB__RING_NEAR_THREADS=4 -DEVB__LOCAL_CAPACITY=4u -DEVB__REQUEST_TURNS=0u -D_GNU_SOURCE -Iinclude
MODEL_CFLAGS    = -std=gnu11 -pthread -Wall -Wextra -Wno-ignored-qualifiers $(WERROR) -O2 -g
MODEL_COMPILE   = $(CC) $(MODEL_CPPFLAGS) $(MODEL_CFLAGS)

MODEL_DIR   := $(BUILD)/model
MODEL_LIB   := $(MODEL_DIR)/libexplore.a
MODEL_BINS  := $(patsubst tests/model/%.c,$(BUILD)/tests/%,$(sort $(wildcard tests/model/selftest_*.c tests/model/shapes_*.c)))
MODEL_ENGINE_OBJS := $(patsubst tests/model/%.c,$(MODEL_DIR)/tests/model/%.o,$(sort $(wildcard tests/model/explore*.c)))
MODEL_SRCS  := $(sort $(foreach u,$(MODEL_UNITS),$(MODEL_UNIT_$u)))

$(MODEL_DIR)/%.o: %.c $(BUILD)/flags tests/model/rules.mk
	$(call say,CC model,$<)
	@mkdir -p $(@D)
	$(Q)$(MODEL_COMPILE) -Isrc -Itests/model $(if $(findstring /explore,$@),-O3) -MMD -MP -c $< -o $@

$(MODEL_LIB): $(MODEL_ENGINE_OBJS)
	@rm -f $@
	$(Q)$(AR) rcs $@ $^

$(BUILD)/tests/selftest_%: $(MODEL_DIR)/tests/model/selftest_%.o $(MODEL_LIB)
	$(call say,LD,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(MODEL_CFLAGS) $^ -o $@

define model-unit
$(BUILD)/tests/shapes_$(1): $(MODEL_DIR)/tests/model/shapes_$(1).o $(patsubst %.c,$(MODEL_DIR)/%.o,$(MODEL_UNIT_$(1))) $(MODEL_LIB)
	$$(call say,LD,$$@)
	@mkdir -p $$(@D)
	$$(Q)$$(CC) $$(MODEL_CFLAGS) $$^ -o $$@
endef
$(foreach u,$(MODEL_UNITS),$(eval $(call model-unit,$u)))

# What seeded_*.sh need to compile a changed copy: the command, and for each unit its sources.
MODEL_ENV = EVB_MODEL_COMPILE='$(MODEL_COMPILE)' EVB_MODEL_DIR='$(MODEL_DIR)' \
	$(foreach u,$(MODEL_UNITS),EVB_MODEL_UNIT_$u='$(MODEL_UNIT_$u)')

# Two halves, so that make -j runs them side by side: neither looks at a clock.
MODEL_RUN_SHAPES := $(strip $(call chosen,$(MODEL_BINS)))
MODEL_RUN_SEEDED := $(strip $(call chosen,$(sort $(wildcard tests/model/seeded_*.sh))))

.PHONY: check-model check-model-shapes check-model-seeded
check-model: $(if $(MODEL_RUN_SHAPES),check-model-shapes) $(if $(MODEL_RUN_SEEDED),check-model-seeded) ## the interleaving explorer: every schedule within bounds, and seeded bugs that it must find
	@$(if $(MODEL_RUN_SHAPES)$(MODEL_RUN_SEEDED),:,echo 'no such test: $T'; exit 1)
check-model-shapes: $(MODEL_BINS)
	$(Q)EVB_TEST_TIMEOUT_SCALE=$${EVB_TEST_TIMEOUT_SCALE:-5} $(RUN_TESTS) $(MODEL_RUN_SHAPES)
check-model-seeded: $(MODEL_BINS)
	$(Q)EVB_TEST_TIMEOUT_SCALE=$${EVB_TEST_TIMEOUT_SCALE:-5} $(MODEL_ENV) $(RUN_TESTS) $(MODEL_RUN_SEEDED)

-include $(MODEL_ENGINE_OBJS:.o=.d) $(MODEL_SRCS:%.c=$(MODEL_DIR)/%.d)
-include $(patsubst $(BUILD)/tests/%,$(MODEL_DIR)/tests/model/%.d,$(MODEL_BINS))
