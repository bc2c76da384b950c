/* SPDX-License-Identifier: MIT */
/* flights_workers.h: what `--workers N` changes in flights.c: an airport's listener becomes a queue, and
 * malformed rows become dead letters.
 *
 * One queue for each airport, not one table for each worker: a queue with concurrency 1 never runs its
 * handler twice at once, whichever of the N threads runs it, so the sums of an airport need no lock, exactly
 * as the listener's did, and nothing has to be merged in the end. (Partial results for each worker would need
 * a table of airports in each of them, an event for each row of it at the end, and somebody who knows when
 * the end is.)
 *
 * Backpressure: each queue is bounded, and a reader that is ahead of a full one waits in its emit.
 *
 * Introduces: evb_subscribe with a handler, EVB_OVERFLOW_BLOCK, evb_publish with EVB_MANDATORY, EVB_REJECT,
 * evb_bus_drain, evb_dlq_count, evb_dlq_browse, evb_unsubscribe.
 */
#ifndef FLIGHTS_WORKERS_H
#define FLIGHTS_WORKERS_H

#include <evbus.h>

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    WORKERS_MAX = 48,        /* what a pool may have (evbus/pool.h) */
    AIRPORT_QUEUE = 64,      /* flights of one airport that may wait: how far ahead the reader gets */
    MALFORMED_KEPT = 100000, /* dead letters; the oldest give way to newer ones */
    MALFORMED_TEXT = 64      /* of a reason, NUL included */
};

/* The payload of a malformed row. Text, not a pointer to it: a queue keeps what it was given, and nothing
 * behind a pointer. */
typedef struct malformed {
    int64_t line;
    char reason[MALFORMED_TEXT];
} malformed;

/* 1 to 48 in decimal; 0 when it is not. */
static uint32_t parse_workers(const char *text)
{
    uint32_t n = 0;
    if (text == NULL || *text == '\0') return 0;
    for (; *text != '\0'; text++) {
        if (*text < '0' || *text > '9') return 0;
        n = n * 10 + (uint32_t)(*text - '0');
        if (n > WORKERS_MAX) return 0;
    }
    return n;
}

/* The handler runs on a worker, one at a time. The bus keeps the subscription: nobody needs its handle, and
 * free_user gives the sums back when the bus is destroyed. */
static int32_t queue_airport(evb_bus *bus, const char *pattern, evb_handler handler, void *user)
{
    evb_sub_opts opts = {
        .handler = handler,
        .user = user,
        .free_user = free,
        .capacity = AIRPORT_QUEUE,
        .overflow = EVB_OVERFLOW_BLOCK,
    };
    return evb_subscribe(bus, pattern, &opts, NULL);
}

static int32_t reject_row(const evb_event *ev, void *user)
{
    (void)ev;
    (void)user;
    return EVB_REJECT; /* no second attempt would make it better: a dead letter at once */
}

static int32_t queue_malformed(evb_bus *bus, evb_sub **ret_sub)
{
    evb_set_log(NULL, NULL, EVB_LOG_ERROR); /* no warning for each dead letter: they are listed at the end */
    evb_sub_opts opts = {
        .name = "malformed rows",
        .handler = reject_row,
        .overflow = EVB_OVERFLOW_BLOCK,
        .dlq_capacity = MALFORMED_KEPT,
    };
    return evb_subscribe(bus, "row.malformed", &opts, ret_sub);
}

static int32_t publish_malformed(evb_bus *bus, int64_t line, const char *reason)
{
    malformed row = {.line = line};
    snprintf(row.reason, sizeof row.reason, "%s", reason);
    int32_t reached =
        evb_publish(bus, "row.malformed", &row, sizeof row, &(evb_publish_opts){.flags = EVB_MANDATORY});
    return reached < 0 ? reached : EVB_OK;
}

/* The lines that flights prints as it reads when it has no workers. */
static int32_t print_dead_letter(const evb_event *ev, const evb_death *death, void *user)
{
    const malformed *row = ev->data;
    const char *const *file = user;
    (void)death; /* "rejected", after 1 attempt: as the handler said */
    fprintf(stderr, "%s:%" PRId64 ": %s\n", *file, row->line, row->reason);
    return 0; /* non-zero would end the walk */
}

static int32_t list_malformed(evb_sub *sub, const char *file, int64_t published)
{
    int64_t kept = evb_dlq_count(sub);
    if (kept < 0) return (int32_t)kept;
    if (kept < published)
        fprintf(stderr, "%s: only the last %" PRId64 " of %" PRId64 " malformed rows were kept\n", file, kept,
                published);
    return evb_dlq_browse(sub, print_dead_letter, &file);
}

#endif
