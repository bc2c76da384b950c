/* SPDX-License-Identifier: MIT */
/* References and goals of the ring rows, ring/SHAPE/MODE/BYTES[/...]: as bench_stats.c for the others. */
#include "bench_stats.h"

#include <stdio.h>
#include <string.h>

static bool starts(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

static bool ends(const char *text, const char *suffix)
{
    size_t size = strlen(text), n = strlen(suffix);

    return size >= n && strcmp(text + size - n, suffix) == 0;
}

/* The same case of another mode, measured by impl: references stand once, in one mode. */
static struct bench_row *in_mode(struct bench_report *r, const struct bench_row *row, const char *mode,
                                 const char *impl)
{
    const char *shape = row->name + 5, *old = strchr(shape, '/'), *rest;
    char name[64];

    if (old == NULL || (rest = strchr(old + 1, '/')) == NULL) return NULL;
    snprintf(name, sizeof name, "ring/%.*s/%s%s", (int)(old - shape), shape, mode, rest);
    return report_find(r, name, impl);
}

struct bench_row *stats_ring_reference(struct bench_report *r, const struct bench_row *row)
{
    bool spsc = strstr(row->name, "/spsc/") != NULL;

    if (starts(row->name, "ring/pingpong/")) return report_find(r, "ring/pingpong/spsc/8", "raw");
    if (starts(row->name, "ring/batch/")) return in_mode(r, row, spsc ? "spsc" : "mpmc", "dpdk");
    if (ends(row->name, "/block")) return in_mode(r, row, "mpmc", "mutex");
    if (spsc) return report_find(r, row->name, "rigtorp");
    return in_mode(r, row, "mpmc", "vyukov");
}

/* Our row of the other progress class, or the one that does not block. */
static struct bench_row *sibling(struct bench_report *r, const struct bench_row *row, const char *impl)
{
    char name[48];

    snprintf(name, sizeof name, "%s%s", impl, ends(row->impl, ".so") ? ".so" : "");
    return report_find(r, row->name, name);
}

static struct bench_row *without_block(struct bench_report *r, const struct bench_row *row)
{
    char name[48];

    snprintf(name, sizeof name, "%.*s", (int)(strlen(row->name) - strlen("/block")), row->name);
    return report_find(r, name, row->impl);
}

static struct bench_goal of_pair(struct bench_report *r, const struct bench_row *row, uint32_t which)
{
    const struct bench_goal none = {.known = false};

    if (ends(row->name, "/block") && which == 0)
        return stats_goal_from(r, row, without_block(r, row), 1, 1.2, "try_ + 2 x 0.6 ns");
    if (!starts(row->impl, "evbus-lf") || !starts(row->name, "ring/pair/mpmc/")) return none;
    if (strcmp(row->name, "ring/pair/mpmc/8") == 0 && which == 0)
        return stats_goal_from(r, row, sibling(r, row, "evbus-seq"), 2.1, 0, "sequenced x 2.1");
    if (strcmp(row->name, "ring/pair/mpmc/8") == 0 ||
        (strcmp(row->name, "ring/pair/mpmc/16") == 0 && which == 0))
        return stats_goal_fixed(r, row, 12, "class");
    if (strcmp(row->name, "ring/pair/mpmc/64") == 0 && which == 0)
        return stats_goal_from(r, row, sibling(r, row, "evbus-seq"), 2, 0, "sequenced x 2");
    return none;
}

static struct bench_goal of_one_to_one(struct bench_report *r, const struct bench_row *row, uint32_t which)
{
    const struct bench_goal none = {.known = false};

    if (strcmp(row->name, "ring/1-1/spsc/8/spin") == 0 && starts(row->impl, "evbus-ptr") && which == 0)
        return stats_goal_from(r, row, report_find(r, row->name, "rigtorp"), 1.0 / 3, 0, "rigtorp / 3");
    if (strcmp(row->name, "ring/1-1/mpmc/8/block") == 0 && starts(row->impl, "evbus-lf") && which == 0)
        return stats_goal_fixed(r, row, 25, "40 M/s");
    if (!starts(row->impl, "evbus-seq") || !ends(row->name, "/8/spin") || strstr(row->name, "/spmc/") != NULL)
        return none;
    if (which == 0)
        return stats_goal_from(r, row, in_mode(r, row, "mpmc", "vyukov"), 1 / 0.95, 0, "Vyukov / 0.95");
    return stats_goal_from(r, row, in_mode(r, row, "mpmc", "rigtorp"), 0.25, 0, "rigtorp / 4");
}

struct bench_goal stats_ring_goal(struct bench_report *r, const struct bench_row *row, uint32_t which)
{
    const struct bench_goal none = {.known = false};

    if (starts(row->name, "ring/pair/")) return of_pair(r, row, which);
    if (starts(row->name, "ring/1-1/")) return of_one_to_one(r, row, which);
    if (which > 0) return none;
    if (starts(row->name, "ring/batch/spsc/") && starts(row->impl, "evbus-val"))
        return stats_goal_from(r, row, report_find(r, row->name, "dpdk"), 1, 0, "DPDK SP/SC");
    if (strcmp(row->name, "ring/4-4/mpmc/8/block") == 0)
        return stats_goal_from(r, row, report_find(r, row->name, "mutex"), 0.1, 0, "mutex / 10");
    if (strcmp(row->name, "ring/pingpong/spsc/8") == 0)
        return stats_goal_from(r, row, report_find(r, row->name, "raw"), 1.15, 0, "raw x 1.15");
    return none;
}
