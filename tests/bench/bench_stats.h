/* SPDX-License-Identifier: MIT */
/* Numbers out of a report: median, least, most, ratios within rounds, goals. */
#ifndef BENCH_STATS_H
#define BENCH_STATS_H

#include "bench_report.h"

struct bench_summary {
    uint32_t samples;
    double median, min, max;
};

struct bench_goal {
    bool known;
    double ns;   /* median over the rounds in which both sides were measured */
    double over; /* how far the row is above it in the same rounds, median; negative = reached */
    char text[64];
};

struct bench_summary stats_of(const struct bench_series *s, uint32_t rounds);
/* Median over rounds of a / b; NAN when they share no round. */
double stats_ratio(const struct bench_series *a, const struct bench_series *b, uint32_t rounds);
/* Our own row of the same case: the one that `to evbus` divides by, or NULL. */
struct bench_row *stats_ours(struct bench_report *r, const struct bench_row *row);
/* The row that this one is compared with by its nature (raw loop, one thread, by handle), or NULL. */
struct bench_row *stats_reference(struct bench_report *r, const struct bench_row *row);
/* A row has up to STATS_GOALS goals; `which` counts them. */
#define STATS_GOALS 2
struct bench_goal stats_goal(struct bench_report *r, const struct bench_row *row, uint32_t which);
/* goal = factor x other + plus, round by round. Unknown when other is NULL or shares no round. */
struct bench_goal stats_goal_from(const struct bench_report *r, const struct bench_row *row,
                                  const struct bench_row *other, double factor, double plus,
                                  const char *text);
struct bench_goal stats_goal_fixed(const struct bench_report *r, const struct bench_row *row, double ns,
                                   const char *text);

/* The rows of the rings: bench_stats_ring.c. */
struct bench_row *stats_ring_reference(struct bench_report *r, const struct bench_row *row);
struct bench_goal stats_ring_goal(struct bench_report *r, const struct bench_row *row, uint32_t which);
/* The rows of the queues: bench_stats_queue.c. */
struct bench_row *stats_queue_reference(struct bench_report *r, const struct bench_row *row);
struct bench_goal stats_queue_goal(struct bench_report *r, const struct bench_row *row, uint32_t which);
/* The rows of the store: bench_stats_store.c. */
struct bench_row *stats_store_reference(struct bench_report *r, const struct bench_row *row);
struct bench_goal stats_store_goal(struct bench_report *r, const struct bench_row *row, uint32_t which);

#endif
