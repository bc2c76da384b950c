# SPDX-License-Identifier: MIT
# make bench, bench-peers, bench-icount. Included by the Makefile.
#
# ROUNDS=15   rounds; every case once in each, in a new order
# ONLY=emit/,match/1k  only cases whose name contains one of these
# NICE=-20    scheduling priority while measuring, where permitted: for a machine with other work on it
# BENCH_BATCH_MS=20 in the environment: the least time a number is made of
ROUNDS ?= 15
ONLY   ?=
NICE   ?=

BENCH_DIR     := $(BUILD)/bench
BENCH_JSON    ?= bench.json
bench-common  := $(BENCH_DIR)/obj/bench.o $(BENCH_DIR)/obj/bench_parallel.o
bench-samples := $(BENCH_DIR)/match-1k.txt $(BENCH_DIR)/match-100k.txt $(BENCH_DIR)/match-1M.txt
bench-own     := $(BENCH_DIR)/bench_emit $(BENCH_DIR)/bench_emit_so $(BENCH_DIR)/bench_threads $(BENCH_DIR)/bench_match
bench-own-run := $(BENCH_DIR)/bench_emit $(BENCH_DIR)/bench_emit_so $(BENCH_DIR)/bench_threads '$(BENCH_DIR)/bench_match $(BENCH_DIR)'

BENCH_RUN = $(BENCH_DIR)/bench_run -r '$(ROUNDS)' $(if $(ONLY),-k '$(ONLY)') $(if $(NICE),-n '$(NICE)') -o '$(BENCH_JSON)' \
	-i 'compiler $(shell $(CC) --version | head -n 1)' -i 'flags $(CFLAGS) $(REQ_CFLAGS), emit and raw loop: $(ALIGN_LOOPS)'

.PHONY: bench bench-peers bench-icount bench-smoke
bench: $(BENCH_DIR)/bench_run $(bench-own) $(bench-samples) ## our own numbers beside the raw loop, as a table and bench.json
	$(Q)$(BENCH_RUN) $(bench-own-run)

# Times of this mean nothing; that every case answers rightly does.
bench-smoke: $(BENCH_DIR)/bench_run $(bench-own) $(BENCH_DIR)/match-1k.txt ## every case of the bench once, for its result only, not its time
	$(Q)BENCH_BATCH_MS=1 $(BENCH_DIR)/bench_run -r 1 -k emit/,name/,handle/,threads/,churn/,onoff/,match/1k $(bench-own-run)

# ---------------------------------------------------------------------------------------------------- programs

$(BENCH_DIR)/obj/%.o: tests/bench/%.c $(BUILD)/flags
	$(call say,CC,$<)
	@mkdir -p $(@D)
	$(Q)$(COMPILE) -c $< -o $@

# The same source once more for the program that is linked with the shared library.
$(BENCH_DIR)/obj/bench_emit_so.o: tests/bench/bench_emit.c $(BUILD)/flags
	$(call say,CC,$<)
	@mkdir -p $(@D)
	$(Q)$(COMPILE) -DBENCH_SHARED '-DBENCH_IMPL="evbus.so"' -c $< -o $@

$(BENCH_DIR)/bench_run: $(addprefix $(BENCH_DIR)/obj/,bench_run.o bench_report.o bench_stats.o) $(bench-common)
$(BENCH_DIR)/bench_workload: $(BENCH_DIR)/obj/bench_workload.o
$(BENCH_DIR)/bench_emit: $(BENCH_DIR)/obj/bench_emit.o $(BENCH_DIR)/obj/bench_raw.o $(bench-common) $(BUILD)/libevbus.a
$(BENCH_DIR)/bench_threads: $(BENCH_DIR)/obj/bench_threads.o $(bench-common) $(BUILD)/libevbus.a
$(BENCH_DIR)/bench_match: $(BENCH_DIR)/obj/bench_match.o $(BENCH_DIR)/obj/workload.o $(bench-common) $(BUILD)/libevbus.a
$(BENCH_DIR)/bench_run $(BENCH_DIR)/bench_workload $(BENCH_DIR)/bench_emit $(BENCH_DIR)/bench_threads $(BENCH_DIR)/bench_match:
	$(call say,LD,$@)
	$(Q)$(LINK) $^ $(LDLIBS) -o $@

$(BENCH_DIR)/bench_emit_so: $(BENCH_DIR)/obj/bench_emit_so.o $(bench-common) $(BUILD)/libevbus.so
	$(call say,LD,$@)
	$(Q)$(LINK) -Wl,-rpath,'$$ORIGIN/..' $^ $(LDLIBS) -o $@

$(BENCH_DIR)/match-1k.txt: bench-patterns := 1000
$(BENCH_DIR)/match-100k.txt: bench-patterns := 100000
$(BENCH_DIR)/match-1M.txt: bench-patterns := 1000000
$(bench-samples): $(BENCH_DIR)/bench_workload
	$(call say,GEN,$@)
	$(Q)$< $(bench-patterns) $@

# ---------------------------------------------------------------------------------------------------- peers

# Looked for only when they are asked for. A peer that is not there is said by name and why, in the table and in bench.json.
ifneq ($(filter bench-peers,$(MAKECMDGOALS)),)

CXX ?= c++
bench-cxx := $(CXX) -std=c++17 -O2 -g -Wall -Wextra -pthread
bench-has  = $(shell pkg-config --exists $(1) 2>/dev/null && echo yes)
# Foreign headers are not held to our warnings.
bench-pkg-cflags = $(patsubst -I%,-isystem%,$(shell pkg-config --cflags $(1)))
bench-hash := \#
bench-have-cxx := $(shell echo 'int main() { return 0; }' | $(bench-cxx) -x c++ - -o /dev/null 2>/dev/null && echo yes)
bench-have-boost := $(shell echo '$(bench-hash)include <boost/signals2.hpp>' | $(bench-cxx) -x c++ -fsyntax-only - 2>/dev/null && echo yes)
bench-sigcpp := $(if $(bench-have-cxx),$(firstword $(foreach p,sigc++-3.0 sigc++-2.0,$(if $(call bench-has,$p),$p))))
bench-mosquitto := $(shell echo '$(bench-hash)include <mosquitto.h>' | $(CC) -x c -fsyntax-only - 2>/dev/null && echo yes)
# Debian's golang-github-nats-io-nats-server-dev puts the source here; GONATS names another GOPATH that has it.
GONATS ?= /usr/share/gocode
bench-nats-src := $(wildcard $(GONATS)/src/github.com/nats-io/nats-server/server/sublist.go)
bench-have-go  := $(shell command -v go 2>/dev/null)

bench-peer-bins := $(if $(call bench-has,gobject-2.0),$(BENCH_DIR)/peer_gsignal) $(if $(bench-have-boost),$(BENCH_DIR)/peer_signals2) \
	$(if $(bench-sigcpp),$(BENCH_DIR)/peer_sigcpp) $(if $(bench-mosquitto),$(BENCH_DIR)/peer_mosquitto) \
	$(if $(bench-nats-src),$(if $(bench-have-go),$(BENCH_DIR)/peer_nats))
bench-peer-run := $(filter-out %peer_mosquitto %peer_nats,$(bench-peer-bins)) \
	$(foreach p,$(filter %peer_mosquitto %peer_nats,$(bench-peer-bins)),'$p $(BENCH_DIR)') \
	$(if $(shell command -v node 2>/dev/null),'node tests/bench/peer_node.js')
bench-missing := $(if $(call bench-has,gobject-2.0),,-m 'GLib GSignal: pkg-config does not know gobject-2.0') \
	$(if $(bench-have-boost),,-m 'Boost.Signals2: no C++ compiler with boost/signals2.hpp') \
	$(if $(bench-sigcpp),,-m 'libsigc++: no C++ compiler, or pkg-config knows neither sigc++-3.0 nor sigc++-2.0') \
	$(if $(bench-mosquitto),,-m 'libmosquitto: no mosquitto.h') \
	$(if $(bench-nats-src),$(if $(bench-have-go),,-m 'NATS sublist: no go'),-m 'NATS sublist: no source under GONATS=$(GONATS)') \
	$(if $(shell command -v node 2>/dev/null),,-m 'Node EventEmitter: no node')

$(BENCH_DIR)/peer_gsignal: tests/bench/peer_gsignal.c $(bench-common)
	$(call say,CC,$<)
	$(Q)$(COMPILE) $(call bench-pkg-cflags,gobject-2.0) $(LDFLAGS) $(filter %.c %.o,$^) $(shell pkg-config --libs gobject-2.0) -o $@

$(BENCH_DIR)/peer_mosquitto: tests/bench/peer_mosquitto.c $(BENCH_DIR)/obj/workload.o $(bench-common)
	$(call say,CC,$<)
	$(Q)$(COMPILE) $(LDFLAGS) $(filter %.c %.o,$^) -lmosquitto -o $@

$(BENCH_DIR)/peer_signals2: tests/bench/peer_signals2.cpp $(bench-common)
	$(call say,CXX,$<)
	$(Q)$(bench-cxx) $(LDFLAGS) $(filter %.cpp %.o,$^) -o $@

$(BENCH_DIR)/peer_sigcpp: tests/bench/peer_sigcpp.cpp $(bench-common)
	$(call say,CXX,$<)
	$(Q)$(bench-cxx) $(call bench-pkg-cflags,$(bench-sigcpp)) $(LDFLAGS) $(filter %.cpp %.o,$^) $(shell pkg-config --libs $(bench-sigcpp)) -o $@

# The package is built as it is installed, offline, with one file of ours laid over it (tests/bench/nats/export.go says why).
$(BENCH_DIR)/peer_nats: tests/bench/nats/main.go tests/bench/nats/export.go
	$(call say,GO,$<)
	@mkdir -p $(@D)
	@echo '{"Replace": {"$(dir $(bench-nats-src))evbus_bench_export.go": "$(abspath tests/bench/nats/export.go)"}}' \
		> $(BENCH_DIR)/overlay.json
	$(Q)GO111MODULE=off GOFLAGS= GOPATH='$(GONATS)' GOCACHE='$(abspath $(BENCH_DIR)/gocache)' \
		go build -overlay $(BENCH_DIR)/overlay.json -o $@ tests/bench/nats/main.go

bench-peers: $(BENCH_DIR)/bench_run $(bench-own) $(bench-peer-bins) $(bench-samples)
	$(Q)$(BENCH_RUN) $(bench-missing) $(bench-own-run) $(bench-peer-run)
endif
bench-peers: ## the same beside the peers that are installed, interleaved in one run

# ---------------------------------------------------------------------------------------------------- instructions

bench-icount: $(BENCH_DIR)/bench_emit ## instructions of one emit and of the raw loop, counted by callgrind
	$(Q)tests/bench/icount.sh $(BENCH_DIR)/bench_emit

-include $(wildcard $(BENCH_DIR)/obj/*.d $(BENCH_DIR)/*.d)
