/* SPDX-License-Identifier: MIT */
/* References and goals of the rows store/WHAT/HOW: as bench_stats.c for the others. */
#include "bench_stats.h"

#include <string.h>

static bool starts(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

/* Bare system calls where they do the same; else our own row that differs in one thing. */
struct bench_row *stats_store_reference(struct bench_report *r, const struct bench_row *row)
{
    static const struct {
        const char *prefix, *name, *impl;
    } others[] = {
        {"store/version/", "store/kill/1", "evbus"},   {"store/interval/", "store/kill/1", "evbus"},
        {"store/mem/", "store/kill/1", "evbus"},       {"store/stream/", "store/scan/100", "evbus"},
        {"store/pattern/", "store/scan/100", "evbus"}, {"store/follow/", "store/follow/kill", "pipe"},
        {"store/open/", "store/open/kill", "sqlite"}};

    for (uint32_t i = 0; i < sizeof others / sizeof others[0]; i++)
        if (starts(row->name, others[i].prefix)) return report_find(r, others[i].name, others[i].impl);
    return report_find(r, row->name, "raw");
}

struct bench_goal stats_store_goal(struct bench_report *r, const struct bench_row *row, uint32_t which)
{
    const struct bench_goal none = {.known = false};

    if (strcmp(row->impl, "evbus") != 0) return none;
    if (starts(row->name, "store/scan/"))
        return which == 0
                   ? stats_goal_from(r, row, report_find(r, row->name, "sqlite"), 1.0 / 3, 0, "SQLite / 3")
                   : stats_goal_from(r, row, report_find(r, row->name, "lmdb"), 1, 0, "LMDB");
    if (which > 0) return none;
    if (strcmp(row->name, "store/durable/t16") == 0)
        return stats_goal_from(r, row, report_find(r, row->name, "raw"), 1.0 / 6, 0, "raw / 6");
    if (starts(row->name, "store/durable/"))
        return stats_goal_from(r, row, report_find(r, row->name, "raw"), 1 / 0.9, 0, "raw / 0.9");
    if (starts(row->name, "store/kill/"))
        return stats_goal_from(r, row, report_find(r, row->name, "sqlite"), 0.1, 0, "SQLite NORMAL / 10");
    if (strcmp(row->name, "store/open/kill") == 0 && row->extras > 0 &&
        stats_of(&row->extra[0], r->rounds).median >= 1024)
        return stats_goal_fixed(r, row, 100e6, "1 GB");
    return none;
}
