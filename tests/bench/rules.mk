# SPDX-License-Identifier: MIT
# make bench, bench-peers, bench-icount. Included by the Makefile.
#
# ROUNDS=15   rounds; every case once in each, in a new order
# ONLY=emit/,match/1k  only cases whose "NAME BY" contains one of these: ONLY=ring/ the rings, ONLY=queue/ the queues, ONLY='ring/1-1/mpmc/8/block evbus-lf' one row
# NICE=-20    scheduling priority while measuring, where permitted: for a machine with other work on it
# BENCH_BATCH_MS=20 in the environment: the least time a number is made of
ROUNDS ?= 15
ONLY   ?=
NICE   ?=
# STORE_MB=64  the log that the store's scans and openings read; STORE_MB=1024 is the size that the goals are about
# STORE_DIR=   where its files go: on the disk that is meant
STORE_MB  ?= 64
STORE_DIR ?= $(BUILD)/bench/store
export BENCH_STORE_MB = $(STORE_MB)
export BENCH_STORE_DIR = $(STORE_DIR)

BENCH_DIR     := $(BUILD)/bench
BENCH_JSON    ?= bench.json
bench-common  := $(BENCH_DIR)/obj/bench.o $(BENCH_DIR)/obj/bench_parallel.o
bench-samples := $(BENCH_DIR)/match-1k.txt $(BENCH_DIR)/match-100k.txt $(BENCH_DIR)/match-1M.txt
bench-flow    := $(bench-common) $(BENCH_DIR)/obj/bench_flow.o
bench-post    := $(bench-common) $(BENCH_DIR)/obj/bench_queue.o
bench-rings   := $(BENCH_DIR)/bench_ring $(BENCH_DIR)/bench_ring_so
bench-work    := $(bench-common) $(BENCH_DIR)/obj/bench_pool_run.o
bench-files   := $(bench-common) $(BENCH_DIR)/obj/bench_store_run.o
bench-own     := $(BENCH_DIR)/bench_emit $(BENCH_DIR)/bench_emit_so $(BENCH_DIR)/bench_threads $(BENCH_DIR)/bench_match $(bench-rings) \
	$(BENCH_DIR)/bench_pool
bench-own-run := $(BENCH_DIR)/bench_emit $(BENCH_DIR)/bench_emit_so $(BENCH_DIR)/bench_threads '$(BENCH_DIR)/bench_match $(BENCH_DIR)' $(bench-rings) \
	$(BENCH_DIR)/bench_pool
bench-own     += $(BENCH_DIR)/bench_queue
bench-own-run += $(BENCH_DIR)/bench_queue
bench-own     += $(BENCH_DIR)/bench_store
bench-own-run += $(BENCH_DIR)/bench_store

BENCH_RUN = $(BENCH_DIR)/bench_run -r '$(ROUNDS)' $(if $(ONLY),-k '$(ONLY)') $(if $(NICE),-n '$(NICE)') -o '$(BENCH_JSON)' \
	-i 'compiler $(shell $(CC) --version | head -n 1)' -i 'flags $(CFLAGS) $(REQ_CFLAGS), emit and raw loop: $(ALIGN_LOOPS)'

.PHONY: bench bench-peers bench-icount bench-smoke
bench: $(BENCH_DIR)/bench_run $(bench-own) $(bench-samples) ## our own numbers beside the raw loop, as a table and bench.json
	$(Q)$(BENCH_RUN) $(bench-own-run)

# Times of this mean nothing; that every case answers rightly does.
bench-smoke: $(BENCH_DIR)/bench_run $(bench-own) $(BENCH_DIR)/match-1k.txt ## every case of the bench once, for its result only, not its time
	$(Q)BENCH_BATCH_MS=1 BENCH_STORE_MB=1 $(BENCH_DIR)/bench_run -r 1 -k emit/,name/,handle/,threads/,churn/,onoff/,match/1k,ring/,pool/,queue/,store/ $(bench-own-run)

# ---------------------------------------------------------------------------------------------------- programs

$(BENCH_DIR)/obj/%.o: tests/bench/%.c $(BUILD)/flags
	$(call say,CC,$<)
	@mkdir -p $(@D)
	$(Q)$(COMPILE) -c $< -o $@

# The same source once more for the programs that are linked with the shared library.
$(BENCH_DIR)/obj/%_so.o: tests/bench/%.c $(BUILD)/flags
	$(call say,CC,$<)
	@mkdir -p $(@D)
	$(Q)$(COMPILE) -DBENCH_SHARED '-DBENCH_IMPL="evbus.so"' '-DBENCH_IMPL_END=".so"' -c $< -o $@

$(BENCH_DIR)/bench_run: $(addprefix $(BENCH_DIR)/obj/,bench_run.o bench_report.o bench_stats.o bench_stats_ring.o bench_stats_queue.o bench_stats_store.o) $(bench-common)
$(BENCH_DIR)/bench_workload: $(BENCH_DIR)/obj/bench_workload.o
$(BENCH_DIR)/bench_emit: $(BENCH_DIR)/obj/bench_emit.o $(BENCH_DIR)/obj/bench_raw.o $(bench-common) $(BUILD)/libevbus.a
$(BENCH_DIR)/bench_threads: $(BENCH_DIR)/obj/bench_threads.o $(bench-common) $(BUILD)/libevbus.a
$(BENCH_DIR)/bench_match: $(BENCH_DIR)/obj/bench_match.o $(BENCH_DIR)/obj/workload.o $(bench-common) $(BUILD)/libevbus.a
$(BENCH_DIR)/bench_ring: $(addprefix $(BENCH_DIR)/obj/,bench_ring.o bench_ring_refs.o) $(bench-flow) $(BUILD)/libevbus.a
$(BENCH_DIR)/bench_pool: $(BENCH_DIR)/obj/bench_pool.o $(bench-work) $(BUILD)/libevbus.a
$(BENCH_DIR)/bench_queue: $(addprefix $(BENCH_DIR)/obj/,bench_queue_bus.o bench_queue_idle.o bench_queue_mutex.o) $(bench-post) $(BUILD)/libevbus.a
$(BENCH_DIR)/bench_store: $(addprefix $(BENCH_DIR)/obj/,bench_store.o bench_store_own.o bench_store_raw.o) $(bench-files) $(BUILD)/libevbus.a
$(addprefix $(BENCH_DIR)/,bench_run bench_workload bench_emit bench_threads bench_match bench_ring bench_pool bench_queue bench_store):
	$(call say,LD,$@)
	$(Q)$(LINK) $^ $(LDLIBS) -o $@

$(BENCH_DIR)/bench_emit_so: $(BENCH_DIR)/obj/bench_emit_so.o $(bench-common) $(BUILD)/libevbus.so
$(BENCH_DIR)/bench_ring_so: $(BENCH_DIR)/obj/bench_ring_so.o $(bench-flow) $(BUILD)/libevbus.so
$(BENCH_DIR)/bench_emit_so $(BENCH_DIR)/bench_ring_so:
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

# ---- peers of the rings

bench-header-c   = $(shell echo '$(bench-hash)include <$(1)>' | $(CC) -x c -fsyntax-only - 2>/dev/null && echo yes)
bench-header-cxx = $(shell echo '$(bench-hash)include <$(1)>' | $(bench-cxx) $(CPPFLAGS) -x c++ -fsyntax-only - 2>/dev/null && echo yes)
bench-debian     = $(or $(shell dpkg-query -W -f '$${Version}' $(1) 2>/dev/null),unknown)
# Debian's libdisruptor-java puts it here; DISRUPTOR names another jar. rigtorp's headers have no package: clone both repositories and
# give CPPFLAGS='-isystem dir/SPSCQueue/include -isystem dir/MPMCQueue/include'.
DISRUPTOR ?= /usr/share/java/disruptor.jar
bench-ck        := $(call bench-header-c,ck_ring.h)
bench-dpdk      := $(call bench-has,libdpdk)
bench-lockfree  := $(call bench-header-cxx,boost/lockfree/queue.hpp)
bench-tbb       := $(if $(bench-have-cxx),$(call bench-has,tbb))
bench-rwq       := $(call bench-header-cxx,readerwriterqueue/readerwritercircularbuffer.h)
bench-cq        := $(call bench-header-cxx,concurrentqueue/blockingconcurrentqueue.h)
bench-rig-spsc  := $(call bench-header-cxx,rigtorp/SPSCQueue.h)
bench-rig-mpmc  := $(call bench-header-cxx,rigtorp/MPMCQueue.h)
bench-javac     := $(shell command -v javac 2>/dev/null)
bench-disruptor := $(if $(bench-javac),$(wildcard $(DISRUPTOR)))

bench-ring-bins := $(if $(bench-ck),$(BENCH_DIR)/peer_ck) $(if $(bench-dpdk),$(BENCH_DIR)/peer_dpdk) \
	$(if $(bench-lockfree),$(BENCH_DIR)/peer_lockfree) $(if $(bench-tbb),$(BENCH_DIR)/peer_tbb) \
	$(if $(bench-rwq)$(bench-cq),$(BENCH_DIR)/peer_moodycamel) $(if $(bench-rig-spsc)$(bench-rig-mpmc),$(BENCH_DIR)/peer_rigtorp)
bench-ring-run := $(bench-ring-bins) $(if $(bench-disruptor),'java -Dbench.disruptor=$(call bench-debian,libdisruptor-java) -cp $(DISRUPTOR):$(BENCH_DIR)/java PeerDisruptor')
bench-missing += $(if $(bench-ck),,-m 'Concurrency Kit: no ck_ring.h') \
	$(if $(bench-dpdk),,-m 'DPDK rte_ring: pkg-config does not know libdpdk') \
	$(if $(bench-lockfree),,-m 'Boost.Lockfree: no C++ compiler with boost/lockfree/queue.hpp') \
	$(if $(bench-tbb),,-m 'oneTBB: no C++ compiler, or pkg-config does not know tbb') \
	$(if $(bench-rwq),,-m 'readerwriterqueue: no readerwriterqueue/readerwritercircularbuffer.h') \
	$(if $(bench-cq),,-m 'concurrentqueue: no concurrentqueue/blockingconcurrentqueue.h') \
	$(if $(bench-rig-spsc),,-m 'rigtorp SPSCQueue: no rigtorp/SPSCQueue.h in the include path (CPPFLAGS=-isystem dir)') \
	$(if $(bench-rig-mpmc),,-m 'rigtorp MPMCQueue: no rigtorp/MPMCQueue.h in the include path (CPPFLAGS=-isystem dir)') \
	$(if $(bench-disruptor),,-m 'LMAX Disruptor: no javac, or no jar DISRUPTOR=$(DISRUPTOR)')

$(BENCH_DIR)/peer_ck: tests/bench/peer_ck.c $(bench-flow)
	$(call say,CC,$<)
	$(Q)$(COMPILE) '-DBENCH_CK_VERSION="$(or $(shell pkg-config --modversion ck 2>/dev/null),unknown)"' $(LDFLAGS) $(filter %.c %.o,$^) -o $@

# gnu11: its headers use GNU keywords. -march of its own .pc file: they use SSE4 beyond the x86-64 base.
$(BENCH_DIR)/peer_dpdk: tests/bench/peer_dpdk.c $(bench-flow)
	$(call say,CC,$<)
	$(Q)$(COMPILE) -std=gnu11 $(call bench-pkg-cflags,libdpdk) $(LDFLAGS) $(filter %.c %.o,$^) \
		$(shell pkg-config --libs-only-L libdpdk) -lrte_ring -lrte_eal -o $@

$(BENCH_DIR)/peer_lockfree $(BENCH_DIR)/peer_tbb $(BENCH_DIR)/peer_moodycamel $(BENCH_DIR)/peer_rigtorp: $(BENCH_DIR)/%: tests/bench/%.cpp $(bench-flow) \
		tests/bench/bench_flow.h tests/bench/bench_flow_loops.h
	$(call say,CXX,$<)
	$(Q)$(bench-cxx) $(CPPFLAGS) $(bench-flags-$*) $(LDFLAGS) $(filter %.cpp %.o,$^) $(bench-libs-$*) -o $@
bench-libs-peer_tbb = $(shell pkg-config --libs tbb)
bench-flags-peer_tbb = $(call bench-pkg-cflags,tbb)
bench-flags-peer_moodycamel = '-DBENCH_RWQ_VERSION="$(call bench-debian,libreaderwriterqueue-dev)"' \
	'-DBENCH_CQ_VERSION="$(call bench-debian,libconcurrentqueue-dev)"'

$(BENCH_DIR)/java/PeerDisruptor.class: tests/bench/PeerDisruptor.java
	$(call say,JAVAC,$<)
	@mkdir -p $(@D)
	$(Q)javac -cp '$(DISRUPTOR)' -d $(@D) $<

# ---- peers of the queues

bench-zmq := $(call bench-has,libzmq)
bench-nng := $(call bench-header-c,nng/nng.h)

bench-queue-bins := $(if $(bench-zmq),$(BENCH_DIR)/peer_zmq) $(if $(bench-nng),$(BENCH_DIR)/peer_nng)
bench-missing += $(if $(bench-zmq),,-m 'ZeroMQ: pkg-config does not know libzmq') $(if $(bench-nng),,-m 'nng: no nng/nng.h')

$(BENCH_DIR)/peer_zmq: tests/bench/peer_zmq.c $(bench-post)
	$(call say,CC,$<)
	$(Q)$(COMPILE) $(call bench-pkg-cflags,libzmq) $(LDFLAGS) $(filter %.c %.o,$^) $(shell pkg-config --libs libzmq) -o $@

$(BENCH_DIR)/peer_nng: tests/bench/peer_nng.c $(bench-post)
	$(call say,CC,$<)
	$(Q)$(COMPILE) $(LDFLAGS) $(filter %.c %.o,$^) -lnng -o $@

# ---- peers of the store

bench-sqlite  := $(call bench-header-c,sqlite3.h)
bench-lmdb    := $(call bench-header-c,lmdb.h)
bench-leveldb := $(call bench-header-c,leveldb/c.h)
bench-rocksdb := $(call bench-header-c,rocksdb/c.h)

bench-store-bins := $(if $(bench-sqlite),$(BENCH_DIR)/peer_sqlite) $(if $(bench-lmdb),$(BENCH_DIR)/peer_lmdb) \
	$(if $(bench-leveldb),$(BENCH_DIR)/peer_leveldb) $(if $(bench-rocksdb),$(BENCH_DIR)/peer_rocksdb)
bench-missing += $(if $(bench-sqlite),,-m 'SQLite: no sqlite3.h') $(if $(bench-lmdb),,-m 'LMDB: no lmdb.h') \
	$(if $(bench-leveldb),,-m 'LevelDB: no leveldb/c.h') $(if $(bench-rocksdb),,-m 'RocksDB: no rocksdb/c.h')

$(BENCH_DIR)/peer_sqlite: tests/bench/peer_sqlite.c $(bench-files)
	$(call say,CC,$<)
	$(Q)$(COMPILE) $(LDFLAGS) $(filter %.c %.o,$^) -lsqlite3 -o $@

$(BENCH_DIR)/peer_lmdb: tests/bench/peer_lmdb.c $(bench-files)
	$(call say,CC,$<)
	$(Q)$(COMPILE) $(LDFLAGS) $(filter %.c %.o,$^) -llmdb -o $@

$(BENCH_DIR)/peer_leveldb: tests/bench/peer_leveldb.c $(bench-files)
	$(call say,CC,$<)
	$(Q)$(COMPILE) '-DBENCH_DB_VERSION="$(call bench-debian,libleveldb-dev)"' $(LDFLAGS) $(filter %.c %.o,$^) -lleveldb -o $@

# The same source: RocksDB's calls are LevelDB's under another name. Its header is not held to our warnings.
$(BENCH_DIR)/peer_rocksdb: tests/bench/peer_leveldb.c $(bench-files)
	$(call say,CC,$<)
	$(Q)$(COMPILE) -DBENCH_ROCKSDB '-DBENCH_DB_VERSION="$(call bench-debian,librocksdb-dev)"' $(LDFLAGS) $(filter %.c %.o,$^) -lrocksdb -o $@

# ---- peers of the pools

bench-glib := $(call bench-has,glib-2.0)
bench-uv   := $(call bench-has,libuv)
bench-asio := $(or $(call bench-header-cxx,asio.hpp),$(call bench-header-cxx,boost/asio.hpp))

bench-pool-bins := $(if $(bench-glib),$(BENCH_DIR)/peer_pool_glib) $(if $(bench-uv),$(BENCH_DIR)/peer_pool_uv) \
	$(if $(bench-tbb),$(BENCH_DIR)/peer_pool_tbb) $(if $(bench-asio),$(BENCH_DIR)/peer_pool_asio)
# libuv's pool has one size a process.
bench-pool-run := $(filter-out %_uv,$(bench-pool-bins)) $(foreach p,$(filter %_uv,$(bench-pool-bins)),'$p 1' '$p 2' '$p 4') \
	$(if $(bench-javac),'java -cp $(BENCH_DIR)/java PeerPool')
bench-missing += $(if $(bench-glib),,-m 'GLib GThreadPool: pkg-config does not know glib-2.0') \
	$(if $(bench-uv),,-m 'libuv: pkg-config does not know libuv') \
	$(if $(bench-asio),,-m 'Asio: no C++ compiler with asio.hpp or boost/asio.hpp') \
	$(if $(bench-javac),,-m 'ForkJoinPool and the executors of Java: no javac')

$(BENCH_DIR)/peer_pool_glib: tests/bench/peer_pool_glib.c $(bench-work)
	$(call say,CC,$<)
	$(Q)$(COMPILE) $(call bench-pkg-cflags,glib-2.0) $(LDFLAGS) $(filter %.c %.o,$^) $(shell pkg-config --libs glib-2.0) -o $@

$(BENCH_DIR)/peer_pool_uv: tests/bench/peer_pool_uv.c $(bench-work)
	$(call say,CC,$<)
	$(Q)$(COMPILE) $(call bench-pkg-cflags,libuv) $(LDFLAGS) $(filter %.c %.o,$^) $(shell pkg-config --libs libuv) -o $@

$(BENCH_DIR)/peer_pool_tbb $(BENCH_DIR)/peer_pool_asio: $(BENCH_DIR)/%: tests/bench/%.cpp $(bench-work) tests/bench/bench_pool.h
	$(call say,CXX,$<)
	$(Q)$(bench-cxx) $(CPPFLAGS) $(bench-flags-$*) $(LDFLAGS) $(filter %.cpp %.o,$^) $(bench-libs-$*) -o $@
bench-libs-peer_pool_tbb = $(shell pkg-config --libs tbb)
bench-flags-peer_pool_tbb = $(call bench-pkg-cflags,tbb)

$(BENCH_DIR)/java/PeerPool.class: tests/bench/PeerPool.java
	$(call say,JAVAC,$<)
	@mkdir -p $(@D)
	$(Q)javac -d $(@D) $<

bench-peers: $(BENCH_DIR)/bench_run $(bench-own) $(bench-peer-bins) $(bench-ring-bins) $(bench-queue-bins) $(bench-store-bins) $(bench-pool-bins) \
		$(if $(bench-disruptor),$(BENCH_DIR)/java/PeerDisruptor.class) $(if $(bench-javac),$(BENCH_DIR)/java/PeerPool.class) $(bench-samples)
	$(Q)$(BENCH_RUN) $(bench-missing) $(bench-own-run) $(bench-peer-run) $(bench-ring-run) $(bench-queue-bins) $(bench-store-bins) $(bench-pool-run)
endif
bench-peers: ## the same beside the peers that are installed, interleaved in one run

# ---------------------------------------------------------------------------------------------------- instructions

bench-icount-rings := $(foreach c,spsc/8@evbus-ptr spsc/8@evbus-ptr.inl spsc/8@evbus-val spsc/8@evbus-val.inl spsc/64@evbus-val spsc/8/block@evbus-val \
	mpmc/8@evbus-lf mpmc/64@evbus-lf mpmc/8/block@evbus-lf mpsc/8@evbus-lf spmc/8@evbus-lf \
	mpmc/8@evbus-seq mpmc/64@evbus-seq mpmc/8/block@evbus-seq mpsc/8@evbus-seq spmc/8@evbus-seq mpmc/8@vyukov,$(subst @, ,ring/pair/$c))
bench-icount-queues := $(foreach c,evbus evbus-emit evbus-name evbus-many evbus-key evbus-next evbus-take mutex,queue/one-64/16 $c)

bench-icount: $(BENCH_DIR)/bench_emit $(BENCH_DIR)/bench_ring $(BENCH_DIR)/bench_queue ## instructions of an emit, the raw loop, a push and a pop, a queued event, counted by callgrind
	$(Q)$(if $(findstring /,$(ONLY)),:,tests/bench/icount.sh $(BENCH_DIR)/bench_emit)
	$(Q)$(if $(findstring queue/,$(ONLY)),:,tests/bench/icount.sh $(BENCH_DIR)/bench_ring $(bench-icount-rings))
	$(Q)$(if $(findstring ring/,$(ONLY)),:,tests/bench/icount.sh $(BENCH_DIR)/bench_queue $(bench-icount-queues))

-include $(wildcard $(BENCH_DIR)/obj/*.d $(BENCH_DIR)/*.d)
