/* SPDX-License-Identifier: MIT */
/* The conservation law of queues, as every test of them asserts it:
 *
 *      enqueued = acked + dead_lettered + expired + dropped + conflated + purged + discarded
 *                 + ready + delayed + in_flight
 *
 * Threads: any.
 */
#ifndef EVB_TEST_QUEUE_LAW_H
#define EVB_TEST_QUEUE_LAW_H

#include <evbus.h>

/* Copies the counters of a subscription, checks the law and what else must hold in every copy, and
 * answers the copy: EQ(assert_law(sub).acked, 3). */
#define assert_law(sub) queue_law_at((sub), __FILE__, __LINE__)

/* Nothing has happened to the subscription since `before` was copied; stale settlements count as
 * nothing. */
#define NOTHING_CHANGED(sub, before) queue_unchanged_at((sub), &(before), __FILE__, __LINE__)

evb_queue_stats queue_law_at(evb_sub *sub, const char *file, int line);
void queue_unchanged_at(evb_sub *sub, const evb_queue_stats *before, const char *file, int line);

/* Checks a copy that was made elsewhere. */
void queue_law_of(const evb_queue_stats *s, const char *file, int line);

/* Accepted and not yet gone. */
uint64_t queue_held(const evb_queue_stats *s);

#endif
