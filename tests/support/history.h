/* SPDX-License-Identifier: MIT */
/* Recorded histories of a bounded FIFO queue, and the judge of them.
 *
 * A history is what the threads saw of a queue from outside: operation, value, answer, and two readings of
 * one clock, before and after. Nothing is known about the inside, so the judge works for every queue. It
 * looks for the four ways in which a history with unique values can fail to be that of an atomic queue
 * (Henzinger, Sezgin, Vafeiadis, "Aspect-oriented linearizability proofs", CONCUR 2013): a value from
 * nowhere, a value twice, values out of order, an EMPTY that has no moment; and in the same manner for
 * capacity: a FULL that has no moment, more inside than fit.
 *
 * Two operations are ordered when one ended before the other started, or when one thread did both, in its
 * order; else they may have taken place either way. From the clock alone follows at every moment t:
 *   surely inside     pushed before t, its pop not yet started
 *   possibly inside   its push started, its pop not yet ended
 *
 *   INVENTED        a value came out that nobody pushed with success
 *   DEQ_BEFORE_ENQ  a pop ended before the push of its value started
 *   DUPLICATED      a value came out a second time
 *   LOST            drained, and a value did not come out
 *   ORDER           a pushed before b, b popped before a; or b popped and a never, unless drained or lossy
 *   WRONG_EMPTY     at every moment of the operation some value was surely inside
 *   WRONG_FULL      at no moment of the operation were `capacity` values possibly inside
 *   OVERFULL        more than `capacity` values were surely inside
 *   WRONG_CLOSED    CLOSED was answered before a close had started; a pop answered CLOSED though at every
 *                   moment of it some value was surely inside; a push succeeded that started after a close
 *                   had ended or CLOSED had been answered; a pop succeeded that started after a pop had
 *                   answered CLOSED
 *   UNUSABLE        the history itself is wrong: a value pushed twice, an end before its start
 *
 * Exactness: without a capacity, OK and EMPTY answers are judged exactly (nothing missed, no false alarm).
 * FULL, OVERFULL, CLOSED and the weak answers are necessary conditions: no false alarm, but a combination of
 * several answers that is impossible only together may pass.
 *
 * HISTORY_WEAK forgives what a slot-sequence ring may answer (ring.h, EVB_RING_SEQUENCED), no more:
 *   EMPTY at a moment when the oldest value may still be on its way in: some successful push is in progress,
 *         and no value that is surely inside was pushed before that push started;
 *   FULL  at a moment when the slot wanted next may still be on its way out: some successful pop is in
 *         progress, and `capacity` values are possibly inside if it and every pop that had not ended when it
 *         started count as not done.
 * An EMPTY beside which no push is in progress is judged as strictly as before.
 *
 * The judge takes O(n) memory and O(n) time besides radix sorts. Threads: a log belongs to one thread; the
 * rest is for one thread after the others were joined.
 */
#ifndef HISTORY_H
#define HISTORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { HISTORY_PUSH, HISTORY_POP, HISTORY_CLOSE };
enum { HISTORY_OK, HISTORY_FULL, HISTORY_EMPTY, HISTORY_IS_CLOSED };

/* One operation on one value. A batch is as many operations as values, all with the times of the call. */
struct history_op {
    uint64_t value;
    int64_t start, end; /* ns */
    uint16_t thread;    /* 0 to HISTORY_MAX_THREADS - 1 */
    uint8_t kind, result;
};
#define HISTORY_MAX_THREADS 64

/* ---- recording ---- */

/* What one thread has done: up to `limit` successful operations and as many failed ones. Of failed operations
 * in a row the 1st, 2nd, 4th, 8th ... are kept: they change nothing, so leaving some out is sound, and a
 * waiting thread makes more of them than anybody can store. `overflow` counts successes that did not fit. */
struct history_log {
    struct history_op *ops;
    size_t count, limit, succeeded, overflow;
    uint64_t row; /* failed operations since the last successful one */
    uint16_t thread;
};

/* All memory is touched here, so that no page fault lies in an operation. */
void history_log_init(struct history_log *log, uint16_t thread, size_t limit);
void history_log_clear(struct history_log *log); /* for the next history */
void history_log_free(struct history_log *log);

/* The clock before an operation. The operation's accesses cannot come before the reading. */
int64_t history_start(void);
/* The clock after it. The operation's stores have left the processor's store buffer before the reading: on
 * x86 a store is visible to others only later, and a correct queue would be found wrong. */
int64_t history_end(void);

void history_add(struct history_log *log, int kind, int result, uint64_t value, int64_t start, int64_t end);

/* All logs behind one another, as the judge wants them; the caller frees it. */
struct history_op *history_join(const struct history_log *logs, size_t n, size_t *ret_count);

/* ---- judging ---- */

enum history_exactness { HISTORY_STRICT, HISTORY_WEAK, HISTORY_OFF };
enum history_order {
    HISTORY_GLOBAL,      /* as defined above */
    HISTORY_PER_PRODUCER /* only values of one pushing thread are compared */
};

struct history_rules {
    uint32_t capacity; /* 0 = unbounded: no FULL, no OVERFULL */
    bool drained;      /* the queue was empty at the end */
    bool lossy;        /* it may drop its oldest: what did not come out is `missing`, not LOST */
    enum history_exactness empty, full;
    enum history_order order;
};

enum history_class {
    HISTORY_INVENTED,
    HISTORY_DEQ_BEFORE_ENQ,
    HISTORY_DUPLICATED,
    HISTORY_LOST,
    HISTORY_ORDER,
    HISTORY_WRONG_EMPTY,
    HISTORY_WRONG_FULL,
    HISTORY_OVERFULL,
    HISTORY_WRONG_CLOSED,
    HISTORY_UNUSABLE,
    HISTORY_CLASSES
};

struct history_verdict {
    uint64_t wrong[HISTORY_CLASSES];  /* operations or values */
    uint64_t pushed, popped, missing; /* values; missing: did not come out */
    uint64_t empties, fulls, closed;  /* answers */
    uint64_t overlapping;             /* operations that started while another thread was in one */
    char first[200];                  /* the first finding, in words */
};

const char *history_class_name(enum history_class c);

/* Judges; true = nothing wrong. The operations of one thread stand together, in the order in which it did
 * them. Without memory it ends the process. */
bool history_check(const struct history_op *ops, size_t count, const struct history_rules *rules,
                   struct history_verdict *ret_verdict);

#endif
