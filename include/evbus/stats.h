/* SPDX-License-Identifier: MIT */
/* evbus/stats.h: counters, Prometheus text and pictures of a running bus.
 *
 * Status of this part: 0.1.0 has evb_sub_stats. The other calls are declared, exported and answer EVB_ENOTSUP;
 * the text says what they will do.
 *
 * GUARANTEES
 * - The conservation law holds in every copy of a subscription's counters: enqueued = acked + dead_lettered +
 *   expired + dropped + conflated + purged + discarded + ready + delayed + in_flight.
 * - Counters never fall: what a subscription counted stays in the bus' totals when it is gone.
 * - Looking is short: a subscription's counters are copied under its lock, which no user code holds.
 *
 * WHAT IT DOES NOT DO
 * - It does not serve HTTP: hand the text to your own server. It keeps no history.
 * - Events that only listeners get are not counted: counting would cost more than calling.
 *
 * CAVEATS
 * - Different counters of one copy may be a few events apart, but for the law above.
 * - Latencies are sampled, one event in 64.
 * - fork, signals, threads, exit, dlclose: as in base.h.
 *
 * A PROGRAM
 *
 *     #include <evbus/stats.h>
 *     #include <stdio.h>
 *
 *     int main(void)
 *     {
 *         evb_stats stats = { 0 };
 *         evb_bus *bus;
 *
 *         if (evb_bus_create(NULL, &bus) < 0) return 1;
 *         stats.struct_size = sizeof stats;
 *         if (evb_bus_stats(bus, &stats) == EVB_OK)
 *             printf("%u listeners\n", (unsigned)stats.listeners);
 *         evb_bus_destroy(bus);
 *         return 0;
 *     }
 */
#ifndef EVBUS_STATS_H
#define EVBUS_STATS_H

#include <evbus/bus.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A bus at one moment. */
typedef struct evb_stats {
    uint32_t struct_size;   /* set by the caller: sizeof(evb_stats) */
    uint32_t listeners;     /* live, monitors included */
    uint32_t topics;        /* that have a handle or a listener of their own */
    uint32_t subscriptions; /* groups */
    uint32_t workers;       /* threads of its pool */
    uint32_t busy_workers;  /* that run something now */
    uint64_t published;     /* events accepted; those that only listeners get are not counted */
    uint64_t unroutable;    /* publishes that nobody matched */
    uint64_t deduplicated;  /* publishes recognised as duplicates */
    uint64_t errors;        /* non-zero returns of listeners and failed attempts of handlers */
    uint64_t memory_bytes;  /* in use by this bus */
} evb_stats;

/* A subscription at one moment. The conservation law is about enqueued to in_flight. */
typedef struct evb_queue_stats {
    uint32_t struct_size;   /* set by the caller: sizeof(evb_queue_stats) */
    uint32_t capacity;      /* events */
    uint64_t enqueued;      /* accepted, redriven ones again */
    uint64_t acked;         /* done */
    uint64_t dead_lettered; /* given up */
    uint64_t expired;       /* too old */
    uint64_t dropped;       /* lost to the overflow policy */
    uint64_t conflated;     /* replaced by a newer one */
    uint64_t purged;        /* by evb_sub_purge */
    uint64_t discarded;     /* when the last member left, or the bus was destroyed */
    uint64_t ready;         /* now: wait for a consumer, or behind others of their key */
    uint64_t delayed;       /* now: wait for a delay or a retry */
    uint64_t in_flight;     /* now: handed out, not settled */
    uint64_t delivered;     /* attempts begun */
    uint64_t redelivered;   /* of these with attempt above 1 */
    uint64_t nacked;        /* attempts failed */
    uint64_t released;      /* attempts given back */
    uint64_t stale;         /* settlements that came too late */
    uint64_t dlq_depth;     /* now: dead letters */
    uint64_t oldest_age_ns; /* now: age of the oldest ready event */
    uint64_t lag;           /* now, durable: positions between the cursor and the end of the store */
} evb_queue_stats;

/* Copies the counters of a bus.
 *
 * Parameters: bus: not NULL. ret_stats: not NULL; struct_size set, 0 = the first release's.
 * Returns: EVB_OK.
 * Ownership: a copy.
 * Threads: any thread.
 * Cost: does not block; does not allocate; no system calls.
 * Errors: EVB_EINVAL: a NULL argument. EVB_ECLOSED: destroyed. EVB_EFORKED: made before fork.
 * Status: not in 0.1.0: answers EVB_ENOTSUP, nothing happens.
 * Since: 0.1.0
 */
EVB_API int32_t evb_bus_stats(evb_bus *bus, evb_stats *ret_stats);

/* Copies the counters of a subscription.
 *
 * Parameters: sub: not NULL. ret_stats: not NULL; struct_size set, 0 = the first release's.
 * Returns: EVB_OK.
 * Ownership: a copy.
 * Threads: any thread.
 * Cost: does not block; does not allocate; may make system calls (a clock, for the age).
 * Errors: EVB_EINVAL: a NULL argument. EVB_ECLOSED: the bus was destroyed. EVB_EFORKED: made before fork.
 * Since: 0.1.0
 */
EVB_API int32_t evb_sub_stats(evb_sub *sub, evb_queue_stats *ret_stats);

/* Writes all metrics of a bus as Prometheus text, format 0.0.4. Labels are topic patterns and subscription
 * names, never keys or ids.
 *
 * Parameters: bus: not NULL. buf: cap bytes; NULL only when cap is 0.
 * Returns: bytes needed, without the NUL.
 * Ownership: nothing changes hands.
 * Threads: any thread.
 * Cost: does not block; may allocate; may make system calls (a clock).
 * Errors: EVB_EINVAL: a NULL argument. EVB_ENOMEM: no memory. EVB_ECLOSED: destroyed. EVB_EFORKED: made
 *   before fork.
 * Status: not in 0.1.0: answers EVB_ENOTSUP, nothing happens.
 * Since: 0.1.0
 */
EVB_API int64_t evb_metrics_text(evb_bus *bus, char *buf, size_t cap);

/* Draws who talks to whom, as a digraph for Graphviz: topics, subscriptions, dead-letter queues, patterns on
 * the edges.
 *
 * Parameters: bus: not NULL. buf: cap bytes; NULL only when cap is 0.
 * Returns: bytes needed, without the NUL.
 * Ownership: nothing changes hands.
 * Threads: any thread.
 * Cost: does not block; may allocate; may make system calls (a clock).
 * Errors: EVB_EINVAL: a NULL argument. EVB_ENOMEM: no memory. EVB_ECLOSED: destroyed. EVB_EFORKED: made
 *   before fork.
 * Status: not in 0.1.0: answers EVB_ENOTSUP, nothing happens.
 * Since: 0.1.0
 */
EVB_API int64_t evb_bus_dot(evb_bus *bus, char *buf, size_t cap);

#ifdef __cplusplus
}
#endif

#endif
