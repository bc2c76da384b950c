/* SPDX-License-Identifier: MIT */
/* The recorder: clocks, fences and one array a thread. */
#include "history.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/platform.h"

/* ThreadSanitizer does not know stand-alone fences. A read-modify-write of a variable of the thread's own
 * orders the processor's accesses alike on x86 and tells the sanitizer nothing, which is what a fence of the
 * recorder has to tell it. */
static void full_fence(void)
{
#if EVB__TSAN
    static _Thread_local atomic_int own;

    (void)atomic_fetch_add_explicit(&own, 1, memory_order_seq_cst);
#else
    atomic_thread_fence(memory_order_seq_cst);
#endif
}

/* Not the library's clock, which a test may have replaced. */
static int64_t now(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

int64_t history_start(void)
{
    int64_t t = now();

    full_fence();
    return t;
}

int64_t history_end(void)
{
    full_fence();
    return now();
}

void history_log_init(struct history_log *log, uint16_t thread, size_t limit)
{
    struct history_op *ops = malloc(2 * limit * sizeof *ops);

    if (ops == NULL) {
        fputs("history: out of memory\n", stderr);
        abort();
    }
    memset(ops, 1, 2 * limit * sizeof *ops);
    *log = (struct history_log){.ops = ops, .limit = limit, .thread = thread};
}

void history_log_clear(struct history_log *log)
{
    log->count = log->succeeded = log->overflow = 0;
    log->row = 0;
}

void history_log_free(struct history_log *log)
{
    free(log->ops);
    *log = (struct history_log){.ops = NULL};
}

void history_add(struct history_log *log, int kind, int result, uint64_t value, int64_t start, int64_t end)
{
    if (result != HISTORY_OK) {
        uint64_t row = ++log->row;

        if ((row & (row - 1)) != 0 || log->count - log->succeeded == log->limit) return;
    } else {
        log->row = 0;
        if (log->succeeded == log->limit) {
            log->overflow++;
            return;
        }
        log->succeeded++;
    }
    log->ops[log->count++] = (struct history_op){.value = value,
                                                 .start = start,
                                                 .end = end,
                                                 .thread = log->thread,
                                                 .kind = (uint8_t)kind,
                                                 .result = (uint8_t)result};
}

struct history_op *history_join(const struct history_log *logs, size_t n, size_t *ret_count)
{
    size_t count = 0, at = 0;
    struct history_op *ops;

    for (size_t i = 0; i < n; i++)
        count += logs[i].count;
    ops = malloc((count + 1) * sizeof *ops);
    if (ops == NULL) {
        fputs("history: out of memory\n", stderr);
        abort();
    }
    for (size_t i = 0; i < n; i++) {
        if (logs[i].count == 0) continue;
        memcpy(ops + at, logs[i].ops, logs[i].count * sizeof *ops);
        at += logs[i].count;
    }
    *ret_count = count;
    return ops;
}
