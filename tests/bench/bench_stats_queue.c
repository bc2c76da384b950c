/* SPDX-License-Identifier: MIT */
/* References and goals of the rows queue/SHAPE/BYTES: as bench_stats.c for the others. */
#include "bench_stats.h"

#include <string.h>

static bool starts(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

/* ZeroMQ in the form that does the same: a pipeline, or publish and subscribe where everybody gets all. */
struct bench_row *stats_queue_reference(struct bench_report *r, const struct bench_row *row)
{
    struct bench_row *pipeline = report_find(r, row->name, "zmq");

    return pipeline != NULL ? pipeline : report_find(r, row->name, "zmq-pubsub");
}

struct bench_goal stats_queue_goal(struct bench_report *r, const struct bench_row *row, uint32_t which)
{
    const struct bench_goal none = {.known = false};

    if (which > 0) return none;
    if (strcmp(row->name, "queue/idle/4") == 0) return stats_goal_fixed(r, row, 0, "wake-ups");
    if (strcmp(row->impl, "evbus") != 0) return none;
    if (strcmp(row->name, "queue/1-1/16") == 0)
        return stats_goal_from(r, row, stats_queue_reference(r, row), 0.25, 0, "ZeroMQ / 4");
    if (strcmp(row->name, "queue/1-1/1k") == 0)
        return stats_goal_from(r, row, stats_queue_reference(r, row), 1.0 / 6, 0, "ZeroMQ / 6");
    if (starts(row->name, "queue/one-") && strstr(row->name, "/16") != NULL)
        return stats_goal_fixed(r, row, 20, "CPU");
    return none;
}
