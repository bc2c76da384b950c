/* SPDX-License-Identifier: MIT */
/* The cases that every store is measured by, ours and the peers', so that all do the same work.
 *
 * A store is a table of calls (struct store_system). What is appended, how often, by how many threads
 * and what a scan has to find is decided in bench_store_run.c.
 *
 *      store/durable/1     one event of 100 bytes an append, safe on the disk when the call returns
 *      store/durable/100   100 of them an append
 *      store/durable/t16   16 threads, each waits for its own
 *      store/kill/...      the same, safe from kill -9 but not from a power cut
 *      store/scan/100, 1k  every event of a log of BENCH_STORE_MB (64), warm
 *      store/open/kill     open after kill -9 with a log of that size, in a new process
 *
 * Every measurement of an append begins with an empty store in BENCH_STORE_DIR (build/bench/store),
 * which has to be on the disk that is meant, and removes it; what is read is made once and kept until
 * the end. BENCH_STORE_MS is the least time of an append measurement. Threads: those of one measurement.
 */
#ifndef BENCH_STORE_H
#define BENCH_STORE_H

#include "bench.h"

#ifdef __cplusplus
extern "C" {
#endif

#define STORE_SMALL   100
#define STORE_LARGE   1024
#define STORE_MANY    100 /* events of an append that has many */
#define STORE_THREADS 16
#define STORE_STREAMS 100 /* that the events of a log are dealt to */

enum { STORE_DURABLE, STORE_KILL, STORE_MEM, STORE_INTERVAL, STORE_UNSAFE /* to fill a log quickly */ };

struct store_scan {
    uint64_t events, bytes, sum; /* sum: of the first byte of each */
};

struct store_system {
    const char *impl;
    /* dir is there. NULL: *ret_why says why it cannot be. */
    void *(*open)(const char *dir, uint32_t level, const char **ret_why);
    /* n events of this size, each data, as one append; which: of the thread, 0 to 15. */
    bool (*append)(void *store, uint32_t which, const void *data, uint32_t size, uint32_t n);
    /* All events in their order, each looked at. */
    bool (*scan)(void *store, struct store_scan *ret);
    bool (*sync)(void *store); /* all is safe on the disk */
    void (*close)(void *store);
};

/* Appends at a level: store/durable or store/kill, 1, 100 and 16 threads. */
void store_add_appends(const struct store_system *system, uint32_t level);
/* One event an append under a name of its own, by 16 threads if that ends in /t16. */
void store_add_append(const struct store_system *system, const char *name, uint32_t level);
void store_add_scans(const struct store_system *system);
/* Open after kill -9. */
void store_add_open(const struct store_system *system);

/* Instead of bench_main: also serves the processes that are to be killed. */
int store_main(int argc, char **argv);

/* ---- for cases of one store only ---- */

const char *store_dir(char *buf, size_t size, const char *name); /* made, empty */
const char *store_path(char *buf, size_t size, const char *name);
void store_remove(const char *dir);
uint64_t store_megabytes(void);
int64_t store_batch_ns(void);
/* The log of that event size, made if it is not there, opened; NULL and why. */
void *store_log(const struct store_system *system, uint32_t size, uint64_t *ret_events);
/* How often an event of this size is in it. */
uint64_t store_log_events(uint32_t size);

#ifdef __cplusplus
}
#endif
#endif
