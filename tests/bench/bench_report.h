/* SPDX-License-Identifier: MIT */
/* What the runner collected, and how it is shown: a table for people, bench.json for programs.
 *
 * A row is one case of one implementation with one number a round. Ratios are made round by round, between
 * numbers taken within the same round, and their median is shown: what disturbs a whole round then cancels
 * out. Threads: one.
 */
#ifndef BENCH_REPORT_H
#define BENCH_REPORT_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#define ROWS_MAX   1024
#define ROUNDS_MAX 101
#define ROW_EXTRAS 8
#define NOTES_MAX  64

struct bench_series {
    char name[24];
    double value[ROUNDS_MAX]; /* NAN: not measured in that round */
};

struct bench_row {
    char name[40], impl[24];
    uint32_t program, every;
    struct bench_series ns;
    uint32_t extras;
    struct bench_series extra[ROW_EXTRAS];
    double busy;      /* sum over the measurements */
    uint32_t crowded; /* rounds without a number: the threads never had their CPUs at the same time */
    char wrong[160], skip[160];
};

struct bench_report {
    uint32_t rounds;
    uint64_t seed;
    uint32_t rows;
    struct bench_row row[ROWS_MAX];
    uint32_t notes; /* KEY VALUE: machine, compiler, versions */
    char note[NOTES_MAX][256];
    uint32_t missing; /* peers that are not installed */
    char missing_text[NOTES_MAX][256];
};

struct bench_row *report_find(struct bench_report *r, const char *name, const char *impl);
void report_print(struct bench_report *r, FILE *out);
bool report_write_json(struct bench_report *r, const char *path);
uint32_t report_wrong(const struct bench_report *r); /* rows with a wrong result */

#endif
