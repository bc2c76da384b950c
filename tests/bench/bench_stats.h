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
/* The row that this one is compared with by its nature (raw loop, one thread, by handle), or NULL. */
struct bench_row *stats_reference(struct bench_report *r, const struct bench_row *row);
struct bench_goal stats_goal(struct bench_report *r, const struct bench_row *row);

#endif
