/* SPDX-License-Identifier: MIT */
/* The matching workload: patterns, topics, and what each topic must match, made once as a text file that
 * every program reads, in whatever language it is written.
 *
 *      patterns 1000 topics 200000
 *      site07.line42.dev0123.ch17          1000 lines, dots, `*` and `>`
 *      ...
 *      site07.line42.dev0123.ch17 1 634    200000 lines: topic, number of matching patterns, sum of their
 * numbers (from 1)
 *
 * The expected columns come from an oracle that shares nothing with any matcher under test
 * (bench_workload.c). Topics are walked in the order of the file, so that a topic comes again only after all
 * the others: it is cold.
 */
#ifndef BENCH_WORKLOAD_H
#define BENCH_WORKLOAD_H

#include <stdbool.h>
#include <stdint.h>

struct workload {
    uint32_t patterns, topics;
    char **pattern, **topic;
    uint64_t *count_before, *sum_before; /* [i] = of all topics before i; one more entry than topics */
    char *text;
};

bool workload_load(struct workload *w, const char *path);
void workload_free(struct workload *w);

/* What n topics from `first` on (wrapping round) must have matched. */
void workload_expect(const struct workload *w, uint64_t first, uint64_t n, uint64_t *ret_count,
                     uint64_t *ret_sum);

#endif
